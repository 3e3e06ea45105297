"""What a scripted server does, step by step, and the bytes of a provider's answers.

An answer is a list of steps; bytes alone are sent as they are::

    Peer(stream_answer(chat_events("Hel", "lo")))          # a whole stream, chunked
    hel = chat_events("Hel", finish=None, done=False)
    Peer([*stream_answer(hel, end=False), Drop()])         # cut off
    Peer(error_answer(429, "slow down", headers={"retry-after": "0"}), ...)    # then the next

What is bytes among a body's parts is framed; other steps stand between the frames as they are.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from deltaweir.wire.sse import DONE, encode

BOM = b"\xef\xbb\xbf"
"""The mark that some servers begin a stream with."""

Framing = Literal["chunked", "length", "close"]
"""How a body ends: with its last piece, with its length, or with its connection."""


class Trickle(NamedTuple):
    """Send these bytes one by one, each in a segment of its own."""

    data: bytes


class Drop(NamedTuple):
    """Close the connection."""


class Reset(NamedTuple):
    """Break the connection off, so that the other side sees a reset."""


class HalfClose(NamedTuple):
    """Send no more, but go on to read."""


class NeverRead(NamedTuple):
    """Read nothing of the request, not even the handshake of TLS; only as an answer's first step.

    Steps behind it are done at once; then the connection is left alone.
    """


class Tunnel(NamedTuple):
    """Do what CONNECT asks for, as a proxy does."""


class Request(NamedTuple):
    """A request as it came."""

    connection: int
    """The number of its connection, from 0."""
    method: str
    target: str
    headers: dict[str, str]
    """By their names in lower case."""
    body: bytes
    raw: bytes


class Pause:
    """Do nothing until told to go on.

    Attributes:
        reached: Set when the server has come here.
    """

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.over = threading.Event()

    def release(self) -> None:
        """Let the server go on."""
        self.over.set()


Step = bytes | Trickle | Pause | Drop | Reset | HalfClose | NeverRead | Tunnel
Answer = Sequence[Step]


def chat_events(
    *contents: str,
    finish: str | None = "stop",
    usage: tuple[int, int] | None = None,
    done: bool = True,
    model: str = "scripted",
    identity: str = "chatcmpl-scripted",
) -> list[Step]:
    """Return the events of a streamed chat completion, in OpenAI's order.

    Args:
        contents: What each content chunk says, after one with the role.
        finish: The finish reason; None leaves the stream without an end of its own.
        usage: Tokens of prompt and completion, in a chunk of their own; None for none.
        done: Whether ``[DONE]`` comes last.
        model: The model's name.
        identity: The id of each chunk.
    """
    base = {"id": identity, "object": "chat.completion.chunk", "created": 1, "model": model}

    def event(delta: dict[str, Any], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return encode(msgspec.json.encode({**base, "choices": [choice]}))

    events: list[Step] = [event({"role": "assistant", "content": ""})]
    events += [event({"content": content}) for content in contents]
    if finish is not None:
        events.append(event({}, finish))
    if usage is not None:
        names = ("prompt_tokens", "completion_tokens", "total_tokens")
        counts = dict(zip(names, (*usage, sum(usage)), strict=True))
        events.append(encode(msgspec.json.encode({**base, "choices": [], "usage": counts})))
    if done:
        events.append(DONE)
    return events


def error_event(message: str, *, code: str | None = None, flat: bool = False) -> bytes:
    """Return an error inside a stream: nested as OpenAI has it, or flat with a name.

    Args:
        message: What the error says.
        code: Its code.
        flat: Whether it stands bare under ``event: error``, as some servers have it.
    """
    error = {"message": message, "type": "server_error", "param": None, "code": code}
    if flat:
        return b"event: error\n" + encode(msgspec.json.encode(error))
    return encode(msgspec.json.encode({"error": error}))


def crlf(events: Iterable[Step]) -> list[Step]:
    """Return events whose lines end in CRLF."""
    return [
        event.replace(b"\n", b"\r\n") if isinstance(event, bytes) else event for event in events
    ]


def stream_answer(
    events: Iterable[Step],
    *,
    status: int = 200,
    framing: Framing = "chunked",
    headers: Mapping[str, str] | None = None,
    end: bool = True,
) -> list[Step]:
    """Return the answer that streams these events, each in a write of its own.

    Args:
        events: Bytes and other steps.
        status: The status code.
        framing: How the body ends.
        headers: Further headers, or others in place of the usual.
        end: Whether the body ends as its head says; otherwise the connection stays open.
    """
    parts = list(events)
    length = sum(len(_bytes(part)) for part in parts)
    base = {"content-type": "text/event-stream; charset=utf-8", **(headers or {})}
    steps: list[Step] = [_head(status, base, framing, length)]
    steps += [_framed(part, framing) for part in parts]
    if end:
        steps.append(b"0\r\n\r\n" if framing == "chunked" else b"")
    if end and framing == "close":
        steps.append(Drop())
    return steps


def json_answer(
    value: Any,
    *,
    status: int = 200,
    framing: Framing = "length",
    headers: Mapping[str, str] | None = None,
) -> list[Step]:
    """Return the answer that has this value for its body.

    Args:
        value: Anything that is JSON.
        status: The status code.
        framing: How the body ends.
        headers: Further headers, or others in place of the usual.
    """
    return stream_answer(
        [msgspec.json.encode(value)],
        status=status,
        framing=framing,
        headers={"content-type": "application/json", **(headers or {})},
    )


def error_answer(
    status: int,
    message: str = "no",
    *,
    code: str | None = None,
    param: str | None = None,
    framing: Framing = "length",
    headers: Mapping[str, str] | None = None,
) -> list[Step]:
    """Return a refusal with OpenAI's error body.

    Args:
        status: The status code.
        message: What the error says.
        code: Its code.
        param: The request field at fault.
        framing: How the body ends.
        headers: Further headers.
    """
    error = {"message": message, "type": "some_error", "param": param, "code": code}
    return json_answer({"error": error}, status=status, framing=framing, headers=headers)


def _bytes(step: Step) -> bytes:
    return step.data if isinstance(step, Trickle) else step if isinstance(step, bytes) else b""


def _framed(step: Step, framing: Framing) -> Step:
    data = _bytes(step)
    if framing != "chunked" or not data:
        return step
    framed = b"%x\r\n%b\r\n" % (len(data), data)
    return Trickle(framed) if isinstance(step, Trickle) else framed


def _head(status: int, headers: Mapping[str, str], framing: Framing, length: int) -> bytes:
    how = {
        "chunked": "transfer-encoding: chunked",
        "length": f"content-length: {length}",
        "close": "connection: close",
    }
    lines = [f"HTTP/1.1 {status} Scripted"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, how[framing], "", ""]).encode("latin-1")
