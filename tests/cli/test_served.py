"""What ``serve --check`` says of a configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from deltaweir.cli.served import address, served
from deltaweir.gateway.config.file import (
    Config,
    LedgerConfig,
    ModelConfig,
    ServerConfig,
    UpstreamConfig,
    embedded_config,
)
from deltaweir.gateway.config.guards import GuardConfig, ModerationConfig

KEY = "sk-this-is-secret"


def test_an_address() -> None:
    """It is what clients take as their base_url."""
    assert address("127.0.0.1", 80) == "http://127.0.0.1:80/v1"
    assert address("::1", 80) == "http://[::1]:80/v1"


def test_the_least(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a file the embedded model is served to everybody on this machine."""
    monkeypatch.chdir(tmp_path)
    assert served(embedded_config("smollm2", port=0)) == (
        "  at       a free port of 127.0.0.1\n"
        "  smollm2  embedded smollm2\n"
        "\n"
        "  keys    nobody needs one\n"
        f"  ledger  {tmp_path}/deltaweir.db"
    )


def test_everything() -> None:
    """Models with who answers and what bounds them, guards, keys, ledger; never a key."""
    moderation = ModerationConfig(base_url="https://check.example/v1", api_key=KEY)
    config = Config(
        server=ServerConfig(workers=2, auth="keys", passthrough=("/v1/embeddings",)),
        upstreams=(
            UpstreamConfig(name="one", base_url="https://one.example/v1", api_key=KEY),
            UpstreamConfig(name="two", base_url=f"http://two.example:81/v1?key={KEY}"),
        ),
        models=(
            ModelConfig(
                name="fast",
                upstreams=("one", "two"),
                upstream_model="gpt-4o-mini",
                guard=("own", "pii"),
                budget="500tok,0.02usd",
            ),
            ModelConfig(name="one/*", upstreams=("one",)),
        ),
        guards={"own": GuardConfig(preset="standard", action="block", moderation=moderation)},
        ledger=LedgerConfig(url="sqlite:////var/keys.db"),
    )
    assert served(config) == (
        "  at     http://127.0.0.1:8080/v1, 2 workers\n"
        "  fast   one (one.example), then two (two.example:81), as gpt-4o-mini, guard own and pii,"
        " at most 500 tokens and $0.02 a stream, price not known\n"
        "  one/*  one (one.example)\n"
        "\n"
        "  guard own  preset standard, answers are read by check.example, block\n"
        "  keys       each client needs one\n"
        "  ledger     /var/keys.db\n"
        "  passed on  /v1/embeddings, not counted"
    )


def test_no_ledger() -> None:
    """That nothing is accounted for is said too."""
    config = Config(ledger=LedgerConfig(url=""), models=embedded_config().models)
    assert served(config).endswith("ledger  none is kept")


def test_prices() -> None:
    """What a million tokens cost is shown, be it set here or known from the list."""
    upstream = UpstreamConfig(name="openai", base_url="https://api.openai.com/v1")
    models = (
        ModelConfig(name="own", upstreams=("openai",), price={"input": 0.15, "output": 10}),
        ModelConfig(name="gpt-4o", upstreams=("openai",)),
    )
    shown = served(Config(upstreams=(upstream,), models=models))
    assert "(api.openai.com), $0.15 in, $10.00 out per million tokens" in shown
    assert "(api.openai.com), $2.50 in, $10.00 out per million tokens" in shown
