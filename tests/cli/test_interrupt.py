"""Ctrl-C and other signals at every stage: the right code, what came is kept, nothing hangs."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")

MODEL = ("-m", "smollm2", "-t", "0")
TALE = "Tell me a very long story about a fox"


def test_while_generating(terminal: Any) -> None:
    """What came is kept and its usage is shown, as not complete."""
    started = terminal("chat", *MODEL, TALE)
    started.until("fox")
    started.signal()
    assert started.end() == 130
    *shown, empty = started.screen
    # it is longer than the terminal is wide
    last = " ".join(shown[-2:])
    assert last.endswith("not complete")
    assert " tokens (engine) · $0 · first token " in last
    assert empty == ""


@pytest.mark.parametrize("wait_s", [0.0, 0.1, 0.2, 0.3])
def test_while_loading(terminal: Any, wait_s: float) -> None:
    """The command ends when the engine gives the interpreter back, at whatever moment."""
    started = terminal("chat", *MODEL, TALE)
    started.until("loading the model ...")
    time.sleep(wait_s)
    started.signal()
    began = time.monotonic()
    assert started.end() == 130
    assert time.monotonic() - began < 5
    assert "Traceback" not in started.written
    assert not any("loading" in line for line in started.screen)


def test_while_reading_a_long_prompt(terminal: Any, tmp_path: Path) -> None:
    """Reading is explained on one line, however narrow, and ends within a batch."""
    (tmp_path / "long").write_text("word " * 3500)
    with (tmp_path / "long").open() as file:
        started = terminal("chat", *MODEL, columns=40, stdin=file.fileno())
        started.until("reading the prompt: ")
        started.until(" of 35")
        started.signal()
        began = time.monotonic()
        assert started.end() == 130
    assert time.monotonic() - began < 3
    assert not any("reading" in line for line in started.screen[1:])
    assert "not complete" in started.screen[-2]


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_while_pulling(terminal: Any, tmp_path: Path, number: int, code: int) -> None:
    """A download ends at once, its program too, and the cursor is shown again."""
    closed = {"HF_ENDPOINT": "http://127.0.0.1:9", "DELTAWEIR_CACHE": str(tmp_path)}
    started = terminal("model", "pull", "smollm2", env=closed)
    started.until("downloading from the ")
    if number == signal.SIGINT:
        started.until("98.4 MB")
    started.signal(number)
    assert started.end() == code
    assert started.written.rfind("\x1b[?25h") >= started.written.rfind("\x1b[?25l")
    assert ("goes on with the download" in started.written) is (number == signal.SIGINT)
    assert "Traceback" not in started.written
    assert not list(tmp_path.rglob("*.gguf"))
    assert not list(tmp_path.rglob("run-*"))


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_at_the_input_line(terminal: Any, number: int, code: int) -> None:
    """A signal at an empty input line leaves the conversation; Ctrl-C has to come twice."""
    started = terminal("chat", *MODEL)
    started.until("nothing used yet")
    started.signal(number)
    if number == signal.SIGINT:
        started.until("once more leaves")
        started.until("nothing used yet")
        started.signal(number)
    assert started.end() == code
    assert "Traceback" not in started.written


def test_while_typing_to_a_dash(terminal: Any) -> None:
    """An interruption while a prompt is typed to - leaves."""
    started = terminal("chat", *MODEL, "-")
    started.until("Ctrl-D")
    started.signal()
    assert started.end() == 130
