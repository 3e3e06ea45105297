"""The ledger in PostgreSQL does what the one in SQLite does, and survives what a network does."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.live.databases import Postgres, database, postgres_fixture
from tests.live.served import until
from tests.stores.ledgers import (
    GROUPINGS,
    NOON,
    REPORTED,
    TOLD,
    Fresh,
    by_id,
    check_fields,
    check_first_end,
    check_groups,
    check_hours,
    check_midnight,
    check_order,
    check_report,
    check_running,
    check_window,
    closed,
    opened,
)

from deltaweir.accounts import Attempt, Checkpoint, Entry, Tally
from deltaweir.stores import postgres_statements as statements
from deltaweir.stores.failures import (
    LedgerMisconfigured,
    LedgerTooNew,
    LedgerUnavailable,
)
from deltaweir.stores.postgres import PostgresLedger
from deltaweir.stores.postgres_connection import connect
from deltaweir.stores.postgres_schema import MIGRATIONS, migrate
from deltaweir.usage_report import GROUPS

__all__ = ["database", "postgres_fixture"]

pytestmark = [
    pytest.mark.live,
    pytest.mark.timeout(180),
    pytest.mark.skipif(sys.platform == "win32", reason="freezes and kills by signals"),
]
SHARED = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
LEASE_S = 0.5
NOBODY = "no.such.host.invalid"


def emptied(url: str) -> Fresh:
    """Return what empties a database's ledger, and opens it."""
    PostgresLedger(url).prepare()

    @contextlib.contextmanager
    def fresh() -> Iterator[PostgresLedger]:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("DELETE FROM deltaweir.streams")
            connection.execute("DELETE FROM deltaweir.attempts")
        with PostgresLedger(url) as store:
            yield store

    return fresh


@given(told=TOLD, data=st.data())
@SHARED
def test_neither_order_nor_repetition_nor_batches_matter(
    database: str, told: list[Entry], data: st.DataObject
) -> None:
    """Told in any order, any entry more than once, in any batches, the rows are the same."""
    check_order(emptied(database), told, data)


@given(told=TOLD)
@SHARED
def test_what_is_told_is_what_is_read(database: str, told: list[Entry]) -> None:
    """Every field of every entry comes back as it was told."""
    check_fields(emptied(database), [_without_nul(one) for one in told])


def _without_nul(entry: Entry) -> Entry:
    """Return an entry without the one letter that this database's text has not."""
    texts = {
        name: value.replace("\0", "\ufffd")
        for name in entry.__struct_fields__
        if isinstance(value := getattr(entry, name), str)
    }
    return msgspec.structs.replace(entry, **texts)


@given(told=REPORTED, group_by=GROUPINGS)
@SHARED
def test_a_report_adds_up(
    database: str,
    told: list[tuple[float, str, str | None, Tally | None]],
    group_by: tuple[str, ...],
) -> None:
    """Whatever it is grouped by, a report has the sums that Python finds, to the picodollar."""
    check_report(emptied(database), told, group_by)


@pytest.mark.parametrize(
    "check", [check_first_end, check_midnight, check_hours, check_window, check_groups]
)
def test_it_is_a_ledger(check: Callable[[Fresh], None], database: str) -> None:
    """It does what every ledger must."""
    check(emptied(database))


def test_others_streams_are_told(database: str) -> None:
    """Those of all processes that write the same database."""
    check_running(emptied(database), lambda: PostgresLedger(database))


def test_a_report_since_a_time_reads_no_more(database: str) -> None:
    """It goes by the index of the beginnings, whatever it is grouped by."""
    PostgresLedger(database).prepare()
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("SET enable_seqscan = off")  # which an empty table invites to
        for groups in ((), GROUPS):
            plan = connection.execute(
                f"EXPLAIN {statements.usage(groups, most=None)}".encode(),
                statements.window(NOON, None, None, None),
            ).fetchall()
            assert any("Index Cond" in line and "started >=" in line for (line,) in plan)


def test_a_batch_is_all_or_nothing(database: str) -> None:
    """A batch with a figure that a column cannot hold writes nothing, and the next is written."""
    with PostgresLedger(database) as store:
        with pytest.raises(psycopg.DataError):
            store.write([opened(), closed(tally=Tally(completion_tokens=2**63))])
        assert store.rows() == []
        store.write([opened(user="a\ud800é", tag="\0")])
        (row,) = store.rows()
    assert row.opened == opened(user="a?é", tag="\ufffd")


# Versions


def test_many_that_start_at_once_make_one_ledger(database: str) -> None:
    """Processes that find no tables make them once, and each goes on to write."""
    program = (
        "import sys\n"
        "from deltaweir.accounts import *\n"
        "from deltaweir.stores.postgres import PostgresLedger\n"
        "url, name = sys.argv[1:]\n"
        "with PostgresLedger(url) as store:\n"
        "    for number in range(20):\n"
        "        store.write([Opened(stream_id=f'{name}-{number}', started=1, model='m'),\n"
        "                     Closed(stream_id=f'{name}-{number}', ended=2, ending='complete',\n"
        "                            tally=Tally(completion_tokens=1))])\n"
    )
    with contextlib.ExitStack() as stack:
        command = [sys.executable, "-c", program, database]
        processes = [
            stack.enter_context(subprocess.Popen([*command, str(number)])) for number in range(4)
        ]
        assert [process.wait(60) for process in processes] == [0, 0, 0, 0]
    with PostgresLedger(database, read_only=True) as store:
        (line,) = store.usage()
    assert (line.streams, line.completion_tokens) == (80, 80)


