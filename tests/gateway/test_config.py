"""Tables of the configuration that have values of their own to refuse."""

from __future__ import annotations

from pathlib import Path

import pytest

from deltaweir.errors import InvalidRequest
from deltaweir.gateway.config import Config, LedgerConfig, ledger_path, load_config
from deltaweir.meter.budget import NO_LIMIT, Limit

MODEL = '[[models]]\nname = "a"\nembedded = "smollm2"\n'


def load(tmp_path: Path, text: str) -> Config:
    """Return the configuration of a text."""
    path = tmp_path / "deltaweir.toml"
    path.write_text(text, "utf-8")
    return load_config(path)


def test_what_holds_unless_told(tmp_path: Path) -> None:
    """A ledger in the working directory, no budget, and no price."""
    config = load(tmp_path, MODEL)
    assert config.ledger.url == "sqlite:///deltaweir.db"
    assert config.server.annotate
    assert (config.models[0].limit, config.models[0].own_price) == (NO_LIMIT, None)


@pytest.mark.parametrize(
    ("budget", "limit"),
    [
        ("{tokens = 5}", Limit(tokens=5)),
        ('"5tok,0.02usd"', Limit(tokens=5, pico=2 * 10**10)),
        ("{usd = 0.02}", Limit(pico=2 * 10**10)),
    ],
)
def test_a_models_budget_and_price(tmp_path: Path, budget: str, limit: Limit) -> None:
    """Both are kept as whole numbers."""
    table = f"budget = {budget}\nprice = {{input = 0.15, output = 0.6}}\n"
    (model,) = load(tmp_path, MODEL + table).models
    assert model.limit == limit
    assert model.own_price is not None
    assert (model.own_price.rates.input, model.own_price.rates.output) == (150_000, 600_000)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (MODEL + "budget = {token = 5}", "'token'"),
        (MODEL + 'budget = "5"', "'5'"),
        (MODEL + "budget = {tokens = -1}", "-1 tokens"),
        (MODEL + "price = {inputs = 1}", "inputs"),
        (MODEL + 'price = {input = "much", output = 1}', "input"),
        (MODEL + "prize = {input = 1}", "did you mean price"),
        ('[ledger]\nurl = "postgresql://me:secret@host/db"', "sqlite:///file.db"),
        ('[ledger]\nurl = "sqlite:///"', "sqlite:///file.db"),
        ('[ledger]\nurl = "sqlite://file.db"', "sqlite:///file.db"),
        ('[ledger]\nurls = ""', "unknown key 'urls' in ledger; did you mean url"),
        ("[server]\nannotate = 1", "annotate"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, message: str) -> None:
    """A budget, price or ledger that is none is refused with the file's name."""
    with pytest.raises(InvalidRequest) as caught:
        load(tmp_path, text)
    assert message in str(caught.value)
    assert "deltaweir.toml" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_where_a_ledger_lies() -> None:
    """Three slashes are a path from here, four a path from the root."""
    assert ledger_path("sqlite:///deltaweir.db") == "deltaweir.db"
    assert ledger_path("sqlite:////var/lib/deltaweir.db") == "/var/lib/deltaweir.db"
    assert LedgerConfig(url="").url == ""
