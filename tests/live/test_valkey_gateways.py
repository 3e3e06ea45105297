"""Two gateways on one store: one budget, one rate, one revocation, over kills and frosts."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.live.served import Served
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
from tests.live.valkeys import Valkey

from deltaweir.accounts import Row
from deltaweir.stores.valkey import ValkeyLine
from deltaweir.stores.valkey_keys import ValkeyKeys
from deltaweir.stores.valkey_url import address_of

pytestmark = [pytest.mark.live, pytest.mark.timeout(120)]


def pair(folder: Path, server: Valkey, more: str = "") -> Pair:
    """Return two gateways that share a store; ``more`` is what else stands under ``[store]``."""

    def keys() -> contextlib.AbstractContextManager[ValkeyKeys]:
        return ValkeyKeys(ValkeyLine(address_of(server.url)), prefix="deltaweir")

    tables = f'[store]\nurl = "{server.url}"\n{more}\n'
    return Pair(folder, server, tables=tables, place="store", keys=keys)


def rows(pair: Pair) -> list[Row]:
    """Return the row of each gateway's only stream, from its file."""
    return [served.rows(1)[0] for served in pair.gateways]


@pytest.fixture(name="server")
def server_fixture(tmp_path: Path) -> Iterator[Valkey]:
    """Return a server that keeps what it was told."""
    with Valkey(tmp_path / "valkey") as server:
        yield server


@pytest.fixture(name="fast")
def fast_fixture(tmp_path: Path) -> Iterator[Valkey]:
    """Return a server that waits for no disk, as most do."""
    with Valkey(tmp_path / "valkey", append_only=False) as server:
        yield server


def test_a_budget_is_shared_by_fifty_streams(tmp_path: Path, fast: Valkey) -> None:
    """Never above it by more than a delta a stream, and what is booked is what was sent."""
    run(check_a_budget(pair(tmp_path, fast)))


def test_a_key_is_revoked_everywhere(tmp_path: Path, server: Valkey) -> None:
    """Within a second or so it is refused, and its streams end, at both."""
    run(check_a_revocation(pair(tmp_path, server), rows))


def test_a_rate_is_shared(tmp_path: Path, server: Valkey) -> None:
    """What one gateway lets in the other counts, in requests and in tokens."""
    run(check_rates(pair(tmp_path, server)))


@pytest.mark.parametrize("frozen", [True, False])
def test_closed_limits_refuse_while_the_store_is_gone(
    tmp_path: Path, server: Valkey, frozen: bool
) -> None:
    """Streams end when used is what their gateway held, new ones get a 503; then all goes on."""
    run(check_closed(pair(tmp_path, server), frozen=frozen, gauge="deltaweir_store_up"))


@pytest.mark.parametrize("frozen", [True, False])
def test_open_limits_let_pass_while_the_store_is_gone(
    tmp_path: Path, server: Valkey, frozen: bool
) -> None:
    """Streams run to their ends, new ones begin, and all that was used is booked afterwards."""
    run(check_open(pair(tmp_path, server, 'limits = "open"\nstale_s = 60'), frozen=frozen))


def test_nobody_is_let_in_when_keys_are_stale(tmp_path: Path, server: Valkey) -> None:
    """A gateway says so itself, streams run on, and it comes back without a restart."""
    run(check_stale(pair(tmp_path, server, "stale_s = 1"), "the store valkey://127.0.0.1"))


def test_the_command_lists_what_is_in_the_store(tmp_path: Path, server: Valkey) -> None:
    """And says where a key was put."""
    served = Served(tmp_path, f'[server]\nauth = "keys"\n[store]\nurl = "{server.url}"\n')
    key = operate(served, "create", "--name", "alice", "--budget", "400tok")
    (row,) = json.loads(operate(served, "list", "--json"))
    assert (row["id"], row["name"], row["budgets"][0]["limit"]) == (key[3:15], "alice", 400)
    operate(served, "revoke", row["id"])
    assert json.loads(operate(served, "list", "--json"))[0]["state"] == "revoked"
    assert not (tmp_path / "deltaweir.db").exists()
