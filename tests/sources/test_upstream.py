"""A provider as a source that pushes, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from deltaweir import errors
from deltaweir.client.attempt import Attempt
from deltaweir.client.exchange import StreamExchange, WholeExchange
from deltaweir.client.provider import outgoing, provider_of
from deltaweir.net.async_pool import AsyncPool
from deltaweir.schema.chunk import Chunk
from deltaweir.schema.reply import Reply
from deltaweir.sources.upstream import UpstreamSource
from deltaweir.testing import (
    Drop,
    Pause,
    Peer,
    Reset,
    Trickle,
    Unreachable,
    chat_events,
    error_answer,
    error_event,
    json_answer,
    stream_answer,
    unused_port,
)
from deltaweir.testing.faults import Step

HELLO = stream_answer(chat_events("Hel", "lo", usage=(3, 2)))
ENOUGH = 24 * 2**20
"""Bytes of a stream that fit into no buffers on its way."""


class Reader:
    """What a source pushes to; remembers what it got."""

    def __init__(self) -> None:
        self.chunks: list[Any] = []
        self.ends: list[errors.DeltaweirError | None] = []
        """How it ended; more than one would be a fault."""
        self.in_call = False
        self.on_chunks: Callable[[], None] = lambda: None
        self._any = asyncio.Event()

    def took(self, chunks: Sequence[Any]) -> None:
        """Take chunks, none of which come behind the end."""
        assert not self.ends
        self.chunks += chunks
        self._any.set()
        self.on_chunks()

    def ended(self) -> None:
        """Take note of the end."""
        self.ends.append(None)
        self._any.set()

    def failed(self, error: errors.DeltaweirError) -> None:
        """Take note of a failure."""
        self.ends.append(error)
        self._any.set()

    @property
    def text(self) -> str:
        """The content of the chunks."""
        return "".join(one.choices[0].delta.content or "" for one in self.chunks if one.choices)

    async def until(self, happened: Callable[[], object]) -> None:
        """Wait until something has come that changes an answer."""
        async with asyncio.timeout(5):
            while not happened():
                self._any.clear()
                await self._any.wait()

    async def end(self) -> errors.DeltaweirError | None:
        """Wait for the end, and return the error that it was."""
        await self.until(lambda: self.ends)
        await asyncio.sleep(0)
        (only,) = self.ends
        return only


class Asked:
    """One request by a source, with what came of it.

    Args:
        base_url: The provider's address.
        pool: Where connections come from.
        whole: Whether the answer comes in one piece.
    """

    def __init__(self, base_url: str, pool: AsyncPool, *, whole: bool = False) -> None:
        provider = provider_of(base_url, api_key="k", retries=0)
        request = outgoing(
            provider, "/chat/completions", request_id="id1", body=b"{}", stream=not whole
        )
        self.exchange: Attempt[Any] = (
            WholeExchange(request, chance=lambda: 1.0, now=time.time)
            if whole
            else StreamExchange(request, Chunk, chance=lambda: 1.0, now=time.time)
        )
        self.reader = Reader()
        self.released = 0
        self.source = UpstreamSource(self.exchange, pool, self.reader, released=self._release)

    def _release(self) -> None:
        self.released += 1


@contextlib.asynccontextmanager
async def pooled() -> AsyncIterator[AsyncPool]:
    """Return a pool, closed in the end."""
    pool = AsyncPool(proxy="")
    try:
        yield pool
    finally:
        pool.close()


async def spun(happened: Callable[[], object]) -> None:
    """Wait until something has happened that tells nobody."""
    async with asyncio.timeout(5):
        while not happened():  # noqa: ASYNC110  # as it says
            await asyncio.sleep(0.002)


async def begun(peer: Peer | str, pool: AsyncPool, **options: Any) -> Asked:
    """Ask."""
    asked = Asked(peer if isinstance(peer, str) else peer.base_url, pool, **options)
    await asked.source.begin(2.0)
    return asked


async def test_chunks_are_pushed_and_the_connection_is_kept() -> None:
    """The reader gets all chunks, then the end; the next request takes the same connection."""
    with Peer(HELLO) as peer:
        async with pooled() as pool:
            for _ in range(2):
                asked = await begun(peer, pool)
                assert await asked.reader.end() is None
                assert asked.reader.text == "Hello"
                assert asked.source.said_done
                assert asked.source.answered
                assert asked.source.usage is not None
                assert asked.source.usage.completion_tokens == 2
                await spun(lambda: pool.idle)  # the body's end may come a moment later
                assert (asked.released, pool.idle) == (1, 1)
                asked.source.close()
                assert (asked.released, pool.idle) == (1, 1)
        assert peer.connections == 1


async def test_a_whole_reply() -> None:
    """An answer in one piece has no chunks; its end says that it is there."""
    with Peer(json_answer({"choices": []})) as peer:
        async with pooled() as pool:
            asked = await begun(peer, pool, whole=True)
            assert await asked.reader.end() is None
            assert isinstance(asked.exchange, WholeExchange)
            assert asked.exchange.reply(Reply).choices == []
            assert (asked.released, pool.idle) == (1, 1)


ROLE = stream_answer(chat_events("a", finish=None, done=False), end=False)
FAULTS: list[tuple[list[Step], type[errors.DeltaweirError]]] = [
    (error_answer(500), errors.InternalServerError),
    (error_answer(400), errors.InvalidRequest),
    ([Drop()], errors.ConnectionFailed),
    ([Reset()], errors.ConnectionFailed),
    ([b"hello?\r\n\r\n"], errors.StreamFailed),
    (stream_answer([error_event("no")]), errors.StreamFailed),
    ([*ROLE, b"zz\r\n", Drop()], errors.StreamFailed),
    ([*ROLE, b"c\r\ndata: oops\n\n\r\n"], errors.StreamFailed),
]


@pytest.mark.parametrize(("steps", "kind"), FAULTS)
async def test_what_fails_is_told_once(steps: list[Step], kind: type[Exception]) -> None:
    """Its connection is closed, and its right to one is given back once."""
    with Peer(steps) as peer:
        async with pooled() as pool:
            asked = await begun(peer, pool)
            assert isinstance(await asked.reader.end(), kind)
            asked.source.close()
            assert (asked.released, pool.idle) == (1, 0)
        assert peer.wait_gone(timeout_s=1)


async def test_no_connection_is_an_error_of_begin() -> None:
    """The reader hears nothing of it."""
    async with pooled() as pool:
        asked = Asked(f"http://127.0.0.1:{unused_port()}/v1", pool)
        with pytest.raises(errors.ConnectionFailed):
            await asked.source.begin(2.0)
        assert (asked.reader.ends, asked.released) == ([], 1)


async def test_closing_while_a_connection_is_made() -> None:
    """The wait ends at once, without an error."""
    with Unreachable() as nobody:
        async with pooled() as pool:
            asked = Asked(nobody.base_url, pool)
            beginning = asyncio.ensure_future(asked.source.begin(30.0))
            await asyncio.sleep(0.01)
            asked.source.close()
            await asyncio.wait_for(beginning, 1)
            assert (asked.reader.ends, asked.released) == ([], 1)


async def test_cancelling_while_a_connection_is_made() -> None:
    """What was taken is given back."""
    with Unreachable() as nobody:
        async with pooled() as pool:
            asked = Asked(nobody.base_url, pool)
            beginning = asyncio.ensure_future(asked.source.begin(30.0))
            await asyncio.sleep(0.01)
            beginning.cancel()
            with pytest.raises(asyncio.CancelledError):
                await beginning
            assert (asked.reader.ends, asked.released) == ([], 1)


@pytest.mark.parametrize("before", [[], ROLE], ids=["no head", "in the stream"])
async def test_closing_a_stream(before: list[Step]) -> None:
    """The provider sees it at once, and the reader hears nothing more."""
    pause = Pause()
    with Peer([*before, pause, *HELLO]) as peer:
        async with pooled() as pool:
            asked = await begun(peer, pool)
            await asyncio.to_thread(pause.reached.wait, 5)
            if before:
                await asked.reader.until(lambda: asked.reader.text == "a")
            asked.source.close()
            asked.source.close()
            assert await asyncio.to_thread(peer.wait_gone, timeout_s=1)
            assert (asked.reader.ends, asked.released, pool.idle) == ([], 1, 0)


async def test_closing_in_the_call_that_brings_a_chunk() -> None:
    """Nothing of what came with it is handed on."""
    with Peer([b"".join(one for one in HELLO if isinstance(one, bytes))]) as peer:
        async with pooled() as pool:
            asked = Asked(peer.base_url, pool)
            asked.reader.on_chunks = asked.source.close
            await asked.source.begin(2.0)
            await asyncio.to_thread(peer.wait_gone, timeout_s=5)
            await asyncio.sleep(0.01)
            assert asked.reader.ends == []
            assert asked.released == 1


async def test_another_reader_takes_over() -> None:
    """What comes from then on goes to it, the end too."""
    pause, parts = Pause(), chat_events("Hel", "lo")
    with Peer(stream_answer([*parts[:2], pause, *parts[2:]])) as peer:
        async with pooled() as pool:
            asked = await begun(peer, pool)
            await asked.reader.until(lambda: asked.reader.text == "Hel")
            asked.source.reader = other = Reader()
            pause.release()
            assert await other.end() is None
            assert (asked.reader.text, other.text, asked.reader.ends) == ("Hel", "lo", [])


async def test_a_pause_holds_the_provider_back() -> None:
    """Little of what it sends is taken, until the source is resumed; then all comes."""
    words = ["word " * 3000] * (ENOUGH // 15_000)
    with Peer(stream_answer(chat_events(*words))) as peer:
        async with pooled() as pool:
            asked = Asked(peer.base_url, pool)
            asked.reader.on_chunks = asked.source.pause
            await asked.source.begin(2.0)
            await asked.reader.until(lambda: asked.reader.chunks)
            last = -1
            while peer.sent_bytes != last:
                last = peer.sent_bytes
                await asyncio.sleep(0.1)
            assert last < ENOUGH * 7 / 8
            assert not asked.reader.ends
            asked.reader.on_chunks = lambda: None
            asked.source.resume()
            assert await asked.reader.end() is None
            assert len(asked.reader.text) == sum(map(len, words))
            await spun(lambda: pool.idle)


async def test_a_pause_before_there_is_a_connection() -> None:
    """It holds once there is one."""
    with Peer(HELLO) as peer:
        async with pooled() as pool:
            asked = Asked(peer.base_url, pool)
            asked.source.pause()
            await asked.source.begin(2.0)
            await asyncio.to_thread(peer.wait_requests, 1)
            await asyncio.sleep(0.02)
            assert asked.reader.chunks == []
            asked.source.resume()
            assert await asked.reader.end() is None


async def test_a_connection_that_was_given_back_is_never_left_paused() -> None:
    """A source that is paused at its end leaves a connection that the next can use."""
    with Peer(HELLO) as peer:
        async with pooled() as pool:
            asked = Asked(peer.base_url, pool)
            asked.reader.on_chunks = lambda: (
                asked.source.pause() if asked.source.said_done else None
            )
            await asked.source.begin(2.0)
            assert await asked.reader.end() is None
            await spun(lambda: pool.idle)
            assert await (await begun(peer, pool)).reader.end() is None
        assert peer.connections == 1


@pytest.mark.parametrize("end", [Drop(), Reset()])
async def test_a_kept_connection_that_ends_under_a_request(end: Step) -> None:
    """The request is sent again on a new one at once; the reader hears nothing of it."""
    with Peer(HELLO, [end], HELLO) as peer:
        async with pooled() as pool:
            await (await begun(peer, pool)).reader.end()
            await spun(lambda: pool.idle)
            asked = await begun(peer, pool)
            assert await asked.reader.end() is None
            assert (asked.reader.text, asked.released) == ("Hello", 1)
        assert (peer.connections, len(peer.requests)) == (2, 3)


async def test_a_kept_connection_that_ends_when_its_peer_has_gone() -> None:
    """Where no new one can be made, that is a failure, told once."""
    async with pooled() as pool:
        with Peer(HELLO, [Pause()]) as peer:
            await (await begun(peer, pool)).reader.end()
            await spun(lambda: pool.idle)
            asked = await begun(peer, pool)
            assert await asyncio.to_thread(peer.wait_requests, 2)
        assert isinstance(await asked.reader.end(), errors.ConnectionFailed)
        assert asked.released == 1


async def test_closing_while_a_request_is_sent_again() -> None:
    """Nothing comes of it."""
    with Peer(HELLO, [Drop()], [Pause()]) as peer:
        async with pooled() as pool:
            await (await begun(peer, pool)).reader.end()
            await spun(lambda: pool.idle)
            asked = await begun(peer, pool)
            await asyncio.to_thread(peer.wait_gone)
            asked.source.close()
            await asyncio.sleep(0.01)
            assert (asked.reader.ends, asked.released) == ([], 1)


async def test_the_end_of_a_body_may_come_later_than_done() -> None:
    """The reader is told at [DONE]; the connection is kept once its body has ended."""
    pause = Pause()
    with Peer([*HELLO[:-1], pause, HELLO[-1]]) as peer:
        async with pooled() as pool:
            asked = await begun(peer, pool)
            assert await asked.reader.end() is None
            asked.source.close()
            assert (asked.released, pool.idle) == (0, 0)
            pause.release()
            await spun(lambda: pool.idle)
            assert asked.released == 1


@pytest.mark.parametrize("after", [[Drop()], [b"zz\r\n"], [Pause()]])
async def test_a_body_that_does_not_end_behind_done(after: list[Step]) -> None:
    """Its connection is closed after a moment; the answer stays whole."""
    with Peer([*HELLO[:-1], *after]) as peer:
        async with pooled() as pool:
            asked = await begun(peer, pool)
            assert await asked.reader.end() is None
            assert await asyncio.to_thread(peer.wait_gone, timeout_s=5)
            await spun(lambda: asked.released)
            assert (asked.released, pool.idle, asked.reader.ends) == (1, 0, [None])


class Shortcut:
    """Takes a connection's bytes where it may, and gives all of them back."""

    def __init__(self, asked: Asked) -> None:
        self.seen: list[bytes] = []
        self._source = asked.source

    def received(self, data: bytes) -> None:
        """Take bytes."""
        self.seen.append(data)
        self._source.received(data)

    def left(self, error: OSError | None) -> None:
        """Take note of the connection's end."""
        self._source.left(error)


@pytest.mark.parametrize("cut", [False, True])
async def test_a_shortcut_gets_what_begins_with_an_event(*, cut: bool) -> None:
    """Once it is there, it has the bytes that an event begins with, and none from within one."""
    parts = [one for one in HELLO if isinstance(one, bytes)]
    pause = Pause()
    rest: list[Step] = [Trickle(one) if cut else one for one in parts[3:]]
    with Peer([*parts[:3], pause, *rest]) as peer:
        async with pooled() as pool:
            asked = Asked(peer.base_url, pool)
            shortcut = Shortcut(asked)
            asked.reader.on_chunks = lambda: setattr(asked.source, "shortcut", shortcut)
            await asked.source.begin(2.0)
            await asked.reader.until(lambda: asked.reader.text == "Hel")
            pause.release()
            assert await asked.reader.end() is None
            assert asked.reader.text == "Hello"
            await spun(lambda: pool.idle)
    begins = [one[:1] for one in parts[3:]] if cut else parts[3:]
    assert shortcut.seen
    assert all(one.startswith(tuple(begins)) for one in shortcut.seen)
    assert len(shortcut.seen) <= len(parts[3:])
