"""Hashes that are written only if nobody else has: however answers and commands are lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.stores.lossy import Command, Server

from deltaweir.leases import Pot, Standing
from deltaweir.rates import Bucket
from deltaweir.stores.versioned_books import (
    Clock,
    Memory,
    VersionedBooks,
    fields_of,
    named,
)

POT = Pot("k", "tokens", "day", 5)


class Process:
    """A process that books, and may not hear what became of it."""

    def __init__(self, server: Server, holder: str) -> None:
        self.server = server
        self.memory = Memory("p", holder)
        self.told: dict[str, int] = {}
        self.late: list[Command] = []
        self.booked = 0

    def begin(self) -> VersionedBooks:
        """Begin a transaction."""
        return self.memory.begin(self.server.read)

    def book(self, amount: int, fate: str = "heard") -> bool:
        """Book something; return whether that is known to be written."""
        books, before = self.begin(), self.memory.last
        books.book(POT, amount)
        commit = self.memory.name()
        command = books.command(commit)
        if fate != "heard":
            self.memory.unsure(commit)
            self.told[commit] = amount
            if fate == "unheard":
                self.server.commit(command)
            else:
                self.late.append(command)  # it may still come
            return False
        found = self.server.commit(command)
        if found is None:
            self.memory.wrote(books, commit)
            self.booked += amount
        else:
            self.memory.found(command[0], found)
        if self.memory.last != before:
            self.booked += self.told.get(self.memory.last, 0)
            self.told.clear()
        return found is None


STEPS = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.integers(1, 9),
        st.sampled_from(["heard", "unheard", "late", "arrives"]),
    ),
    max_size=30,
)


@given(steps=STEPS)
def test_each_booking_counts_once(steps: list[tuple[int, int, str]]) -> None:
    """Whatever is lost or comes late, what all processes believe to be booked is what is."""
    server = Server()
    processes = [Process(server, holder) for holder in "ab"]
    for number, amount, fate in steps:
        process = processes[number]
        if fate == "arrives":
            if process.late:
                server.commit(process.late.pop(0))
        else:
            process.book(amount, fate)
    for process in processes:
        while not process.book(1):
            pass
        while process.late:
            server.commit(process.late.pop())
    spent = int(server.read(named("p", "pot", *map(str, POT)))[b"spent"])
    assert spent == sum(process.booked for process in processes)
    assert not any(process.memory.losses for process in processes)


def test_a_guess_that_was_wrong_writes_nothing() -> None:
    """The answer has what is there, with which the second attempt works."""
    server = Server()
    one, other = Process(server, "a"), Process(server, "b")
    assert one.book(5)
    assert other.book(7)
    assert not one.book(1)
    assert one.begin().standing(POT, 0).spent == 12
    assert one.book(1)
    assert other.begin().standing(POT, 0).spent == 12  # as it saw it last
    assert server.read(named("p", "pot", *map(str, POT)))[b"spent"] == b"13"


def test_what_was_read_before_is_a_guess() -> None:
    """What was read in a transaction is none."""
    process = Process(Server(), "a")
    fresh = process.begin()
    fresh.standing(POT, 0)
    assert not fresh.guesses
    assert process.book(1)
    known = process.begin()
    known.standing(POT, 0)
    assert known.guesses


def test_only_looking_writes_nothing() -> None:
    """A transaction that is called off still tells whether what it saw is so."""
    server = Server()
    one, other = Process(server, "a"), Process(server, "b")
    assert one.book(5)
    books = one.begin()
    books.book(POT, 100)
    books.hold(POT, 7, 10)
    books.only_look()
    commit = one.memory.name()
    assert server.commit(books.command(commit)) is None
    one.memory.wrote(books, commit)
    assert one.begin().standing(POT, 0) == Standing(5, 0)
    assert other.book(1)
    assert server.commit(one.begin().command("a:9")) is None  # it has seen nothing
    looked = one.begin()
    looked.standing(POT, 0)
    looked.only_look()
    assert server.commit(looked.command("a:10")) is not None


def test_a_store_that_lost_what_it_said() -> None:
    """It is noticed by a process's own hash, and the process goes on from what is there."""
    server = Server()
    process = Process(server, "a")
    assert process.book(5)
    server.hashes.clear()
    assert not process.book(7)
    assert process.memory.losses == 1
    assert process.book(7)
    assert process.begin().standing(POT, 0).spent == 7
    assert process.memory.losses == 1


def test_names_lie_in_one_slot_and_last() -> None:
    """Windows and rates go away by themselves, the budget of a life never does."""
    server = Server()
    process = Process(server, "a")
    books = process.begin()
    for period in ("life", "day", "month"):
        books.hold(Pot("k", "tokens", period, 5), 3, 10)
    books.fill("k", "requests", Bucket(1, 2))
    assert server.commit(books.command("a:1")) is None
    day = 86_400
    assert server.lasts == {
        "{p}:holder:a": 30 * day,
        "{p}:pot:k:tokens:day:5": 9 * day,
        "{p}:pot:k:tokens:month:5": 40 * day,
        "{p}:rate:k:requests": 2 * day,
    }
    assert "{p}:pot:k:tokens:life:5" in server.hashes


def test_leases_that_are_over_go_with_what_is_written_next() -> None:
    """Another's counts until its time, is removed when that may be, and one's own never counts."""
    server = Server()
    one, other = Process(server, "a"), Process(server, "b")
    books = one.begin()
    books.hold(POT, 50, 10)
    assert server.commit(books.command("a:1")) is None
    books = other.begin()
    assert books.standing(POT, 9.999) == Standing(0, 50)
    assert books.standing(POT, 10) == Standing(0, 0)
    books.forget_expired(10)
    assert books.standing(POT, 9) == Standing(0, 0)
    books.hold(POT, 60, 20)
    books.hold(POT, 0, 20)
    assert server.commit(books.command("b:1")) is None
    assert server.read("{p}:pot:k:tokens:day:5") == {b"v": b"b:1"}


@pytest.mark.parametrize(("at", "kept"), [(1000, 5000), (0, 5000), (5001, 5001), (-1, -1)])
def test_clocks_that_differ_by_little_drain_a_rate_once(at: int, kept: int) -> None:
    """The later one stands; a clock that was set back by more is taken as it is."""
    books = Process(Server(), "a").begin()
    books.fill("k", "tokens", Bucket(7, 5000))
    books.fill("k", "tokens", Bucket(8, at))
    assert books.bucket("k", "tokens") == Bucket(8, kept)


def test_what_is_known_is_bounded() -> None:
    """A process that has seen very many budgets begins anew, and asks again."""
    process = Process(Server(), "a")
    process.memory.known.update({str(number): {} for number in range(10_001)})
    assert process.book(1)
    assert len(process.memory.known) == 1


def test_fields_come_in_turns() -> None:
    """As the server answers."""
    assert fields_of([b"a", b"1", b"b", b"2"]) == {b"a": b"1", b"b": b"2"}


def test_the_store_s_time_is_told_from_one_s_own() -> None:
    """It is moved only where an answer shows that it must have been wrong, and no further."""
    clock = Clock()
    assert clock.at(5) == 5
    clock.learn(1000, asked=1, answered=3)
    assert clock.at(2) == 1000
    clock.learn(1010.5, asked=12, answered=13)
    assert clock.at(13) == 1011
    clock.learn(1020, asked=20, answered=20.5)
    assert clock.at(20) == 1019.5
