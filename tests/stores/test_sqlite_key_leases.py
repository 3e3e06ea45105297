"""Leases in SQLite: what others hold counts as long as it lasts, and sums stay within bounds."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from deltaweir.leases import Pot, Standing
from deltaweir.rates import Bucket
from deltaweir.stores.sqlite_key_leases import SqliteLeases

POT = Pot("k", "tokens", "life", 0)


@contextlib.contextmanager
def stores(path: Path, *holders: str):  # type: ignore[no-untyped-def]  # noqa: ANN201
    """Open a store for each holder."""
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(contextlib.closing(SqliteLeases(path / "a.db", holder=holder)))
            for holder in holders
        ]


def test_others_leases_count_while_they_last(tmp_path: Path) -> None:
    """One's own lease does not count, another's does until it expires or is returned."""
    with stores(tmp_path, "a", "b") as (one, other):
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
        with one.writing(wait_s=1) as books:
            books.hold(POT, 60, expires=10)
            books.hold(POT, 0, expires=10)
        with other.writing(wait_s=1) as books:
            assert books.standing(POT, 0).others == 0


def test_sums_stay_within_bounds(tmp_path: Path) -> None:
    """What is spent is never below zero, and never more than an integer holds."""
    with stores(tmp_path, "a") as (store,), store.writing(wait_s=1) as books:
        for amount, spent in ((-5, 0), (7, 7), (0, 7), (-9, 0), (2**62, 2**62), (10**18, 2**62)):
            books.book(POT, amount)
            assert books.standing(POT, 0).spent == spent


@pytest.mark.parametrize("unit", ["requests", "tokens"])
def test_a_rate_is_kept(tmp_path: Path, unit: str) -> None:
    """A key's rates are each kept as they were written last, and empty before."""
    with stores(tmp_path, "a") as (store,), store.writing(wait_s=1) as books:
        assert books.bucket("k", unit) == Bucket()
        books.fill("k", unit, Bucket(1, 2))
        books.fill("k", unit, Bucket(3, 4))
        books.fill("other", unit, Bucket(5, 6))
        assert books.bucket("k", unit) == Bucket(3, 4)
