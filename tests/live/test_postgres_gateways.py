"""Two gateways with keys in one database: one budget, one rate, one revocation, over kills."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.live.databases import Postgres
from tests.live.served import Served, until
from tests.live.sharing import (
    Pair,
    check_a_budget,
    check_a_revocation,
    check_closed,
    check_open,
    check_rates,
    check_stale,
    run,
)
from tests.live.test_gateway_budgets import operate

from deltaweir.accounts import Row
from deltaweir.stores.postgres import PostgresLedger
from deltaweir.stores.postgres_keys import PostgresKeys
from deltaweir.stores.postgres_line import PostgresLine

pytestmark = [
    pytest.mark.live,
    pytest.mark.timeout(180),
    pytest.mark.skipif(sys.platform == "win32", reason="freezes and kills by signals"),
]


def pair(folder: Path, server: Postgres, more: str = "", **options: Any) -> Pair:
    """Return two gateways that share a database; ``more`` stands under ``[store]``."""

    def keys() -> contextlib.AbstractContextManager[PostgresKeys]:
        return PostgresKeys(PostgresLine(server.url))

    tables = f'[ledger]\nurl = "{server.url}"\n[store]\n{more}\n'
    return Pair(folder, server, tables=tables, place="keys", keys=keys, **options)


@pytest.fixture(name="server")
def server_fixture(tmp_path: Path) -> Iterator[Postgres]:
    """Return a server that keeps what it was told."""
    with Postgres(tmp_path / "postgres") as server:
        yield server


@pytest.mark.parametrize("workers", [1, 2])
def test_a_budget_is_shared_by_fifty_streams(
    tmp_path: Path, server: Postgres, workers: int
) -> None:
    """Never above it by more than a delta a stream, and what is booked is what was sent."""
    run(check_a_budget(pair(tmp_path, server, workers=workers)))


def test_a_key_is_revoked_everywhere(tmp_path: Path, server: Postgres) -> None:
    """Within a second or so it is refused, and its streams end, at both."""

    def rows(_pair: Pair) -> list[Row]:
        with PostgresLedger(server.url, read_only=True) as ledger:
            return ledger.rows()

    run(check_a_revocation(pair(tmp_path, server), rows))


def test_a_rate_is_shared(tmp_path: Path, server: Postgres) -> None:
    """What one gateway lets in the other counts, in requests and in tokens."""
    run(check_rates(pair(tmp_path, server)))


@pytest.mark.parametrize("frozen", [True, False])
def test_closed_limits_refuse_while_the_database_is_gone(
    tmp_path: Path, server: Postgres, frozen: bool
) -> None:
    """Streams end when used is what their gateway held, new ones get a 503; then all goes on."""
    run(check_closed(pair(tmp_path, server), frozen=frozen, gauge="deltaweir_ledger_up"))


@pytest.mark.parametrize("frozen", [True, False])
def test_open_limits_let_pass_while_the_database_is_gone(
    tmp_path: Path, server: Postgres, frozen: bool
) -> None:
    """Streams run to their ends, new ones begin, and all that was used is booked afterwards."""
    run(check_open(pair(tmp_path, server, 'limits = "open"\nstale_s = 60'), frozen=frozen))


def test_nobody_is_let_in_when_keys_are_stale(tmp_path: Path, server: Postgres) -> None:
    """A gateway says so itself, streams run on, and it comes back without a restart."""
    run(check_stale(pair(tmp_path, server, "stale_s = 1"), "the ledger postgresql://127.0.0.1"))


def command(served: Served, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one of our commands with a gateway's configuration."""
    return subprocess.run(
        [sys.executable, "-m", "deltaweir", *arguments, "--config", served.config],
        capture_output=True,
        text=True,
        check=False,
        cwd=served.folder,
    )


def test_the_command_lists_what_is_in_the_database(tmp_path: Path, server: Postgres) -> None:
    """And says where a key was put, never with the password."""
    served = Served(tmp_path, f'[server]\nauth = "keys"\n[ledger]\nurl = "{server.url}"\n')
    nothing = command(served, "keys", "list")
    assert (nothing.returncode, "there is no ledger in postgresql://" in nothing.stderr) == (
        1,
        True,
    )
    made = command(served, "keys", "create", "--name", "alice", "--budget", "400tok")
    key = made.stdout.strip()
    assert f"in the ledger postgresql://127.0.0.1:{server.port}/postgres" in made.stderr
    (row,) = json.loads(operate(served, "list", "--json"))
    assert (row["id"], row["name"], row["budgets"][0]["limit"]) == (key[3:15], "alice", 400)
    operate(served, "revoke", row["id"])
    assert json.loads(operate(served, "list", "--json"))[0]["state"] == "revoked"
    assert not (tmp_path / "deltaweir.db").exists()
    checked = command(served, "serve", "--check")
    assert f"shared in postgresql://127.0.0.1:{server.port}/postgres" in checked.stdout
    with server.gone():
        away = command(served, "serve", "--check")
        refused = command(served, "keys", "list")
    assert (away.returncode, "would not start" in away.stderr) == (0, True)
    assert refused.returncode == 1
    told = [nothing, made, checked, away, refused]
    assert "sesame" not in "".join(one.stdout + one.stderr for one in told)


def test_a_gateway_that_finds_no_keys_ends(tmp_path: Path, server: Postgres) -> None:
    """It says what is wrong, once the database is there it starts, and reports names of keys."""
    served = Served(tmp_path, f'[server]\nauth = "keys"\n[ledger]\nurl = "{server.url}"\n')
    with server.gone():
        ended = command(served, "serve", "--port", "0")
        assert ended.returncode == 1
        assert "cannot be used now" in ended.stderr
        assert "sesame" not in ended.stderr
    key = operate(served, "create", "--name", "alice")
    with served:
        asked = served.ask({"model": "smollm2", "messages": []}, key=key)
        assert asked.status in {400, 404}
        until(lambda: served.ask(path="/readyz").json["keys"]["status"] == "up")
