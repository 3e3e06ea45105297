"""Leases in a store: what a transaction says, and to whom; tests/live has real servers."""

from __future__ import annotations

import threading

import pytest
from tests.stores.lossy import Line, Server

from deltaweir.errors import RateLimited
from deltaweir.leases import Pot, SpentError
from deltaweir.stores.failures import LedgerBusy, StoreUnavailable, StoreUnsure
from deltaweir.stores.valkey_leases import ValkeyLeases

POT = Pot("k", "tokens", "life", 0)


def leases(server: Server, holder: str = "a") -> ValkeyLeases:
    """Return the leases of a process."""
    return ValkeyLeases(Line(server), prefix="p", holder=holder)


def test_the_time_is_the_store_s() -> None:
    """To the moment at which it was asked."""
    assert leases(Server()).now() == pytest.approx(1000.5, abs=0.5)


def test_what_others_wrote_meanwhile_is_seen_by_the_next_attempt() -> None:
    """The first one writes nothing."""
    server = Server()
    one, other = leases(server), leases(server, "b")
    for store in (one, other):
        with store.writing(wait_s=1) as books:
            books.book(POT, 5)
    with pytest.raises(LedgerBusy, match="others"), one.writing(wait_s=1) as books:
        books.book(POT, 5)
    with one.writing(wait_s=1) as books:
        assert books.standing(POT, 0).spent == 10


def refuse(store: ValkeyLeases, error: Exception) -> None:
    """Read and write something, and refuse it."""
    with store.writing(wait_s=1) as books:
        books.book(POT, 100)
        raise error


@pytest.mark.parametrize("error", [RateLimited("no"), SpentError(POT, limit=1, spent=1, needed=1)])
def test_nobody_is_refused_for_what_was_true_before(error: Exception) -> None:
    """What is refused by figures that have changed is tried again; nothing is written."""
    server = Server()
    one, other = leases(server), leases(server, "b")
    for store in (one, other):
        with store.writing(wait_s=1) as books:
            books.book(POT, 5)
    for expected in (LedgerBusy, type(error)):
        with pytest.raises(expected):
            refuse(one, error)
    with one.writing(wait_s=1) as books:
        assert books.standing(POT, 0).spent == 10


def test_what_is_refused_by_fresh_figures_is_not_asked_again() -> None:
    """Nor is anything asked where nothing was read."""
    store = leases(Server())
    with pytest.raises(SpentError):
        refuse(store, SpentError(POT, limit=1, spent=1, needed=1))
    with store.writing(wait_s=1):
        pass
    assert store.last == ""


def test_an_answer_that_is_lost_has_a_name() -> None:
    """By which it is known later whether it was written; what was not sent has none."""
    store = leases(Server())
    assert isinstance(store._line, Line)
    store._line.fates = ["unheard", "refused"]
    with pytest.raises(StoreUnsure) as unsure, store.writing(wait_s=1) as books:
        books.book(POT, 5)
    with pytest.raises(StoreUnavailable), store.writing(wait_s=1) as books:
        books.book(POT, 5)
    assert store.last == ""
    with pytest.raises(LedgerBusy), store.writing(wait_s=1) as books:
        books.book(POT, 5)
    assert store.last == unsure.value.commit != ""
    assert store.losses == 0


def test_one_thread_at_a_time() -> None:
    """Another one waits as long as it is told."""
    store, seen = leases(Server()), list[Exception]()

    def write() -> None:
        try:
            with store.writing(wait_s=0.005):
                pass
        except LedgerBusy as error:
            seen.append(error)

    with store.writing(wait_s=1):
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
    assert "another thread" in str(seen[0])
    store.close()
