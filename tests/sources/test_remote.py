"""A provider as a source, over real sockets: one list of cases for both ways of waiting."""

from __future__ import annotations

import asyncio
import gc
import inspect
import threading
import time
import types
from collections.abc import Callable, Coroutine, Generator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from deltaweir import errors
from deltaweir.client.attempt import Attempt
from deltaweir.client.exchange import StreamExchange, WholeExchange
from deltaweir.client.provider import outgoing, provider_of
from deltaweir.net.async_pool import AsyncPool
from deltaweir.net.asynchronous import HIGH_WATER_BYTES
from deltaweir.net.blocking import Pool
from deltaweir.schema.chunk import Chunk
from deltaweir.schema.reply import Reply
from deltaweir.sources.remote import AsyncRemoteSource, RemoteSource
from deltaweir.testing.faults import (
    BOM,
    Drop,
    HalfClose,
    NeverRead,
    Pause,
    Reset,
    Step,
    Trickle,
    Tunnel,
    chat_events,
    crlf,
    error_answer,
    error_event,
    json_answer,
    stream_answer,
)
from deltaweir.testing.peer import Peer
from deltaweir.testing.ports import Unreachable, unused_port
from deltaweir.wire.sse import HEARTBEAT

TLS = Path(__file__).parent.parent / "data" / "tls"
CERTIFICATE = TLS / "localhost.pem"
AUTHORITY = str(TLS / "authority.pem")
AT_ONCE_S = 1.0
"""What counts as at once; far below the clocks that would end the same wait."""

HAPPY = stream_answer(chat_events("Hel", "l\u00f6", usage=(3, 2)))
NOW = {"retry-after": "0"}


class Outcome(NamedTuple):
    """What a reader got of one request."""

    chunks: list[Chunk]
    error: BaseException | None

    @property
    def text(self) -> str:
        """The content of the chunks."""
        return "".join(
            choice.delta.content or "" for chunk in self.chunks for choice in chunk.choices
        )


def stream(peer: Peer | Unreachable | str, *, retries: int = 0, body: bytes = b"{}") -> Any:
    """Return an exchange of a stream."""
    base_url = peer if isinstance(peer, str) else peer.base_url
    provider = provider_of(base_url, api_key="k", retries=retries)
    request = outgoing(provider, "/chat/completions", request_id="id1", body=body, stream=True)
    return StreamExchange(request, Chunk, chance=lambda: 1.0, now=time.time)


async def read_on(source: AsyncRemoteSource[Chunk]) -> None:
    """Read a source to its end."""
    while await source.receive(5) is not None:
        pass


class Reading:
    """A reader in a thread of its own."""

    def __init__(self, run: Callable[[Reading], None]) -> None:
        self.source: RemoteSource[Chunk] | AsyncRemoteSource[Chunk] | None = None
        self.chunks: list[Chunk] = []
        self.error: BaseException | None = None
        self.seconds = 0.0
        self._thread = threading.Thread(target=run, args=(self,))
        self._thread.start()

    def close(self) -> float:
        """Close the source from this thread; return the seconds until its reader was back."""
        began = time.monotonic()
        while self.source is None:
            assert time.monotonic() - began < 5
            time.sleep(0.001)
        self.source.close()
        self._thread.join(15)
        assert not self._thread.is_alive()
        return time.monotonic() - began

    def join(self) -> None:
        """Wait for the reader."""
        self._thread.join(15)
        assert not self._thread.is_alive()

    def wait_chunks(self, count: int) -> None:
        """Wait until so many chunks were read."""
        ends = time.monotonic() + 5
        while len(self.chunks) < count:
            assert time.monotonic() < ends
            time.sleep(0.001)


class Blocking:
    """Read as a program that blocks."""

    def read(
        self,
        *exchanges: Attempt[Chunk],
        timeout_s: float | None = 10.0,
        connect_s: float | None = 5.0,
        **options: Any,
    ) -> list[Outcome]:
        """Read one request after the other by one pool."""
        pool = Pool(**{"proxy": "", **options})
        try:
            return [self._read(one, pool, timeout_s, connect_s) for one in exchanges]
        finally:
            pool.close()

    def reading(self, exchange: Attempt[Chunk], **options: Any) -> Reading:
        """Read one request in a thread."""

        def run(reading: Reading) -> None:
            pool = Pool(**{"proxy": "", **options})
            reading.source = RemoteSource(exchange, pool, connect_s=8.0)
            try:
                while (chunks := reading.source.receive(10.0)) is not None:
                    reading.chunks += chunks
            except Exception as error:  # noqa: BLE001  # the test's thread looks at it
                reading.error = error
            pool.close()

        return Reading(run)

    def _read(
        self, exchange: Attempt[Chunk], pool: Pool, timeout_s: float | None, connect_s: float | None
    ) -> Outcome:
        source = RemoteSource(exchange, pool, connect_s=connect_s)
        found: list[Chunk] = []
        try:
            while (chunks := source.receive(timeout_s)) is not None:
                found += chunks
        except Exception as error:  # noqa: BLE001  # what a reader gets is the outcome
            source.close()
            return Outcome(found, error)
        return Outcome(found, None)


