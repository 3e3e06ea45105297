"""The counting example: with tiktoken's vocabulary, and where there is none to be had."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deltaweir.client.counting import count_tokens

EXAMPLE = Path(__file__).parents[2] / "examples" / "count_with_tiktoken.py"
TEXT = "A weir is a low dam: it measures a stream, and it's there to control it. 堰は低いダムです。"
CLOSED = "http://127.0.0.1:9"


def run(**env: str) -> list[str]:
    """Run the example with the small model to its good end and return its lines."""
    done = subprocess.run(
        [sys.executable, EXAMPLE, "--model", "smollm2"],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONWARNINGS": "error", "PYTHONUTF8": "1", **env},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.splitlines()


def check(lines: list[str], count: int) -> None:
    """Check the running counts: both grow, one up to the whole count, one up to the budget."""
    assert lines[0] == f"Whole:    {count} by deltaweir.count_tokens"
    arriving = lines.index(next(one for one in lines if one.startswith("Arriving")))
    reply = lines.index(next(one for one in lines if one.startswith("A reply")))
    for shown, last in ((lines[arriving + 1 : reply], count), (lines[reply + 1 : -1], 24)):
        running = [int(line.split(maxsplit=1)[0]) for line in shown]
        assert running == sorted(running)
        assert running[-1] == last
    assert lines[-1] == "engine says 24 tokens; stopped by the budget"


def test_both_counts_agree(reference: Callable[[str], Any], smollm2: Any) -> None:
    """With its vocabulary at hand tiktoken says the same, of the whole and of each prefix."""
    count = len(reference("o200k_base").encode(TEXT))
    lines = run()
    check(lines, count)
    assert lines[1] == f"          {count} by tiktoken"
    assert not [line for line in lines if "differ" in line]


def test_without_a_network(smollm2: Any, tmp_path: Path) -> None:
    """Without vocabulary and network it explains that, and counts all the same."""
    lines = run(TIKTOKEN_CACHE_DIR=str(tmp_path), HTTPS_PROXY=CLOSED, https_proxy=CLOSED)
    check(lines, count_tokens(TEXT, "gpt-4o"))
    assert "could not download its vocabulary" in lines[1]


def test_without_tiktoken(smollm2: Any, tmp_path: Path) -> None:
    """Without tiktoken it explains that, and counts all the same."""
    (tmp_path / "tiktoken.py").write_text("raise ImportError('no such package')")
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    lines = run(PYTHONPATH=path)
    check(lines, count_tokens(TEXT, "gpt-4o"))
    assert "it is not installed" in lines[1]


@pytest.mark.live
def test_with_the_default_model() -> None:
    """The default model's reply is cut at the budget too."""
    done = subprocess.run(
        [sys.executable, EXAMPLE], capture_output=True, text=True, encoding="utf-8", check=True
    )
    assert done.stdout.splitlines()[-1] == "engine says 24 tokens; stopped by the budget"
