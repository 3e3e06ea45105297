"""The input line: keys, completion, several lines, and what is no text."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from prompt_toolkit.application import Application, create_app_session
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput

from deltaweir.cli import editor
from deltaweir.cli.editor import Commands, Editor

PASTE = "\x1b[200~{}\x1b[201~"


@pytest.fixture(name="keyboard")
def keyboard_fixture() -> Iterator[PipeInput]:
    """Return a keyboard of a terminal that shows nothing."""
    with create_pipe_input() as keyboard, create_app_session(input=keyboard):
        yield keyboard


def line(monkeypatch: pytest.MonkeyPatch, *past: str) -> Editor:
    """Return an input line with a past."""
    monkeypatch.setattr(editor, "create_output", lambda **_: DummyOutput())
    return Editor(InMemoryHistory(past), toolbar=lambda: "m", choices=lambda _: ["off"])


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("hello\r", "hello"),
        ("one\ntwo\r", "one\ntwo"),
        ("one\x1b\rtwo\r", "one\ntwo"),
        (PASTE.format("a\r\n  b\r\nc") + "\r", "a\n  b\nc"),
        ("\x1b[A\r", "before"),
        ("half\x03whole\r", "whole"),
        ("\r", ""),
        ("日本 👍\r", "日本 👍"),
    ],
)
def test_keys(monkeypatch: pytest.MonkeyPatch, keyboard: PipeInput, typed: str, read: str) -> None:
    """Enter sends, other keys break the line, a paste is one text, Up recalls, Ctrl-C clears."""
    keyboard.send_text(typed)
    assert line(monkeypatch, "before").read() == read


def test_a_pasted_tab(monkeypatch: pytest.MonkeyPatch, keyboard: PipeInput) -> None:
    """It is shown as the room it takes, and stays a tab in what is sent."""
    read = line(monkeypatch)
    shown: list[str] = []

    def look(app: Application[str]) -> None:
        text = on_screen(app)
        if "return" in text and not shown:
            shown.append(text)
            keyboard.send_text("\r")

    read._session.app.after_render += look
    keyboard.send_text(PASTE.format("if x:\n\treturn"))
    assert read.read() == "if x:\n\treturn"
    assert "      return" in shown[0]
    assert "^I" not in shown[0]


def on_screen(app: Application[str]) -> str:
    """Return what an input line shows."""
    screen = app.renderer.last_rendered_screen
    rows = screen.data_buffer if screen else {}
    return "\n".join(
        "".join(row[column].char for column in sorted(row)) for _, row in sorted(rows.items())
    )


def test_bytes_that_are_no_text(monkeypatch: pytest.MonkeyPatch, keyboard: PipeInput) -> None:
    """They are replaced."""
    keyboard.send_bytes(b"a\xff\r")
    assert line(monkeypatch).read() == "a\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize(
    ("typed", "error", "before"),
    [
        ("\x04", EOFError, False),
        ("\x03", KeyboardInterrupt, False),
        ("a\x03\x03", KeyboardInterrupt, True),
    ],
)
def test_leaving(
    monkeypatch: pytest.MonkeyPatch,
    keyboard: PipeInput,
    typed: str,
    error: type[BaseException],
    before: bool,
) -> None:
    """An empty line is left by Ctrl-D and by Ctrl-C, which tell whether anything was typed."""
    keyboard.send_text(typed)
    read = line(monkeypatch)
    with pytest.raises(error):
        read.read()
    assert read.typed is before


@pytest.mark.parametrize(
    ("text", "completed"),
    [
        ("/sa", ["save "]),
        ("/", ["model ", "system ", "guard ", "retry", "usage", "save ", "reset", "help", "quit"]),
        ("/guard s", ["secrets", "standard"]),
        ("/guard x", []),
        ("/x", []),
        ("what is /sa", []),
        ("//sa", []),
        ("/system a\n/", []),
    ],
)
def test_completion(text: str, completed: list[str]) -> None:
    """Commands and their arguments are completed, and nothing within a message."""
    completer = Commands(lambda name: ["secrets", "standard", "pii"] if name == "guard" else [])
    found = completer.get_completions(Document(text), CompleteEvent())
    assert [one.text for one in found] == completed


def test_room_for_the_menu(monkeypatch: pytest.MonkeyPatch, keyboard: PipeInput) -> None:
    """It is kept below a command alone, so that a message stands at the bottom."""
    read = line(monkeypatch)
    seen = []
    read._session.app.after_render += lambda app: seen.append(
        (app.current_buffer.text, editor._is_command())
    )
    keyboard.send_text("/\x03a\r")
    read.read()
    assert all(menu is text.startswith("/") for text, menu in seen)
