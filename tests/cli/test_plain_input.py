"""Lines from a terminal that only shows text."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from deltaweir.cli.plain_input import PlainInput


def typing(monkeypatch: pytest.MonkeyPatch, *lines: str | BaseException) -> None:
    """Type lines to a terminal."""
    typed: Iterator[str | BaseException] = iter(lines)

    def read(_prompt: str) -> str:
        line = next(typed)
        if isinstance(line, BaseException):
            raise line
        return line

    monkeypatch.setattr("builtins.input", read)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)


class Readline:
    """Editing with something in the line."""

    def __init__(self, *lines: str) -> None:
        """Have these in the line, one after the other."""
        self._lines = iter(lines)

    def parse_and_bind(self, _text: str) -> None:
        """Take a setting."""

    def get_line_buffer(self) -> str:
        """Return what is in the line."""
        return next(self._lines)


def test_a_line_that_is_cleared(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interruption clears what was typed, and is told of an empty line."""
    readline: Any = Readline("half", "")
    monkeypatch.setitem(sys.modules, "readline", readline)
    typing(monkeypatch, KeyboardInterrupt(), KeyboardInterrupt())
    lines = PlainInput()
    with pytest.raises(KeyboardInterrupt):
        lines.read()
    assert lines.typed


def test_without_readline(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python without readline reads all the same."""
    monkeypatch.setitem(sys.modules, "readline", None)
    typing(monkeypatch, "one", KeyboardInterrupt())
    lines = PlainInput()
    assert lines.read() == "one"
    with pytest.raises(KeyboardInterrupt):
        lines.read()
    assert not lines.typed


def test_with_stdout_elsewhere(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The prompt is on stderr, and the end of stdin leaves."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("one\n"))
    lines = PlainInput()
    assert lines.read() == "one\n"
    with pytest.raises(EOFError):
        lines.read()
    assert capsys.readouterr() == ("", "> > ")
