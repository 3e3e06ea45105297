"""Tables of the configuration that have values of their own to refuse."""

from __future__ import annotations

from pathlib import Path

import pytest

from deltaweir.errors import InvalidRequest
from deltaweir.gateway.config.file import (
    Config,
    LedgerConfig,
    Outline,
    ServerConfig,
    ledger_in,
    ledger_path,
    load_config,
    outline_in,
)
from deltaweir.meter.budget import NO_LIMIT, Limit

MODEL = '[[models]]\nname = "a"\nembedded = "smollm2"\n'


def load(tmp_path: Path, text: str) -> Config:
    """Return the configuration of a text."""
    path = tmp_path / "deltaweir.toml"
    path.write_text(text, "utf-8")
    return load_config(path)


def test_what_holds_unless_told(tmp_path: Path) -> None:
    """A ledger beside the file, no budget, and no price."""
    config = load(tmp_path, MODEL)
    assert config.ledger.url == f"sqlite:///{tmp_path}/deltaweir.db"
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
        (MODEL + 'price = {input = 1, output = "0.5"}', "price: output is the text '0.5'"),
        (MODEL + "price = 0.15", "got `float`; write price = { input = 0.15, output = 0.6 }"),
        (MODEL + "budget = 5", "got `int`; write budget = { tokens = 500, usd = 0.02 }"),
        (MODEL + "budget = {tokens = -1}", "expected { tokens = 500, usd = 0.02 }, or a text"),
        (MODEL + 'upstreams = "openai"', 'upstreams: got a text; write upstreams = ["openai"]'),
        ("port = 5", "unknown key 'port' in the file; it belongs under [server]"),
        ('name = "x"', "it belongs under [[upstreams]] or [[models]]"),
        ("[guard.own]", "unknown key 'guard' in the file; did you mean guards?"),
        (MODEL + "prize = {input = 1}", "did you mean price"),
        ('[ledger]\nurl = "mysql://me:secret@host/db"', "sqlite:///file.db"),
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


@pytest.mark.parametrize(
    ("kind", "amount", "message"),
    [
        ("input", "0.0000025", "input is 0.0000025 dollars per million tokens"),
        ("input", "2.5e-6", "that looks like a price per token, write 2.5"),
        ("output", "1.5e-7", "output is 0.00000015 dollars per million tokens"),
        ("output", "0.00001", "a price per token, write 10"),
        ("cached_input", "0.00099", "cached_input is 0.00099 dollars"),
    ],
)
def test_a_price_per_token_is_none_per_million(
    tmp_path: Path, kind: str, amount: str, message: str
) -> None:
    """Taken as it stands, it would let a budget last a million times too long."""
    price = {"input": "1", "output": "2", kind: amount}
    table = ", ".join(f"{name} = {value}" for name, value in price.items())
    with pytest.raises(InvalidRequest) as caught:
        load(tmp_path, f"{MODEL}price = {{{table}}}")
    assert "model 'a': price: " in str(caught.value)
    assert message in str(caught.value)


def test_small_prices_that_are_meant(tmp_path: Path) -> None:
    """Nothing, a tenth of a cent, and any fee for a request are prices."""
    table = "price = {input = 0, output = 0.001, request = 0.0001}\n"
    (model,) = load(tmp_path, MODEL + table).models
    assert model.own_price is not None
    assert (model.own_price.rates.output, model.own_price.request) == (1_000, 10**8)


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    """Editors on Windows put one before a file that they save as UTF-8."""
    assert load(tmp_path, f"\ufeff{MODEL}").models[0].name == "a"


def test_a_file_of_another_kind(tmp_path: Path) -> None:
    """Whoever comes with LiteLLM's file is told where its keys are translated."""
    path = tmp_path / "config.yaml"
    path.write_text("model_list:\n  - model_name: a\n")
    with pytest.raises(InvalidRequest, match=r"config\.yaml is YAML, .*docs/from-litellm\.md"):
        load_config(path)


