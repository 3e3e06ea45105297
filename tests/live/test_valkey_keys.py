"""Clients' keys in a real store: all that holds for a ledger's file, and what servers do."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.gateway.keys import test_keys as rings
from tests.live.valkeys import Valkey
from tests.stores import test_sqlite_key_leases as lease_files
from tests.stores import test_sqlite_keys as key_files

from deltaweir.allowances import KeyTerms
from deltaweir.errors import InvalidRequest, ServiceUnavailable
from deltaweir.gateway.config.store import STALE_S, StoreConfig
from deltaweir.gateway.keys.keys import KeyRing
from deltaweir.stores.books import KeyStore, LeaseStore
from deltaweir.stores.failures import LedgerBusy, LedgerDamaged, StoreUnavailable, StoreUnsure
from deltaweir.stores.valkey import ALONE_S, Script, ValkeyLine
from deltaweir.stores.valkey_keys import ValkeyKeys
from deltaweir.stores.valkey_leases import ValkeyLeases
from deltaweir.stores.valkey_url import address_of
from deltaweir.testing.ports import unused_port

pytestmark = [pytest.mark.live, pytest.mark.timeout(120)]
Lines = Callable[[], ValkeyLine]
PASSWORD, WRONG = "s/e#c:r@t", "another-one"

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


@pytest.fixture(name="server", scope="module")
def server_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """Return a server for all tests, which keeps what it was told."""
    with Valkey(tmp_path_factory.mktemp("valkey"), password=PASSWORD) as server:
        yield server


@pytest.fixture(name="lines")
def lines_fixture(server: Valkey) -> Iterator[Lines]:
    """Return what connects to the server."""
    with contextlib.ExitStack() as stack:

        def connected() -> ValkeyLine:
            line = ValkeyLine(address_of(server.url))
            stack.callback(line.close)
            return line

        yield connected


@pytest.fixture(name="line")
def line_fixture(lines: Lines) -> ValkeyLine:
    """Return a connection."""
    return lines()


@pytest.fixture(name="store")
def store_fixture(lines: Lines, tmp_path: Path) -> ValkeyKeys:
    """Return an empty store of keys."""
    return ValkeyKeys(lines(), prefix=tmp_path.name)


@pytest.fixture(name="again")
def again_fixture(lines: Lines, tmp_path: Path) -> ValkeyKeys:
    """Return the same store, as another process sees it."""
    return ValkeyKeys(lines(), prefix=tmp_path.name)


@pytest.fixture(name="opened")
def opened_fixture(lines: Lines, tmp_path: Path) -> Callable[[str], LeaseStore]:
    """Return what opens the leases for a holder."""
    return lambda holder: ValkeyLeases(lines(), prefix=tmp_path.name, holder=holder)


@pytest.fixture(name="leases")
def leases_fixture(opened: Callable[[str], LeaseStore]) -> LeaseStore:
    """Return the leases of the same store."""
    return opened("h")


@pytest.fixture(name="world")
def world_fixture(store: KeyStore, again: KeyStore) -> rings.World:
    """Return a ring over an empty store."""
    return rings.World(store, again)


def test_each_change_is_noticed(store: ValkeyKeys, again: ValkeyKeys) -> None:
    """Making and revoking a key show, and revoking it again does not."""
    seen = [store.changes()]
    again.create(key_files.record())
    seen.append(store.changes())
    again.revoke("4f1c09ab27de", key_files.NOON)
    seen.append(store.changes())
    again.revoke("4f1c09ab27de", key_files.NOON)
    assert store.changes() == seen[-1]
    assert len(set(seen)) == len(seen)


def test_a_key_is_made_once(store: ValkeyKeys) -> None:
    """One whose id is taken is refused, and the first stays."""
    store.create(key_files.record())
    with pytest.raises(InvalidRequest, match="4f1c09ab27de"):
        store.create(key_files.record(terms=KeyTerms()))
    assert store.records() == [key_files.record()]


def test_terms_that_cannot_be_read_are_damage(
    store: ValkeyKeys, line: ValkeyLine, tmp_path: Path
) -> None:
    """A key whose limits are not known is not one without limits."""
    store.create(key_files.record())
    line.call("HSET", f"{{{tmp_path.name}}}:keys", "4f1c09ab27de", '{"id": 1}', wait_s=1)
    with pytest.raises(LedgerDamaged, match="4f1c09ab27de"):
        store.records()


def test_keys_outlive_a_server_that_is_killed(
    server: Valkey, store: ValkeyKeys, again: ValkeyKeys
) -> None:
    """What was answered is there again, and keys are looked at anew."""
    store.create(key_files.record())
    before = again.changes()
    with server.gone(), pytest.raises(StoreUnavailable, match="cannot be reached"):
        again.changes()
    assert again.changes() != before
    assert again.records() == [key_files.record()]


@pytest.mark.parametrize("frozen", [True, False])
def test_keys_known_by_heart_stand_for_a_while(
    server: Valkey, world: rings.World, frozen: bool
) -> None:
    """Then nobody is let in, until the server is back."""
    world.make()
    world.ring.poll()
    with server.frozen() if frozen else server.gone():
        with pytest.raises(StoreUnavailable):
            world.ring.poll()
        world.ticks = STALE_S
        assert world.ring.authenticate(rings.sent()).id == rings.ID
        world.ticks = STALE_S + 1
        with pytest.raises(ServiceUnavailable, match="ask again"):
            world.ring.authenticate(rings.sent())
    time.sleep(ALONE_S)
    world.ring.poll()
    assert world.ring.authenticate(rings.sent()).id == rings.ID


def test_who_may_wait_for_a_moment_only(server: Valkey, line: ValkeyLine) -> None:
    """A call takes as long as it is given, and does not connect where that is too short."""
    assert line.call("PING", wait_s=1) == b"PONG"
    with server.frozen():
        began = time.monotonic()
        with pytest.raises(StoreUnsure, match=r"not answered in 0\.02 s"):
            line.call("PING", wait_s=0.02)
        with pytest.raises(StoreUnavailable, match="at the moment"):
            line.call("PING", wait_s=0.02)
        assert time.monotonic() - began < 0.1
    assert line.call("PING", wait_s=1) == b"PONG"


def test_a_server_that_does_not_answer_is_left_alone(server: Valkey, line: ValkeyLine) -> None:
    """Whoever comes after one that had time does not wait as long as that, for a moment."""
    assert line.call("PING", wait_s=1) == b"PONG"
    with server.frozen():
        with pytest.raises(StoreUnsure):
            line.call("PING", wait_s=0.3)
        began = time.monotonic()
        with pytest.raises(StoreUnavailable, match="at the moment"):
            line.call("PING", wait_s=1)
        assert time.monotonic() - began < 0.1
    time.sleep(ALONE_S)
    assert line.call("PING", wait_s=1) == b"PONG"


def test_a_server_that_was_started_again_is_noticed_before(
    server: Valkey, line: ValkeyLine
) -> None:
    """Nothing is sent on a connection that the other side has closed."""
    assert line.call("PING", wait_s=1) == b"PONG"
    with server.gone():
        pass
    assert line.call("PING", wait_s=1) == b"PONG"
    assert line.openings == 2


def test_what_the_server_refuses(line: ValkeyLine, tmp_path: Path) -> None:
    """It is told in its words, and the connection is of use afterwards."""
    name = f"{tmp_path.name}:text"
    line.call("SET", name, "x", wait_s=1)
    with pytest.raises(StoreUnavailable, match="refuses: WRONGTYPE") as refused:
        line.call("HGETALL", name, wait_s=1)
    assert not isinstance(refused.value, StoreUnsure)
    with pytest.raises(StoreUnavailable, match="refuses"):
        line.run(Script("return redis.call('HGETALL', KEYS[1])"), [name], [], wait_s=1)
    assert line.openings == 1


def test_a_script_is_sent_when_the_server_does_not_know_it(line: ValkeyLine) -> None:
    """Also after the server has forgotten all scripts."""
    script = Script("return {KEYS[1], ARGV[1]}")
    for _ in range(2):
        assert line.run(script, ["a"], ["b"], wait_s=1) == [b"a", b"b"]
        line.call("SCRIPT", "FLUSH", wait_s=1)


def test_a_wrong_password_is_not_repeated(server: Valkey) -> None:
    """The error says what the server says."""
    address = address_of(server.url, password=WRONG)
    with contextlib.closing(ValkeyLine(address)) as line:
        with pytest.raises(StoreUnavailable, match=r"cannot be reached: .*password") as refused:
            line.call("PING", wait_s=1)
        assert WRONG not in f"{refused.value!r} {line!r} {address!r}"


def test_a_closed_line_stays_closed(line: ValkeyLine) -> None:
    """Whoever uses it afterwards is told."""
    line.close()
    line.close()
    with pytest.raises(StoreUnavailable, match="was closed"):
        line.call("PING", wait_s=1)


def test_a_line_in_use_is_waited_for(server: Valkey, line: ValkeyLine) -> None:
    """Not for longer than is said."""
    assert line.call("PING", wait_s=1) == b"PONG"
    with line._mine(1), pytest.raises(LedgerBusy, match="another thread"):
        line.call("PING", wait_s=0.01)
    assert server.url


def test_a_socket_of_this_machine(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A server that listens on one is asked through it, with TLS or without a network."""
    folder = tmp_path_factory.mktemp("s")
    path = folder / "s"
    with (
        Valkey(folder, arguments=["--unixsocket", str(path)]),
        contextlib.closing(ValkeyLine(address_of(f"unix://{path}?db=3"))) as line,
    ):
        assert line.call("SET", "a", 1, wait_s=1) == b"OK"
        assert b"db3:keys=1" in line.call("INFO", "keyspace", wait_s=1)


