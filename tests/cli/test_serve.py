"""``deltaweir serve`` before it serves: what it checks, and what its help teaches."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

import pytest
import typer

from deltaweir.cli.serve import _check, _started
from deltaweir.gateway.config import embedded_config

KEY = "sk-this-is-secret"
FILE = """
[server]
port = 1
[[upstreams]]
name = "openai"
base_url = "https://api.openai.com/v1"
api_key = "env:SOME_KEY"
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a file with a configuration."""
    path = tmp_path / "deltaweir.toml"
    path.write_text(FILE, "utf-8")
    return path


def test_a_check(run: Any, path: Path) -> None:
    """It says what would be served, options put over the file, and opens nothing."""
    ended = run(
        *("serve", "--check", "--config", str(path), "--workers", "3", "--host", "::1"),
        env={"SOME_KEY": KEY},
    )
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[0] == f"{path} is right. It would serve"
    assert "http://[::1]:1/v1, 3 workers" in lines[1]
    assert lines[2].split() == ["openai/*", "openai", "(api.openai.com)"]
    assert KEY not in ended.out
    assert [one.name for one in path.parent.iterdir()] == ["deltaweir.toml"]


def test_a_mistake_is_wrong_usage(run: Any, path: Path) -> None:
    """The file, the table and what is wrong are named; the exit code is 2."""
    assert "SOME_KEY" not in os.environ
    ended = run("serve", "--config", str(path))
    assert (ended.code, ended.out) == (2, "")
    assert f"{path}: upstream 'openai': the environment has no SOME_KEY" in ended.err


def test_an_embedded_model_that_does_not_exist(path: Path) -> None:
    """A name is looked up without a network, a file in its place."""
    for name in ("nonsense", str(path.parent / "none.gguf")):
        with pytest.raises(typer.BadParameter, match="no embedded model is called"):
            _check(embedded_config(name), None)
    _check(embedded_config(str(path)), None)


def test_what_is_said_when_it_serves() -> None:
    """Models, where clients find them, and how many processes answer."""
    started = functools.partial(_started, port=5)
    assert started(embedded_config("smollm2")) == "serving smollm2 at http://127.0.0.1:5/v1"
    assert started(embedded_config("smollm2", workers=2)).endswith("/v1 with 2 workers")
