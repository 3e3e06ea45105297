"""Where keys and limits are kept: the store, the ledger's database, or its file."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from deltaweir.errors import InvalidRequest
from deltaweir.gateway.config.store import StoreConfig
from deltaweir.gateway.keys.places import are_shared, key_store, lease_store
from deltaweir.stores.failures import LedgerMisconfigured, LedgerUnavailable
from deltaweir.stores.sqlite_keys import SqliteKeys
from deltaweir.stores.valkey_keys import ValkeyKeys

POSTGRES = "postgresql://ann:geheim@127.0.0.1:1/ledger"
STORE = StoreConfig(url="valkey://127.0.0.1:1/0")


def test_a_store_comes_first(tmp_path: Path) -> None:
    """Then a ledger in PostgreSQL; a file is one machine's."""
    file = f"sqlite:///{tmp_path}/a.db"
    assert [are_shared(url, STORE) for url in (POSTGRES, file, "")] == [True] * 3
    assert [are_shared(url, StoreConfig()) for url in (POSTGRES, file)] == [True, False]
    for url, store, kind in ((POSTGRES, STORE, ValkeyKeys), (file, StoreConfig(), SqliteKeys)):
        keys = key_store(url, store)
        assert isinstance(keys, kind)
        keys.close()


def test_a_database_is_asked_when_it_is_needed() -> None:
    """Limits ask it for the time at once; what is told of it has no password."""
    pytest.importorskip("psycopg", reason="needs the package's extra postgres")
    keys = key_store(POSTGRES)
    with pytest.raises(LedgerUnavailable) as refused:
        keys.records()
    assert "geheim" not in str(refused.value)
    keys.close()
    with pytest.raises(LedgerUnavailable):
        lease_store(POSTGRES, StoreConfig(), holder="a")


def test_without_a_driver_it_is_said_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for the ledger itself."""
    monkeypatch.delitem(sys.modules, "deltaweir.stores.postgres_line", raising=False)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(LedgerMisconfigured, match=r"deltaweir\[postgres\]"):
        key_store(POSTGRES)


def test_what_names_no_file_is_refused() -> None:
    """Before anything is opened."""
    with pytest.raises(InvalidRequest):
        key_store("")
