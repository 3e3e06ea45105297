"""Recordings: the format of a stream on disk, line by line. Pure.

A recording is a text file in UTF-8 with one JSON document a line, each written when what it
tells has happened, so that a file is worth reading wherever it breaks off::

    {"format":"deltaweir-recording","version":1,"began":"2026-01-31T12:00:00Z","kind":"chat",...}
    {"at":80213,"data":{"id":"chatcmpl-1","object":"chat.completion.chunk",...}}
    {"at":972113,"end":"complete","finish_reason":"stop","usage":{...},"source":"provider",...}

``at`` is microseconds since the stream was asked for. ``data`` is an event's data byte for byte
as it was shown, that is, behind guard and budget; what is no JSON object on one line in UTF-8
stands as ``base64`` instead. A last line without its line end was torn by a crash and counts for
nothing; without a line with ``end`` a recording is of a truncated stream, whatever it holds.
``docs/recording.md`` says it all for other programs.
"""

from __future__ import annotations

import base64
from typing import Any, Literal

import msgspec

from deltaweir import errors
from deltaweir.endings import Ending
from deltaweir.errors import DeltaweirError, InvalidRequest

FORMAT = "deltaweir-recording"
VERSION = 1
RECORDED = "recorded"
"""The source of an account that a recording tells."""

REPLAY = "replay:"
"""What the name of a model begins with that is a recording."""
AT_ONCE = 0.0
"""The speed at which nothing is waited for."""

AnySpeed = float | Literal["max"] | None
"""How fast a recording is played: a factor on its own pace; 0 or ``"max"`` for at once."""
Kind = Literal["chat", "text"]
Kept = Literal["full", "redacted", "none"]


class Header(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The first line: what was recorded.

    Attributes:
        began: When the stream was asked for, in UTC as ISO 8601 has it.
        kind: Whether it is a chat completion or a text completion.
        model: The model as it was asked for; empty where nobody said.
        usage_asked: Whether the reader asked for a chunk with usage.
        request_kept: How much of the request is there.
        request: That much of it; None without any.
    """

    format: str = msgspec.field(default_factory=lambda: FORMAT)
    version: int = msgspec.field(default_factory=lambda: VERSION)
    began: str = ""
    kind: Kind
    model: str = ""
    usage_asked: bool = False
    request_kept: Kept = "none"
    request: dict[str, Any] | None = None


class Event(msgspec.Struct, frozen=True, gc=False):
    """One event of the stream: its data as they were shown, and when, in microseconds."""

    at: int
    data: bytes


class Failure(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The error a stream failed with, by the name of its class."""

    kind: str = "StreamFailed"
    message: str = "the recorded stream failed"
    status: int | None = None
    code: str | None = None
    param: str | None = None


class End(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The last line: how the stream ended, and what it used.

    Attributes:
        at: When, in microseconds.
        end: The ending, by its name in `deltaweir.endings.Ending`.
        finish_reason: That of the first choice; None while it was open.
        usage: Tokens, in OpenAI's form; None where nobody counted.
        cost_usd: US dollars; None when not known.
        source: Who counted.
        headers_us: When the answer began, in microseconds; None where it did not.
        first_content_us: When the first content came; likewise.
        deltaweir: Who cut the stream, and what guards found, as readers are told.
        error: The error it failed with.
    """

    at: int
    end: str
    finish_reason: str | None = None
    usage: dict[str, Any] | None = None
    cost_usd: float | None = None
    source: str | None = None
    headers_us: int | None = None
    first_content_us: int | None = None
    deltaweir: dict[str, Any] = msgspec.field(default_factory=dict)
    error: Failure | None = None

    @property
    def ending(self) -> Ending:
        """How the stream ended."""
        return Ending(self.end)


_ENCODER = msgspec.json.Encoder()
_RAW = msgspec.json.Decoder(msgspec.Raw)


def speed_of(value: Any) -> float:
    """Return the factor that a speed means.

    Args:
        value: A number from 0, or ``"max"``; None for a recording's own pace.

    Raises:
        InvalidRequest: It is none.
    """
    if value is None:
        return 1.0
    if value == "max":
        return AT_ONCE
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (number and 0 <= value < float("inf")):
        got = repr(value) if number else f"a value of type {type(value).__name__}"
        raise InvalidRequest(
            f"got {got} as speed, expected a factor such as 2, or 0 or 'max' for at once",
            param="replay_speed",
        )
    return float(value)


def header_line(header: Header) -> bytes:
    """Return a recording's first line."""
    return _ENCODER.encode(header) + b"\n"


def event_line(at_us: int, data: bytes) -> bytes:
    """Return the line of an event.

    Args:
        at_us: When it was shown, in microseconds since the stream was asked for.
        data: Its data.
    """
    if data[:1] == b"{" and data[-1:] == b"}" and b"\n" not in data and b"\r" not in data:
        try:
            _RAW.decode(data)
        except (msgspec.DecodeError, RecursionError):
            known = False
        else:
            known = data.isascii() or _is_text(data)
        if known:
            return b'{"at":%d,"data":%b}\n' % (at_us, data)
    return b'{"at":%d,"base64":"%b"}\n' % (at_us, base64.b64encode(data))


def frame_line(at_us: int, frame: bytes) -> bytes:
    """Return the line of an event that is a frame of ours, whose JSON need not be looked at.

    Args:
        at_us: As for `event_line`.
        frame: The frame, without an id.
    """
    plain = frame[:7] == b"data: {" and frame[-3:] == b"}\n\n" and frame.count(b"\n") == 2  # noqa: PLR2004  # its end
    if plain and (frame.isascii() or _is_text(frame)):
        return b'{"at":%d,"data":%b}\n' % (at_us, frame[6:-2])
    lines = frame.removesuffix(b"\n\n").split(b"\n")
    return event_line(at_us, b"\n".join([line.removeprefix(b"data: ") for line in lines]))


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def end_line(end: End) -> bytes:
    """Return a recording's last line."""
    return _ENCODER.encode(end) + b"\n"


def failure_of(error: DeltaweirError) -> Failure:
    """Return an error as it is recorded."""
    return Failure(
        kind=type(error).__name__,
        message=error.message,
        status=error.status,
        code=error.code,
        param=error.param,
    )


def error_in(end: End) -> DeltaweirError:
    """Return the error that a failed stream ended with, of the class that it had.

    Args:
        end: The end of a stream that failed.
    """
    failure = end.error
    if failure is None:
        message = f"the recorded stream ended as {end.end!r}"
        failure = Failure(kind=_KINDS.get(end.ending, "StreamFailed"), message=message)
    kind = getattr(errors, failure.kind, None)
    if not (isinstance(kind, type) and issubclass(kind, DeltaweirError)):
        kind = errors.StreamFailed
    return kind(failure.message, status=failure.status, code=failure.code, param=failure.param)


_KINDS = {Ending.TRUNCATED: "StreamTruncated", Ending.STALLED: "StallTimeout"}
