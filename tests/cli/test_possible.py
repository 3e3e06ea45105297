"""What a configuration asks for though it cannot work, or though it gives money away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deltaweir.cli.possible import exposed, refuse_impossible
from deltaweir.errors import InvalidRequest
from deltaweir.gateway.config.file import (
    Config,
    LedgerConfig,
    ModelConfig,
    ServerConfig,
    UpstreamConfig,
    embedded_config,
)

OPENAI = UpstreamConfig(name="openai", base_url="https://api.openai.com/v1")
OWN = UpstreamConfig(name="own", base_url="http://127.0.0.1:9/v1")


def limited(name: str, *upstreams: str, **more: Any) -> Config:
    """Return a configuration whose model has a budget in money."""
    model = ModelConfig(name=name, upstreams=upstreams, budget={"usd": 0.02}, **more)
    return Config(upstreams=(OPENAI, OWN), models=(model,))


def test_a_budget_in_money_needs_a_price() -> None:
    """Each request would be refused, so the file is."""
    with pytest.raises(InvalidRequest) as caught:
        refuse_impossible(limited("mine", "own"), Path("a.toml"))
    assert "a.toml: model 'mine': budget in usd, but no price is known" in str(caught.value)


@pytest.mark.parametrize(
    "config",
    [
        limited("mine", "own", price={"input": 1, "output": 2}),
        limited("gpt-4o", "own", "openai"),
        limited("fast", "openai", upstream_model="gpt-4o"),
        limited("own/*", "own"),
        embedded_config(),
        Config(models=(ModelConfig(name="a", embedded="smollm2", budget={"usd": 1}),)),
        Config(ledger=LedgerConfig(url="")),
    ],
)
def test_what_may_work(config: Config) -> None:
    """A price is set, or in the list; a pattern may have some, and what is embedded is free."""
    refuse_impossible(config)


def test_a_ledger_in_no_folder(tmp_path: Path) -> None:
    """It is refused before anything is loaded, and named from the root on."""
    config = Config(ledger=LedgerConfig(url=f"sqlite:///{tmp_path}/dir/a.db"))
    with pytest.raises(InvalidRequest, match=f"the folder {tmp_path}/dir does not exist"):
        refuse_impossible(config)
    (tmp_path / "dir").mkdir()
    refuse_impossible(config)


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("0.0.0.0", "0.0.0.0:5"),  # noqa: S104  nobody listens
        ("::", "[::]:5"),
        ("192.168.0.9", "192.168.0.9:5"),
        ("my-machine", "my-machine:5"),
        ("127.0.0.1", None),
        ("127.0.0.2", None),
        ("::1", None),
        ("localhost", None),
    ],
)
def test_strangers_are_warned_of(host: str, shown: str | None) -> None:
    """Whoever reaches the server pays with the upstreams' keys, unless keys are asked for."""
    server = ServerConfig(host=host, port=5)
    said = exposed(Config(server=server, upstreams=(OPENAI,)))
    if shown is None:
        assert said is None
        return
    assert said == (
        f'WARNING: anybody who reaches {shown} spends your money: set auth = "keys" under [server]'
    )
    assert "may use your models" in (exposed(Config(server=server)) or "")
    assert exposed(Config(server=ServerConfig(host=host, auth="keys"))) is None
