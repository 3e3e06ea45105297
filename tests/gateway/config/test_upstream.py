"""Upstreams of the configuration: resolved when the file is read, and shown without keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from deltaweir.client.clocks import Timeouts
from deltaweir.client.provider import Origin
from deltaweir.errors import InvalidRequest
from deltaweir.gateway.config.file import Config, UpstreamConfig, load_config

KEY = "sk-this-is-secret"
UPSTREAM = '[[upstreams]]\nname = "openai"\nbase_url = "https://api.openai.com/v1"\n'


def load(tmp_path: Path, text: str) -> Config:
    """Return the configuration of a text."""
    path = tmp_path / "deltaweir.toml"
    path.write_text(text, "utf-8")
    return load_config(path)


def refused(tmp_path: Path, text: str) -> str:
    """Return what is said of a text that is no configuration."""
    with pytest.raises(InvalidRequest) as caught:
        load(tmp_path, text)
    return str(caught.value)


def test_what_holds_unless_told(tmp_path: Path) -> None:
    """An upstream is asked without a key, as the clocks of the client say, and once."""
    (one,) = load(tmp_path, UPSTREAM).upstreams
    assert one.provider.origin == Origin("https", "api.openai.com", 443)
    assert (one.provider.path, one.provider.api_key, one.provider.retries) == ("/v1", None, 0)
    assert one.clocks == Timeouts()
    assert (one.max_connections, one.proxy, one.deltaweir) == (1000, None, False)


def test_secrets_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys and headers may name a variable; nothing shows what is in it."""
    monkeypatch.setenv("SOME_KEY", KEY)
    (one,) = load(
        tmp_path,
        UPSTREAM + 'api_key = "env:SOME_KEY"\nheaders = {api-key = "env:SOME_KEY", x = "y"}\n',
    ).upstreams
    assert one.provider.api_key == KEY
    assert one.provider.headers == (("api-key", KEY), ("x", "y"))
    assert repr(one) == "UpstreamConfig('openai', 'https://api.openai.com/v1')"
    open_text = UpstreamConfig(name="a", base_url=f"https://h/v1?key={KEY}", api_key=KEY)
    assert KEY not in repr(Config(upstreams=(open_text,)))


def test_a_way_of_ones_own(tmp_path: Path) -> None:
    """Query, clocks and a proxy are read as the client reads them; a clock may be off."""
    (one,) = load(
        tmp_path,
        UPSTREAM
        + 'query = {api-version = "2024-10-21"}\nproxy = ""\n'
        + 'timeouts = {connect = 1, first_content = 20, headers = "none"}\n',
    ).upstreams
    assert one.provider.query == "api-version=2024-10-21"
    assert one.clocks == Timeouts(connect=1, headers=None, first_content=20)
    assert one.proxy == ""


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ('api_key = "env:NO_SUCH"', "upstream 'openai': the environment has no NO_SUCH"),
        ('api_key = "env:"', "upstream 'openai': the environment has no name after env:"),
        ('headers = {a = "env:NO_SUCH"}', "upstream 'openai': the environment has no NO_SUCH"),
        ('api_keys = "x"', "unknown key 'api_keys' in upstream 'openai'; did you mean api_key?"),
        ('api_key = "os.environ/A_KEY"', 'is LiteLLM\'s way; here it is "env:A_KEY"'),
        ('headers = {a = "os.environ/A_KEY"}', 'headers.a: "os.environ/NAME" is LiteLLM\'s way'),
        ('query = {a = "os.environ/"}', 'here it is "env:NAME"'),
        ("timeouts = {conect = 1}", "did you mean connect?"),
        ("timeouts = {stall = 0}", 'up to 1,000,000, or "none"'),
        ("timeouts = 5", "timeouts: got `int`; write timeouts = { connect = 5, stall = 60 }"),
        ("timeouts = {stall = -1}", "upstream 'openai': got -1 for timeouts['stall']"),
        ("max_connections = 0", "max_connections: got 0, expected a number from 1"),
        ('max_connections = "x"', "upstream 'openai': max_connections: Expected `int`"),
        ('proxy = "socks5://h"', "no http:// address"),
        ('ca_file = "none.pem"', "none.pem, that is not there"),
        ('headers = {a = "x\\r\\ny"}', "the header 'a' has a character that HTTP cannot carry"),
        (f'api_key = "{KEY}\\n\\n!"', "the header 'authorization' has a character"),
        ('headers = {content-length = "1"}', "content-length"),
        ("\n" + UPSTREAM, "two upstreams are called 'openai'"),
    ],
)
def test_mistakes_name_the_upstream(tmp_path: Path, more: str, message: str) -> None:
    """What cannot be used is refused when the file is read, and told without the key."""
    said = refused(tmp_path, UPSTREAM + more)
    assert message in said
    assert KEY not in said


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("", "upstream 1: it has no name"),
        ('name = "a"', "upstream 'a': it has no base_url"),
        ('name = "a"\nbase_url = "ftp://h"', "upstream 'a': got a base_url that is no address"),
        ('name = "a"\nbase_url = "env:BASE"', "base_url: addresses are written out"),
        ('name = "a"\nbase_url = "os.environ/BASE"', "env: is for secrets"),
        ('name = "a"\nbase_url = "https://u:pass@h"', "user name or password"),
        ('name = "a/b"\nbase_url = "https://h"', "upstream 'a/b': name: got 'a/b'"),
        ("name = 5", "upstream 1: name: Expected `str`"),
    ],
)
def test_upstreams_without_a_name_or_address(tmp_path: Path, table: str, message: str) -> None:
    """Each has a name that fits into a line of a log, and an address."""
    assert message in refused(tmp_path, f"[[upstreams]]\n{table}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("upstreams = 5", "upstreams: got a int, expected tables that begin with [[upstreams]]"),
        ('[upstreams]\nname = "a"', "got a table, expected tables that begin with [[upstreams]]"),
        ("upstreams = [5]", "upstream 1: got a int, expected a table"),
        ("server = []", "server: got an array, expected a table"),
    ],
)
def test_tables_of_another_form(tmp_path: Path, text: str, message: str) -> None:
    """How tables are written is told to who writes them otherwise."""
    assert message in refused(tmp_path, text)


def test_certificates_from_where_the_file_is(tmp_path: Path) -> None:
    """A path is taken from the configuration's directory, and must hold certificates."""
    (tmp_path / "own.pem").write_text("none")
    assert "own.pem, that is not there or holds no" in refused(
        tmp_path, UPSTREAM + 'ca_file = "own.pem"'
    )


def test_upstreams_alone_serve_all_they_have(tmp_path: Path) -> None:
    """Without models each upstream is a prefix of names."""
    config = load(tmp_path, UPSTREAM + '[[upstreams]]\nname = "b"\nbase_url = "http://h"\n')
    assert [(one.name, one.upstreams) for one in config.models] == [
        ("openai/*", ("openai",)),
        ("b/*", ("b",)),
    ]
