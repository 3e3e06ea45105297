"""Leases in PostgreSQL: what a transaction says, and to whom; tests/live has real servers."""

from __future__ import annotations

import threading

import pytest

pytest.importorskip("psycopg", reason="needs the package's extra postgres")

from tests.stores.lossy_postgres import Line, Server

from deltaweir.errors import RateLimited
from deltaweir.leases import Pot, SpentError, Standing
from deltaweir.stores.failures import LedgerBusy, StoreUnavailable, StoreUnsure
from deltaweir.stores.postgres_leases import PostgresLeases

POT, OTHER = Pot("k", "tokens", "life", 0), Pot("k", "pico", "life", 0)


def leases(server: Server, holder: str = "a") -> PostgresLeases:
    """Return the leases of a process."""
    return PostgresLeases(Line(server), holder=holder)


def line_of(store: PostgresLeases) -> Line:
    """Return its connection."""
    assert isinstance(store._line, Line)
    return store._line


def book(store: PostgresLeases, amount: int = 5) -> int:
    """Book something; return how many messages that took."""
    before = line_of(store).asked
    with store.writing(wait_s=1) as books:
        books.book(POT, amount)
    return line_of(store).asked - before


def test_the_time_is_the_database_s() -> None:
    """To the moment at which it was asked."""
    assert leases(Server()).now() == pytest.approx(1000.5, abs=0.5)


def test_where_nobody_else_writes_one_message_does() -> None:
    """After the first, which reads what there is of the key."""
    store = leases(Server())
    assert [book(store) for _ in range(3)] == [2, 1, 1]
    with store.writing(wait_s=1) as books:
        assert books.standing(OTHER, 0) == Standing(0, 0)


def test_what_others_wrote_meanwhile_is_seen_by_the_next_attempt() -> None:
    """The first one writes nothing; the next holds it before, and once others are quiet no more."""
    server = Server()
    one, other = leases(server), leases(server, "b")
    for store in (one, other):
        book(store)
    with pytest.raises(LedgerBusy, match="others"):
        book(one)
    assert [book(one) for _ in range(2)] == [2, 1]
    assert server.records["pot:k:tokens:life:0"][1]["spent"] == "20"


def test_what_others_go_on_writing_is_held_each_time() -> None:
    """So nobody is late twice."""
    server = Server()
    one, other = leases(server), leases(server, "b")
    for store in (one, other):
        book(store)
    with pytest.raises(LedgerBusy):
        book(one)
    for _ in range(3):
        server.records["pot:k:tokens:life:0"] = "c:1", {"spent": "7"}
        assert book(one) == 2
        assert server.records["pot:k:tokens:life:0"][1] == {"spent": "12"}


def refuse(store: PostgresLeases, error: Exception) -> None:
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
        book(store)
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
    line_of(store).fates = ["unheard", "refused"]
    with pytest.raises(StoreUnsure) as unsure:
        book(store)
    with pytest.raises(StoreUnavailable):
        book(store)
    assert store.last == ""
    with pytest.raises(LedgerBusy):
        book(store)
    assert store.last == unsure.value.commit != ""
    assert store.losses == 0


def test_nobody_asks_when_no_time_is_left() -> None:
    """A message that nobody can wait for would only leave others in doubt."""
    store = leases(Server())
    before = line_of(store).asked
    with pytest.raises(LedgerBusy, match="too long"), store.writing(wait_s=0.0005) as books:
        books.book(POT, 5)
    assert line_of(store).asked == before


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
