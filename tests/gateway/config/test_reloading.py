"""What a configuration that is read again changes, and what waits for a restart."""

from __future__ import annotations

import pytest

from deltaweir.errors import InvalidRequest
from deltaweir.gateway.config.file import (
    Config,
    LedgerConfig,
    ModelConfig,
    ServerConfig,
    StoreConfig,
    UpstreamConfig,
)
from deltaweir.gateway.config.guards import GuardConfig
from deltaweir.gateway.config.reloading import Reloaded, reloaded, told

A, B = (UpstreamConfig(name=name, base_url="http://h/v1") for name in "ab")


def model(name: str, **more: str) -> ModelConfig:
    """Return a model behind an upstream."""
    return ModelConfig(name=name, upstreams=("a",), **more)  # type: ignore[arg-type]


def test_what_can_hold_at_once_does() -> None:
    """Models, upstreams, guards, and what each request looks at."""
    running = Config(upstreams=(A,), models=(model("x"), model("y")))
    wanted = Config(
        server=ServerConfig(heartbeat_s=5, drain_s=1),
        upstreams=(A, B),
        models=(model("y", guard="own"), model("z")),
        guards={"own": GuardConfig(preset="pii")},
    )
    after = reloaded(running, wanted)
    assert after == Reloaded(wanted, ())
    assert told(running, after) == (
        "the configuration was reloaded: added model z, removed model x, changed model y, "
        "added upstream b, added guard own, changed server"
    )


def test_what_needs_a_restart_stays() -> None:
    """Sockets, processes and the ledger are as they were, and the line names them."""
    running = Config(upstreams=(A,), models=(model("x"),))
    wanted = Config(
        server=ServerConfig(host="::1", port=1, workers=3, auth="keys", annotate=False),
        upstreams=(A,),
        models=(model("x"),),
        ledger=LedgerConfig(url="sqlite:///other.db"),
        store=StoreConfig(url="valkey://h"),
    )
    after = reloaded(running, wanted)
    assert after.config.server == ServerConfig(annotate=False)
    assert after.config.ledger == running.ledger
    assert after.config.store == running.store
    assert told(running, after) == (
        "the configuration was reloaded: changed server; needs a restart: server.host, "
        "server.port, server.workers, server.auth, ledger, store"
    )


def test_nothing_new() -> None:
    """That nothing has changed is said too; rules of guards were read all the same."""
    running = Config(upstreams=(A,), models=(model("x"),))
    assert told(running, reloaded(running, running)).endswith("reloaded: no table changed")


def test_what_cannot_go_together() -> None:
    """Keys stay on until a restart, and a ledger with them."""
    running = Config(server=ServerConfig(auth="keys"))
    wanted = Config(ledger=LedgerConfig(url=""))
    assert reloaded(running, wanted).config.ledger == running.ledger
    with pytest.raises(InvalidRequest, match="needs a ledger"):
        Config(server=running.server, ledger=wanted.ledger)