class Awaiting:
    """Read as an asyncio program."""

    def read(
        self,
        *exchanges: Attempt[Chunk],
        timeout_s: float | None = 10.0,
        connect_s: float | None = 5.0,
        **options: Any,
    ) -> list[Outcome]:
        """Read one request after the other by one pool."""

        async def main() -> list[Outcome]:
            pool = AsyncPool(**{"proxy": "", **options})
            try:
                return [await self._read(one, pool, timeout_s, connect_s) for one in exchanges]
            finally:
                pool.close()

        return asyncio.run(main(), debug=True)

    def reading(self, exchange: Attempt[Chunk], **options: Any) -> Reading:
        """Read one request in a thread."""

        async def main(reading: Reading) -> None:
            pool = AsyncPool(**{"proxy": "", **options})
            reading.source = AsyncRemoteSource(exchange, pool, connect_s=8.0)
            try:
                while (chunks := await reading.source.receive(10.0)) is not None:
                    reading.chunks += chunks
            except Exception as error:  # noqa: BLE001  # the test's thread looks at it
                reading.error = error
            pool.close()

        return Reading(lambda reading: asyncio.run(main(reading), debug=True))

    async def _read(
        self,
        exchange: Attempt[Chunk],
        pool: AsyncPool,
        timeout_s: float | None,
        connect_s: float | None,
    ) -> Outcome:
        source = AsyncRemoteSource(exchange, pool, connect_s=connect_s)
        found: list[Chunk] = []
        try:
            while (chunks := await source.receive(timeout_s)) is not None:
                found += chunks
        except Exception as error:  # noqa: BLE001  # what a reader gets is the outcome
            source.close()
            return Outcome(found, error)
        return Outcome(found, None)


Shell = Blocking | Awaiting


@pytest.fixture(params=[Blocking, Awaiting])
def shell(request: pytest.FixtureRequest) -> Shell:
    """Give both ways of waiting, one after the other."""
    made: Shell = request.param()
    return made


@pytest.fixture(autouse=True)
def no_leaks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let leaked sockets fail the test that leaked them, and keep the machine's proxies out."""
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    yield
    gc.collect()


# streams as they are

STREAMS: dict[str, list[Step]] = {
    "chunked": HAPPY,
    "length": stream_answer(chat_events("Hel", "l\u00f6", usage=(3, 2)), framing="length"),
    "until closed": stream_answer(chat_events("Hel", "l\u00f6", usage=(3, 2)), framing="close"),
    "crlf and bom": stream_answer([BOM, *crlf(chat_events("Hel", "l\u00f6", usage=(3, 2)))]),
    "heartbeats": stream_answer([HEARTBEAT, *chat_events("Hel", "l\u00f6", usage=(3, 2))]),
    "byte by byte": stream_answer(
        [
            Trickle(event) if isinstance(event, bytes) else event
            for event in chat_events("Hel", "l\u00f6", usage=(3, 2))
        ]
    ),
    "half closed": [*HAPPY, HalfClose()],
    "dropped at the end": [*HAPPY[:-1], Drop()],
}


@pytest.mark.parametrize("name", sorted(STREAMS))
def test_a_stream_is_read_to_its_end(shell: Shell, name: str) -> None:
    """Every shape of a stream gives the same chunks, and its usage."""
    with Peer(STREAMS[name]) as peer:
        exchange = stream(peer)
        (outcome,) = shell.read(exchange)
    assert outcome.error is None
    assert outcome.text == "Hell\u00f6"
    assert exchange.usage.completion_tokens == 2
    assert exchange.said_done
    (request,) = peer.requests
    assert (request.method, request.target) == ("POST", "/v1/chat/completions")
    assert request.headers["authorization"] == "Bearer k"
    assert request.body == b"{}"


def test_a_source_tells_how_it_stands(shell: Shell) -> None:
    """Usage, the answer's beginning, its id and its end can be read at any time."""
    hold = Pause()
    events = chat_events("a", usage=(1, 1))
    answer = stream_answer([*events[:2], hold, *events[2:]], headers={"x-request-id": "req_9"})
    with Peer(answer) as peer:
        reading = shell.reading(stream(peer))
        reading.wait_chunks(2)
        source = reading.source
        assert source is not None
        assert (source.answered, source.request_id) == (True, "req_9")
        assert (source.usage, source.said_done) == (None, False)
        hold.release()
        reading.join()
        assert source.usage is not None
        assert source.said_done


