"""One line a stream, at its end: for people or for programs; never content, never a key.

The lines go through the logger ``deltaweir.stream``, INFO where the stream was whole or was cut,
WARNING where it failed. Whoever configures logging gets them as they like; where nobody did,
they go to standard error, one line each and nothing else.
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal, TextIO

import msgspec

from deltaweir.accounts import PICODOLLARS
from deltaweir.endings import Ending, State
from deltaweir.gateway.summary import Summary

Kind = Literal["text", "json", "none"]
"""A line to read, a JSON object, or no line."""

LOGGER = logging.getLogger("deltaweir.stream")

LONGEST_FIELD = 120
"""Characters of a name in a line; the rest is cut off."""

_CLIENTS_OWN = ("request_id", "model", "user", "finish_reason")
"""Fields whose text others choose."""
_WELL = {ending.value for ending in Ending if ending.state is not State.FAILED}


class StreamLog:
    """Write a line for each stream that has ended.

    Args:
        kind: What a line looks like.
        stream: Where lines go beside the handlers of logging; None for standard error, unless
            logging has handlers.
    """

    def __init__(self, kind: Kind, stream: TextIO | None = None) -> None:
        self._line: Callable[[Summary, float], str] | None = _LINES[kind]
        self._handler: logging.Handler | None = None
        if self._line is None:
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
        if self._line is None:
            return
        level = logging.INFO if summary.ending in _WELL else logging.WARNING
        with contextlib.suppress(Exception):  # handlers and filters of a host may raise anything
            if LOGGER.isEnabledFor(level):
                line = self._line(summary, time.time())
                # not LOGGER.log: it would look up who called
                record = logging.LogRecord(LOGGER.name, level, __file__, 0, line, None, None)
                record.stream_log = self
                LOGGER.handle(record)

    def close(self) -> None:
        """Take its handler away from the logger."""
        if self._handler is not None:
            LOGGER.removeHandler(self._handler)
            self._handler = None

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
        time.strftime("%H:%M:%S", time.localtime(at)),
        _field(summary.model),
        _field(summary.upstream),
        _field(summary.ending),
        f"{prompt}+{completion} tok",
        _dollars(summary.cost_pico),
    ]
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
    """Return a JSON object in one line of ASCII, with every field of a summary.

    The cost is in US dollars, and of the gaps only the longest is told, by the power of two
    below which it lies.

    Args:
        summary: The stream.
        at: When it ended, in seconds since 1970; the line has it in UTC.
    """
    fields: dict[str, object] = {
        "time": datetime.fromtimestamp(at, tz=UTC).isoformat(timespec="milliseconds"),
        **summary._asdict(),
    }
    for name in _CLIENTS_OWN:
        if isinstance(value := fields[name], str):
            fields[name] = value[:LONGEST_FIELD]
    cost, gaps = summary.cost_pico, summary.gaps
    del fields["cost_pico"], fields["gaps"]
    fields["cost_usd"] = None if cost is None else cost / PICODOLLARS
    fields["longest_gap_below_ms"] = None
    for power, count in enumerate(gaps):
        if count:
            fields["longest_gap_below_ms"] = 2**power
    with contextlib.suppress(UnicodeEncodeError):  # half of a surrogate pair
        line = msgspec.json.encode(fields)
        if line.isascii():
            return line.decode()
    # escaped: some readers break lines at characters that are no newline
    return json.dumps(fields, separators=(",", ":"))


_LINES: dict[Kind, Callable[[Summary, float], str] | None] = {
    "text": text_line,
    "json": json_line,
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
