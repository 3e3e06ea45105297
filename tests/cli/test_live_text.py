"""Live Markdown: all that came is shown, once, however the answer ends."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.cli.screens import Screen
from tests.cli.test_markdown_blocks import DOCUMENTS
from tests.cli.test_markdown_lines import shown

from deltaweir.cli import live_text, show
from deltaweir.cli.live_frames import Size
from deltaweir.cli.live_text import MOST_CHARS, MOST_LINES, LiveText

SIZE = Size(41, 200)


class Terminal(io.StringIO):
    """A stdout that is a small terminal."""

    def __init__(self) -> None:
        """Begin empty."""
        super().__init__()
        self.screen = Screen(*SIZE)

    def write(self, text: str) -> int:
        """Show a text."""
        self.screen.write(text)
        return super().write(text)

    def until(self, text: str) -> None:
        """Wait until a text stands on it."""
        deadline = time.monotonic() + 10
        while text not in "\n".join(self.screen.shown):
            assert time.monotonic() < deadline, self.screen.shown
            time.sleep(0.005)


class Broken(io.StringIO):
    """A stdout that takes nothing."""

    def write(self, _text: str) -> int:
        """Refuse."""
        raise BrokenPipeError(32, "gone")


class Numbered(io.StringIO):
    """A stdout that is a file of the system."""

    def fileno(self) -> int:
        """Return its number."""
        return 1


def on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Return a terminal in stdout's place; pytest would undo it in a fixture."""
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    return terminal


def live(explain: Callable[[], str] = lambda: "waiting ...") -> LiveText:
    """Return what shows Markdown in a terminal of a known size."""
    return LiveText(explain, size=lambda: SIZE)


@settings(deadline=None)
@given(DOCUMENTS, st.lists(st.integers(0, 60), max_size=6))
def test_the_end(text: str, places: list[int]) -> None:
    """What stands on the terminal is the whole text, wherever a frame was drawn before."""
    before, sys.stdout = sys.stdout, (out := Terminal())
    try:
        answer = live()
        cuts = [0, *sorted(places), len(text)]
        for start, end in itertools.pairwise(cuts):
            answer.feed(text[start:end])
            answer._draw()
        answer.end()
        answer.end()
    finally:
        sys.stdout = before
    expected = [line.rstrip() for line in shown(text, SIZE.columns - 1)]
    assert out.screen.shown == [*expected, ""]


def test_it_is_shown_while_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is open is on the terminal soon, though nothing more comes, and so are its styles."""
    terminal = on_a_terminal(monkeypatch)
    with live() as answer:
        answer.feed("one **two** thr")
        terminal.until("one two thr")
        answer.feed("ee\x1b[2J\n- x")
        terminal.until("three[2J")
    assert terminal.screen.shown == ["one two three[2J", "", "• x", ""]
    assert "\x1b[1mtwo" in terminal.getvalue()


def test_a_wait_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is waited for stands below what came, turns, and is gone with the next words."""
    terminal = on_a_terminal(monkeypatch)
    monkeypatch.setattr(live_text, "PATIENCE_S", 0.05)
    with live() as answer:
        terminal.until("⠋ waiting ...")
        answer.feed("Hello")
        terminal.until("⠹ waiting ...")
        assert "Hello" in terminal.screen.shown
    assert terminal.screen.shown == ["Hello", ""]


def test_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other lines stand between blocks; what was open is shown again below them."""
    terminal = on_a_terminal(monkeypatch)
    with live() as answer:
        answer.feed("# One\ntwo\nthr")
        terminal.until("thr")
        with answer.aside():
            terminal.write("a note\n")
        answer.feed("ee")
        terminal.until("three")
    assert [line for line in terminal.screen.shown if line] == ["One", "a note", "two", "three"]


def test_a_terminal_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who feeds it learns of it."""
    monkeypatch.setattr(sys, "stdout", Broken())
    answer = live()
    answer.feed("a")
    answer._draw()
    with pytest.raises(BrokenPipeError):
        answer.feed("b")
    answer.end()