@pytest.mark.parametrize(
    ("how", "end"), [("drop", [Drop()]), ("reset", [Reset()]), ("half", [HalfClose()])]
)
def test_a_stream_that_is_cut_off_gives_what_came(shell: Shell, how: str, end: list[Step]) -> None:
    """After content nothing is sent again; the chunks are kept, and the end is no ``[DONE]``."""
    hold = Pause()
    events = chat_events("a", finish=None, done=False)
    answer = [*stream_answer([*events, hold], end=False), *end]
    with Peer(answer) as peer:
        exchange = stream(peer, retries=2)
        reading = shell.reading(exchange)
        reading.wait_chunks(2)
        hold.release()
        reading.join()
        assert len(peer.requests) == 1
    assert reading.error is None
    assert len(reading.chunks) == 2
    assert not exchange.said_done


def test_chunks_before_an_error_are_handed_on(shell: Shell) -> None:
    """Chunks that came in the same read as an error event are read before the error."""
    events = b"".join(
        event
        for event in [*chat_events("a", finish=None, done=False), error_event("x", code="c")]
        if isinstance(event, bytes)
    )
    with Peer(stream_answer([events])) as peer:
        (outcome,) = shell.read(stream(peer))
    assert outcome.text == "a"
    assert isinstance(outcome.error, errors.StreamFailed)
    assert outcome.error.code == "c"


def test_a_failed_source_has_ended(shell: Shell) -> None:
    """After its error a source asks nobody again."""
    with Peer(error_answer(400)) as peer:
        exchange = stream(peer)

        async def main() -> None:
            source = AsyncRemoteSource(exchange, AsyncPool(proxy=""), connect_s=5)
            with pytest.raises(errors.InvalidRequest):
                await read_on(source)
            assert await source.receive(5) is None

        if isinstance(shell, Awaiting):
            asyncio.run(main())
        else:
            source = RemoteSource(exchange, Pool(proxy=""), connect_s=5)
            with pytest.raises(errors.InvalidRequest):
                list(iter(lambda: source.receive(5), None))
            assert source.receive(5) is None
        assert len(peer.requests) == 1


def test_a_whole_reply_is_driven_alike(shell: Shell) -> None:
    """An exchange without chunks ends with its answer, tried again where that helps."""
    with Peer(error_answer(503, headers=NOW), json_answer({"id": "a"})) as peer:
        provider = provider_of(peer.base_url, retries=1)
        request = outgoing(provider, "/chat/completions", request_id="r", body=b"{}")
        exchange = WholeExchange(request, chance=lambda: 0.0, now=time.time)
        (outcome,) = shell.read(exchange)
    assert outcome.error is None
    assert exchange.reply(Reply).id == "a"
    assert len(peer.requests) == 2


def test_a_peer_that_half_reads_a_large_request_is_heard(shell: Shell) -> None:
    """A refusal sent before the whole request was read is told as such."""
    with Peer([NeverRead(), *error_answer(413, "too large"), Drop()]) as peer:
        (outcome,) = shell.read(stream(peer, body=b"x" * 3_000_000))
    assert isinstance(outcome.error, errors.InvalidRequest)
    assert outcome.error.status == 413


# attempts


def test_a_request_is_sent_again_with_the_same_bytes(shell: Shell) -> None:
    """Refusals, cut answers and error pages before content are tried again."""
    early = stream_answer(chat_events(finish=None, done=False), end=False)
    with Peer([*early, Drop()], error_answer(429, headers=NOW), HAPPY) as peer:
        (outcome,) = shell.read(stream(peer, retries=2))
    assert outcome.error is None
    assert outcome.text == "Hell\u00f6"
    assert len(outcome.chunks) == 5
    assert len({request.raw for request in peer.requests}) == 1
    assert len(peer.requests) == 3


def test_a_refusal_is_raised_when_retries_are_used_up(shell: Shell) -> None:
    """The last refusal is the error."""
    with Peer(error_answer(500, "a", headers=NOW), error_answer(503, "b", headers=NOW)) as peer:
        (outcome,) = shell.read(stream(peer, retries=1))
    assert isinstance(outcome.error, errors.ServiceUnavailable)
    assert len(peer.requests) == 2


def test_a_pause_is_kept_though_the_reader_looks_in_between(shell: Shell) -> None:
    """A reader whose time runs out during a pause goes on with the rest of it."""
    with Peer(error_answer(429, headers={"retry-after": "0.3"}), HAPPY) as peer:
        exchange = stream(peer, retries=1)
        began = time.monotonic()
        looks = 0

        async def main() -> int:
            pool = AsyncPool(proxy="")
            source = AsyncRemoteSource(exchange, pool, connect_s=5)
            looks, chunks = 0, 0
            while True:
                try:
                    found = await source.receive(0.05)
                except TimeoutError:
                    looks += 1
                    continue
                if found is None:
                    pool.close()
                    assert chunks == 5
                    return looks
                chunks += len(found)

        if isinstance(shell, Awaiting):
            looks = asyncio.run(main())
        else:
            pool = Pool(proxy="")
            source = RemoteSource(exchange, pool, connect_s=5)
            found: list[Chunk] | None = []
            while found is not None:
                try:
                    found = source.receive(0.05)
                except TimeoutError:
                    looks += 1
            pool.close()
        assert 0.3 <= time.monotonic() - began < 0.3 + AT_ONCE_S
        assert looks >= 4