def test_an_older_ledger_becomes_a_newer_one(database: str) -> None:
    """A version that this program has not yet is made by it once; the rows stay."""
    with PostgresLedger(database) as store:
        store.write([opened()])
        before = store.rows()
    newer = (*MIGRATIONS, ("ALTER TABLE deltaweir.streams ADD COLUMN more TEXT",))
    with contextlib.closing(connect(database, within_s=20)) as connection:
        for _ in range(2):
            migrate(connection, "it", migrations=newer)
        with pytest.raises(LedgerTooNew) as refused:
            PostgresLedger(database).prepare()
        assert (refused.value.found, refused.value.known) == (len(newer), len(MIGRATIONS))
        known = (len(MIGRATIONS),)
        connection.execute(b"UPDATE deltaweir.ledger_version SET version = %s", known)
    with PostgresLedger(database, read_only=True) as store:
        assert store.rows() == before


def test_who_only_reads_changes_nothing(database: str) -> None:
    """Where there is no ledger that is said; where there is one nothing can be written."""
    with PostgresLedger(database, read_only=True) as store:
        with pytest.raises(LedgerUnavailable, match="there is no ledger"):
            store.usage()
        with pytest.raises(LedgerUnavailable, match="for reading"):
            store.write([opened()])
        assert store.close_dead(NOON) == 0


# What is wrong with a URL


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("open%2Fsesame", "wrong"), "password authentication failed"),
        (("/postgres", "/nothing"), 'database "nothing" does not exist'),
        (("127.0.0.1", NOBODY), "resolve host"),
        (("/postgres", "/postgres?nonsense=open"), "does not know"),
    ],
)
def test_a_mistake_is_said_without_the_password(
    postgres: Postgres, change: tuple[str, str], said: str
) -> None:
    """What only whoever wrote the URL can mend is told apart from a server that is away."""
    url = postgres.url.replace("postgresql://postgres", "postgresql://me").replace(*change)
    url = url.replace("postgresql://me", "postgresql://postgres")
    with pytest.raises(LedgerMisconfigured, match=said) as refused:
        PostgresLedger(url).prepare()
    assert "sesame" not in str(refused.value)
    assert "wrong" not in str(refused.value)


def test_who_may_not_make_tables_is_told(postgres: Postgres, database: str) -> None:
    """A role without the right to a schema of its own is a mistake, until somebody makes one."""
    name = database.rpartition("/")[2]
    postgres.ask("CREATE ROLE poor LOGIN PASSWORD 'poor'")
    url = postgres.url_of(name, user="poor", password="poor")  # noqa: S106  # a test's
    try:
        with pytest.raises(LedgerMisconfigured, match="permission denied"):
            PostgresLedger(url).prepare()
        postgres.ask("CREATE SCHEMA deltaweir AUTHORIZATION poor", database=name)
        with PostgresLedger(url) as store:
            store.write([opened()])
        postgres.ask("DROP OWNED BY poor", database=name)
    finally:
        postgres.ask("DROP ROLE poor")


# The dead


def test_a_dead_writer_s_rows_are_closed(database: str) -> None:
    """Once its lease ran out its open rows end as failed, at their last checkpoint."""
    tally = Tally(completion_tokens=4)
    with (
        PostgresLedger(database, lease_s=LEASE_S) as dies,
        PostgresLedger(database, lease_s=LEASE_S) as lives,
    ):
        dies.write(
            [
                opened("plain", 5.0),
                opened("counted", 6.0),
                Checkpoint(stream_id="counted", at=8.0, tally=tally),
                Attempt(stream_id="counted", number=1, upstream="u", started=6.5),
                Checkpoint(stream_id="unopened", at=9.0, tally=Tally()),
                opened("ended", 6.0),
                closed("ended", ended=9.0),
            ]
        )
        lives.write([opened("mine")])
        assert lives.close_dead(NOON) == 0
        until(lambda: lives.close_dead(NOON) == 3)
        assert lives.close_dead(NOON) == 0
        rows = by_id(lives)
    ended = {name: row.closed.ended for name, row in rows.items() if row.closed}
    assert ended == {"plain": 5.0, "counted": 8.0, "unopened": 9.0, "ended": 9.0}
    counted = rows["counted"]
    assert (counted.presumed, counted.tally, rows["ended"].presumed) == (True, tally, False)
    assert (counted.attempts[0].ending, counted.attempts[0].ended) == ("failed", 8.0)
    assert rows["mine"].closed is None


