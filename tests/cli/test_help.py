"""The help teaches, on any width and through any pipe."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from deltaweir.cli.app import app

Run = Callable[..., Any]
COMMANDS = [[], ["chat"], ["complete"], ["model"], ["model", "pull"], ["model", "list"]]
COMMANDS += [["guard"], ["guard", "check"], ["guard", "list"]]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("columns", [40, 80, 200])
def test_help_fits(command: list[str], columns: int) -> None:
    """No line of text is longer than the terminal or than 80 characters; examples stay whole."""
    shown = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": str(columns)})
    assert shown.exit_code == 0
    text = [line for line in shown.output.splitlines() if not line.startswith("  deltaweir ")]
    text = [line for line in text if "|" not in line and not line.startswith("Usage:")]
    assert all(len(line) <= min(columns, 80) for line in text)


@pytest.mark.parametrize("columns", ["40", "80"])
def test_no_option_is_cut(run: Run, columns: str) -> None:
    """Every option is spelled out, however narrow the terminal."""
    shown = run("chat", "-h", env={"COLUMNS": columns}).out
    for option in ("--model NAME", "--system TEXT", "--max-tokens N", "--temperature 0..2"):
        assert option in shown
    assert 'deltaweir chat "What\'s 1+1? Answer in one word."' in shown


def test_help_is_plain_through_a_pipe(run: Run) -> None:
    """Neither frames nor escape sequences come through a pipe."""
    shown = run("--help").out
    assert shown.isascii()
    assert shown.isprintable() is False
    assert "\x1b" not in shown


@pytest.mark.parametrize("variable", [{}, {"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_headings_are_bold_on_a_terminal(terminal: Any, variable: dict[str, str]) -> None:
    """A terminal shows headings in bold, unless it cannot or must not."""
    started = terminal("--help", env=variable)
    assert started.end() == 0
    assert ("\x1b[1mCommands:" in started.written) is not bool(variable)


@pytest.mark.parametrize("command", [[], ["model"]], ids=["deltaweir", "model"])
def test_a_group_alone_shows_its_help(run: Run, command: list[str]) -> None:
    """A group without a command is a wrong usage, answered by its help."""
    ended = run(*command)
    assert ended.code == 2
    assert ended.out == run(*command, "--help").out


def test_help_is_light() -> None:
    """The help loads neither the engine nor the hub, an event loop, rich or an editor."""
    program = (
        "import sys; sys.argv = ['deltaweir', '--help']\n"
        "from deltaweir.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'xllamacpp', 'huggingface_hub', 'asyncio', 'rich', 'msgspec'}\n"
        "heavy |= {'prompt_toolkit', 'markdown_it', 'pygments'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stderr == "[]\n"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_interrupted_while_starting() -> None:
    """Ctrl-C before the command has begun ends it with 130, and in silence."""
    program = (
        "import builtins, sys\n"
        "plain = builtins.__import__\n"
        "def hook(name, *rest):\n"
        "    if name == 'typer': raise KeyboardInterrupt\n"
        "    return plain(name, *rest)\n"
        "from deltaweir.cli import main\n"
        "builtins.__import__ = hook\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (128 + signal.SIGINT, b"")


def test_version(run: Run) -> None:
    """The version is one line."""
    import deltaweir

    assert run("--version") == (0, f"deltaweir {deltaweir.__version__}{os.linesep}", "")


SCRIPT = Path(sys.executable).with_name("deltaweir")


def test_the_script_is_the_module(run: Run) -> None:
    """The installed script and ``python -m deltaweir`` show the same."""
    done = subprocess.run([SCRIPT, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == run("--version").out


def test_completion_of_names() -> None:
    """The shell completes the names of models."""
    asked = {
        "_DELTAWEIR_COMPLETE": "complete_bash",
        "COMP_WORDS": "deltaweir chat --model s",
        "COMP_CWORD": "3",
    }
    done = subprocess.run(
        [SCRIPT], capture_output=True, text=True, check=True, env={**os.environ, **asked}
    )
    assert done.stdout.split() == ["smollm2"]
