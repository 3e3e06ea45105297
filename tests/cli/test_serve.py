"""``deltaweir serve`` before it serves: what it checks, and what its help teaches."""

from __future__ import annotations

import functools
import os
import re
import socket
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer

from deltaweir.cli.serve import _check, _started
from deltaweir.gateway.config.file import embedded_config

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
    assert ended.err.splitlines() == [
        f"deltaweir: {path}: upstream 'openai': the environment has no SOME_KEY",
        "docs/gateway.md explains what can stand in the file.",
    ]


def test_a_check_warns_of_strangers(run: Any, path: Path) -> None:
    """The file is right, and whoever opens it to a network is told what that costs."""
    ended = run(
        *("serve", "--check", "--config", str(path)),
        *("--host", "0.0.0.0"),  # noqa: S104  nobody listens
        env={"SOME_KEY": KEY},
    )
    assert ended.code == 0
    assert ended.err == (
        "WARNING: anybody who reaches 0.0.0.0:1 spends your money: "
        'set auth = "keys" under [server]\n'
    )


def test_a_budget_that_nobody_can_keep_is_refused(run: Any, path: Path) -> None:
    """A check refuses what each request would be refused for."""
    model = '[[models]]\nname = "mine"\nupstreams = ["openai"]\nbudget = { usd = 0.02 }\n'
    path.write_text(FILE + model, "utf-8")
    ended = run("serve", "--check", "--config", str(path), env={"SOME_KEY": KEY})
    assert (ended.code, ended.out) == (2, "")
    assert f"{path}: model 'mine': budget in usd, but no price is known" in ended.err


def test_a_port_that_is_taken(run: Any, path: Path) -> None:
    """Which one it is is said, and how to take another."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = run("serve", "--config", str(path), "--port", port, env={"SOME_KEY": KEY})
    assert (ended.code, ended.out) == (1, "")
    assert f"cannot listen at 127.0.0.1:{port}: " in ended.err
    assert "; --port takes another" in ended.err


def test_an_embedded_model_that_does_not_exist(path: Path) -> None:
    """A name is looked up without a network, a file in its place."""
    missing = str(path.parent / "none.gguf")
    for name, said in (("nonsense", "'nonsense'"), (missing, f"no weights file {missing}")):
        with pytest.raises(typer.BadParameter, match=re.escape(said)):
            _check(embedded_config(name), None)
    _check(embedded_config(str(path)), None)


def test_an_embedded_model_below_the_home_folder(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``~`` stands for it, as it does where the model is loaded."""
    monkeypatch.setenv("HOME", str(path.parent))
    monkeypatch.setenv("USERPROFILE", str(path.parent))
    _check(embedded_config(f"~/{path.name}"), None)
    missing = path.parent / "none.gguf"
    with pytest.raises(typer.BadParameter, match=re.escape(f"no weights file {missing}")):
        _check(embedded_config("~/none.gguf"), None)


def test_a_providers_model(run: Any) -> None:
    """Without a configuration nobody knows its address."""
    ended = run("serve", "--model", "gpt-4o")
    assert (ended.code, ended.out) == (2, "")
    assert "no embedded model is called 'gpt-4o'" in ended.err
    assert "serve --config FILE" in ended.err


def test_an_embedded_model_that_nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """What to install is said before a server would fail for it."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(typer.BadParameter, match=r"pip install 'deltaweir\[local,gateway\]'"):
        _check(embedded_config("smollm2"), None)


def test_what_is_said_when_it_serves() -> None:
    """Models, where clients find them, how many processes answer, and where to look."""
    started = functools.partial(_started, port=5)
    serving, look = started(embedded_config("smollm2")).splitlines()
    assert serving == "serving smollm2 at http://127.0.0.1:5/v1"
    assert look == "open http://127.0.0.1:5/ in a browser to chat and to watch"
    serving, _ = started(embedded_config("smollm2", workers=2)).splitlines()
    assert serving.endswith("/v1 with 2 workers")


def test_what_is_said_when_it_serves_no_page() -> None:
    """Nobody is sent to where nothing is."""
    config = embedded_config("smollm2")
    server = msgspec.structs.replace(config.server, page=False)
    said = _started(msgspec.structs.replace(config, server=server), 5)
    assert said == "serving smollm2 at http://127.0.0.1:5/v1"