def test_leaving_with_open_rows_is_dying(database: str) -> None:
    """What was open when a ledger was closed is closed by the next that looks, at once."""
    with PostgresLedger(database) as first:
        first.write([opened()])
    with PostgresLedger(database, lease_s=LEASE_S) as second:
        assert second.close_dead(NOON) == 1


def test_who_was_only_away_comes_back(database: str) -> None:
    """Rows closed meanwhile are open again, with attempts; the end that is told then counts."""
    with (
        PostgresLedger(database, lease_s=LEASE_S) as away,
        PostgresLedger(database, lease_s=LEASE_S) as other,
    ):
        running = Attempt(stream_id="s", number=1, upstream="u", started=NOON)
        away.write([opened(), opened("t"), running])
        until(lambda: other.close_dead(NOON) == 2)
        assert other.rows()[0].presumed
        assert away.close_dead(NOON) == 0  # a sign of life
        rows = by_id(other)
        assert [(row.closed, row.presumed) for row in rows.values()] == [(None, False)] * 2
        assert rows["s"].attempts == (running,)
        until(lambda: other.close_dead(NOON) == 2)
        away.write([closed()])
        row = by_id(other)["s"]
    assert (row.closed, row.presumed) == (closed(), False)


def test_the_rows_of_a_dead_writer_may_be_told_later(database: str) -> None:
    """What it left elsewhere goes to its own rows, whose end is presumed until it is told."""
    with PostgresLedger(database, lease_s=LEASE_S) as heir:
        heir.write([opened(), opened("t"), closed("t")], writer_id="gone")
        assert heir.close_dead(NOON) == 1
        heir.write([closed()], writer_id="gone")
        assert [row.closed for row in heir.rows()] == [closed(), closed("t")]


def test_a_server_that_was_restarted_gives_all_a_lease_s_time(tmp_path: Any) -> None:
    """Nobody could renew while it was away, so nobody is dead for it."""
    with Postgres(tmp_path / "own") as server:
        writer = PostgresLedger(server.url, lease_s=LEASE_S)
        looker = PostgresLedger(server.url, lease_s=60)
        writer.write([opened()])
        with server.gone():
            until(_later(2 * LEASE_S))
        assert looker.close_dead(NOON) == 0
        assert writer.close_dead(NOON) == 0
        writer.write([closed()])  # over a connection that had broken
        (row,) = looker.rows()
        assert (row.closed, row.presumed) == (closed(), False)
        writer.close()
        looker.close()


def _later(seconds: float) -> Callable[[], bool]:
    moment = time.monotonic() + seconds
    return lambda: time.monotonic() > moment


# Away, and slow


def test_a_server_that_is_away_is_not_a_mistake(tmp_path: Any) -> None:
    """Nobody listens: the call fails at once, and is none that waiting cannot mend."""
    with Postgres(tmp_path / "own") as server:
        store = PostgresLedger(server.url)
        with server.gone():
            with pytest.raises(LedgerUnavailable) as refused:
                store.write([opened()])
            assert not isinstance(refused.value, LedgerMisconfigured)
        store.write([opened()])
        assert len(store.rows()) == 1
        store.close()


def test_a_server_that_does_not_answer_is_given_up_in_time(
    postgres: Postgres, database: str
) -> None:
    """A call ends soon after its time, whether it was connected or not; then all goes on."""
    connected = PostgresLedger(database, timeout_s=0.5)
    connected.write([opened()])
    with postgres.frozen():
        for store in (connected, PostgresLedger(database, timeout_s=0.5)):
            began = time.monotonic()
            with pytest.raises(LedgerUnavailable, match=r"answer|timeout"):
                store.write([closed()])
            assert time.monotonic() - began < 4
    connected.write([closed()])
    assert [row.closed for row in connected.rows()] == [closed()]
    connected.close()


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_child_is_a_writer_of_its_own(database: str) -> None:
    """After a fork parent and child each write their rows."""
    store = PostgresLedger(database)
    store.write([opened("before")])
    child = os.fork()
    if child == 0:
        store.write([opened("child")])
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    store.write([opened("after")])
    assert set(by_id(store)) == {"before", "child", "after"}
    store.close()


# Commands


def test_usage_is_told_by_the_command(database: str) -> None:
    """The URL from the command line, or from the environment; without a ledger there it says so."""
    command = [sys.executable, "-m", "deltaweir", "usage", "--json", "--ledger"]

    def told(where: str) -> subprocess.CompletedProcess[str]:
        secret = {**os.environ, "LEDGER_URL": database}
        return subprocess.run(
            [*command, where], capture_output=True, text=True, check=False, env=secret
        )

    nothing = told(database)
    assert (nothing.returncode, "there is no ledger in" in nothing.stderr) == (1, True)
    with PostgresLedger(database) as store:
        store.write([opened(), closed()])
    for where in (database, "env:LEDGER_URL"):
        ended = told(where)
        assert ended.returncode == 0, ended.stderr
        assert json.loads(ended.stdout)["total"]["completion_tokens"] == 9
