"""What people see: clean text on a terminal, exact text elsewhere, and waits explained."""

from __future__ import annotations

import io
import sys
import threading
import time
from typing import Any

import pytest

from deltaweir.cli import show
from deltaweir.client.view import Timing
from deltaweir.schema.chunk import Usage


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        """Say so."""
        return True


class Full(io.StringIO):
    """A stream that takes nothing."""

    def write(self, _text: str) -> int:
        """Refuse."""
        raise OSError(28, "No space left on device")


NASTY = "a\x1b]0;title\x07\x1b[2Jb\x9b31mc\x7f\r\bd\te\nf"


def test_control_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal never gets ESC, C1 and their like; a pipe gets the exact text."""
    for stream, expected in ((Screen(), "a]0;title[2Jb31mcd\te\nf"), (io.StringIO(), NASTY)):
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setattr(sys, "stderr", stream)
        show.write(NASTY)
        assert stream.getvalue() == expected
        show.say(NASTY)
        assert stream.getvalue() == f"{expected}{expected}\n"


def test_no_character_of_the_control_blocks_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of C0, DEL and C1 only tab and line feed reach a terminal."""
    monkeypatch.setattr(sys, "stdout", screen := Screen())
    show.write("".join(map(chr, range(256))))
    assert sorted(set(map(ord, screen.getvalue())) & {*range(32), *range(127, 160)}) == [9, 10]


def test_news_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stderr that is full is no reason to end; a stdout is."""
    monkeypatch.setattr(sys, "stderr", Full())
    monkeypatch.setattr(sys, "stdout", Full())
    show.say("news")
    with pytest.raises(OSError, match="No space"):
        show.write("text")


class Stream:
    """What the statistics read of a stream."""

    def __init__(self, **data: Any) -> None:
        """Take the data that are not as usual."""
        self.usage: Usage | None = Usage(prompt_tokens=39, completion_tokens=24, total_tokens=63)
        self.cost: float | None = 0.0
        self.timing = Timing(0.01, 0.081, 0.969, 27.2)
        self.complete = True
        self.__dict__.update(data)


@pytest.mark.parametrize(
    ("data", "line"),
    [
        ({}, "39 + 24 tokens (engine) · $0 · first token 0.08 s · whole 0.97 s · 27 tok/s"),
        (
            {"usage": None, "cost": None, "timing": Timing(None, None, None, None)},
            "cost unknown · whole 0.00 s",
        ),
        (
            {"cost": 1.0, "complete": False, "timing": Timing(0.01, 0.081, 0.969, None)},
            "39 + 24 tokens (engine) · $1 · first token 0.08 s · whole 0.97 s · not complete",
        ),
    ],
)
def test_statistics(monkeypatch: pytest.MonkeyPatch, data: dict[str, Any], line: str) -> None:
    """The line says what is known, and ASCII is enough for it."""
    monkeypatch.setattr(sys, "stderr", Screen())
    stream: Any = Stream(**data)
    assert show.statistics(stream) == line
    monkeypatch.setattr(Screen, "encoding", "ascii")
    assert show.statistics(stream) == line.replace("·", "|")


def narrow(monkeypatch: pytest.MonkeyPatch) -> Screen:
    """Return a stderr that is a terminal of 20 columns; pytest would undo it in a fixture."""
    monkeypatch.setattr(sys, "stderr", screen := Screen())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "20")
    return screen


def test_a_long_wait_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long wait is explained within the terminal's width, and wiped at its end."""
    screen = narrow(monkeypatch)
    monkeypatch.setattr(show, "_REDRAW_S", 0.001)
    told = threading.Event()

    def explain() -> str:
        if screen.getvalue().count("\r") > 1:
            told.set()
        return "x" * 50

    with show.Waiting(explain, patience_s=0.001):
        assert told.wait(10)
    first, *_, last = screen.getvalue().removeprefix("\r").split("\r")
    assert first == "x" * 19 + "\x1b[K"
    assert last == "\x1b[K"
    written = screen.getvalue()
    time.sleep(0.01)
    assert screen.getvalue() == written


def test_a_short_wait_is_not_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a second nothing is written, neither text nor a wipe."""
    screen = narrow(monkeypatch)
    with show.Waiting(lambda: "waiting"):
        pass
    assert screen.getvalue() == ""


def test_a_wait_explained_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without patience the text is there before the wait begins."""
    screen = narrow(monkeypatch)
    with show.Waiting(lambda: "loading", patience_s=0) as waiting:
        assert screen.getvalue() == "\rloading\x1b[K"
        waiting.end()
        waiting.end()
    assert screen.getvalue() == "\rloading\x1b[K\r\x1b[K"


@pytest.mark.parametrize("case", ["file", "dumb"])
def test_only_a_terminal_waits(monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    """A file and a dumb terminal are told nothing."""
    monkeypatch.setattr(sys, "stderr", stream := Screen() if case == "dumb" else io.StringIO())
    monkeypatch.setenv("TERM", case)
    with show.Waiting(lambda: "waiting", patience_s=0):
        pass
    assert stream.getvalue() == ""


def test_an_interrupted_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """An end that was interrupted is made up for when the block is left."""
    screen = narrow(monkeypatch)
    waiting = show.Waiting(lambda: "loading", patience_s=0)
    plain, calls = threading.Thread.join, []

    def join(thread: threading.Thread, timeout: float | None = None) -> None:
        calls.append(thread)
        if len(calls) == 1:
            raise KeyboardInterrupt
        plain(thread, timeout)

    monkeypatch.setattr(threading.Thread, "join", join)
    with pytest.raises(KeyboardInterrupt), waiting:
        waiting.end()
    assert screen.getvalue() == "\rloading\x1b[K\r\x1b[K"
