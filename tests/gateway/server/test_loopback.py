"""What the process with the embedded models serves, and what workers serve then."""

from __future__ import annotations

import pytest

from deltaweir.gateway.config.file import (
    Config,
    LedgerConfig,
    ModelConfig,
    ServerConfig,
    UpstreamConfig,
)
from deltaweir.gateway.server.loopback import by_loopback, embedded_in, embedded_only

TOKEN = "a-token-of-thirty-two-characters"  # noqa: S105  a test's own


@pytest.fixture
def config() -> Config:
    """Return a configuration of an upstream's model and two embedded ones."""
    return Config(
        server=ServerConfig(
            host="0.0.0.0",  # noqa: S104  nobody listens
            workers=4,
            auth="keys",
            cors_origins=("*",),
            max_body_mib=3,
            passthrough=("/v1/embeddings",),
        ),
        upstreams=(UpstreamConfig(name="embedded", base_url="http://h/v1"),),
        models=(
            ModelConfig(name="a", embedded="smollm2", guard="standard", budget="5tok"),
            ModelConfig(name="b", upstreams=("embedded",)),
            ModelConfig(name="c", embedded="x.gguf", price={"input": 1, "output": 2}),
        ),
    )


def test_the_process_with_the_models(config: Config) -> None:
    """It has the models alone, on this machine alone; all else is done by workers."""
    inner = embedded_only(config)
    assert inner.models == (
        ModelConfig(name="a", embedded="smollm2"),
        ModelConfig(name="c", embedded="x.gguf"),
    )
    assert inner.server == ServerConfig(port=0, annotate=False, log="none", max_body_mib=3)
    assert (inner.ledger, inner.upstreams, inner.guards) == (LedgerConfig(url=""), (), {})


def test_what_workers_serve(config: Config) -> None:
    """The same models with the same terms; embedded ones from a further upstream, for nothing."""
    outer = by_loopback(config, port=1234, token=TOKEN)
    assert embedded_in(config) == ["smollm2", "x.gguf"]
    assert embedded_in(outer) == []
    known, added = outer.upstreams
    assert (known, outer.server, outer.ledger) == (
        config.upstreams[0],
        config.server,
        config.ledger,
    )
    assert added.name not in {"embedded", ""}
    assert added.provider.base_url == "http://127.0.0.1:1234/v1"
    assert (added.provider.api_key, added.proxy, added.deltaweir) == (TOKEN, "", True)
    first, second, third = outer.models
    assert (first.name, first.guard, first.budget) == ("a", "standard", "5tok")
    assert (first.embedded, first.upstreams) == (None, (added.name,))
    assert second == config.models[1]
    assert [one.own_price and one.own_price.rates.output for one in (first, third)] == [
        0,
        2_000_000,
    ]
    assert TOKEN not in repr(outer)