@pytest.mark.parametrize(
    ("text", "outline"),
    [
        ("", Outline(asks_for_keys=False, models=None)),
        ('[server]\nauth = "keys"\n[[models]]\nx = 1', Outline(asks_for_keys=True, models=None)),
        ("server = 1\nmodels = 2", Outline(asks_for_keys=False, models=None)),
        (MODEL + "x = 1", Outline(asks_for_keys=False, models=("a",))),
    ],
)
def test_what_decides_on_keys(tmp_path: Path, text: str, outline: Outline) -> None:
    """It is told of a file that nothing else can be made of."""
    path = tmp_path / "deltaweir.toml"
    path.write_text(text)
    assert outline_in(path) == outline


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("port = 70000", "server: port: got 70000, expected a number from 0 up to 65,535"),
        ("workers = 0", "server: workers: got 0, expected a number from 1 up to 256"),
        ("heartbeat_s = 0", "heartbeat_s: got 0.0, expected a number above 0"),
        ("slow_reader_s = nan", "slow_reader_s: got nan"),
        ("drain_s = -1", "drain_s: got -1.0"),
        ("max_body_mib = inf", "max_body_mib: got inf"),
        ('host = ""', "host: got an empty text"),
        ('auth = "key"', "server: auth: got 'key', expected one of none, keys"),
        ('log = "xml"', "server: log: got 'xml', expected one of text, json, none"),
        ('auth = "keys"\n[ledger]\nurl = ""', 'auth = "keys" needs a ledger'),
    ],
)
def test_values_that_no_server_can_have(tmp_path: Path, line: str, message: str) -> None:
    """Key, value and what was wanted are named."""
    with pytest.raises(InvalidRequest) as caught:
        load(tmp_path, f"[server]\n{line}")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("pattern", "takes"),
    [
        ("/v1/chat/completions", "/v1/chat/completions"),
        ("/v1/chat/*", "/v1/chat/completions"),
        ("/v1/comp*", "/v1/completions"),
        ("/v1/*", "/v1/chat/completions"),
        ("/v1/models/gpt-4o", "/v1/models/"),
        ("/v1/streams/*", "/v1/streams/"),
    ],
)
def test_own_routes_are_not_passed_on(pattern: str, takes: str) -> None:
    """A pattern that takes one of them is refused, since what is passed on is not counted."""
    with pytest.raises(InvalidRequest, match="which is answered here") as caught:
        ServerConfig(passthrough=(pattern,))
    assert f"takes {takes}," in str(caught.value)


@pytest.mark.parametrize(
    "pattern",
    ["embeddings", "/embeddings", "/v1/", "/v1/a/../b", "/v1/a/*/b", "/v1/a?b", "/v1//a", "*", ""],
)
def test_what_is_no_path(pattern: str) -> None:
    """Passed on are paths below /v1/, with a star at most at their end."""
    with pytest.raises(InvalidRequest, match="expected a path such as /v1/embeddings"):
        ServerConfig(passthrough=(pattern,))


@pytest.mark.parametrize(
    "origin",
    [
        "https://a.example/",
        "https://a.example/app",
        "a.example",
        "a.example:3000",
        "https://*.a.example",
        "https://A.example",
        "https://a.example:443",
        "http://a.example:80",
        "https://user:secret@a.example",
        "",
    ],
)
def test_what_no_browser_sends_as_an_origin(origin: str) -> None:
    """It would let no page in, and nobody would be told why."""
    with pytest.raises(
        InvalidRequest, match=r"cors_origins: got .*https://app\.example\.com"
    ) as caught:
        ServerConfig(cors_origins=("https://b.example", origin))
    assert "secret" not in str(caught.value)


def test_origins_whose_pages_may_call() -> None:
    """All, those of a host or an address, of a sandbox, and of programs that show pages."""
    origins = (
        "*",
        "null",
        "https://a.example",
        "http://a.example:443",
        "http://localhost:3000",
        "http://[::1]:5500",
        "chrome-extension://abcdef",
        "https://xn--bcher-kva.example",
    )
    assert ServerConfig(cors_origins=origins).cors_origins == origins


def test_routes_that_are_passed_on() -> None:
    """One route, or all below one, or all that begin alike."""
    routes = ("/v1/embeddings", "/v1/audio/*", "/v1/response*")
    assert ServerConfig(passthrough=routes).passthrough == routes


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        ("", "sqlite:///{}/deltaweir.db"),
        ('[ledger]\nurl = "sqlite:///data/a.db"', "sqlite:///{}/data/a.db"),
        ('[ledger]\nurl = "sqlite:////srv/a.db"', "sqlite:////srv/a.db"),
        ('[ledger]\nurl = "sqlite:///:memory:"', "sqlite:///:memory:"),
        ('[ledger]\nurl = ""', ""),
    ],
)
def test_a_ledger_lies_where_the_file_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str, meant: str
) -> None:
    """Whoever reads the file, from wherever, means the same ledger."""
    (tmp_path / "there").mkdir()
    path = tmp_path / "there" / "deltaweir.toml"
    path.write_text(told)
    monkeypatch.chdir(tmp_path)
    assert load_config(path).ledger.url == meant.format(path.parent)
    assert ledger_in(path) == load_config(path).ledger
    assert ledger_in("there/deltaweir.toml").url == meant.format("there")


def test_only_the_ledger_of_a_file(tmp_path: Path) -> None:
    """Who wants no more than the ledger needs no keys and no rules."""
    path = tmp_path / "deltaweir.toml"
    path.write_text('[guards.a]\nrules = "none.toml"\n[ledger]\nurl = "sqlite:///a.db"\n')
    assert ledger_in(path).url == f"sqlite:///{tmp_path}/a.db"
    path.write_text("[ledger]\nurl = 5")
    with pytest.raises(InvalidRequest, match=r"deltaweir\.toml: ledger: url: Expected `str`"):
        ledger_in(path)
