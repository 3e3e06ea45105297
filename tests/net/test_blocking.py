"""Connections and the pool of programs that block, where a source cannot show it."""

from __future__ import annotations

import gc
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from deltaweir.client.provider import Origin, provider_of
from deltaweir.errors import ConnectionFailed
from deltaweir.net import blocking
from deltaweir.net.blocking import MAX_IDLE, Connection, Pool
from deltaweir.net.route import Route
from deltaweir.testing.faults import Drop, NeverRead, Pause, Step
from deltaweir.testing.peer import Peer
from deltaweir.testing.ports import unused_port

ANSWER: list[Step] = [b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"]
ASK = b"GET / HTTP/1.1\r\n\r\n"


@pytest.fixture(autouse=True)
def _no_leaks() -> Iterator[None]:
    yield
    gc.collect()


def origin_of(peer: Peer) -> Origin:
    """Return a peer's origin."""
    return provider_of(peer.base_url).origin


def opened(pool: Pool, peer: Peer) -> Connection:
    """Return a connection that has served a request."""
    connection = pool.take(origin_of(peer))
    connection.open(5)
    connection.send(ASK, 5)
    assert connection.receive(5) == ANSWER[0]
    return connection


def wait_stale(connection: Connection) -> bool:
    """Wait until a connection is stale."""
    ends = time.monotonic() + 2
    while not connection.stale() and time.monotonic() < ends:
        time.sleep(0.001)
    return connection.stale()


def test_the_freshest_connection_is_taken_first() -> None:
    """Idle ones are used again, the last given first; a fresh one may be asked for."""
    with Peer(ANSWER) as peer:
        pool = Pool(proxy="")
        first, second = opened(pool, peer), opened(pool, peer)
        assert first.fresh
        pool.give(first)
        pool.give(second)
        assert not first.fresh
        assert pool.take(origin_of(peer), fresh=True) not in (first, second)
        assert pool.take(origin_of(peer)) is second
        assert pool.take(origin_of(peer)) is first
        first.close()
        second.close()


@pytest.mark.parametrize("end", [[Drop()], [b"unasked"]])
def test_a_connection_whose_peer_did_something_is_stale(end: list[Step]) -> None:
    """A close or a word while it was idle makes a connection useless."""
    hold = Pause()
    with Peer([*ANSWER, hold, *end]) as peer:
        pool = Pool(proxy="")
        connection = opened(pool, peer)
        connection.idle_since = time.monotonic()
        assert not connection.stale()
        pool.give(connection)
        hold.release()
        assert wait_stale(connection)
        assert pool.take(origin_of(peer)) is not connection


def test_a_connection_gets_stale_with_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was idle too long is not trusted, and goes as others are given back."""
    with Peer(ANSWER) as peer:
        pool = Pool(proxy="")
        old, new = opened(pool, peer), opened(pool, peer)
        pool.give(old)
        monkeypatch.setattr(blocking, "IDLE_S", 0.0)
        pool.give(new)
        assert old.stale()
        assert peer.wait_gone(0)
        monkeypatch.undo()
        assert pool.take(origin_of(peer)) is new
        new.close()
        assert new.stale()


def test_a_pool_keeps_only_so_many() -> None:
    """More idle connections than the limit are closed, the oldest first."""
    with Peer(ANSWER) as peer:
        pool = Pool(proxy="")
        made = [opened(pool, peer) for _ in range(MAX_IDLE + 1)]
        for connection in made:
            pool.give(connection)
        assert peer.wait_gone(0)
        assert not made[1].stale()
        pool.close()
        for number in range(MAX_IDLE + 1):
            assert peer.wait_gone(number)


def test_a_closed_pool_keeps_nothing() -> None:
    """Connections in use are closed when they come back."""
    with Peer(ANSWER) as peer:
        pool = Pool(proxy="")
        connection = opened(pool, peer)
        pool.close()
        pool.give(connection)
        assert peer.wait_gone()


def test_descriptors_beyond_select_are_no_trouble() -> None:
    """A program with more than a thousand open files can reuse connections too."""
    resource = pytest.importorskip("resource")  # of Unix, and so is the trouble
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 1200:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(1400, hard), hard))
    with Peer(ANSWER) as peer:
        pool = Pool(proxy="")
        pool.give(opened(pool, peer))  # so that the peer's own descriptors stay small
        kept = pool.take(origin_of(peer))
        spare = [socket.socket() for _ in range(1050)]
        sock = kept._socket
        assert sock is not None
        high = sock.dup()
        assert high.fileno() > 1023
        kept._socket = high
        assert not kept.stale()
        kept.close()
        for one in (*spare, sock):
            one.close()


def test_a_connection_is_of_no_use_before_it_is_open_and_after_it_is_closed() -> None:
    """Both are errors of the connection; closing twice is none."""
    connection = Connection(Route(Origin("http", "127.0.0.1", unused_port()), None), None)
    with pytest.raises(ConnectionAbortedError):
        connection.send(b"x", 1)
    connection.close()
    connection.close()
    with pytest.raises(ConnectionAbortedError):
        connection.receive(1)
    with pytest.raises(ConnectionFailed):
        connection.open(1)


def test_a_descriptor_is_not_closed_under_a_reader() -> None:
    """`close` wakes a reader; the reader itself lets go, so that no other's bytes are read."""
    with Peer([NeverRead()]) as peer:
        connection = Pool(proxy="").take(origin_of(peer))
        connection.open(5)
        seen: list[bytes | OSError] = []

        def read() -> None:
            try:
                seen.append(connection.receive(5))
            except OSError as error:
                seen.append(error)

        reader = threading.Thread(target=read)
        reader.start()
        while not connection._busy:
            time.sleep(0.001)
        connection.close()
        reader.join(5)
        assert seen == [b""]
        assert connection._socket is not None
        assert connection._socket.fileno() == -1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to a thread")
def test_a_signal_that_interrupts_no_wait_is_seen_all_the_same() -> None:
    """Handled by another thread, or right before the wait, it would be lost until bytes come."""

    def interrupted(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, interrupted)
    with Peer([*ANSWER, Pause()]) as peer:
        connection = opened(Pool(proxy=""), peer)
        # to the thread that waits for this very moment, not to the one that reads
        other = threading.Timer(
            0.1, lambda: signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
        )
        other.start()
        began = time.monotonic()
        try:
            with pytest.raises(KeyboardInterrupt):
                connection.receive(20)
            assert time.monotonic() - began < 10
        finally:
            signal.signal(signal.SIGUSR1, before)
            other.join()
            connection.close()


def test_a_long_time_is_waited_for_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wait is made of several, which end when bytes come or its time has run out."""
    monkeypatch.setattr(blocking, "LOOK_S", 0.01)
    hold = Pause()
    with Peer([*ANSWER, hold, b"more"]) as peer:
        connection = opened(Pool(proxy=""), peer)
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            connection.receive(0.05)
        assert time.monotonic() - began >= 0.05
        threading.Timer(0.05, hold.release).start()
        assert connection.receive(None) == b"more"
        connection.close()


def test_no_time_at_all_is_a_time_that_has_run_out() -> None:
    """Zero seconds to connect or to read are a timeout, not another error."""
    with Peer([NeverRead()]) as peer:
        pool = Pool(proxy="")
        with pytest.raises(ConnectionFailed, match="in time"):
            pool.take(origin_of(peer)).open(0)
        connection = pool.take(origin_of(peer))
        connection.open(None)
        with pytest.raises(TimeoutError):
            connection.receive(0)
        connection.close()


def test_every_address_of_a_name_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second address serves when the first refuses, and no socket is left behind."""
    with Peer(ANSWER) as peer:
        bad = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", unused_port()))
        good = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", peer.port))
        odd = (250, socket.SOCK_STREAM, 6, "", ("127.0.0.1", peer.port))
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [odd, bad, good])
        connection = opened(Pool(proxy=""), peer)
        connection.close()
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [])
        with pytest.raises(ConnectionFailed, match="no address"):
            Pool(proxy="").take(origin_of(peer)).open(1)


FORKED = """
import os, sys
from deltaweir.client.provider import provider_of
from deltaweir.net.blocking import Pool

def opened():
    connection = pool.take(origin)
    connection.open(5)
    assert served(connection)
    return connection

def served(connection):
    connection.send(b"GET / HTTP/1.1\\r\\n\\r\\n", 5)
    return connection.receive(5).startswith(b"HTTP/1.1 200")

pool, origin = Pool(proxy=""), provider_of(sys.argv[1]).origin
idle, used = opened(), opened()
pool.give(idle)
child = os.fork()
if child == 0:
    own = opened()
    pool.give(used)  # whose answer the child has read to its end
    pool.give(own)
    assert pool.take(origin) is own
    idle.close()
    sys.exit(3)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
assert pool.take(origin) is idle and served(idle) and served(used)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_shares_no_connection() -> None:
    """It makes its own, since two readers of one would get each other's answers."""
    with Peer(ANSWER) as peer:
        ended = subprocess.run(
            [sys.executable, "-c", FORKED, peer.base_url],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (ended.returncode, ended.stderr) == (0, "")
        assert peer.connections == 3
