"""A ledger's tables in PostgreSQL, in a schema of their own, and how older ones become newer.

Migrations are only ever added at the end. They run in one transaction, under a lock that all
processes of all machines ask for, so those that start at once migrate once, and a crash leaves a
whole version behind.
"""

from __future__ import annotations

from collections.abc import Sequence

from deltaweir.stores.failures import LedgerTooNew, LedgerUnavailable
from deltaweir.stores.postgres_connection import Timed
from deltaweir.stores.postgres_functions import functions

SCHEMA = "deltaweir"
"""Where all tables are."""

LOCK = 0x64776C67
"""The number of the advisory lock under which migrations run: "dwlg" in ASCII."""

READABLE = 1
"""The oldest version whose streams and attempts are those of the newest."""

_TALLY = """
    prompt_tokens BIGINT, completion_tokens BIGINT, cached_tokens BIGINT,
    reasoning_tokens BIGINT, cost_pico BIGINT, source TEXT, counted_tokens BIGINT"""

# What is told of a stream may come in any order, so only its id is sure to be there. For the
# same reason attempts have no foreign key. Rows change about once a second while a stream runs:
# room on their page keeps that off the indexes.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        f"""CREATE TABLE {SCHEMA}.streams (
    stream_id TEXT NOT NULL PRIMARY KEY, writer TEXT,
    started DOUBLE PRECISION, model TEXT, upstream_model TEXT, key_id TEXT, "user" TEXT,
    tag TEXT, endpoint TEXT, streamed BOOLEAN,
    checkpointed DOUBLE PRECISION, {_TALLY},
    ended DOUBLE PRECISION, ending TEXT, finish_reason TEXT,
    first_content_s DOUBLE PRECISION, total_s DOUBLE PRECISION,
    presumed BOOLEAN NOT NULL DEFAULT FALSE
) WITH (fillfactor = 70)""",
        f"CREATE INDEX streams_by_start ON {SCHEMA}.streams (started)",
        f"CREATE INDEX streams_still_open ON {SCHEMA}.streams (writer) WHERE ended IS NULL",
        f"CREATE INDEX streams_presumed ON {SCHEMA}.streams (writer) WHERE presumed",
        f"""CREATE TABLE {SCHEMA}.attempts (
    stream_id TEXT NOT NULL, number BIGINT NOT NULL, upstream TEXT NOT NULL,
    started DOUBLE PRECISION NOT NULL, ended DOUBLE PRECISION, ending TEXT, {_TALLY},
    presumed BOOLEAN NOT NULL DEFAULT FALSE,
    PRIMARY KEY (stream_id, number)
)""",
        # who writes, and until when they count as alive, by this server's clock
        f"""CREATE TABLE {SCHEMA}.writers (
    writer TEXT NOT NULL PRIMARY KEY, expires TIMESTAMPTZ NOT NULL
)""",
    ),
    # Clients' keys. Whoever knows them by heart asks for `number` only, which is another one
    # after each change of a key, whoever makes it and by whatever program. It is a random one,
    # so that a standby that takes over cannot come by a number that was seen before.
    (
        f"""CREATE TABLE {SCHEMA}.keys (
    key_id TEXT NOT NULL PRIMARY KEY, digest BYTEA NOT NULL, name TEXT NOT NULL,
    terms JSONB NOT NULL, created DOUBLE PRECISION NOT NULL, revoked DOUBLE PRECISION
)""",
        f"CREATE TABLE {SCHEMA}.key_changes (number BIGINT NOT NULL)",
        f"INSERT INTO {SCHEMA}.key_changes VALUES (0)",  # noqa: S608  # a constant
        f"""CREATE FUNCTION {SCHEMA}.key_changed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    UPDATE {SCHEMA}.key_changes SET number = floor(random() * 9007199254740992);
    RETURN NULL;