# connections


def test_a_connection_serves_again_after_done(shell: Shell) -> None:
    """Requests one after the other share a connection."""
    with Peer(HAPPY) as peer:
        outcomes = shell.read(stream(peer), stream(peer), stream(peer))
        assert [outcome.text for outcome in outcomes] == ["Hell\u00f6"] * 3
        assert peer.connections == 1
        assert peer.wait_gone()


def test_a_last_byte_that_comes_late_is_waited_for(shell: Shell) -> None:
    """After ``[DONE]`` the end of the body may take a moment; longer, and the way is closed."""
    hold, never = Pause(), Pause()
    late = [*HAPPY[:-1], hold, HAPPY[-1]]
    with Peer(late, [*HAPPY[:-1], never], HAPPY) as peer:

        def soon() -> None:
            hold.reached.wait(5)
            time.sleep(0.01)
            hold.release()

        helper = threading.Thread(target=soon)
        helper.start()
        outcomes = shell.read(stream(peer), stream(peer), stream(peer))
        helper.join()
        assert [outcome.error for outcome in outcomes] == [None] * 3
        assert [request.connection for request in peer.requests] == [0, 0, 1]


@pytest.mark.parametrize("end", [Drop(), Reset()])
def test_a_kept_connection_that_died_is_replaced_unnoticed(shell: Shell, end: Step) -> None:
    """What happens to an idle connection is nobody's fault and costs no retry."""
    with Peer([*HAPPY, end], HAPPY) as peer:
        outcomes = shell.read(stream(peer), stream(peer))
        assert [outcome.text for outcome in outcomes] == ["Hell\u00f6"] * 2
        assert peer.connections == 2


def test_a_kept_connection_that_dies_under_the_request_is_tried_at_once(shell: Shell) -> None:
    """A server that closes as the request arrives did not see it; no retry is counted."""
    with Peer(HAPPY, [Drop()], HAPPY, [Reset()], HAPPY) as peer:
        outcomes = shell.read(stream(peer), stream(peer), stream(peer))
        assert [outcome.text for outcome in outcomes] == ["Hell\u00f6"] * 3
        assert [request.connection for request in peer.requests] == [0, 0, 1, 1, 2]


def test_a_new_connection_that_dies_counts(shell: Shell) -> None:
    """A server that closes a new connection without an answer has failed."""
    with Peer([Drop()]) as peer:
        (outcome,) = shell.read(stream(peer))
        assert len(peer.requests) == 1
    assert isinstance(outcome.error, errors.ConnectionFailed)


def test_answers_that_end_with_their_connection_are_not_kept(shell: Shell) -> None:
    """A connection that the server gives up is not used again."""
    with Peer(stream_answer(chat_events("a"), headers={"connection": "close"})) as peer:
        shell.read(stream(peer), stream(peer))
        assert peer.connections == 2


# closing

HOLD_AT: dict[str, Callable[[Pause], list[Step]]] = {
    "before the head": lambda hold: [hold, *HAPPY],
    "before content": lambda hold: [*HAPPY[:1], hold, *HAPPY[1:]],
    "between chunks": lambda hold: [*HAPPY[:3], hold, *HAPPY[3:]],
}


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("name", sorted(HOLD_AT))
def test_close_from_another_thread_wakes_the_reader(shell: Shell, name: str, secure: bool) -> None:
    """Wherever the reader waits, it is back at once without an error, and the peer sees it."""
    hold = Pause()
    with Peer(HOLD_AT[name](hold), certificate=CERTIFICATE if secure else None) as peer:
        reading = shell.reading(stream(peer, retries=2), ca_file=AUTHORITY)
        assert hold.reached.wait(5)
        assert reading.close() < AT_ONCE_S
        assert peer.wait_gone(timeout_s=AT_ONCE_S)
        assert peer.connections == 1
    assert reading.error is None


def test_close_wakes_a_reader_that_connects(shell: Shell) -> None:
    """A connection that hangs is given up at once."""
    with Unreachable() as nowhere:
        reading = shell.reading(stream(nowhere, retries=2))
        time.sleep(0.05)
        assert reading.close() < AT_ONCE_S
    assert reading.error is None


def test_close_wakes_a_reader_in_the_middle_of_a_handshake(shell: Shell) -> None:
    """A server that accepts and never speaks TLS holds nobody."""
    with Peer([NeverRead()], certificate=CERTIFICATE) as peer:
        reading = shell.reading(stream(peer, retries=2), ca_file=AUTHORITY)
        while peer.connections == 0:
            time.sleep(0.001)
        time.sleep(0.05)
        assert reading.close() < AT_ONCE_S
        assert peer.wait_gone(timeout_s=AT_ONCE_S)
    assert reading.error is None


