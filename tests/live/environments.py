"""The environments that `make test-live` prepares for other people's programs."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIVE = ROOT / ".live"
_PYTHON = Path("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def needs(path: Path | None, what: str) -> Path:
    """Return what a test needs; without it the test is skipped, but in CI it fails."""
    if path is None:
        reason = f"{what} is missing; `make test-live` installs it where its registry is reached"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return path


def old_python() -> Path | None:
    """Return a Python that has openai 0.28.1."""
    return _existing(LIVE / "openai-old" / _PYTHON)


def new_python() -> Path | None:
    """Return a Python that has the current openai package."""
    return _existing(LIVE / "openai-new" / _PYTHON)


def node() -> Path | None:
    """Return the folder whose ``node_modules`` has the official Node client."""
    folder = LIVE / "node"
    found = shutil.which("node") and (folder / "node_modules" / "openai").exists()
    return folder if found else None


def litellm() -> Path | None:
    """Return the command of a LiteLLM proxy."""
    folder = LIVE / "litellm" / _PYTHON.parent
    return _existing(folder / ("litellm.exe" if sys.platform == "win32" else "litellm"))


def chromium() -> Path | None:
    """Return the system's Chromium."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    return None if found is None else Path(found)


def _existing(path: Path) -> Path | None:
    return path if path.exists() else None
