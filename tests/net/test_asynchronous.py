"""Connections and the pool of asyncio programs, where a source cannot show it."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Callable

import pytest

from deltaweir.client.provider import Origin, provider_of
from deltaweir.errors import ConnectionFailed
from deltaweir.net import blocking
from deltaweir.net.async_pool import AsyncPool
from deltaweir.net.asynchronous import Connection
from deltaweir.net.blocking import MAX_IDLE
from deltaweir.net.route import Route
from deltaweir.testing.faults import Drop, NeverRead, Pause, Reset, Step
from deltaweir.testing.peer import Peer
from deltaweir.testing.ports import unused_port

ANSWER: list[Step] = [b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"]
ASK = b"GET / HTTP/1.1\r\n\r\n"


@pytest.fixture(autouse=True)
async def _no_leaks() -> AsyncIterator[None]:
    yield
    await asyncio.sleep(0.001)
    gc.collect()


def origin_of(peer: Peer) -> Origin:
    """Return a peer's origin."""
    return provider_of(peer.base_url).origin


async def opened(pool: AsyncPool, peer: Peer) -> Connection:
    """Return a connection that has served a request."""
    connection = pool.take(origin_of(peer))
    await connection.open(pool.tls(origin_of(peer)), 5)
    await connection.send(ASK)
    assert await connection.receive(5) == ANSWER[0]
    return connection


async def waited(happened: Callable[[], object]) -> None:
    """Let the loop run until something has happened."""
    ends = time.monotonic() + 2
    while not happened():
        assert time.monotonic() < ends
        await asyncio.sleep(0.001)


async def gone(peer: Peer, connection: int = 0) -> bool:
    """Tell whether a peer sees a connection end."""
    return await asyncio.to_thread(peer.wait_gone, connection)


async def test_the_freshest_connection_is_taken_first() -> None:
    """Idle ones are used again, the last given first; a fresh one may be asked for."""
    with Peer(ANSWER) as peer:
        pool = AsyncPool(proxy="")
        first, second = await opened(pool, peer), await opened(pool, peer)
        pool.give(first)
        pool.give(second)
        assert pool.take(origin_of(peer), fresh=True) not in (first, second)
        assert pool.take(origin_of(peer)) is second
        assert pool.take(origin_of(peer)) is first
        first.close()
        second.close()


@pytest.mark.parametrize("end", [[Drop()], [b"unasked"]])
async def test_a_connection_whose_peer_did_something_is_stale(end: list[Step]) -> None:
    """A close or a word while it was idle makes a connection useless."""
    hold = Pause()
    with Peer([*ANSWER, hold, *end]) as peer:
        pool = AsyncPool(proxy="")
        connection = await opened(pool, peer)
        pool.give(connection)
        assert not connection.stale()
        hold.release()
        await waited(connection.stale)
        assert pool.take(origin_of(peer)) is not connection


async def test_a_connection_gets_stale_with_time() -> None:
    """What was idle too long is not trusted."""
    with Peer(ANSWER) as peer:
        pool = AsyncPool(proxy="")
        connection = await opened(pool, peer)
        pool.give(connection)
        connection.idle_since -= blocking.IDLE_S + 1
        assert pool.take(origin_of(peer)) is not connection
        assert await gone(peer)


async def test_a_pool_keeps_only_so_many() -> None:
    """More idle connections than the limit are closed, the oldest first; in the end all are."""
    with Peer(ANSWER) as peer:
        pool = AsyncPool(proxy="")
        made = [await opened(pool, peer) for _ in range(MAX_IDLE + 1)]
        for connection in made:
            pool.give(connection)
        assert await gone(peer, 0)
        assert not made[1].stale()
        pool.close()
        for number in range(MAX_IDLE + 1):
            assert await gone(peer, number)


async def test_a_closed_pool_keeps_nothing() -> None:
    """Connections in use are closed when they come back."""
    with Peer(ANSWER) as peer:
        pool = AsyncPool(proxy="")
        connection = await opened(pool, peer)
        pool.close()
        pool.give(connection)
        assert await gone(peer)