def test_close_wakes_a_reader_in_a_pause(shell: Shell) -> None:
    """A reader that waits to try again is back at once."""
    with Peer(error_answer(429, headers={"retry-after": "9"})) as peer:
        reading = shell.reading(stream(peer, retries=2))
        assert peer.wait_gone()
        assert reading.close() < AT_ONCE_S
        assert len(peer.requests) == 1
    assert reading.error is None


def test_close_wakes_a_reader_that_sends(shell: Shell) -> None:
    """A peer that never reads a large request holds nobody."""
    with Peer([NeverRead()]) as peer:
        reading = shell.reading(stream(peer, body=b"x" * 20_000_000))
        while peer.connections == 0:
            time.sleep(0.001)
        time.sleep(0.05)
        assert reading.close() < AT_ONCE_S
        assert peer.wait_gone(timeout_s=AT_ONCE_S)
    assert reading.error is None


def test_close_is_idempotent_and_may_come_first(shell: Shell) -> None:
    """A source that is closed before it began asks nobody."""
    with Peer(HAPPY) as peer:
        exchange = stream(peer)

        async def main() -> None:
            source = AsyncRemoteSource(exchange, AsyncPool(proxy=""), connect_s=5)
            source.close()
            source.close()
            assert await source.receive(5) is None

        if isinstance(shell, Awaiting):
            asyncio.run(main())
        else:
            source = RemoteSource(exchange, Pool(proxy=""), connect_s=5)
            source.close()
            source.close()
            assert source.receive(5) is None
        assert peer.requests == []


def test_dropping_a_source_closes_its_connection(shell: Shell) -> None:
    """Nobody needs to close what nobody holds any more."""
    hold = Pause()
    with Peer([*HAPPY[:3], hold]) as peer:
        exchange = stream(peer)

        async def main() -> None:
            pool = AsyncPool(proxy="")
            source = AsyncRemoteSource(exchange, pool, connect_s=5)
            while not await source.receive(5):
                pass
            del source
            gc.collect()
            gone = await asyncio.to_thread(peer.wait_gone, timeout_s=AT_ONCE_S)
            assert gone
            pool.close()

        if isinstance(shell, Awaiting):
            asyncio.run(main(), debug=True)
        else:
            source = RemoteSource(exchange, Pool(proxy=""), connect_s=5)
            while not source.receive(5):
                pass
            del source
            assert peer.wait_gone(timeout_s=AT_ONCE_S)


def test_a_dropped_pool_closes_what_it_keeps(shell: Shell) -> None:
    """Idle connections end with their pool, or with their loop."""
    with Peer(HAPPY) as peer:

        async def main(pool: AsyncPool) -> None:
            await read_on(AsyncRemoteSource(stream(peer), pool, connect_s=5))

        if isinstance(shell, Awaiting):
            kept = AsyncPool(proxy="")
            asyncio.run(main(kept))
            assert peer.wait_gone(0, timeout_s=AT_ONCE_S)
            asyncio.run(main(kept))  # on another loop it begins anew
            assert peer.wait_gone(1, timeout_s=AT_ONCE_S)
        else:
            pool = Pool(proxy="")
            source = RemoteSource(stream(peer), pool, connect_s=5)
            while source.receive(5) is not None:
                pass
            del source, pool
            assert peer.wait_gone(timeout_s=AT_ONCE_S)


async def test_a_loop_that_ends_closes_streams_that_nobody_closed() -> None:
    """A program may leave its streams open at its end; nothing leaks."""
    with Peer([*HAPPY[:3], Pause()]) as peer:
        kept: list[Any] = []

        async def main() -> None:
            kept.append(AsyncRemoteSource(stream(peer), AsyncPool(proxy=""), connect_s=5))
            while not await kept[0].receive(5):
                pass

        await asyncio.to_thread(asyncio.run, main())
        assert await asyncio.to_thread(peer.wait_gone, timeout_s=AT_ONCE_S)
        kept[0].close()


@types.coroutine
def cancelled_at(inner: Coroutine[Any, Any, Any], place: int) -> Generator[Any, Any, bool]:
    """Run a coroutine and cancel it at its n-th wait; tell whether it got that far."""
    resume: Callable[[Any], Any] = inner.send
    value: Any = None
    for wait in range(1, 10_000):
        try:
            future = resume(value)
        except StopIteration:
            return False
        except asyncio.CancelledError:
            task = asyncio.current_task()
            assert task is not None
            task.uncancel()
            return True
        if wait == place:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
        try:
            value = yield future
            resume = inner.send
        except BaseException as error:  # noqa: BLE001  # the coroutine is to see it
            resume, value = inner.throw, error
    raise AssertionError("it never ends")