def test_what_comes_while_a_frame_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is shown by the next one, though the frame began while its letters were looked at."""
    terminal = on_a_terminal(monkeypatch)
    answer = live()

    def printable(text: str) -> str:
        answer._draw()
        return show.printable(text)

    monkeypatch.setattr(live_text, "printable", printable)
    for text in ("one ", "two ", "three"):
        answer.feed(text)
    answer.end()
    assert terminal.screen.shown == ["one two three", ""]


@pytest.mark.skipif(sys.platform == "win32", reason="no signal can be sent to a thread there")
@pytest.mark.parametrize("aside", [True, False])
def test_an_interruption_of_the_last_frame(monkeypatch: pytest.MonkeyPatch, aside: bool) -> None:
    """It is raised when all is shown, and the terminal is as it was."""
    terminal = on_a_terminal(monkeypatch)
    answer = live()
    plain = LiveText._write

    def interrupted(answer: LiveText, finished: Any, size: Size, *, open_too: bool) -> None:
        if not open_too:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            time.sleep(0.02)  # in which the main thread would go on, if it did not wait
        plain(answer, finished, size, open_too=open_too)

    monkeypatch.setattr(LiveText, "_write", interrupted)
    answer.feed("# the last\nwords\n")
    with contextlib.ExitStack() as stack, pytest.raises(KeyboardInterrupt):
        stack.enter_context(answer.aside()) if aside else answer.end()
    written = terminal.getvalue()
    assert written.endswith("\x1b[?7h\x1b[?2026l")
    assert "the last" in written
    assert ("words" in written) is not aside


def test_a_frame_that_cannot_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """What went wrong is raised at the end, not lost with the thread that drew."""
    on_a_terminal(monkeypatch)
    answer = LiveText(lambda: "", size=lambda: Size(1 // 0, 0))
    with pytest.raises(ZeroDivisionError), answer:
        answer.feed("a")


def test_a_burst_is_shown_over_several_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes so many lines, and the end shows the rest."""
    terminal = on_a_terminal(monkeypatch)
    answer = live()
    answer.feed("```python\n" + "x = 1\n" * 5 * MOST_LINES)
    shown = []
    for _ in range(2):
        answer._draw()
        shown.append(terminal.screen.shown.count("x = 1"))
    assert shown == [MOST_LINES - 1, 2 * MOST_LINES - 1]
    with answer.aside():
        assert terminal.screen.shown.count("x = 1") == 5 * MOST_LINES
    answer.end()
    assert terminal.screen.shown[-2:] == ["x = 1", ""]


def test_a_frame_of_long_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes no further one after so many characters."""
    terminal = on_a_terminal(monkeypatch)
    answer = live()
    answer.feed("```\n" + "y" * MOST_CHARS + "\nz\n")
    answer._draw()
    assert "z" not in terminal.screen.shown
    answer._draw()
    assert "z" in terminal.screen.shown
    answer.end()


def test_a_terminal_without_room_for_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is waited for is not shown there, since no row of it could be taken back."""
    terminal = on_a_terminal(monkeypatch)
    monkeypatch.setattr(live_text, "PATIENCE_S", 0)
    for lines, expected in ((1, False), (2, False), (3, True)):
        answer = LiveText(lambda: "waiting ...", size=lambda lines=lines: Size(41, lines))  # type: ignore[misc]  # of a default
        answer._draw()
        assert ("waiting" in terminal.getvalue()) is expected


def test_a_very_long_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its last words are shown while it is open, and all of it at its end."""
    terminal = on_a_terminal(monkeypatch)
    answer = live()
    answer.feed("word " * 4_000)
    answer._draw()
    assert len(terminal.screen.rows) < SIZE.lines
    answer.end()
    assert "".join(terminal.screen.shown).count("word") == 4_000


def test_frames_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """However fast words come, and however slow they are drawn, pauses are longer than frames."""
    on_a_terminal(monkeypatch)
    frames = []
    plain = LiveText._draw

    def slow(answer: LiveText, **options: bool) -> None:
        frames.append(time.monotonic())
        time.sleep(0.02)
        plain(answer, **options)

    monkeypatch.setattr(LiveText, "_draw", slow)
    with live() as answer:
        began = time.monotonic()
        while time.monotonic() < began + 0.5:
            answer.feed("a ")
            time.sleep(0.001)
        assert len(frames) <= 8


def test_an_open_line_of_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is shown to the last letter."""
    terminal = on_a_terminal(monkeypatch)
    answer = live()
    answer.feed("```\n**")
    answer._draw()
    assert terminal.screen.shown == ["```", "**"]


def test_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A size is assumed where none can be had."""
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert live_text.terminal_size() == (80, 24)


@pytest.mark.parametrize(
    ("told", "assumed"), [((0, 0), (80, 24)), ((0, 9), (80, 9)), ((7, 0), (7, 24))]
)
def test_a_terminal_without_a_size(
    monkeypatch: pytest.MonkeyPatch, told: tuple[int, int], assumed: tuple[int, int]
) -> None:
    """What nobody has set is assumed."""
    monkeypatch.setattr(sys, "stdout", Numbered())
    monkeypatch.setattr(os, "get_terminal_size", lambda _number: told)
    assert live_text.terminal_size() == assumed
