"""The table ``[store]``: what is told is understood, and nothing secret is shown."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from deltaweir.errors import InvalidRequest
from deltaweir.gateway.config.file import Config, load_config, store_in
from deltaweir.gateway.config.store import StoreConfig
from deltaweir.gateway.keys.keys import KeyRing
from deltaweir.gateway.keys.limits import Limits
from deltaweir.stores.failures import StoreUnavailable
from deltaweir.stores.valkey_url import Address
from deltaweir.testing.ports import unused_port


def load(tmp_path: Path, text: str) -> Config:
    """Return the configuration of a text."""
    path = tmp_path / "deltaweir.toml"
    path.write_text(text, "utf-8")
    config = load_config(path)
    assert store_in(path) == config.store
    return config


def test_nothing_is_shared_unless_told(tmp_path: Path) -> None:
    """Each machine keeps its own, and what cannot be checked is refused."""
    store = load(tmp_path, "").store
    assert (store.shared, store.limits, store.stale_s) == (False, "closed", 10)
    assert repr(store) == "StoreConfig('memory:')"


def test_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its URL and its password may come from the environment, and are never shown."""
    monkeypatch.setenv("SHARED_URL", "rediss://me@h/1")
    monkeypatch.setenv("SHARED_PASSWORD", "secret")
    store = load(
        tmp_path,
        "[store]\nurl = 'env:SHARED_URL'\npassword = 'env:SHARED_PASSWORD'\nca_file = 'ca.pem'\n"
        "prefix = 'two'\nlimits = 'open'\nstale_s = 60\n",
    ).store
    assert store.shared
    secret = "secret"  # noqa: S105
    assert store.address == Address("h", database=1, user="me", password=secret, encrypted=True)
    assert (store.ca_file, store.prefix) == (str(tmp_path / "ca.pem"), "two")
    assert (store.limits, store.stale_s) == ("open", 60)
    assert repr(store) == "StoreConfig('valkeys://h:6379/1')"
    assert "secret" not in repr(store.line())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("adress = 'x'", "unknown key 'adress' in store; known are url"),
        ("limit = 'open'", "did you mean limits"),
        ("limits = 'half'", "expected one of closed, open"),
        ("url = 'sqlite:///x'", "the scheme 'sqlite'; supported are memory:, valkey://"),
        ("url = 'valkey://:secret@'", "no host"),
        ("url = 'env:NOT_THERE'", "the environment has no NOT_THERE"),
        ("url = 'valkey://h'\npassword = 'env:NOT_THERE'", "the environment has no NOT_THERE"),
        ("prefix = 'a b'", "prefix: got 'a b'"),
        ("stale_s = 0", "above 0"),
        ("url = 'valkey://h'\nca_file = 'x'", "valkeys://"),
        ("ca_file = 'x'", "valkeys://"),
    ],
)
def test_what_cannot_be_used_is_refused(tmp_path: Path, text: str, words: str) -> None:
    """The file, the table and the key are named, and what was wanted."""
    path = tmp_path / "deltaweir.toml"
    path.write_text(f"[store]\n{text}\n", "utf-8")
    for read in (load_config, store_in):
        with pytest.raises(InvalidRequest) as refused:
            read(path)
        assert words in refused.value.message
        assert "secret" not in refused.value.message
        assert str(path) in refused.value.message


def test_a_key_of_its_outside_of_it(tmp_path: Path) -> None:
    """It is told where it belongs."""
    with pytest.raises(InvalidRequest, match=r"belongs under \[store\]"):
        load(tmp_path, "stale_s = 5\n")


def test_keys_need_a_ledger_or_a_store(tmp_path: Path) -> None:
    """One of the two is enough."""
    text = "[server]\nauth = 'keys'\n[ledger]\nurl = ''\n"
    with pytest.raises(InvalidRequest, match="a ledger or a store"):
        load(tmp_path, text)
    assert load(tmp_path, f"{text}[store]\nurl = 'valkey://h'\n").store.shared


def test_a_store_that_is_not_there() -> None:
    """Who opens it is told, and the ledger is not looked at."""
    store = StoreConfig(url=f"valkey://:secret@127.0.0.1:{unused_port()}")
    for opened in (Limits.open, KeyRing.open):
        with pytest.raises(StoreUnavailable, match=r"valkey://127\.0\.0\.1"):
            opened("", store)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs it."""
    monkeypatch.setitem(sys.modules, "valkey.connection", None)
    with pytest.raises(InvalidRequest, match=r"pip install 'deltaweir\[valkey\]'"):
        StoreConfig(url="valkey://h").line()
