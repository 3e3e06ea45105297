"""What ends a command decides its exit code, wherever it is raised."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import pytest
import typer

from deltaweir.cli import opening, process
from deltaweir.errors import ModelUnavailable


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave this process's streams and signals alone."""
    monkeypatch.setattr(process, "_open_streams", lambda: None)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(process, "_forget_stdout", lambda: None)


def app(error: BaseException | None, code: int | None = None) -> Any:
    """Return an application that ends like this."""

    def run(*, standalone_mode: bool) -> int | None:
        assert not standalone_mode
        if error is not None:
            raise error
        return code

    return run


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (None, 0, ""),
        (KeyboardInterrupt(), 130, ""),
        (typer.Abort(), 130, ""),
        (BrokenPipeError(), 0, ""),
        (OSError(28, "No space left"), 1, "deltaweir: the output cannot be written: No space left"),
        (OSError(13, "Not allowed", "name"), 1, "deltaweir: name: Not allowed"),
        (OSError("odd"), 1, "deltaweir: the output cannot be written: odd"),
        (ModelUnavailable("none"), 1, "deltaweir: none"),
        (typer.BadParameter("no"), 2, "deltaweir: no\n`deltaweir --help` shows what is possible."),
    ],
    ids=repr,
)
def test_codes(
    capsys: pytest.CaptureFixture[str], error: BaseException | None, code: int, words: str
) -> None:
    """Each ending has its code and at most a few words."""
    assert process.run(app(error)) == code
    assert capsys.readouterr().err.strip() == words


def test_a_code_of_the_command() -> None:
    """What the command says itself stands."""
    assert process.run(app(None, 3)) == 3


@pytest.mark.parametrize("error", [SystemExit(5), ZeroDivisionError()], ids=repr)
def test_what_is_not_ours(error: BaseException) -> None:
    """An exit of somebody else, and a bug, pass through."""
    with pytest.raises(type(error)):
        process.run(app(error))


def test_a_signal() -> None:
    """A signal that ends the process unwinds it, and gives the code that shells know."""

    def run(*, standalone_mode: bool) -> None:
        process._end(15, None)

    assert process.run(run) == 143  # type: ignore[arg-type]


def test_a_call_that_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process whose engine is still loading leaves without taking it down."""
    left: list[int] = []
    leave: Callable[[int], None] = left.append
    monkeypatch.setattr(os, "_exit", leave)
    monkeypatch.setattr(opening, "is_under_way", lambda: True)
    assert "deltaweir.cli.opening" in sys.modules
    process.run(app(KeyboardInterrupt()))
    assert left == [130]
