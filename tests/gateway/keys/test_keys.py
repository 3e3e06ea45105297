"""Clients' keys: who is let in, who is not and why not, and how soon a change bites."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaweir.allowances import KeyRecord, KeyTerms, digest_of
from deltaweir.errors import (
    AuthenticationFailed,
    InvalidRequest,
    PermissionDenied,
    ServiceUnavailable,
)
from deltaweir.gateway.config.store import STALE_S
from deltaweir.gateway.keys.keys import Key, KeyRing
from deltaweir.stores.books import KeyStore
from deltaweir.stores.failures import LedgerUnavailable
from deltaweir.stores.sqlite_keys import SqliteKeys

NOON = 1_795_521_600.0
ID = "4f1c09ab27de"
KEY = f"dw-{ID}-{'s' * 43}"
WRONG = [
    f"dw-{ID}-{'x' * 43}",  # another secret
    f"dw-{'0' * 12}-{'s' * 43}",  # another id
]


class World:
    """A ring, what it reads, and the time.

    Args:
        store: Where keys are kept.
        other: The same, as another process sees it.
    """

    def __init__(self, store: KeyStore, other: KeyStore) -> None:
        self.now = NOON
        self.ticks = 0.0
        self.other = other
        self.ring = KeyRing(store, clock=lambda: self.now, monotonic=lambda: self.ticks)

    def make(self, key: str = KEY, **terms: Any) -> None:
        """Make a key, as another process does."""
        self.other.create(
            KeyRecord(
                id=key[3:15],
                digest=digest_of(key.encode()),
                name="alice",
                terms=KeyTerms(**terms),
                created=NOON,
            )
        )

    def revoke(self, key_id: str = ID) -> None:
        """Revoke a key, as another process does."""
        self.other.revoke(key_id, self.now)


@pytest.fixture(name="world")
def world_fixture(tmp_path: Path) -> Iterator[World]:
    """Return a ring over a new file."""
    with SqliteKeys(tmp_path / "a.db") as other:
        world = World(SqliteKeys(tmp_path / "a.db"), other)
        with world.ring:
            yield world


def sent(key: str = KEY, scheme: str = "Bearer ") -> list[tuple[bytes, bytes]]:
    """Return the headers of a request."""
    return [(b"host", b"x"), (b"authorization", f"{scheme}{key}".encode("latin-1"))]


def refusal(world: World, headers: list[tuple[bytes, bytes]]) -> str:
    """Return how a request is refused, which is always by a 401."""
    with pytest.raises(AuthenticationFailed) as refused:
        world.ring.authenticate(headers)
    assert (refused.value.status, refused.value.code) == (401, "invalid_api_key")
    assert "deltaweir keys create" in str(refused.value)
    return str(refused.value)


def test_a_key_lets_in(world: World) -> None:
    """A new key is known after the next look, with its name and its terms."""
    world.make(models=("a",), admin=True)
    refusal(world, sent())
    assert world.ring.poll() == set()
    key = world.ring.authenticate(sent())
    assert (key.id, key.name, key.models) == (ID, "alice", ("a",))
    assert (key.admin, key.may_record) == (True, False)
    assert world.ring.authenticate(sent(scheme="bearer  ")) == key


def test_who_is_refused_is_not_told_why(world: World) -> None:
    """Unknown, wrong, revoked and expired keys get the same answer."""
    world.make(expires=NOON + 5)
    world.ring.poll()
    said = {refusal(world, sent(wrong)) for wrong in WRONG}
    world.now += 5
    said.add(refusal(world, sent()))
    world.now -= 5
    world.revoke()
    world.ring.poll()
    said.add(refusal(world, sent()))
    (only,) = said
    assert "unknown, revoked or expired" in only


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ([], "no key was sent"),
        ([(b"x-api-key", KEY.encode())], "no key was sent"),
        (sent(scheme="Basic "), "no key was sent"),
        (sent(scheme=""), "no key was sent"),
        (sent() + sent(), "no key was sent"),
        (sent(""), "begin with dw-"),
        (sent("sk-proj-123"), "begin with dw-"),
        (sent(KEY + "s"), "begin with dw-"),
        (sent(KEY[:-1] + "\xe9"), "begin with dw-"),
    ],
)
def test_what_is_no_key(world: World, headers: list[tuple[bytes, bytes]], words: str) -> None:
    """A missing or a malformed key is told from a refused one, and never repeated."""
    said = refusal(world, headers)
    assert words in said
    assert "sss" not in said
    assert "sk-proj" not in said


@given(junk=st.binary(max_size=80))
def test_junk_is_refused(junk: bytes) -> None:
    """Whatever bytes are sent, the answer is a refusal."""
    with pytest.raises(AuthenticationFailed):
        RING.authenticate([(b"authorization", b"Bearer " + junk)])


RING = KeyRing.__new__(KeyRing)
RING._records, RING._looked, RING._clock, RING._monotonic = {}, 0.0, lambda: NOON, lambda: 0.0
RING._stale_s = STALE_S


def test_revocation_is_told_once(world: World) -> None:
    """The look after a revocation returns the id, so that running streams can be ended."""
    world.make()
    assert world.ring.poll() == set()
    world.revoke()
    assert world.ring.poll() == {ID}
    assert world.ring.poll() == set()


def test_expiry_is_told_when_it_comes(world: World) -> None:
    """Also when nothing has changed in the file, and for each key at its time."""
    world.make(expires=NOON + 5)
    world.make(WRONG[1], expires=NOON + 9)
    world.ring.poll()
    world.now += 5
    assert world.ring.poll() == {ID}
    assert world.ring.poll() == set()
    world.now += 5
    assert world.ring.poll() == {"0" * 12}


def test_a_removed_key_is_gone(world: World, tmp_path: Path) -> None:
    """A row that somebody deletes by hand is a key that is revoked."""
    world.make()
    world.ring.poll()
    with contextlib.closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as hand:
        hand.execute("DELETE FROM keys")
    assert world.ring.poll() == {ID}
    refusal(world, sent())


def test_models_are_permitted_or_named(world: World) -> None:
    """A key without models may use all; another is told which it may."""
    world.ring.permits(Key(id=ID, name="n"), "anything")
    few = Key(id=ID, name="n", terms=KeyTerms(models=("a", "openai/*")))
    world.ring.permits(few, "openai/x")
    with pytest.raises(PermissionDenied, match=r"'b'; it may use: a, openai/\*$") as refused:
        world.ring.permits(few, "b")
    assert (refused.value.status, refused.value.code) == (403, "model_not_allowed")
    many = Key(id=ID, name="n", terms=KeyTerms(models=tuple("abcdefghij")))
    with pytest.raises(PermissionDenied, match=r"g, h, \.\.\.$"):
        world.ring.permits(many, "z" * 10**6)


def test_keys_that_cannot_be_read_let_nobody_in(world: World, tmp_path: Path) -> None:
    """Keys that were read stand for some seconds, then nobody knows who was revoked."""
    world.make()
    world.ring.poll()
    path, kept = tmp_path / "a.db", tmp_path / "kept.db"
    with contextlib.closing(sqlite3.connect(path)) as hand:
        hand.execute("VACUUM INTO ?", (str(kept),))
    path.unlink()
    for ticks in (1, STALE_S - 1):
        world.ticks = ticks
        with pytest.raises(LedgerUnavailable):
            world.ring.poll()
        assert world.ring.authenticate(sent()).id == ID
    world.ticks = STALE_S + 1
    with pytest.raises(ServiceUnavailable, match="ask again") as refused:
        world.ring.authenticate(sent())
    assert refused.value.status == 503
    kept.rename(path)
    world.ring.poll()
    assert world.ring.authenticate(sent()).id == ID


def test_a_ring_is_opened_by_url(tmp_path: Path) -> None:
    """By the ledger's, which must name a file."""
    with KeyRing.open(f"sqlite:///{tmp_path}/a.db") as ring:
        assert ring.poll() == set()
    for url in ("", "sqlite:///:memory:", "redis://x"):
        with pytest.raises(InvalidRequest, match=r"sqlite:///"):
            KeyRing.open(url)
