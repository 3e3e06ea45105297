"""``make``: the help lists every command, and a prompt arrives as it was typed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    sys.platform == "win32" or shutil.which("make") is None, reason="needs make and a POSIX shell"
)

MAKEFILE = Path(__file__).parents[2] / "Makefile"
PROMPT = "costs $5 and \"quotes\", 'more', `backticks`, $(HOME), $$, a \\ and 100 %; # é"
FAKE = """#!/bin/sh
printf '%s|' "$DELTAWEIR_PROMPT" "$@"
"""


@pytest.fixture(name="folder")
def folder_fixture(tmp_path: Path) -> Path:
    """Return a copy of the Makefile whose environment is up to date and holds a fake command."""
    binaries = tmp_path / ".venv" / "bin"
    binaries.mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text("")
    shutil.copy(MAKEFILE, tmp_path)
    (binaries / "deltaweir").write_text(FAKE)
    (binaries / "deltaweir").chmod(0o755)
    for stamp in ("pyvenv.cfg", ".run", ".dev"):
        (tmp_path / ".venv" / stamp).write_text("")
    return tmp_path


def make(folder: Path, *arguments: str, **variables: str) -> str:
    """Run make, and return what it printed."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in ("PROMPT", "MODEL", "MAKEFLAGS", "MAKELEVEL", "DELTAWEIR_PROMPT")
    }
    return subprocess.run(
        [shutil.which("make") or "make", "-C", str(folder), "--no-print-directory", *arguments],
        capture_output=True,
        text=True,
        env={**kept, **variables},
        timeout=30,
        check=True,
    ).stdout


def test_help(folder: Path) -> None:
    """Help, which is also the default, has a line for every target that users type."""
    shown = make(folder, "help")
    assert shown == make(folder)
    for target in ("chat", "test", "test-live", "lint", "types", "bench", "help"):
        assert f"  make {target} " in shown


def test_a_dry_run_shows_no_prompt(folder: Path) -> None:
    """The prompt goes through the environment, never through the command line."""
    shown = make(folder, "-n", "chat", f"PROMPT={PROMPT}")
    assert "costs" not in shown
    assert "deltaweir chat" in shown


def test_the_prompt_arrives_untouched(folder: Path) -> None:
    """Dollars, quotes, backticks and the like reach the command as they were typed."""
    assert make(folder, "chat", f"PROMPT={PROMPT}") == f"{PROMPT}|chat|"
    assert make(folder, "chat", PROMPT=PROMPT) == f"{PROMPT}|chat|"


def test_a_conversation_and_a_model(folder: Path) -> None:
    """Without a prompt there is none, and a model is passed on as one word."""
    assert make(folder, "chat") == "|chat|"
    assert make(folder, "chat", "MODEL=my $file.gguf") == "|chat|--model|my $file.gguf|"


def test_every_extra_reaches_the_installer(folder: Path) -> None:
    """A comma among extras does not part what is installed."""
    for stamp, extras in ((".run", ".[local,gateway]"), (".dev", ".[dev]")):
        (folder / ".venv" / stamp).unlink()
        assert extras in make(folder, "-n", f".venv/{stamp}")
