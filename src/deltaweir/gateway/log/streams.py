"""One line a stream, at its end: for people or for programs; never content, never a key.

The lines go through the logger ``deltaweir.stream``, INFO where the stream was whole or was cut,
WARNING where it failed. Requests that were refused before they were streams have lines there
too, at INFO, and a few a second at most. Whoever configures logging gets them as they like; where
nobody did, they go to standard error, one line each and nothing else.
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple, TextIO

import msgspec

from deltaweir.accounts import PICODOLLARS
from deltaweir.endings import Ending, State
from deltaweir.gateway.log.refusals import Flood, Refusal
from deltaweir.gateway.metrics.summary import Summary

Kind = Literal["text", "json", "none"]
"""A line to read, a JSON object, or no line."""

LOGGER = logging.getLogger("deltaweir.stream")

LONGEST_FIELD = 120
"""Characters of a name in a line; the rest is cut off."""

_CLIENTS_OWN = ("request_id", "model", "user", "finish_reason")
"""Fields whose text others choose."""
_SECONDS = ("first_content_s", "total_s", "added_s")
_WELL = {ending.value for ending in Ending if ending.state is not State.FAILED}


class StreamLog:
    """Write a line for each stream that has ended, and for requests that were refused.

    Args:
        kind: What a line looks like.
        stream: Where lines go beside the handlers of logging; None for standard error, unless
            logging has handlers.
    """

    def __init__(self, kind: Kind, stream: TextIO | None = None) -> None:
        self._forms: _Forms | None = _FORMS[kind]
        self._flood = Flood()
        self._handler: logging.Handler | None = None
        if self._forms is None:
            return
        if LOGGER.level == logging.NOTSET:
            LOGGER.setLevel(logging.INFO)  # else INFO would be dropped unless the host asks for it
        if stream is not None or not LOGGER.hasHandlers():
            self._handler = logging.StreamHandler(stream)
            self._handler.setFormatter(logging.Formatter("%(message)s"))
            self._handler.addFilter(self._is_own)
            LOGGER.addHandler(self._handler)

    def ended(self, summary: Summary) -> None:
        """Write the line of a stream that has ended; a log that is broken breaks no stream."""
        if self._forms is not None:
            self._write(_level(summary), self._forms.stream, summary)

    def refused(self, refusal: Refusal) -> None:
        """Write the line of a request that was refused, unless there are too many of them."""
        if self._forms is not None:
            self.tidy()
            if self._flood.admits(refusal.status, time.monotonic()):
                self._write(logging.INFO, self._forms.refusal, refusal)

    def tidy(self) -> None:
        """Write how many refusals were left out, once that is due; about twice a second."""
        self._tell_of_rest(time.monotonic())

    def close(self) -> None:
        """Write what is still to be told, and take its handler away from the logger."""
        self._tell_of_rest(float("inf"))
        if self._handler is not None:
            LOGGER.removeHandler(self._handler)
            self._handler = None

    def _tell_of_rest(self, now: float) -> None:
        if self._forms is not None and (left_out := self._flood.left_out(now)):
            self._write(logging.INFO, self._forms.left_out, left_out)

    def _write(self, level: int, form: Callable[[Any, float], str], told: object) -> None:
        with contextlib.suppress(Exception):  # handlers and filters of a host may raise anything
            if LOGGER.isEnabledFor(level):
                line = form(told, time.time())
                # not LOGGER.log: it would look up who called
                record = logging.LogRecord(LOGGER.name, level, __file__, 0, line, None, None)
                record.stream_log = self
                LOGGER.handle(record)

    def _is_own(self, record: logging.LogRecord) -> bool:
        # several gateways of one process share the logger, each with a form of its own
        return getattr(record, "stream_log", self) is self


def text_line(summary: Summary, at: float) -> str:
    """Return a line for people.

    Args:
        summary: The stream.
        at: When it ended, in seconds since 1970; the line has local time.
    """
    prompt = "?" if summary.prompt_tokens is None else summary.prompt_tokens
    completion = "?" if summary.completion_tokens is None else summary.completion_tokens
    parts = [
        _clock(at),
        _field(summary.model),
        _field(summary.upstream),
        _field(summary.ending),
        f"{prompt}+{completion} tok",
        _dollars(summary.cost_pico),
    ]
    if summary.code is not None:
        parts.insert(4, _field(summary.code))
    if summary.status >= 400:  # noqa: PLR2004  # HTTP's errors
        parts.insert(4, str(summary.status))
    if summary.endpoint != "chat":
        parts.insert(1, summary.endpoint)
    if summary.first_content_s is not None:
        parts.append(f"first {summary.first_content_s:.2f}s")
    parts.append(f"whole {summary.total_s:.2f}s")
    if summary.attempts > 1:
        parts.append(f"attempts {summary.attempts}")
    if summary.withheld_chars:
        parts.append(f"withheld {summary.withheld_chars}")
    parts.append(_field(summary.request_id))
    if summary.key_id is not None:
        parts.append(f"key {_field(summary.key_id)}")
    if summary.user is not None:
        parts.append(f"user {_field(summary.user)}")
    return " ".join(parts)


def json_line(summary: Summary, at: float) -> str:
    """Return a JSON object in one line of ASCII, with the fields of a summary.

    What guards have found, and who was asked before the last, is counted by the metrics alone. The
    cost is in US dollars, seconds are exact to the microsecond, and of the gaps only the longest
    is told, by the power of two below which it lies.

    Args:
        summary: The stream.
        at: When it ended, in seconds since 1970; the line has it in UTC.
    """
    fields: dict[str, Any] = {
        **_said("stream", at, _level(summary)),
        **summary._asdict(),
    }
    for name in _SECONDS:
        if (seconds := fields[name]) is not None:
            fields[name] = round(seconds, 6)
    cost, gaps = summary.cost_pico, summary.gaps
    del fields["cost_pico"], fields["gaps"], fields["guard_matches"], fields["asked_before"]
    fields["cost_usd"] = None if cost is None else cost / PICODOLLARS
    fields["longest_gap_below_ms"] = None
    for power, count in enumerate(gaps):
        if count:
            fields["longest_gap_below_ms"] = 2**power
    return _object(fields)


def refusal_line(refusal: Refusal, at: float) -> str:
    """Return a line for people, of a request that was refused; arguments as for `text_line`."""
    code = "-" if refusal.code is None else refusal.code
    parts = [_clock(at), "refused", str(refusal.status), _field(code), _field(refusal.route)]
    if refusal.model is not None:
        parts.append(f"model {_field(refusal.model)}")
    if refusal.request_id is not None:
        parts.append(_field(refusal.request_id))
    if refusal.key_id is not None:
        parts.append(f"key {_field(refusal.key_id)}")
    return " ".join(parts)


def json_refusal_line(refusal: Refusal, at: float) -> str:
    """Return a JSON object in one line of ASCII, of a request that was refused."""
    return _object({**_said("refused", at), **refusal._asdict()})


def left_out_line(left_out: dict[int, int], at: float) -> str:
    """Return a line for people, of how many refusals have none of their own.

    Args:
        left_out: How many, by status.
        at: As for `text_line`.
    """
    by_status = ", ".join(f"{count} with {status}" for status, count in left_out.items())
    return f"{_clock(at)} refused {sum(left_out.values())} more: {by_status}"


def json_left_out_line(left_out: dict[int, int], at: float) -> str:
    """Return a JSON object in one line, of how many refusals have none; as `left_out_line`."""
    by_status = {str(status): count for status, count in left_out.items()}
    said = _said("refused more", at)
    return _object({**said, "left_out": sum(left_out.values()), "by_status": by_status})


def moment(at: float) -> str:
    """Return a time, in seconds since 1970, as lines of JSON have it."""
    return datetime.fromtimestamp(at, tz=UTC).isoformat(timespec="milliseconds")


def _level(summary: Summary) -> int:
    return logging.INFO if summary.ending in _WELL else logging.WARNING


def _said(message: str, at: float, level: int = logging.INFO) -> dict[str, Any]:
    name = logging.getLevelName(level)
    return {"time": moment(at), "level": name, "logger": LOGGER.name, "message": message}


def _clock(at: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(at))


def _object(fields: dict[str, object]) -> str:
    for name in _CLIENTS_OWN:
        if isinstance(value := fields.get(name), str):
            fields[name] = value[:LONGEST_FIELD]
    with contextlib.suppress(UnicodeEncodeError):  # half of a surrogate pair
        line = msgspec.json.encode(fields)
        if line.isascii():
            return line.decode()
    # escaped: some readers break lines at characters that are no newline
    return json.dumps(fields, separators=(",", ":"))


class _Forms(NamedTuple):
    """How lines look."""

    stream: Callable[[Summary, float], str]
    refusal: Callable[[Refusal, float], str]
    left_out: Callable[[dict[int, int], float], str]


_FORMS: dict[Kind, _Forms | None] = {
    "text": _Forms(text_line, refusal_line, left_out_line),
    "json": _Forms(json_line, json_refusal_line, json_left_out_line),
    "none": None,
}


def _field(value: str) -> str:
    """Return a name as one word, quoted where it would not be one."""
    value = value[:LONGEST_FIELD]
    if value and value.isprintable() and " " not in value and '"' not in value:
        return value
    return json.dumps(value)


def _dollars(pico: int | None) -> str:
    """Return a cost with two digits that matter; ``$?`` for unknown."""
    if pico is None:
        return "$?"
    if pico == 0:
        return "$0"
    digits = min(max(2, 14 - len(str(pico))), 12)  # two that matter, of the twelve there are
    return f"${pico / PICODOLLARS:.{digits}f}"
