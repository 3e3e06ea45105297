"""Clients' keys in PostgreSQL: all that holds for a ledger's file, and what servers do."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from tests.gateway.keys import test_keys as rings
from tests.live.databases import Postgres, database, postgres_fixture
from tests.live.served import until
from tests.stores import test_sqlite_key_leases as lease_files
from tests.stores import test_sqlite_keys as key_files

from deltaweir.allowances import KeyTerms
from deltaweir.errors import InvalidRequest, ServiceUnavailable
from deltaweir.gateway.config.store import STALE_S, StoreConfig
from deltaweir.gateway.keys.keys import KeyRing
from deltaweir.leases import Pot
from deltaweir.stores.books import KeyStore, LeaseStore
from deltaweir.stores.failures import (
    LedgerBusy,
    LedgerDamaged,
    LedgerMisconfigured,
    LedgerUnavailable,
    StoreUnavailable,
    StoreUnsure,
)
from deltaweir.stores.postgres import PostgresLedger
from deltaweir.stores.postgres_connection import connect
from deltaweir.stores.postgres_keys import PostgresKeys
from deltaweir.stores.postgres_leases import PostgresLeases
from deltaweir.stores.postgres_line import ALONE_S, PostgresLine
from deltaweir.stores.postgres_schema import MIGRATIONS, migrate

__all__ = ["database", "postgres_fixture"]

pytestmark = [
    pytest.mark.live,
    pytest.mark.timeout(120),
    pytest.mark.skipif(sys.platform == "win32", reason="freezes and kills by signals"),
]
Lines = Callable[[], PostgresLine]
ONE = "SELECT 1"
SLEEP = "SELECT pg_sleep(30)"

test_others_leases_count_while_they_last = lease_files.test_others_leases_count_while_they_last
test_sums_stay_within_bounds = lease_files.test_sums_stay_within_bounds
test_a_rate_is_kept = lease_files.test_a_rate_is_kept
test_a_key_is_kept_as_it_was_made = key_files.test_a_key_is_kept_as_it_was_made
test_a_key_is_revoked_once = key_files.test_a_key_is_revoked_once
test_what_is_spent = key_files.test_what_is_spent_is_told_by_budget_and_window
test_a_key_lets_in = rings.test_a_key_lets_in
test_who_is_refused_is_not_told_why = rings.test_who_is_refused_is_not_told_why
test_revocation_is_told_once = rings.test_revocation_is_told_once
test_expiry_is_told_when_it_comes = rings.test_expiry_is_told_when_it_comes


@pytest.fixture(name="lines")
def lines_fixture(database: str) -> Iterator[Lines]:
    """Return what connects to the database."""
    with contextlib.ExitStack() as stack:

        def connected() -> PostgresLine:
            line = PostgresLine(database)
            stack.callback(line.close)
            return line

        yield connected


@pytest.fixture(name="line")
def line_fixture(lines: Lines) -> PostgresLine:
    """Return a connection that is used for the first time, and the tables."""
    line = lines()
    assert line.ask(ONE, wait_s=10) == [(1,)]
    return line


@pytest.fixture(name="store")
def store_fixture(lines: Lines) -> PostgresKeys:
    """Return an empty store of keys."""
    return PostgresKeys(lines())


@pytest.fixture(name="again")
def again_fixture(lines: Lines) -> PostgresKeys:
    """Return the same store, as another process sees it."""
    return PostgresKeys(lines())


@pytest.fixture(name="opened")
def opened_fixture(lines: Lines) -> Callable[[str], LeaseStore]:
    """Return what opens the leases for a holder."""
    return lambda holder: PostgresLeases(lines(), holder=holder)


@pytest.fixture(name="leases")
def leases_fixture(opened: Callable[[str], LeaseStore]) -> LeaseStore:
    """Return the leases of the same store."""
    return opened("h")


@pytest.fixture(name="world")
def world_fixture(store: KeyStore, again: KeyStore) -> rings.World:
    """Return a ring over an empty store."""
    return rings.World(store, again)


def test_each_change_is_noticed(store: PostgresKeys, again: PostgresKeys, database: str) -> None:
    """Making, revoking and removing a key show, by whatever program, and nothing else does."""
    seen = [store.changes()]
    again.create(key_files.record())
    seen.append(store.changes())
    again.revoke("4f1c09ab27de", key_files.NOON)
    seen.append(store.changes())
    again.revoke("4f1c09ab27de", key_files.NOON)
    assert store.changes() == seen[-1]
    with psycopg.connect(database, autocommit=True) as hand:
        hand.execute("UPDATE deltaweir.keys SET revoked = NULL")
        seen.append(store.changes())
        hand.execute("DELETE FROM deltaweir.keys")
    seen.append(store.changes())
    assert len(set(seen)) == len(seen)


def test_a_key_is_made_once(store: PostgresKeys) -> None:
    """One whose id is taken is refused, and the first stays."""
    store.create(key_files.record())
    with pytest.raises(InvalidRequest, match="4f1c09ab27de"):
        store.create(key_files.record(terms=KeyTerms()))
    assert store.records() == [key_files.record()]


def test_the_database_holds_no_secret(store: PostgresKeys, database: str) -> None:
    """What a key consists of beside its id is in none of the columns."""
    ring = rings.World(store, store)
    ring.make()
    with psycopg.connect(database) as hand:
        (text,) = hand.execute("SELECT k::text FROM deltaweir.keys AS k").fetchone() or ("",)
    assert rings.ID in text
    assert "sss" not in text


def test_terms_that_cannot_be_read_are_damage(store: PostgresKeys, database: str) -> None:
    """A key whose limits are not known is not one without limits."""
    store.create(key_files.record())
    with psycopg.connect(database, autocommit=True) as hand:
        hand.execute("UPDATE deltaweir.keys SET terms = '[]'")
    with pytest.raises(LedgerDamaged, match="4f1c09ab27de"):
        store.records()


def test_a_ledger_of_the_first_version_gets_tables_for_keys(database: str) -> None:
    """Whoever needs keys there first makes them; what the ledger holds stays."""
    with contextlib.closing(connect(database, within_s=20)) as connection:
        migrate(connection, "it", migrations=MIGRATIONS[:1])
        connection.execute(
            "INSERT INTO deltaweir.streams (stream_id, started, model) VALUES ('s', 1, 'm')"
        )
    with contextlib.closing(PostgresKeys(PostgresLine(database, begin=False))) as keys:
        keys.create(key_files.record())
        assert keys.records() == [key_files.record()]
    with PostgresLedger(database) as ledger:
        assert [row.opened and row.opened.stream_id for row in ledger.rows()] == ["s"]


def test_who_only_lists_begins_no_ledger(database: str) -> None:
    """It says what would."""
    with contextlib.closing(PostgresKeys(PostgresLine(database, begin=False))) as keys:
        with pytest.raises(LedgerUnavailable, match="there is no ledger") as refused:
            keys.records()
        assert "keys create" in str(refused.value)


def test_who_may_only_read_lists_keys(
    postgres: Postgres, store: PostgresKeys, database: str
) -> None:
    """A role without the right to write sees them, and is told that it cannot revoke one."""
    store.create(key_files.record())
    name = database.rpartition("/")[2]
    postgres.ask("CREATE ROLE reader LOGIN PASSWORD 'reader'")
    postgres.ask("GRANT USAGE ON SCHEMA deltaweir TO reader", database=name)
    postgres.ask("GRANT SELECT ON ALL TABLES IN SCHEMA deltaweir TO reader", database=name)
    url = postgres.url_of(name, user="reader", password="reader")  # noqa: S106  # a test's
    try:
        with contextlib.closing(PostgresKeys(PostgresLine(url, begin=False))) as keys:
            assert keys.records() == [key_files.record()]
            with pytest.raises(LedgerMisconfigured, match="permission denied"):
                keys.revoke("4f1c09ab27de", key_files.NOON)
            assert keys.records() == [key_files.record()]
    finally:
        postgres.ask("DROP OWNED BY reader", database=name)
        postgres.ask("DROP ROLE reader")


def test_keys_outlive_a_server_that_is_killed(
    postgres: Postgres, store: PostgresKeys, again: PostgresKeys
) -> None:
    """What was answered is there again, and keys are looked at anew."""
    store.create(key_files.record())
    before = again.changes()
    with postgres.gone(), pytest.raises(LedgerUnavailable):
        again.changes()
    assert again.changes() != before
    assert again.records() == [key_files.record()]


@pytest.mark.parametrize("frozen", [True, False])
def test_keys_known_by_heart_stand_for_a_while(
    postgres: Postgres, world: rings.World, frozen: bool
) -> None:
    """Then nobody is let in, until the server is back."""
    world.make()
    world.ring.poll()
    with postgres.frozen() if frozen else postgres.gone():
        with pytest.raises(LedgerUnavailable):
            world.ring.poll()
        world.ticks = STALE_S
        assert world.ring.authenticate(rings.sent()).id == rings.ID
        world.ticks = STALE_S + 1
        with pytest.raises(ServiceUnavailable, match="ask again"):
            world.ring.authenticate(rings.sent())
    time.sleep(ALONE_S)
    world.ring.poll()
    assert world.ring.authenticate(rings.sent()).id == rings.ID


def test_who_may_wait_for_a_moment_only(postgres: Postgres, line: PostgresLine) -> None:
    """A call takes as long as it is given, and whoever comes next hears its answer first."""
    with postgres.frozen():
        began = time.monotonic()
        with pytest.raises(StoreUnsure, match=r"not answered in 0\.02 s"):
            line.ask("SELECT 2", wait_s=0.02)
        with pytest.raises(StoreUnavailable, match="not answered yet"):
            line.ask(ONE, wait_s=0.02)
        assert time.monotonic() - began < 0.09
    assert line.ask(ONE, wait_s=5) == [(1,)]
    assert line.openings == 1


def test_who_has_a_moment_only_does_not_connect(postgres: Postgres, line: PostgresLine) -> None:
    """Whoever has more time does, also where an answer will never come."""
    with postgres.frozen(), pytest.raises(StoreUnsure):
        line.ask("SELECT 2", wait_s=0.02)
    with postgres.gone():
        pass
    with pytest.raises(StoreUnavailable, match="at the moment"):
        line.ask(ONE, wait_s=0.02)
    assert line.ask(ONE, wait_s=5) == [(1,)]


def test_what_was_begun_is_ended(line: PostgresLine, database: str) -> None:
    """By whoever does not go on with it, by an error, and by the server after a second."""
    begin = "BEGIN; SELECT 1 FROM deltaweir.ledger_version FOR UPDATE"
    silence = "SELECT set_config('idle_in_transaction_session_timeout', '100', true)"
    with psycopg.connect(database, autocommit=True) as other:
        for end in ("undo", "error", "silence"):
            assert line.ask(f"{begin}; {silence}; {ONE}", wait_s=5, begins=True) == [(1,)]
            if end == "undo":
                line.undo(wait_s=5)
            elif end == "error":
                with pytest.raises(LedgerUnavailable):
                    line.ask("SELECT 1 / 0", wait_s=5)
            other.execute("SET lock_timeout = '5s'")
            other.execute("UPDATE deltaweir.ledger_version SET version = version")
    with contextlib.suppress(LedgerBusy):  # the server may be about to hang up
        line.ask(ONE, wait_s=5)
    assert line.ask(ONE, wait_s=5) == [(1,)]
    assert line.openings == 2


def test_a_server_that_does_not_answer_is_left_alone(
    postgres: Postgres, line: PostgresLine
) -> None:
    """Whoever comes after one that had time does not wait as long as that, for a moment."""
    with postgres.frozen():
        with pytest.raises(StoreUnsure):
            line.ask(ONE, wait_s=0.3)
        began = time.monotonic()
        with pytest.raises(StoreUnavailable, match="at the moment"):
            line.ask(ONE, wait_s=1)
        assert time.monotonic() - began < 0.1
    time.sleep(ALONE_S)
    assert line.ask(ONE, wait_s=5) == [(1,)]


@pytest.mark.parametrize("killed", [True, False])
def test_a_connection_that_was_ended_is_noticed_before(
    postgres: Postgres, line: PostgresLine, killed: bool
) -> None:
    """Nothing is sent on one that the other side has closed, with a word or without."""
    if killed:
        with postgres.gone():
            pass
    else:
        others = "FROM pg_stat_activity WHERE application_name = 'deltaweir'"
        postgres.ask(f"SELECT pg_terminate_backend(pid) {others}")
        until(lambda: postgres.ask(f"SELECT count(*) {others}") == [(0,)])
    assert line.ask(ONE, wait_s=5) == [(1,)]
    assert line.openings == 2


def test_a_connection_that_ends_in_the_middle(postgres: Postgres, line: PostgresLine) -> None:
    """Nobody knows then what became of what was told."""
    ended = threading.Event()

    def end() -> None:
        while not ended.is_set():
            postgres.ask(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE query LIKE '%pg_sleep%' AND pid <> pg_backend_pid()"
            )

    thread = threading.Thread(target=end)
    thread.start()
    try:
        with pytest.raises(StoreUnsure, match="went away"):
            line.ask(SLEEP, wait_s=20)
    finally:
        ended.set()
        thread.join()
    assert line.ask(ONE, wait_s=5) == [(1,)]


def test_what_the_server_refuses(line: PostgresLine) -> None:
    """It is told in its words, nothing is done, and the connection is of use afterwards."""
    with pytest.raises(LedgerUnavailable, match="division by zero") as refused:
        line.ask("SELECT count(*) / 0 FROM deltaweir.keys; SELECT 1", wait_s=1)
    assert not isinstance(refused.value, StoreUnsure)
    line.ask("SET statement_timeout = 50", wait_s=1)  # as an administrator may for a role
    with pytest.raises(LedgerUnavailable, match="statement timeout") as refused:
        line.ask(SLEEP, wait_s=5)
    assert not isinstance(refused.value, StoreUnsure)
    assert line.ask(ONE, wait_s=1) == [(1,)]
    assert line.openings == 1


def test_a_server_that_takes_nothing_any_more_is_left(line: PostgresLine) -> None:
    """As one that has become a standby is: its name may lead to another one now."""
    line.ask("SET default_transaction_read_only = on", wait_s=1)
    with pytest.raises(LedgerUnavailable, match="read-only"):
        line.ask("DELETE FROM deltaweir.keys", wait_s=1)
    line.ask("DELETE FROM deltaweir.keys", wait_s=5)
    assert line.openings == 2


def test_records_that_another_holds_are_waited_for(lines: Lines, database: str) -> None:
    """Not for longer than is said; nothing is written then, and the connection stays."""
    line, pot = lines(), Pot("k", "tokens", "life", 0)
    leases = PostgresLeases(line, holder="h")
    with leases.writing(wait_s=5) as books:
        books.book(pot, 5)
    with psycopg.connect(database) as other:
        other.execute("SELECT FROM deltaweir.key_books FOR UPDATE")
        began = time.monotonic()
        with pytest.raises(LedgerBusy, match="lock timeout"), leases.writing(wait_s=0.2) as books:
            books.book(pot, 5)
        assert time.monotonic() - began < 0.25
    with leases.writing(wait_s=5) as books:
        books.book(pot, 5)
        assert books.standing(pot, 0).spent == 10
    assert (line.openings, leases.losses) == (1, 0)


def test_what_has_expired_is_removed(lines: Lines, database: str) -> None:
    """A rate after days, a day's budget after its end, and a life's never."""
    leases = PostgresLeases(lines(), holder="h")
    with leases.writing(wait_s=5) as books:
        books.book(Pot("k", "tokens", "life", 0), 5)
        books.book(Pot("k", "tokens", "day", 1_795_478_400), 5)
    with psycopg.connect(database, autocommit=True) as hand:
        hand.execute("UPDATE deltaweir.key_books SET expires = expires - interval '1 year'")
        hand.execute("UPDATE deltaweir.key_books SET expires = now() WHERE name LIKE 'holder:%'")
        with leases.writing(wait_s=5) as books:
            books.forget_expired(key_files.NOON)
        found = hand.execute("SELECT name, fields FROM deltaweir.key_books").fetchall()
    assert found == [("pot:k:tokens:life:0", {"spent": "5"})]


def test_a_wrong_password_is_not_repeated(postgres: Postgres, database: str) -> None:
    """The error says what the server says."""
    url = postgres.url_of(database.rpartition("/")[2], password="another-one")  # noqa: S106
    with contextlib.closing(PostgresLine(url)) as line:
        with pytest.raises(LedgerMisconfigured, match="password authentication failed") as refused:
            line.ask(ONE, wait_s=1)
        assert "another-one" not in f"{refused.value!r} {line!r}"


def test_a_closed_line_stays_closed(line: PostgresLine) -> None:
    """Whoever uses it afterwards is told."""
    line.close()
    line.close()
    with pytest.raises(StoreUnavailable, match="was closed"):
        line.ask(ONE, wait_s=1)


def test_a_line_in_use_is_waited_for(line: PostgresLine) -> None:
    """Not for longer than is said."""
    with line._mine(1), pytest.raises(LedgerBusy, match="another thread"):
        line.ask(ONE, wait_s=0.01)


def test_a_ring_is_opened_by_the_configuration(database: str) -> None:
    """What is said of a store holds for the database, as long as there is no store."""
    with KeyRing.open(database, StoreConfig(stale_s=0.001)) as ring:
        assert ring.poll() == set()
        time.sleep(0.01)
        assert ring.stale
    with pytest.raises(LedgerUnavailable):
        KeyRing.open("postgresql://127.0.0.1:1/deltaweir")


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_child_does_not_use_its_parent_s_connection(line: PostgresLine) -> None:
    """It is refused in the child, whose end does not disturb the parent."""
    child = os.fork()
    if child == 0:
        code = 1
        with contextlib.suppress(StoreUnavailable):
            line.ask(ONE, wait_s=1)
            code = 2
        line.close()
        os._exit(0 if code == 1 else code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert line.ask(ONE, wait_s=1) == [(1,)]
    assert line.openings == 1


def test_nothing_is_left_on_a_connection(lines: Lines, database: str) -> None:
    """No setting, statement or lock outlives a message, so a pooler may give another each time."""
    line = lines()
    leases: Any = PostgresLeases(line, holder="h")
    with leases.writing(wait_s=5) as books:
        books.book(Pot("k", "tokens", "life", 0), 5)
        books.fill("k", "tokens", books.bucket("k", "tokens"))
    asked = (
        "SELECT current_setting('lock_timeout'), current_setting('synchronous_commit'),"
        " (SELECT count(*) FROM pg_prepared_statements),"
        " (SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid()"
        "  AND locktype IN ('advisory', 'tuple'))"
    )
    assert line.ask(asked, wait_s=1) == [("0", "on", 0, 0)]
