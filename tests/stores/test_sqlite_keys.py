"""Keys in SQLite: what was made is there, and each change is noticed, whoever makes it."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from deltaweir.allowances import KeyRecord, KeyTerms, Quota, digest_of
from deltaweir.errors import InvalidRequest
from deltaweir.leases import Pot
from deltaweir.stores.books import KeyStore, LeaseStore
from deltaweir.stores.failures import LedgerDamaged
from deltaweir.stores.sqlite_key_leases import SqliteLeases
from deltaweir.stores.sqlite_keys import SqliteKeys

NOON = 1_795_521_600.0
TERMS = KeyTerms(
    models=("a", "openai/*"),
    rpm=60,
    tpm=1000,
    quotas=(Quota("tokens", 400, "day"), Quota("pico", 5 * 10**12)),
    expires=NOON + 1,
    admin=True,
    may_record=True,
)


def record(key_id: str = "4f1c09ab27de", terms: KeyTerms = TERMS) -> KeyRecord:
    """Return a key."""
    return KeyRecord(
        id=key_id, digest=digest_of(key_id.encode()), name="alice", terms=terms, created=NOON
    )


@pytest.fixture(name="store")
def store_fixture(tmp_path: Path) -> Iterator[SqliteKeys]:
    """Return an empty store."""
    with SqliteKeys(tmp_path / "a.db") as store:
        yield store


@pytest.fixture(name="again")
def again_fixture(store: SqliteKeys) -> Iterator[KeyStore]:
    """Return the same store, as another process sees it."""
    with SqliteKeys(store.path) as again:
        yield again


@pytest.fixture(name="leases")
def leases_fixture(store: SqliteKeys) -> Iterator[LeaseStore]:
    """Return the leases of the same store."""
    with contextlib.closing(SqliteLeases(store.path, holder="h")) as leases:
        yield leases


def test_a_key_is_kept_as_it_was_made(store: KeyStore, again: KeyStore) -> None:
    """All of it comes back, through another connection too, the oldest first."""
    other = record("0" * 12, KeyTerms())
    store.create(record())
    store.create(other)
    assert again.records() == [other, record()]


def test_the_file_holds_no_secret(store: SqliteKeys) -> None:
    """What a key consists of beside its id is in none of the files."""
    key = b"dw-4f1c09ab27de-" + b"s" * 43
    store.create(
        KeyRecord(id="4f1c09ab27de", digest=digest_of(key), name="n", terms=TERMS, created=0)
    )
    written = b"".join(path.read_bytes() for path in store.path.parent.iterdir() if path.is_file())
    assert b"4f1c09ab27de" in written
    assert b"sss" not in written


def test_a_key_is_revoked_once(store: KeyStore) -> None:
    """The first time counts, and an unknown id is an error that says where to look."""
    store.create(record())
    assert store.revoke("4f1c09ab27de", NOON).revoked == NOON
    assert store.revoke("4f1c09ab27de", NOON + 1).revoked == NOON
    assert [one.revoked for one in store.records()] == [NOON]
    with pytest.raises(InvalidRequest, match="deltaweir keys list") as refused:
        store.revoke("nope", NOON)
    assert refused.value.status == 404


def test_each_change_is_noticed(store: SqliteKeys) -> None:
    """Making, revoking and removing a key show, and what else is written to the file does not."""
    seen = [store.changes()]
    with SqliteKeys(store.path) as other:
        other.create(record())
        seen.append(store.changes())
        other.revoke("4f1c09ab27de", NOON)
        seen.append(store.changes())
    with contextlib.closing(sqlite3.connect(store.path, isolation_level=None)) as hand:
        hand.execute("DELETE FROM keys")
        seen.append(store.changes())
        hand.execute("INSERT INTO streams (stream_id) VALUES ('s')")
    assert len(set(seen)) == len(seen)
    assert store.changes() == seen[-1]


def test_what_is_spent_is_told_by_budget_and_window(store: KeyStore, leases: LeaseStore) -> None:
    """Each budget has its own sum, of the day or the month that a time lies in."""
    with leases.writing(wait_s=1) as books:
        books.book(Pot("k", "tokens", "day", 1_795_478_400), 7)
        books.book(Pot("k", "pico", "life", 0), 9)
    assert store.spent("k", TERMS.quotas, NOON) == [7, 9]
    assert store.spent("k", TERMS.quotas, NOON + 86_400) == [0, 9]
    assert store.spent("other", TERMS.quotas, NOON) == [0, 0]


def test_terms_that_cannot_be_read_are_damage(store: SqliteKeys) -> None:
    """A key whose limits are not known is not one without limits."""
    store.create(record())
    with contextlib.closing(sqlite3.connect(store.path, isolation_level=None)) as hand:
        hand.execute("UPDATE keys SET terms = '[]'")
    with pytest.raises(LedgerDamaged, match="4f1c09ab27de"):
        store.records()
