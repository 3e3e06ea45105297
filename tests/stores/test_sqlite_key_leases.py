"""Leases in SQLite: what others hold counts as long as it lasts, and sums stay within bounds."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deltaweir.leases import Pot, Standing
from deltaweir.rates import Bucket
from deltaweir.stores.books import Books, LeaseStore
from deltaweir.stores.failures import LedgerBusy
from deltaweir.stores.sqlite_key_leases import SqliteLeases

POT = Pot("k", "tokens", "life", 0)


Opened = Callable[[str], LeaseStore]


@pytest.fixture(name="opened")
def opened_fixture(tmp_path: Path) -> Iterator[Opened]:
    """Return what opens the store for a holder."""
    with contextlib.ExitStack() as stack:

        def opened(holder: str) -> LeaseStore:
            store = SqliteLeases(tmp_path / "a.db", holder=holder)
            return stack.enter_context(contextlib.closing(store))

        yield opened


def written(store: LeaseStore, work: Callable[[Books], None]) -> None:
    """Do some work in one transaction, again if somebody else wrote meanwhile."""
    for _ in range(2):
        with contextlib.suppress(LedgerBusy), store.writing(wait_s=1) as books:
            work(books)


def test_others_leases_count_while_they_last(opened: Opened) -> None:
    """One's own lease does not count, another's does until it expires or is returned."""
    one, other = opened("a"), opened("b")
    with one.writing(wait_s=1) as books:
        books.hold(POT, 50, expires=10)
        books.hold(POT, 60, expires=10)
        assert books.standing(POT, 0) == Standing(0, 0)
    with other.writing(wait_s=1) as books:
        assert books.standing(POT, 9) == Standing(0, 60)
        assert books.standing(POT, 10) == Standing(0, 0)
        assert books.standing(POT._replace(began=5), 0) == Standing(0, 0)
        books.forget_expired(9)
        assert books.standing(POT, 9).others == 60
        books.forget_expired(10)
        assert books.standing(POT, 9).others == 0
    written(one, lambda books: books.hold(POT, 60, expires=10))
    written(one, lambda books: books.hold(POT, 0, expires=10))
    seen = []
    written(other, lambda books: seen.append(books.standing(POT, 0).others))
    assert seen[-1] == 0


def test_sums_stay_within_bounds(opened: Opened) -> None:
    """What is spent is never below zero, and never more than an integer holds."""
    with opened("a").writing(wait_s=1) as books:
        for amount, spent in ((-5, 0), (7, 7), (0, 7), (-9, 0), (2**62, 2**62), (10**18, 2**62)):
            books.book(POT, amount)
            assert books.standing(POT, 0).spent == spent


@pytest.mark.parametrize("unit", ["requests", "tokens"])
def test_a_rate_is_kept(opened: Opened, unit: str) -> None:
    """A key's rates are each kept as they were written last, and empty before."""
    with opened("a").writing(wait_s=1) as books:
        assert books.bucket("k", unit) == Bucket()
        books.fill("k", unit, Bucket(1, 2))
        books.fill("k", unit, Bucket(3, 4))
        books.fill("other", unit, Bucket(5, 6))
        assert books.bucket("k", unit) == Bucket(3, 4)
