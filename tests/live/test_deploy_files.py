"""The files of ``deploy/`` at work: the gateways' configuration, and the store's command."""

from __future__ import annotations

import contextlib
import http.client
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import valkey
from tests.live.balancers import DEPLOY, HAProxy
from tests.live.databases import database, postgres_fixture
from tests.live.lines import ask
from tests.live.pairs import (
    WHOLE,
    WORDS,
    Gateway,
    Provider,
    addresses,
    provider_fixture,
    started,
)
from tests.live.served import running, until
from tests.live.valkeys import Valkey, program

from deltaweir.testing.ports import unused_port

__all__ = ["database", "postgres_fixture", "provider_fixture"]

pytestmark = [pytest.mark.live, pytest.mark.timeout(180)]

SECRET = "a1b2c3"  # noqa: S105  # of a server that lives as long as a test


def test_the_configuration_serves(provider: Provider, database: str, tmp_path: Path) -> None:
    """The gateways of `deploy/` share keys, streams and one ledger, with secrets from outside."""
    provider.answer = WHOLE
    store = Valkey(tmp_path / "valkey", password=SECRET)
    parts = urlsplit(database)
    secrets = {
        "OPENAI_API_KEY": "sk-of-the-provider",
        "VALKEY_PASSWORD": SECRET,
        "POSTGRES_PASSWORD": unquote(parts.password or ""),
    }
    places = {
        'host = "0.0.0.0"': 'host = "127.0.0.1"',
        "valkey:6379": f"127.0.0.1:{store.port}",
        "deltaweir@postgres:5432/deltaweir": f"postgres@127.0.0.1:{parts.port}{parts.path}",
        "/var/lib/deltaweir/spool": "spool",
        '"https://api.openai.com/v1"': f'"{provider.base_url}"\nproxy = ""',
    }
    config = (DEPLOY / "deltaweir.toml").read_text()
    for written, meant in places.items():
        assert written in config, written
        config = config.replace(written, meant)
    gateways = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        gateways.append(Gateway(tmp_path / name, config, unused_port(), secrets))
    with contextlib.ExitStack() as stack:
        stack.enter_context(store)
        started(stack, gateways)
        front = stack.enter_context(HAProxy(tmp_path / "own", addresses(gateways)))
        key = created(gateways[0], "alice", "--budget", "1000tok/day")
        admin = created(gateways[1], "ops", "--admin")
        for _ in range(4):
            with ask(front, model="gpt-4o-mini", key=key) as line:
                assert line.status == http.client.OK
                assert line.rest()
                assert line.said == "".join(WORDS)
        assert provider.requests[-1].headers["authorization"] == "Bearer sk-of-the-provider"
        # what the other gateway has to say of it is a moment behind
        until(lambda: [_used(one, admin) for one in gateways] == [(4, 80)] * 2)
        assert sum(one.metrics(admin)["deltaweir_streams_total"] for one in gateways) == 4


def _used(gateway: Gateway, key: str) -> tuple[int, int]:
    """Return how many streams there were, and what they generated."""
    total = gateway.ask(path="/v1/usage?group_by=key", key=key).json["total"]
    return total["streams"], total["completion_tokens"]


def created(gateway: Gateway, name: str, *options: str) -> str:
    """Make a key, as an operator does."""
    done = subprocess.run(
        [sys.executable, "-m", "deltaweir", "keys", "create", "--name", name, *options],
        capture_output=True,
        text=True,
        check=True,
        cwd=gateway.folder,
        env=gateway.environment,
    )
    return done.stdout.strip()


def test_the_store_is_set_up_by_its_command(tmp_path: Path) -> None:
    """What compose.yaml says to its shell starts a server with a password that evicts nothing."""
    yaml: Any = pytest.importorskip("yaml")
    composed = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    shell, option, script = composed["services"]["valkey"]["command"]
    port = unused_port()
    script = script.replace("$$", "$").replace("valkey-server -", f"{program()} - --port {port}")
    script = script.replace("--dir /data", f"--dir {tmp_path}").replace("* -::*", "127.0.0.1")
    environment = {**os.environ, "VALKEY_PASSWORD": SECRET}
    wanted = {
        "appendonly": "yes",
        "maxmemory": str(512 * 2**20),
        "maxmemory-policy": "noeviction",
        "requirepass": SECRET,
    }
    with (
        running([shell, option, script], env=environment),
        valkey.Valkey("127.0.0.1", port, password=SECRET, decode_responses=True) as client,
    ):
        until(lambda: _answers(client))
        assert client.config_get(*wanted) == wanted


def _answers(client: valkey.Valkey) -> bool:
    try:
        return bool(client.ping())
    except valkey.ConnectionError:  # not yet
        return False
