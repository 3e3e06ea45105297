"""The page's pure modules, under Node's own test runner."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from tests.live.environments import needs

pytestmark = [pytest.mark.live, pytest.mark.timeout(180)]

FILES = sorted((Path(__file__).parent / "page").glob("[!d]*.test.mjs"))
"""All but those of the dashboard, which are run with its other tests."""


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_pure_modules(path: Path) -> None:
    """All tests of a file pass."""
    found = shutil.which("node")
    program = needs(Path(found) if found else None, "Node")
    done = subprocess.run(
        [program, "--test", path], capture_output=True, text=True, check=False, timeout=170
    )
    assert done.returncode == 0, done.stdout + done.stderr
