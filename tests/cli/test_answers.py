"""The ways an answer is shown: what of it goes where, and where live Markdown is possible."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from tests.cli.test_show import Screen

from deltaweir.cli import show
from deltaweir.cli.answers import LiveAnswer, PlainAnswer, can_be_live, waited_for, without_echo
from deltaweir.schema.chunk import Choice, Chunk, Delta

STREAM: Any = SimpleNamespace(prompt_progress=(0, 0))


def chunk(text: str) -> Chunk:
    """Return a chunk with a text."""
    return Chunk(choices=[Choice(delta=Delta(content=text))])


def on_one_screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    """Return a terminal that shows stdout and stderr."""
    screen = Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    return screen


@pytest.mark.parametrize(
    ("texts", "shown"),
    [
        (["a", "b"], "ab\n[note]\nc\n"),
        (["ab\n"], "ab\n[note]\nc\n"),
        ([], "[note]\nc\n"),
    ],
)
def test_a_note_begins_a_line(
    monkeypatch: pytest.MonkeyPatch, texts: list[str], shown: str
) -> None:
    """On one screen it stands between lines, and no line is empty."""
    screen = on_one_screen(monkeypatch)
    with PlainAnswer(STREAM) as answer:
        for text in texts:
            answer.take(chunk(text))
        with answer.aside():
            screen.write("[note]\n")
        answer.take(chunk("c"))
    assert screen.getvalue() == shown


def test_a_note_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing follows it there is no empty line either."""
    screen = on_one_screen(monkeypatch)
    with PlainAnswer(STREAM) as answer:
        answer.take(chunk("a"))
        with answer.aside():
            screen.write("[note]\n")
    assert screen.getvalue() == "a\n[note]\n"


def test_a_pipe_gets_the_answer_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A note puts no line break into it, and its end has one."""
    monkeypatch.setattr(sys, "stdout", out := io.StringIO())
    monkeypatch.setattr(sys, "stderr", Screen())
    with PlainAnswer(STREAM) as answer:
        answer.take(chunk("a"))
        with answer.aside():
            pass
        answer.take(chunk("b"))
    assert out.getvalue() == "ab\n"


def test_the_wait_goes_on_after_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when a stream is resumed before its first word."""
    screen = on_one_screen(monkeypatch)
    monkeypatch.setattr(show, "_REDRAW_S", 0.001)
    waiting = show.Waiting(lambda: "waiting", patience_s=0)
    with waiting:
        with waiting.aside():
            assert screen.getvalue().endswith("\r\x1b[K")
            screen.write("[note]\n")
        while "[note]\n\rwaiting" not in screen.getvalue():
            pass
    with waiting.aside():
        assert screen.getvalue().endswith("\r\x1b[K")


def test_chunks_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is a line of its own."""
    monkeypatch.setattr(sys, "stdout", out := io.StringIO())
    with PlainAnswer(STREAM, as_json=True) as answer:
        answer.take(chunk("a"))
        answer.take(chunk("b"))
    assert [json.loads(line)["choices"][0]["delta"] for line in out.getvalue().splitlines()] == [
        {"content": "a"},
        {"content": "b"},
    ]


def test_a_live_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is laid out, and notes stand between its blocks."""
    screen = on_one_screen(monkeypatch)
    with LiveAnswer(STREAM, colours=False) as answer:
        answer.take(chunk("# One\n\ntwo\nth"))
        with answer.aside():
            screen.write("[note]\n")
        answer.take(chunk("ree"))
    shown = re.sub(r"\x1b\[[?0-9;]*[A-Za-z]|\r", "", screen.getvalue())
    assert shown == "One\n[note]\n\ntwo\nthree\n"


def test_what_is_waited_for() -> None:
    """A long prompt is read, or nothing is known."""
    assert waited_for(STREAM) == "waiting ..."
    reading: Any = SimpleNamespace(prompt_progress=(3, 7))
    assert waited_for(reading) == "reading the prompt: 3 of 7 tokens ..."


def test_where_markdown_can_be_live(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal that is not dumb and has the letters that are drawn."""
    screen = on_one_screen(monkeypatch)
    assert can_be_live()
    monkeypatch.setattr(Screen, "encoding", "latin-1")
    assert not can_be_live()
    monkeypatch.setattr(Screen, "encoding", "utf-8")
    monkeypatch.setenv("TERM", "dumb")
    assert not can_be_live()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert not can_be_live()
    assert screen.getvalue() == ""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows shows nothing before it is read")
def test_what_is_typed_meanwhile_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """No echo, and for an editor Enter itself; all is back however it ends. Or no terminal."""
    import pty
    import termios

    controller, end = pty.openpty()
    try:
        with os.fdopen(end, "rb", buffering=0) as stdin:
            monkeypatch.setattr(sys, "stdin", stdin)
            before = termios.tcgetattr(end)
            for enter in (False, True):
                with contextlib.suppress(KeyboardInterrupt), without_echo(enter=enter):
                    assert not termios.tcgetattr(end)[3] & termios.ECHO
                    assert bool(termios.tcgetattr(end)[0] & termios.ICRNL) is not enter
                    raise KeyboardInterrupt
                assert termios.tcgetattr(end) == before
    finally:
        os.close(controller)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with without_echo():
        pass
