"""The table `[ledger]`: secrets from the environment, shown to nobody; paths from the file."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from deltaweir.errors import InvalidRequest
from deltaweir.gateway.config.file import (
    Config,
    LedgerConfig,
    ServerConfig,
    StoreConfig,
    ledger_path,
    load_config,
)
from deltaweir.gateway.ledger.reading import reading

SECRET = "ge/heim"  # noqa: S105  # a test's


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEDGER_PASSWORD", SECRET)
    monkeypatch.setenv("LEDGER_URL", "postgresql://ann:geheim@host/ledger")
    monkeypatch.setenv("LEDGER_FILE", "sqlite:///here.db")


def test_a_password_may_come_from_the_environment() -> None:
    """By itself or with the whole URL; neither is told by whatever shows the table."""
    alone = LedgerConfig(url="postgres://ann@host/ledger", password="env:LEDGER_PASSWORD")  # noqa: S106
    assert alone.address == "postgres://ann:ge%2Fheim@host/ledger"
    whole = LedgerConfig(url="env:LEDGER_URL")
    assert whole.address == "postgresql://ann:geheim@host/ledger"
    for one in (alone, whole):
        assert one.remote
        assert one.shown == "postgresql://host/ledger"
        assert "heim" not in repr(one) + repr(Config(ledger=one))
        assert b"heim" not in pickle.dumps(LedgerConfig(url=one.url, password=one.password))


def test_paths_are_taken_from_where_the_file_lies(tmp_path: Path) -> None:
    """The ledger's and its queue's, also where the environment tells them."""
    path = tmp_path / "deltaweir.toml"
    path.write_text('[ledger]\nurl = "env:LEDGER_FILE"\nspool = ""\n', "utf-8")
    config = load_config(path).ledger
    assert (config.shown, config.spool, config.remote) == (str(tmp_path / "here.db"), "", False)
    path.write_text('[ledger]\nurl = "postgresql://host/ledger"\n', "utf-8")
    config = load_config(path).ledger
    assert (config.address, config.spool) == (
        "postgresql://host/ledger",
        str(tmp_path / "deltaweir-spool"),
    )


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"url": "env:NO_SUCH"}, "the environment has no NO_SUCH"),
        ({"url": "postgresql://ann@host/l", "password": "env:NO_SUCH"}, "has no NO_SUCH"),
        ({"url": "postgresql://ann:x@host/l", "password": "y"}, "no password then"),
        ({"password": "y"}, "it is for a ledger in PostgreSQL"),
        ({"url": "postgresql://ann:a/b@host/l"}, "%2F"),
        ({"url": "mysql://ann:a@host/l"}, "postgresql://user:password@host/database"),
        ({"spool_mib": 0}, "spool_mib"),
    ],
)
def test_mistakes_are_named(told: dict[str, str], said: str) -> None:
    """What names no ledger is refused before anything starts."""
    with pytest.raises(InvalidRequest, match=said):
        LedgerConfig(**told)  # type: ignore[arg-type]


def test_keys_may_be_in_a_database() -> None:
    """Without a store too; whoever wants a file's path of it is told what has one."""
    remote = LedgerConfig(url="postgresql://host/ledger")
    for store in (StoreConfig(), StoreConfig(url="valkey://127.0.0.1:1/0")):
        assert Config(server=ServerConfig(auth="keys"), ledger=remote, store=store).ledger.remote
    with pytest.raises(InvalidRequest, match=r"sqlite:///file\.db"):
        ledger_path(remote.address)


def test_without_a_ledger_there_is_nothing_to_read() -> None:
    """An empty URL is told apart from a file that is not there."""
    with pytest.raises(InvalidRequest, match="keeps no ledger"):
        reading("")
    with pytest.raises(InvalidRequest, match="there is no ledger at"):
        reading("sqlite:///no/such.db")