def test_a_ring_is_opened_by_the_configuration(server: Valkey, tmp_path: Path) -> None:
    """With a store the ledger is not asked at all."""
    config = StoreConfig(url=server.url, prefix=tmp_path.name, stale_s=0.001)
    with KeyRing.open("", config) as ring:
        assert ring.poll() == set()
        time.sleep(0.01)
        assert ring.stale
    with pytest.raises(StoreUnavailable):
        KeyRing.open("", StoreConfig(url="valkey://127.0.0.1:1"))


def test_a_fork_is_refused(line: ValkeyLine, monkeypatch: Any) -> None:
    """A connection does not survive one."""
    assert line.call("PING", wait_s=1) == b"PONG"
    monkeypatch.setattr(line, "_process", 0)
    with pytest.raises(StoreUnavailable, match="forked"):
        line.call("PING", wait_s=1)
    line.close()
    monkeypatch.undo()


def test_tls_is_checked(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A server is believed whose certificate is signed as `ca_file` says, for the host's name."""
    folder = tmp_path_factory.mktemp("tls")
    made = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
    made += " -addext subjectAltName=DNS:localhost -keyout key.pem -out ca.pem"
    subprocess.run(made.split(), cwd=folder, check=True, capture_output=True)
    port = unused_port()
    told = ["--tls-port", str(port), "--tls-auth-clients", "no", "--tls-ca-cert-file"]
    told += [str(folder / "ca.pem"), "--tls-cert-file", str(folder / "ca.pem")]
    told += ["--tls-key-file", str(folder / "key.pem")]
    with Valkey(folder, arguments=told):
        ca_file = str(folder / "ca.pem")
        for host, trusted, words in (
            ("localhost", ca_file, None),
            ("localhost", None, "self-signed"),
            ("127.0.0.1", ca_file, "IP address mismatch"),
        ):
            config = StoreConfig(url=f"rediss://{host}:{port}", ca_file=trusted)
            with contextlib.closing(config.line()) as line:
                if words is None:
                    assert line.call("PING", wait_s=5) == b"PONG"
                    continue
                with pytest.raises(StoreUnavailable, match=words):
                    line.call("PING", wait_s=5)
