"""Where lines are JSON, all of them are, and none repeats what somebody sent."""

from __future__ import annotations

import io
import json
import logging
import sqlite3
import sys
from typing import Any

import pytest

from deltaweir.gateway.log.json_lines import JsonLines, LoggedLines, exception_text


def record(message: str, *args: object, error: BaseException | None = None) -> logging.LogRecord:
    """Return a record of logging."""
    info = None if error is None else (type(error), error, error.__traceback__)
    return logging.LogRecord("uvicorn.error", logging.WARNING, "", 0, message, args, info)


def raised(error: Exception, cause: Exception | None = None) -> BaseException:
    """Return an error that was raised."""

    def fail() -> None:
        raise error from cause

    try:
        fail()
    except Exception as caught:  # noqa: BLE001  # whatever was given
        return caught
    return error


def test_a_record_is_an_object() -> None:
    """Time, level, logger and message, in one line of ASCII whatever is in them."""
    line = JsonLines().format(record("got %s\u2028\n", '"x\ny'))
    assert line.isascii()
    assert "\n" not in line
    told = json.loads(line)
    assert list(told) == ["time", "level", "logger", "message"]
    assert (told["level"], told["logger"]) == ("WARNING", "uvicorn.error")
    assert told["message"] == 'got "x\ny'
    assert told["time"].endswith("+00:00")


def test_a_line_of_a_stream_stays_as_it_is() -> None:
    """It is an object already."""
    one = record('{"ending":"complete"}')
    one.stream_log = None
    assert JsonLines().format(one) == '{"ending":"complete"}'


def test_an_exception_is_one_text() -> None:
    """Place and kind of it and of its cause are told, and not what they say."""
    error = raised(ValueError("my prompt"), KeyError("sk-secret"))
    told = json.loads(JsonLines().format(record("it broke", error=error)))
    assert "in raised" in told["exception"]
    assert told["exception"].startswith("KeyError\nthen\n")
    assert told["exception"].endswith("ValueError")
    assert "prompt" not in told["exception"]
    assert "secret" not in told["exception"]


@pytest.mark.parametrize("error", [OSError(28, "No space"), sqlite3.Error("disk image")])
def test_the_system_may_speak(error: Exception) -> None:
    """Its words are of use, and none are a client's."""
    assert exception_text(raised(error)).endswith(f"{type(error).__name__}: {error}")


def test_causes_in_a_circle_end() -> None:
    """Each exception is told once."""
    one, two = ValueError(), KeyError()
    one.__cause__, two.__cause__ = two, one
    assert exception_text(one) == "KeyError\nthen\nValueError"


def test_what_is_written_to_standard_error_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Line by line when it ends; not what is drawn over and over on a terminal."""
    caplog.set_level(logging.INFO, "deltaweir.gateway")
    stderr: Any = LoggedLines(sys.__stderr__ or io.StringIO())
    for text in ("serving ", "m\n\n", "\r12 %\x1b[K", "half"):
        assert stderr.write(text) == len(text)
    assert [(one.name, one.message) for one in caplog.records] == [
        ("deltaweir.gateway", "serving m")
    ]
    assert isinstance(stderr.isatty(), bool)
