"""A conversation: history, commands, and interruptions that do not end it."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deltaweir.cli.ask import Answered
from deltaweir.cli.conversation import Conversation
from deltaweir.errors import ContextLengthExceeded, InvalidRequest

MODEL = ("-m", "smollm2", "-t", "0")
SYSTEM = {"role": "system", "content": "Be terse."}


class Asking:
    """Answers as it is told, and keeps what it was asked."""

    def __init__(self, *answers: Answered | BaseException) -> None:
        """Give these answers, one after the other."""
        self._answers = iter(answers)
        self.asked: list[list[Any]] = []

    def ask(self, *, messages: list[Any]) -> Answered:
        """Give the next answer."""
        self.asked.append(messages)
        answered = next(self._answers)
        if isinstance(answered, BaseException):
            raise answered
        return answered


def talk(monkeypatch: pytest.MonkeyPatch, asking: Asking, *lines: str | BaseException) -> int:
    """Type lines to a conversation, and leave."""
    typed: Iterator[str | BaseException] = iter([*lines, EOFError()])

    def typing(_prompt: str) -> str:
        line = next(typed)
        if isinstance(line, BaseException):
            raise line
        return line

    monkeypatch.setattr("builtins.input", typing)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    return Conversation(asking, opening=[SYSTEM]).run()  # type: ignore[arg-type]


def said(text: str) -> dict[str, str]:
    """Return an answer's message."""
    return {"role": "assistant", "content": text}


def test_history(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each question goes with all that was said; a reset keeps the system prompt alone."""
    asking = Asking(*(Answered(0, said(text)) for text in "abc"))
    assert talk(monkeypatch, asking, "one", "", "two ", "/reset", "three") == 0
    first, second, third = asking.asked
    assert first == [SYSTEM, {"role": "user", "content": "one"}]
    assert second == [*first, said("a"), {"role": "user", "content": "two"}]
    assert third == [SYSTEM, {"role": "user", "content": "three"}]


def test_what_failed_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """A question without an answer leaves no trace, and a broken answer stays as it is."""
    failed, cut = Answered(1, None, InvalidRequest("no")), Answered(130, said("half"))
    asking = Asking(failed, cut, KeyboardInterrupt(), Answered(0, said("b")))
    assert talk(monkeypatch, asking, "one", "two", "three", "four") == 0
    assert [message["content"] for message in asking.asked[-1]] == [
        "Be terse.",
        "two",
        "half",
        "four",
    ]


def test_too_long(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A reset is proposed when the conversation is too long, not when one question is."""
    long = Answered(1, None, ContextLengthExceeded("too long"))
    talk(monkeypatch, Asking(long), "one")
    assert "/reset" not in capsys.readouterr().err
    talk(monkeypatch, Asking(Answered(0, said("a")), long), "one", "two")
    assert "/reset begins a new one" in capsys.readouterr().err


def test_commands(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """/help explains, an unknown command is named, a space makes it a question, /exit leaves."""
    asking = Asking(Answered(0, said("a")))
    assert talk(monkeypatch, asking, "/help", "/foo bar", " /etc", "/exit", "never") == 0
    shown = capsys.readouterr().err
    assert "/reset  forgets" in shown
    assert "There is no command /foo; /help" in shown
    assert [question[-1]["content"] for question in asking.asked] == ["/etc"]


def test_a_conversation_on_a_terminal(terminal: Any) -> None:
    """An interruption ends the answer, the next question is answered, Ctrl-D leaves with 0."""
    started = terminal("chat", *MODEL, "--max-tokens", "300")
    started.until("> ")
    started.type("Tell me a very long story about a fox\n")
    started.until(" fox was ")
    started.signal()
    started.until("not complete\r\n> ")
    started.type("hello\n")
    started.until("tok/s")
    started.until("> ")
    started.type("half a line")
    started.until("half a line")
    time.sleep(0.2)  # Python misses a signal between the echo and its wait for a key
    started.signal()
    started.until("> ")
    started.type("\x04")
    assert started.end() == 0
    assert "Traceback" not in started.written


def test_bytes_that_are_no_text(terminal: Any) -> None:
    """A paste that is no text is a question like any other."""
    started = terminal("chat", *MODEL, "--max-tokens", "1")
    started.until("> ")
    os.write(started._controller, b"\xff\xfe\n")
    started.until("tokens")
    started.until("> ")
    started.type("/exit\n")
    assert started.end() == 0


def test_stdout_gets_answers_alone(terminal: Any, tmp_path: Path) -> None:
    """With stdout in a file the input line is on the terminal, and --json stays JSON."""
    with (tmp_path / "out").open("wb") as file:
        started = terminal(
            "chat", *MODEL, "--max-tokens", "2", "--json", "--no-stats", stdout=file.fileno()
        )
        started.until("> ")
        started.type("hello\n")
        started.until("> ")
        started.type("\x04")
        assert started.end() == 0
    lines = (tmp_path / "out").read_text().splitlines()
    assert all(json.loads(line)["object"] == "chat.completion.chunk" for line in lines)
    assert len(lines) >= 3


def test_without_readline(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python without readline converses all the same, and an interruption leaves."""
    monkeypatch.setitem(sys.modules, "readline", None)
    assert talk(monkeypatch, Asking(), KeyboardInterrupt()) == 130
