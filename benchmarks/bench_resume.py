"""What it costs that streams can be resumed: a chunk, a reader's return, a crowd at one stream."""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import uvloop

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.crowd import Reader, crowd
from benchmarks.forwarded import Forwarded, pieces
from benchmarks.guard_texts import TEXTS
from benchmarks.measure import closing, heading, ratio, rounds, row
from benchmarks.served_streams import PLAIN, Servers

from deltaweir.gateway.streams.mirror import Mirror
from deltaweir.gateway.streams.publication import Owner, Publication
from deltaweir.gateway.streams.streams import Stream
from deltaweir.journal import Journal
from deltaweir.stores.failures import StoreUnavailable
from deltaweir.stores.valkey import ValkeyLine
from deltaweir.stores.valkey_journals import ValkeyJournals
from deltaweir.stores.valkey_url import address_of

WARM_PIECES = 4_000
STREAMS, NEW_FRAMES = 200, 3
"""What one batch for the store has: streams, and frames of each."""
MEMORY_BAR_US, STORE_BAR_US = 1.0, 3.0
RETURN_BAR_MS = 5.0
READERS, CONTENTS, PAUSE_MS = 1_000, 30, 200
KEPT = 400
"""Contents of the stream that readers come back to."""
SERVERS = ("valkey-server", "redis-server")


def chunk(count: int) -> None:
    """Measure what a journal in memory adds to a chunk, without sockets."""
    asyncio.run(_chunk(count))


async def _chunk(count: int) -> None:
    warming, texts = TEXTS["prose"](0)
    names = {
        (guard, straight): _name(guard=guard, straight=straight)
        for guard in (False, True)
        for straight in (True, False)
    }
    streams: dict[tuple[str, bool], tuple[Forwarded, list[bytes]]] = {}
    for (guard, straight), name in names.items():
        for journal in (False, True):
            one = Forwarded(guard=guard, straight=straight, journal=journal)
            await one.warm(pieces(warming[:WARM_PIECES]))
            streams[name, journal] = one, pieces(texts)
    spent: dict[tuple[str, bool], list[float]] = {key: [] for key in streams}
    for _ in rounds("one chunk", count):
        for key, (one, ready) in streams.items():
            began = time.perf_counter()
            one.feed(ready)
            spent[key].append(1e6 * (time.perf_counter() - began) / len(ready))
            one.run.tidy()
    heading("one chunk, without sockets", "µs")
    for (name, journal), values in spent.items():
        row(name + ", kept" * journal, values)
    first: list[float] = []
    for name in names.values():
        added = [
            kept - plain for kept, plain in zip(spent[name, True], spent[name, False], strict=True)
        ]
        row(f"added by the journal: {name}", added)
        first = first or added
    closing(f"median added, straight / {MEMORY_BAR_US} µs", statistics.median(first), "1")


def _name(*, guard: bool, straight: bool) -> str:
    return ("straight" if straight else "the long way") + ", guarded" * guard


