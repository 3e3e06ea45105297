"""Live Markdown: all that came is shown, once, however the answer ends."""

from __future__ import annotations

import io
import itertools
import sys
import threading
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.cli.screens import Screen
from tests.cli.test_markdown_blocks import DOCUMENTS
from tests.cli.test_markdown_lines import shown

from deltaweir.cli import live_text
from deltaweir.cli.live_frames import Size
from deltaweir.cli.live_text import LiveText

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


def test_an_interrupted_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """An end that was interrupted is made up for."""
    terminal = on_a_terminal(monkeypatch)
    plain = threading.Thread.join
    interruptions = iter([KeyboardInterrupt()])

    def join(thread: threading.Thread, timeout: float | None = None) -> None:
        for interruption in interruptions:
            raise interruption
        plain(thread, timeout)

    answer = live()
    monkeypatch.setattr(threading.Thread, "join", join)
    with pytest.raises(KeyboardInterrupt), answer:
        answer.feed("text")
    answer.end()
    assert terminal.screen.shown == ["text", ""]


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