async def test_a_connection_is_of_no_use_before_it_is_open_and_after_it_is_closed() -> None:
    """Both are errors of the connection; closing twice is none, and opening comes too late."""
    with Peer(ANSWER) as peer:
        connection = Connection(Route(origin_of(peer), None))
        with pytest.raises(ConnectionResetError):
            await connection.send(b"x")
        connection.close()
        connection.close()
        with pytest.raises(ConnectionAbortedError):
            await connection.receive(1)
        await connection.open(None, 5)
        with pytest.raises(ConnectionAbortedError):
            await connection.send(b"x")
        assert await gone(peer)


async def test_bytes_that_wait_are_gone_with_the_connection() -> None:
    """A reader who has closed gets nothing more."""
    with Peer([NeverRead(), b"abc"]) as peer:
        connection = Connection(Route(origin_of(peer), None))
        await connection.open(None, 5)
        await waited(lambda: connection._pieces)
        connection.close()
        with pytest.raises(ConnectionAbortedError):
            await connection.receive(1)


async def test_a_reset_comes_after_the_bytes_before_it() -> None:
    """What arrived is read first, then the error; sending says the same."""
    hold = Pause()
    with Peer([NeverRead(), b"abc", hold, Reset()]) as peer:
        connection = Connection(Route(origin_of(peer), None))
        await connection.open(None, 5)
        await waited(lambda: connection._pieces)
        hold.release()
        await waited(lambda: connection._ended)
        assert await connection.receive(1) == b"abc"
        with pytest.raises(ConnectionResetError):
            await connection.receive(1)
        with pytest.raises(ConnectionResetError):
            await connection.send(b"x")


async def test_errors_of_a_transport_are_errors_of_the_connection() -> None:
    """Whatever a transport fails with, readers get an OSError."""
    connection = Connection(Route(Origin("http", "h", 80), None))
    connection.connection_lost(RuntimeError("odd"))
    with pytest.raises(ConnectionResetError, match="RuntimeError"):
        await connection.receive(1)


async def test_a_sender_waits_for_a_slow_peer_and_goes_with_the_connection() -> None:
    """More than the system takes at once waits, until the connection is closed."""
    with Peer([NeverRead()]) as peer:
        connection = Connection(Route(origin_of(peer), None))
        await connection.open(None, 5)
        sending = asyncio.create_task(connection.send(b"x" * 20_000_000))
        await asyncio.sleep(0.01)
        assert not sending.done()
        connection.close()
        await asyncio.wait_for(sending, 1)
        assert await gone(peer)


async def test_close_wins_over_a_time_that_is_up() -> None:
    """Closing a connection whose opening fails at the same moment is no error."""
    connection = Connection(Route(Origin("http", "127.0.0.1", unused_port()), None))
    opening = asyncio.create_task(connection.open(None, 0))
    await asyncio.sleep(0)
    connection.close()
    connection.close()
    with pytest.raises(ConnectionFailed):
        await opening


def test_a_pool_on_another_loop_begins_anew() -> None:
    """Connections of a loop that has ended are never used on the next one."""
    with Peer(ANSWER) as peer:
        pool = AsyncPool(proxy="")

        async def main() -> None:
            pool.give(await opened(pool, peer))

        asyncio.run(main(), debug=True)
        asyncio.run(main(), debug=True)
        assert peer.connections == 2
        assert peer.wait_gone(0)
        assert peer.wait_gone(1)
        gc.collect()


async def test_a_dropped_pool_closes_what_it_keeps() -> None:
    """Idle connections end with their pool though the loop goes on."""
    with Peer(ANSWER) as peer:
        pool = AsyncPool(proxy="")
        pool.give(await opened(pool, peer))
        del pool
        gc.collect()
        assert await gone(peer)


async def test_certificates_are_loaded_once_and_only_for_tls() -> None:
    """Plain HTTP needs none."""
    pool = AsyncPool(proxy="")
    secure = Origin("https", "h", 443)
    assert pool.tls(Origin("http", "h", 80)) is None
    assert pool.tls(secure) is pool.tls(secure) is not None