END $$""",  # noqa: S608  # a constant
        f"""CREATE TRIGGER key_changed AFTER INSERT OR UPDATE OR DELETE ON {SCHEMA}.keys
    FOR EACH ROW EXECUTE FUNCTION {SCHEMA}.key_changed()""",
        # What is spent and held of their budgets, and their rates: small records that are
        # written as a whole, if they are still of the version that was seen. They change with
        # requests: room on their page, and no index on what changes, keep that cheap.
        f"""CREATE TABLE {SCHEMA}.key_books (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY, version TEXT NOT NULL DEFAULT '',
    fields JSONB NOT NULL DEFAULT '{{}}',
    expires TIMESTAMPTZ DEFAULT now() + interval '1 day'
) WITH (fillfactor = 50)""",
        *functions(SCHEMA),
    ),
)
"""The statements that lead from each version to the next, from 0, where nothing is."""

# Not to_regclass: it answers from what a connection remembers, which waiting for an advisory lock
# does not refresh. Reading the catalogue itself does.
_HAS_SCHEMA = b"SELECT FROM pg_catalog.pg_namespace WHERE nspname = %s"
_HAS_VERSION = b"""SELECT FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace
    ON pg_namespace.oid = relnamespace WHERE nspname = %s AND relname = 'ledger_version'"""


def version_of(connection: Timed, name: str, *, known: int = len(MIGRATIONS)) -> int:
    """Return a ledger's schema version, 0 where there is none.

    Args:
        connection: To its database.
        name: What it is called in messages.
        known: The newest version that is known.

    Raises:
        LedgerTooNew: The version is above ``known``.
    """
    if connection.execute(_HAS_VERSION, (SCHEMA,)).fetchone() is None:
        return 0
    row = connection.execute(f"SELECT version FROM {SCHEMA}.ledger_version".encode()).fetchone()  # noqa: S608  # a constant
    found = 0 if row is None else int(row[0])
    if found > known:
        raise LedgerTooNew(
            f"the ledger {name} has schema version {found}, this program knows {known}: a newer "
            "version of the program is needed",
            found=found,
            known=known,
        )
    return found


def migrate(
    connection: Timed, name: str, *, migrations: Sequence[Sequence[str]] = MIGRATIONS
) -> None:
    """Bring a ledger, or an empty database, to the newest version.

    Raises:
        LedgerTooNew: Its version is above the newest.
    """
    newest = len(migrations)
    if version_of(connection, name, known=newest) == newest:
        return
    with connection.transaction():
        connection.execute(b"SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        found = version_of(connection, name, known=newest)
        if found == newest:
            return
        if not found:
            _begin(connection)
        for statement in (one for migration in migrations[found:] for one in migration):
            connection.execute(statement.encode())
        connection.execute(f"UPDATE {SCHEMA}.ledger_version SET version = %s".encode(), (newest,))  # noqa: S608  # a constant


def _begin(connection: Timed) -> None:
    if (
        connection.execute(_HAS_SCHEMA, (SCHEMA,)).fetchone() is None
    ):  # else an administrator has made it, and we need not
        connection.execute(f"CREATE SCHEMA {SCHEMA}".encode())
    connection.execute(f"CREATE TABLE {SCHEMA}.ledger_version (version INTEGER NOT NULL)".encode())
    connection.execute(f"INSERT INTO {SCHEMA}.ledger_version VALUES (0)".encode())  # noqa: S608  # a constant


def check_version(connection: Timed, name: str) -> None:
    """Accept a ledger whose rows can be read as the newest version's, and change nothing.

    Raises:
        LedgerTooNew: Its version is above the newest.
        LedgerUnavailable: It is below `READABLE`, or there is none.
    """
    found = version_of(connection, name)
    if not found:
        raise LedgerUnavailable(f"there is no ledger in {name}; `deltaweir serve` begins one")
    if found < READABLE:
        raise LedgerUnavailable(
            f"the ledger {name} has schema version {found}, wanted is {len(MIGRATIONS)}; opening "
            "it once for writing migrates it"
        )
