"""All that a process says as JSON: one object a line, whoever says it.

Lines on streams are objects already (`deltaweir.gateway.log.streams`). All other records of logging
have ``time``, ``level``, ``logger``, ``message``, and ``exception`` where there was one.

Where an exception came from is told, and of which kinds it is, but what it says only where the
system says it: the words of all others may repeat what somebody sent.
"""

from __future__ import annotations

import io
import json
import logging
import sqlite3
import sys
import traceback
from typing import TextIO

from deltaweir.gateway.log.streams import moment

_UVICORN = "uvicorn"
_TOLD = (OSError, sqlite3.Error)
"""Exceptions whose words hold nothing that came from a client or an upstream."""


class JsonLines(logging.Formatter):
    """Make a record one JSON object, in one line of ASCII."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        message = record.getMessage()
        if hasattr(record, "stream_log"):
            return message
        fields = {
            "time": moment(record.created),
            "level": record.levelname,
            "logger": record.name,
            "message": message.strip(),
        }
        if record.exc_info and record.exc_info[1] is not None:
            fields["exception"] = exception_text(record.exc_info[1])
        return json.dumps(fields, separators=(",", ":"))


def exception_text(error: BaseException) -> str:
    """Return where an exception was raised and its kind, those that led to it before it."""
    parts: list[str] = []
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        said = f": {at}" if isinstance(at, _TOLD) else ""
        parts.append("".join(traceback.format_tb(at.__traceback__)) + type(at).__name__ + said)
        at = at.__cause__ or (None if at.__suppress_context__ else at.__context__)
    return "\nthen\n".join(reversed(parts))


class LoggedLines(io.TextIOBase):
    """A standard error whose lines become records.

    Args:
        stream: What it stands for.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._begun = ""
        self._log = logging.getLogger("deltaweir.gateway")

    def write(self, text: str) -> int:
        """Log each line that ends; what is drawn over and over on a terminal is left out."""
        if not text.startswith("\r"):
            *lines, self._begun = (self._begun + text).split("\n")
            for line in lines:
                if line.strip():
                    self._log.info("%s", line)
        return len(text)

    def isatty(self) -> bool:
        """Tell whether somebody may see it on a terminal."""
        return self._stream.isatty()

    @property
    def encoding(self) -> str:  # type: ignore[override]  # a constant of the class there
        """The encoding of what it stands for."""
        return self._stream.encoding


def log_json(stream: TextIO) -> None:
    """Let all that this process says go to a stream, one JSON object a line; once a process.

    Args:
        stream: Standard error, whose place in `sys` is taken.
    """
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    logging.getLogger().addHandler(handler)
    logging.getLogger("deltaweir").setLevel(logging.INFO)
    logging.captureWarnings(True)  # noqa: FBT003  # takes nothing else
    sys.stderr = LoggedLines(stream)


def take_over_uvicorn() -> None:
    """Let uvicorn's lines go the way of all others, where these are JSON.

    To be called when a server was made: uvicorn then sets up handlers of its own.
    """
    if any(isinstance(one.formatter, JsonLines) for one in logging.getLogger().handlers):
        log = logging.getLogger(_UVICORN)
        log.handlers.clear()
        log.propagate = True