@pytest.mark.parametrize("way", ["plain", "tls", "proxy"])
async def test_every_wait_may_be_cancelled(way: str) -> None:
    """Wherever a reader is cancelled, its connection is closed and never used again."""
    certificate = None if way == "plain" else CERTIFICATE
    trickled = [*HAPPY[:2], Trickle(b"".join(one for one in HAPPY[2:] if isinstance(one, bytes)))]
    answers = [error_answer(503, headers={"retry-after": "0.01"}), trickled]
    places = 0
    with Peer(*answers * 200, certificate=certificate) as peer, Peer([Tunnel()]) as proxy:
        address = f"http://127.0.0.1:{proxy.port}" if way == "proxy" else ""
        pool = AsyncPool(proxy=address, ca_file=AUTHORITY)

        for place in range(1, 100):
            source = AsyncRemoteSource(stream(peer, retries=9), pool, connect_s=5)
            reading = read_on(source)
            assert inspect.iscoroutine(reading)
            cancelled = await cancelled_at(reading, place)
            source.close()
            if not cancelled:
                break
            places += 1
            for _ in range(3):
                await asyncio.sleep(0)
            assert not any(pool._idle.values())
        pool.close()
        for connection in range(peer.connections):
            gone = await asyncio.to_thread(peer.wait_gone, connection, timeout_s=AT_ONCE_S)
            assert gone, connection
    assert places >= 3


def test_a_cancelled_reader_can_ask_again() -> None:
    """A wait that was cancelled from outside has lost nothing."""
    hold = Pause()
    with Peer([*HAPPY[:3], hold, *HAPPY[3:]]) as peer:

        async def main() -> int:
            pool = AsyncPool(proxy="")
            source = AsyncRemoteSource(stream(peer), pool, connect_s=5)
            count = 0
            while count < 2:
                count += len(await source.receive(5) or ())
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(source.receive(5), 0.02)
            hold.release()
            while (chunks := await source.receive(5)) is not None:
                count += len(chunks)
            pool.close()
            return count

        assert asyncio.run(main(), debug=True) == 5


# clocks


def test_a_peer_that_never_answers_runs_into_the_clock(shell: Shell) -> None:
    """The reader gets its TimeoutError in time, may go on, and closes the connection."""
    for answer in ([NeverRead()], [Pause()], [*HAPPY[:1], Pause()], [*HAPPY[:3], Pause()]):
        with Peer(answer) as peer:
            began = time.monotonic()
            (outcome,) = shell.read(stream(peer, retries=2), timeout_s=0.1)
            assert isinstance(outcome.error, TimeoutError)
            assert 0.1 <= time.monotonic() - began < 0.1 + AT_ONCE_S
            assert peer.wait_gone(timeout_s=AT_ONCE_S)


def test_a_reader_whose_time_ran_out_goes_on(shell: Shell) -> None:
    """What comes after a TimeoutError belongs to the same answer."""
    hold = Pause()
    with Peer([*HAPPY[:3], hold, *HAPPY[3:]]) as peer:
        pool = Pool(proxy="")
        if isinstance(shell, Awaiting):
            return  # the same code path as a cancelled wait
        source = RemoteSource(stream(peer), pool, connect_s=5)
        count = 0
        while count < 2:
            count += len(source.receive(5) or ())
        with pytest.raises(TimeoutError):
            source.receive(0.01)
        with pytest.raises(TimeoutError):
            source.receive(0)
        hold.release()
        while (chunks := source.receive(5)) is not None:
            count += len(chunks)
        pool.close()
        assert count == 5


def test_a_request_that_is_not_taken_runs_into_the_clock(shell: Shell) -> None:
    """A peer that does not read a large request is given up, and asked anew if asked again."""
    with Peer([NeverRead()], HAPPY) as peer:
        (outcome,) = shell.read(stream(peer, body=b"x" * 20_000_000), timeout_s=0.2)
        assert isinstance(outcome.error, TimeoutError)
        assert peer.wait_gone(timeout_s=AT_ONCE_S)


def test_a_connection_that_hangs_is_an_error_in_time(shell: Shell) -> None:
    """The clock for connecting gives a failed connection, which may be tried again."""
    with Unreachable() as nowhere:
        began = time.monotonic()
        (outcome,) = shell.read(stream(nowhere), connect_s=0.1)
        assert 0.1 <= time.monotonic() - began < 0.1 + AT_ONCE_S
    assert isinstance(outcome.error, errors.ConnectionFailed)
    assert "in time" in outcome.error.message


def test_the_readers_own_time_comes_before_that_for_connecting(shell: Shell) -> None:
    """A reader with less time than connecting may take gets its own TimeoutError."""
    with Unreachable() as nowhere:
        (outcome,) = shell.read(stream(nowhere, retries=2), connect_s=9, timeout_s=0.1)
    assert isinstance(outcome.error, TimeoutError)


def test_a_refused_connection_is_an_error(shell: Shell) -> None:
    """Nobody listens: the error names where."""
    port = unused_port()
    (outcome,) = shell.read(stream(f"http://127.0.0.1:{port}"))
    assert isinstance(outcome.error, errors.ConnectionFailed)
    assert f"127.0.0.1:{port}" in outcome.error.message