def store(count: int) -> None:
    """Measure what it adds to a chunk that it is written to a store, batched."""
    program = next(filter(None, map(shutil.which, SERVERS)), None)
    if program is None:
        print(f"none of {', '.join(SERVERS)} is there: nothing is written")
        return
    with _server(program) as port:
        lines = [ValkeyLine(address_of(f"valkey://127.0.0.1:{port}/0")) for _ in range(2)]
        journals = ValkeyJournals(*lines, prefix="b", gateway="g", ttl_s=60)
        while not _reached(journals):
            time.sleep(0.05)
        spent = asyncio.run(_written(journals, count))
        journals.close()
    heading(
        f"written to {Path(program).name}, {STREAMS} streams with {NEW_FRAMES} new frames",
        "CPU µs per chunk",
    )
    row("batch, script and answer", spent)
    closing(f"median / {STORE_BAR_US} µs", sorted(spent)[len(spent) // 2] / STORE_BAR_US, "1")


async def _written(journals: ValkeyJournals, count: int) -> list[float]:
    mirror = Mirror("g", ttl_s=60, most_bytes=2**28)
    publications = [
        Publication(f"stm_{number:032x}", Owner(), Journal()) for number in range(STREAMS)
    ]
    for one in publications:
        mirror.began(Stream(one.stream_id, Owner(), cast("Any", one), one))
    _, texts = TEXTS["prose"](0)
    frames = [piece[piece.index(b"\n") + 1 : -2] for piece in pieces(texts[:NEW_FRAMES])]
    spent = []
    for number in rounds("batches", count * 20 + 1):
        for one in publications:
            one.frames(frames)
        began = time.process_time()
        batch = mirror.batch()
        mirror.learned(batch, journals.publish(batch))
        if number:  # the first tells more
            spent.append(1e6 * (time.process_time() - began) / (STREAMS * NEW_FRAMES))
    return spent


def _reached(journals: ValkeyJournals) -> bool:
    try:
        journals.renew()
    except StoreUnavailable:
        return False
    return True


@contextmanager
def _server(program: str) -> Iterator[int]:
    with socket.socket() as one, tempfile.TemporaryDirectory() as folder:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
        one.close()
        command = [
            program,
            "--port",
            str(port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--dir",
            folder,
        ]
        process = subprocess.Popen(  # noqa: S603  # as written above
            command, stdout=subprocess.DEVNULL
        )
        try:
            yield port
        finally:
            process.terminate()
            process.wait()


def resume(servers: Servers, count: int) -> None:
    """Measure how long a reader waits who comes back, for its first event."""
    port, model = servers.ways[PLAIN]
    stream = uvloop.run(_kept(port, model))
    waits = {
        f"behind event {after}": [_returned_ms(port, stream, after) for _ in range(20 * count)]
        for after in (0, KEPT // 2, KEPT)
    }
    heading("from connecting to the first event, a stream kept in memory", "ms")
    for name, values in waits.items():
        row(name, values)
    slowest = max(sorted(values)[int(0.99 * len(values))] for values in waits.values())
    closing(f"p99 of the slowest / {RETURN_BAR_MS} ms", slowest / RETURN_BAR_MS, "1")


async def _kept(port: int, model: str) -> str:
    one = await _resumable(port, model, KEPT, 0)
    await one.done
    return _stream_id(one)


def _returned_ms(port: int, stream: str, after: int) -> float:
    request = _reading(stream, after)
    began = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port)) as line:
        line.sendall(request)
        got = b""
        while b"\nid: " not in got:
            got += line.recv(65536)
    return 1000 * (time.perf_counter() - began)


def readers(servers: Servers, count: int) -> None:
    """Compare a chunk to each of many readers of one stream with as many streams through nginx."""
    spent: dict[str, list[float]] = {}
    for number in rounds(f"{READERS} readers", count + 1):
        for name, run in (
            ("one stream, many readers", _many),
            ("nginx, as many streams", _proxied),
        ):
            if name.startswith("nginx") and "nginx" not in servers.ways:
                continue
            cost = uvloop.run(run(servers))
            if number:
                spent.setdefault(name, []).append(cost)
    heading(f"{READERS} readers, a chunk each {PAUSE_MS} ms", "CPU µs per reader and chunk")
    for name, values in spent.items():
        row(name, values)
    if len(spent) > 1:
        ours, theirs = spent.values()
        closing("one stream, many readers / nginx", ratio(ours, theirs), "none")


async def _many(servers: Servers) -> float:
    port, model = servers.ways[PLAIN]
    between = servers.between[PLAIN]
    first = await _resumable(port, model, CONTENTS, PAUSE_MS)
    while first.first is None:  # noqa: ASYNC110  # nothing tells
        await asyncio.sleep(0.01)
    stream = _stream_id(first)
    loop = asyncio.get_running_loop()
    found = [first]
    for _ in range(READERS - 1):
        _, one = await loop.create_connection(
            lambda: _Asking(_reading(stream, 0)), "127.0.0.1", port
        )
        found.append(one)
    return await _cost(between.cpu, found)


async def _proxied(servers: Servers) -> float:
    port, model = servers.ways["nginx"]
    told = {"contents": CONTENTS, "pause_ms": PAUSE_MS}
    found = await crowd(port, model, streams=READERS, within_s=1.0, **told)
    return await _cost(servers.between["nginx"].cpu, found)


async def _cost(cpu: Callable[[], float], found: list[Reader]) -> float:
    """Return the CPU microseconds of an event for one reader, from when all read."""
    await asyncio.sleep(0.5)
    before, seen = cpu(), sum(one.events for one in found)
    await asyncio.sleep(3.0)
    after, seen = cpu(), sum(one.events for one in found) - seen
    await asyncio.gather(*(one.done for one in found))
    for one in found:
        one.transport.close()
    return 1e6 * (after - before) / seen


class _Asking(Reader):
    """A reader whose request is another."""

    def __init__(self, asked: bytes) -> None:
        super().__init__("x", 1, 1)
        self._request = asked


async def _resumable(port: int, model: str, contents: int, pause_ms: int) -> Reader:
    messages = [{"role": "user", "content": f"{contents} {pause_ms}"}]
    body = {"model": model, "messages": messages, "stream": True, "deltaweir": {"resume": True}}
    raw = json.dumps(body).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n"
    _, one = await asyncio.get_running_loop().create_connection(
        lambda: _Asking(head % len(raw) + raw), "127.0.0.1", port
    )
    return one


def _reading(stream: str, after: int) -> bytes:
    path = f"/v1/streams/{stream}?starting_after={after}"
    return f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()


def _stream_id(one: Reader) -> str:
    head = one.body().partition(b"\r\n\r\n")[0]
    return head.partition(b"x-deltaweir-stream-id: ")[2].partition(b"\r\n")[0].decode()


def main() -> None:
    """Run all of it, or what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parts = ("chunk", "store", "resume", "readers")
    parser.add_argument("--only", nargs="*", choices=parts, default=parts)
    asked = parser.parse_args()
    if "chunk" in asked.only:
        chunk(asked.rounds)
    if "store" in asked.only:
        store(asked.rounds)
    if {"resume", "readers"} & {*asked.only}:
        with Servers() as servers:
            if "resume" in asked.only:
                resume(servers, asked.rounds)
            if "readers" in asked.only:
                readers(servers, asked.rounds)


if __name__ == "__main__":
    main()
