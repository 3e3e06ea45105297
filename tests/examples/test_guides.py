"""What README and docs show in Python runs as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = re.compile(r"^```python\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
OTHERS = ("openai.OpenAI(", "openai.api_base")
"""Lines for programs that have another package."""
SMALL = "smollm2"


def shown() -> list[Any]:
    """Return every example; those that take the default model are for the live tests."""
    found = []
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        for number, block in enumerate(PYTHON.finditer(path.read_text("utf-8")), 1):
            code = block["code"]
            if any(line in code for line in OTHERS):
                continue
            asks = re.search(r"\.create\(", code) is not None and SMALL not in code
            marks = [pytest.mark.live] if asks else []
            found.append(pytest.param(code, id=f"{path.name} {number}", marks=marks))
    return found


@pytest.mark.parametrize("code", shown())
def test_an_example_runs(smollm2: Any, tmp_path: Path, code: str) -> None:
    """It ends well in a folder of its own, without anything beside it."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=tmp_path,
        env={**os.environ, "PYTHONUTF8": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_there_are_examples() -> None:
    """The README and the guides have examples that need no large model."""
    names = {param.id.split()[0] for param in shown() if not param.marks}
    assert names == {"README.md", "counting.md", "guarding.md", "recording.md"}
