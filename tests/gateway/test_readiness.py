"""Readiness: a gateway takes requests as long as it lets anybody in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deltaweir.gateway.config.file import Config, LedgerConfig, ServerConfig
from deltaweir.gateway.config.upstream import UpstreamConfig
from deltaweir.gateway.readiness import readiness
from deltaweir.gateway.service import Gateway


def gateway(path: Path, **server: Any) -> Gateway:
    """Return a gateway with a ledger."""
    ledger = LedgerConfig(url=f"sqlite:///{path}")
    upstreams = (UpstreamConfig(name="u", base_url="http://127.0.0.1:1/v1"),)
    return Gateway(Config(server=ServerConfig(**server), ledger=ledger, upstreams=upstreams))


def test_without_keys_it_is_ready(tmp_path: Path) -> None:
    """Until it stops."""
    one = gateway(tmp_path / "a.db")
    assert readiness(one) == ({"status": "ready"}, 200)
    one.draining = True
    assert readiness(one) == ({"status": "stopping"}, 503)
    one.close()


def test_keys_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says so at once, with the moment, and is not ready when they are believed no more."""
    path, kept = tmp_path / "a.db", tmp_path / "kept.db"
    one = gateway(path, auth="keys")
    assert readiness(one) == ({"status": "ready"}, 200)
    one.book.open()
    access = one.access
    assert access is not None
    assert readiness(one) == (
        {"status": "ready", "keys": {"status": "up", "since": round(access.since or 0, 3)}},
        200,
    )
    path.rename(kept)
    assert access.poll() == set()
    told, status = readiness(one)
    assert (told["status"], told["keys"]["status"], status) == ("ready", "down", 200)
    assert access._ring is not None
    monkeypatch.setattr(access._ring, "_stale_s", -1.0)
    assert readiness(one)[0]["status"] == "unavailable"
    assert readiness(one)[1] == 503
    kept.rename(path)
    monkeypatch.undo()
    access.poll()
    assert (access.available, readiness(one)[1]) == (True, 200)
    one.close()