def test_a_refused_connection_is_tried_again(shell: Shell) -> None:
    """A server that is not up yet may come."""
    began = time.monotonic()
    (outcome,) = shell.read(stream(f"http://127.0.0.1:{unused_port()}", retries=1))
    assert isinstance(outcome.error, errors.ConnectionFailed)
    assert time.monotonic() - began >= 0.37


def test_a_name_that_does_not_exist_is_an_error(shell: Shell) -> None:
    """A name without an address is an error of the network, which tells the name."""
    (outcome,) = shell.read(stream("http://no-such-host.invalid/v1"))
    assert isinstance(outcome.error, errors.ConnectionFailed)
    assert "no-such-host.invalid" in outcome.error.message


@pytest.mark.parametrize("answered", [False, True])
def test_a_network_that_gives_up_is_no_clock(answered: bool) -> None:
    """The system's own ETIMEDOUT is a broken connection, not a reader whose time is up."""
    with Peer([*HAPPY[: 3 if answered else 0], Pause()]) as peer:
        exchange = stream(peer)
        source = RemoteSource(exchange, Pool(proxy=""), connect_s=5)
        source.receive(5)
        while answered and not source.receive(5):
            pass
        error = TimeoutError(110, "Connection timed out")
        if answered:
            assert source._broke(error, fresh=True) == []
            assert source.receive(5) is None
        else:
            with pytest.raises(errors.ConnectionFailed, match="timed out"):
                source._broke(error, fresh=True)
        source.close()


# ways


def test_ipv6_is_a_way_like_any_other(shell: Shell) -> None:
    """An address in brackets is reached, and named in the Host header."""
    with Peer(HAPPY, host="::1") as peer:
        (outcome,) = shell.read(stream(peer))
    assert outcome.text == "Hell\u00f6"
    assert peer.requests[0].headers["host"] == f"[::1]:{peer.port}"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_tls_is_trusted_by_the_file_of_certificates(shell: Shell, host: str) -> None:
    """A server whose authority is in `ca_file` is talked to, by name and by address."""
    with Peer(HAPPY, host="::1" if host == "::1" else "127.0.0.1", certificate=CERTIFICATE) as peer:
        base_url = peer.base_url.replace("127.0.0.1", host)
        outcomes = shell.read(stream(base_url), stream(base_url), ca_file=AUTHORITY)
        assert [outcome.text for outcome in outcomes] == ["Hell\u00f6"] * 2
        assert len({request.connection for request in peer.requests}) == 1


def test_tls_is_refused_without_it_and_not_tried_again(shell: Shell) -> None:
    """The system does not know this authority; the error says what to do."""
    with Peer(HAPPY, certificate=CERTIFICATE) as peer:
        (outcome,) = shell.read(stream(peer, retries=5))
        assert peer.connections == 1
        assert peer.requests == []
    assert isinstance(outcome.error, errors.ConnectionFailed)
    assert "ca_file" in outcome.error.message


def test_tls_of_another_host_is_refused(shell: Shell) -> None:
    """A certificate counts only for the names it has."""
    with Peer(HAPPY, certificate=CERTIFICATE) as peer:
        base_url = peer.base_url.replace("127.0.0.1", "127.0.0.2")
        with Peer([Tunnel()]) as proxy:
            (outcome,) = shell.read(
                stream(base_url), ca_file=AUTHORITY, proxy=f"http://127.0.0.1:{proxy.port}"
            )
    assert isinstance(outcome.error, errors.ConnectionFailed)
    assert peer.requests == []


def test_a_server_without_tls_is_told_from_one_with(shell: Shell) -> None:
    """TLS to a port that speaks plain HTTP is an error, not a crash."""
    with Peer([b"HTTP/1.1 400 No\r\n\r\n", Drop()]) as peer:
        (outcome,) = shell.read(
            stream(peer.base_url.replace("http:", "https:")), ca_file=AUTHORITY, connect_s=0.3
        )
    assert isinstance(outcome.error, errors.ConnectionFailed)


def test_a_proxy_tunnels_tls(shell: Shell) -> None:
    """TLS goes by CONNECT, with the proxy's credentials for the proxy alone."""
    with Peer(HAPPY, certificate=CERTIFICATE) as peer, Peer([Tunnel()]) as proxy:
        outcomes = shell.read(
            stream(peer),
            stream(peer),
            ca_file=AUTHORITY,
            proxy=f"http://me:p%40ss@127.0.0.1:{proxy.port}",
        )
        assert [outcome.text for outcome in outcomes] == ["Hell\u00f6"] * 2
        (asked,) = proxy.requests
        assert (asked.method, asked.target) == ("CONNECT", f"127.0.0.1:{peer.port}")
        assert asked.headers["proxy-authorization"] == "Basic bWU6cEBzcw=="
        assert "proxy-authorization" not in peer.requests[0].headers


def test_a_proxy_gets_plain_requests_with_the_whole_address(shell: Shell) -> None:
    """Plain HTTP by a proxy needs no tunnel: the proxy itself answers, and is kept."""
    with Peer(HAPPY) as proxy:
        outcomes = shell.read(
            stream("http://far.invalid:81/v1"),
            stream("http://far.invalid:81/v1"),
            proxy=f"me:pass@127.0.0.1:{proxy.port}",
        )
        assert [outcome.text for outcome in outcomes] == ["Hell\u00f6"] * 2
        first, second = proxy.requests
        assert first.target == "http://far.invalid:81/v1/chat/completions"
        assert first.headers["host"] == "far.invalid:81"
        assert first.headers["proxy-authorization"] == "Basic bWU6cGFzcw=="
        assert first.headers["authorization"] == "Bearer k"
        assert first.body == b"{}"
        assert first.raw == second.raw
        assert proxy.connections == 1


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (error_answer(407), "407; give its address as"),
        (error_answer(403), "refused a connection to the server with 403"),
        ([Drop()], "the proxy closed"),
        ([b"SSH-2.0\r\n\r\n"], "does not speak HTTP"),
    ],
)
def test_a_proxy_that_opens_no_tunnel_is_told(shell: Shell, answer: list[Step], words: str) -> None:
    """Each way a proxy can fail is an error of the network that names the proxy."""
    with Peer(answer) as proxy:
        (outcome,) = shell.read(
            stream("https://far.invalid/v1"),
            proxy=f"http://127.0.0.1:{proxy.port}",
            ca_file=AUTHORITY,
        )
        assert proxy.wait_gone(timeout_s=AT_ONCE_S)
    assert isinstance(outcome.error, errors.ConnectionFailed)
    assert words in outcome.error.message


def test_a_proxy_that_refuses_is_not_asked_again(shell: Shell) -> None:
    """Wrong credentials stay wrong."""
    with Peer(error_answer(407)) as proxy:
        shell.read(
            stream("https://far.invalid", retries=5),
            proxy=f"http://127.0.0.1:{proxy.port}",
            ca_file=AUTHORITY,
        )
        assert len(proxy.requests) == 1


def test_the_environment_names_proxies_and_what_they_leave_out(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Proxies come from where every program finds them, and are not used where they must not."""
    with Peer(HAPPY) as proxy, Peer(HAPPY) as peer:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        shell.read(stream(peer), proxy=None)
        assert (len(proxy.requests), len(peer.requests)) == (1, 0)
        for exempt in ("127.0.0.1", f"127.0.0.1:{peer.port}", "*"):
            monkeypatch.setenv("no_proxy", exempt)
            shell.read(stream(peer), proxy=None)
        assert (len(proxy.requests), len(peer.requests)) == (1, 3)


# pace


def test_a_slow_reader_pauses_the_peer() -> None:
    """What waits for a slow reader is bounded; the rest waits at the peer."""
    event = chat_events("x" * 60_000)[1]
    assert isinstance(event, bytes)
    begin = chat_events("a", finish=None, done=False)
    with Peer(stream_answer([*begin, *[event] * 1000, *chat_events("b")[2:]])) as peer:

        async def main() -> int:
            pool = AsyncPool(proxy="")
            source = AsyncRemoteSource(stream(peer), pool, connect_s=5)
            count = 0
            while count == 0:
                count = len(await source.receive(5) or ())
            before = -1
            while peer.sent_bytes != before:
                before = peer.sent_bytes
                await asyncio.sleep(0.05)
            assert source._connection is not None
            assert source._connection._waiting_bytes <= 2 * HIGH_WATER_BYTES
            assert before < 40_000_000
            while (chunks := await source.receive(5)) is not None:
                count += len(chunks)
            pool.close()
            return count

        assert asyncio.run(main()) == 1003


def test_single_bytes_are_read_at_speed(shell: Shell) -> None:
    """A peer that sends byte by byte costs time in proportion, not more."""
    events = [Trickle(event) for event in chat_events(*["word "] * 100) if isinstance(event, bytes)]
    began = time.monotonic()
    with Peer(stream_answer(events)) as peer:
        (outcome,) = shell.read(stream(peer))
    assert outcome.text == "word " * 100
    assert time.monotonic() - began < 10


def test_many_readers_share_a_pool() -> None:
    """Threads that read by one pool never get each other's chunks."""
    with Peer(HAPPY) as peer:
        pool = Pool(proxy="")
        found: list[str] = []

        def read() -> None:
            for _ in range(20):
                outcome = Blocking()._read(stream(peer), pool, 10.0, 5.0)
                found.append(outcome.text if outcome.error is None else repr(outcome.error))

        threads = [threading.Thread(target=read) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        pool.close()
        assert found == ["Hell\u00f6"] * 160
        assert peer.connections < 100
