"""The parts of bench_forwarding.py in which processes of their own serve streams; Linux only.

Between a provider that paces its streams (pacer.py) and clients that only read (crowd.py) stands
the gateway, a bare relay, or nginx.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import uvloop
from benchmarks.between import Between, nginx
from benchmarks.crowd import Reader, check, crowd, reader
from benchmarks.measure import closing, heading, ratio, rounds, row
from benchmarks.process import Process

HERE = Path(__file__).parent
STREAMS, CONTENTS, PAUSE_MS = 200, 150, 20
OTHERS = 3
"""Pieces of a stream beside its contents: role, finish, [DONE]."""
CPU_BAR, CPU_GOAL = 2.0, 1.35
FIRST_BARS = {"p50": (0.5, 0.5), "p99": (0.99, 2.0)}
"""Added milliseconds to the first content, by their share."""
CROWD = 500
CROWD_PAUSE_MS = 2_000
IDLE_BAR_KIB = 40
HUNG_UP = 20
HANG_UP_BAR_MS = 50
FLOOD_STREAMS, FLOOD_CONTENTS, FLOOD_AT_ONCE = 300, 500, 16
WORKERS_BAR = 1.8
GUARDED = "the gateway, counted and guarded"
PLAIN = "the gateway, counted"


class Servers(contextlib.ExitStack):
    """The provider, and all that stands before it.

    Attributes:
        ways: Port and model by what is shown for it; that of the provider itself among them.
        between: The server behind a way.
    """

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(self.enter_context(tempfile.TemporaryDirectory()))
        self.pacer = self.enter_context(Process(sys.executable, str(HERE / "pacer.py")))
        self.upstream = int(self.pacer.line())
        self.between: dict[str, Between] = {}
        self.ways: dict[str, tuple[int, str]] = {"the provider itself": (self.upstream, "x")}
        for kind in ("relay", "nginx", "gateway"):
            if kind == "nginx" and nginx() is None:
                print("nginx is not there: nothing is compared with it")
                continue
            one = self.start(kind)
            shown = {"relay": ["a bare relay"], "gateway": [PLAIN, GUARDED]}.get(kind, [kind])
            for name in shown:
                self.between[name] = one
                self.ways[name] = (one.port, "guarded" if name == GUARDED else "gpt-4o-mini")

    def start(self, kind: str, *, workers: int = 1) -> Between:
        """Start one more; it ends with the others."""
        return self.enter_context(Between(kind, self.upstream, self.folder, workers=workers))


def paced(servers: Servers, count: int) -> None:
    """Compare the CPU of a chunk in many streams at a model's pace."""
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in servers.between}
    for number in rounds("paced", count + 1):
        for name in spent if number % 2 else reversed(spent):
            costs = uvloop.run(_paced(servers, name))
            if number:  # the first warms
                spent[name].append(costs)
    for at, what in ((0, "while all run"), (1, "opening and end included")):
        heading(f"{STREAMS} streams, a chunk each {PAUSE_MS} ms, {what}", "CPU µs per chunk")
        values = {name: [pair[at] for pair in pairs] for name, pairs in spent.items()}
        for name, each in values.items():
            row(name, each)
        for floor in ("a bare relay", "nginx"):
            for name in (PLAIN, GUARDED) if floor in values else ():
                bar = f"{CPU_BAR}, goal {CPU_GOAL}" if floor == "nginx" else "none"
                closing(f"{name} / {floor}, {what}", ratio(values[name], values[floor]), bar)


async def _paced(servers: Servers, name: str) -> tuple[float, float]:
    """Return the CPU microseconds of a chunk, while all streams run and over all."""
    (port, model), between = servers.ways[name], servers.between[name]
    told = {"contents": CONTENTS, "pause_ms": PAUSE_MS}
    before = between.cpu()
    readers = await crowd(port, model, streams=STREAMS, within_s=0.2, **told)
    await asyncio.sleep(0.3)
    early, seen = between.cpu(), sum(one.events for one in readers)
    await asyncio.sleep(CONTENTS * PAUSE_MS / 1000 - 0.8)
    late, seen = between.cpu(), sum(one.events for one in readers) - seen
    await asyncio.gather(*(one.done for one in readers))
    _over(readers, CONTENTS)
    whole = (between.cpu() - before) / (STREAMS * (CONTENTS + OTHERS))
    return 1e6 * (late - early) / seen, 1e6 * whole


def first(servers: Servers, count: int) -> None:
    """Compare the time to the first content of requests on kept connections, in turn."""
    waits, cpu = uvloop.run(_first(servers, count))
    heading(f"time to the first content, {count} requests", "ms")
    for name, values in waits.items():
        row(name, values)
    _added(waits)
    for name, spent in cpu.items():
        print(f"  CPU of a request with one content, {name}: {spent:.3g} ms")


async def _first(servers: Servers, count: int) -> tuple[dict[str, list[float]], dict[str, float]]:
    waits: dict[str, list[float]] = {name: [] for name in servers.ways}
    readers = {
        name: await reader(port, model, 1, 1) for name, (port, model) in servers.ways.items()
    }
    await asyncio.gather(*(one.done for one in readers.values()))
    before = {name: one.cpu() for name, one in servers.between.items()}
    for _ in range(count):
        for name, one in readers.items():
            one.again()
            await one.done
            waits[name].append(_waited_ms(one))
    _over(readers.values(), 1)
    serving = [*servers.between.values()]  # the gateway twice, once for each of its models
    cpu = {
        name: 1000 * (one.cpu() - before[name]) / (count * serving.count(one))
        for name, one in servers.between.items()
    }
    return waits, cpu


def opening(servers: Servers) -> None:
    """Open many streams in one second: time to the first content, and memory while they wait."""
    waits: dict[str, list[float]] = {}
    sizes: dict[str, float] = {}
    for kind in ("the provider itself", "a bare relay", "nginx", PLAIN, GUARDED):
        if kind not in servers.ways:
            continue
        port, model = servers.ways[kind]
        fresh = None
        if kind in {PLAIN, GUARDED}:  # memory that was used before is used again
            fresh = servers.start("gateway")
            port = fresh.port
        waits[kind], size = uvloop.run(_opening(port, model, fresh))
        if fresh is not None:
            sizes[kind] = size
    heading(f"time to the first content, {CROWD} streams opened in a second", "ms")
    for name, values in waits.items():
        row(name, values)
    _added(waits)
    heading(f"memory of an idle stream, {CROWD} at once", "KiB")
    for name, size in sizes.items():
        row(name, [size])
        closing(f"{name} / {IDLE_BAR_KIB} KiB", size / IDLE_BAR_KIB, "1")


async def _opening(port: int, model: str, fresh: Between | None) -> tuple[list[float], float]:
    told = {"contents": 2, "pause_ms": CROWD_PAUSE_MS}
    warm = await crowd(port, model, streams=20, contents=2, pause_ms=20, within_s=0.1)
    await asyncio.gather(*(one.done for one in warm))
    _over(warm, 2)
    before = 0 if fresh is None else fresh.memory()
    readers = await crowd(port, model, streams=CROWD, within_s=1.0, **told)
    await asyncio.sleep(0.5)
    size = 0.0 if fresh is None else (fresh.memory() - before) / CROWD / 1024
    await asyncio.gather(*(one.done for one in readers))
    _over(readers, 2)
    return [_waited_ms(one) for one in readers], size


def hang_ups(servers: Servers) -> None:
    """Hang up on streams, and ask the provider when it was told."""
    for pause_ms, what in ((20, "while they speak"), (60_000, "while they are silent")):
        waits = {name: uvloop.run(_hung_up(servers, name, pause_ms)) for name in servers.between}
        heading(f"from a hang-up until the provider sees it, {what}", "ms")
        for name, values in waits.items():
            row(name, values)
        worst = max(waits[PLAIN] + waits[GUARDED])
        closing(f"slowest of the gateway / {HANG_UP_BAR_MS} ms", worst / HANG_UP_BAR_MS, "1")


async def _hung_up(servers: Servers, name: str, pause_ms: int) -> list[float]:
    port, model = servers.ways[name]
    servers.pacer.ask("")
    readers = await crowd(
        port, model, streams=HUNG_UP, contents=1_000, pause_ms=pause_ms, within_s=0.1
    )
    while any(one.first is None for one in readers):  # noqa: ASYNC110  # nothing tells
        await asyncio.sleep(0.01)
    waits = []
    for one in readers:
        began = time.monotonic()
        one.transport.abort()
        one.done.add_done_callback(asyncio.Future.exception)
        left: list[float] = []
        while not left:
            await asyncio.sleep(0.001)
            left = json.loads(servers.pacer.ask(""))["left"]
            assert time.monotonic() < began + 10, "the provider was not told"
        waits.append(max(0.0, 1000 * (left[0] - began)))
    return waits


def workers(servers: Servers, count: int) -> None:
    """Compare how many streams one worker and two carry, bound by the processor."""
    if (os.cpu_count() or 1) < 2:
        print("\none core: two workers are not compared with one")
        return
    gateways = {number: servers.start("gateway", workers=number) for number in (1, 2)}
    rates: dict[int, list[float]] = {number: [] for number in gateways}
    costs: dict[int, list[float]] = {number: [] for number in gateways}
    for number in rounds("workers", count + 1):
        for which, one in gateways.items():
            before = one.cpu()
            rate = uvloop.run(_flood(one.port, FLOOD_STREAMS))
            if number:  # the first warms
                rates[which].append(rate)
                costs[which].append(1000 * (one.cpu() - before) / FLOOD_STREAMS)
    for what, figures in (("streams a second", rates), ("CPU ms a stream", costs)):
        heading(f"guarded streams of {FLOOD_CONTENTS} chunks that come at once", what)
        for which, values in figures.items():
            row(f"{which} worker{'s' * (which > 1)}", values)
    closing("two workers / one, streams a second", ratio(rates[2], rates[1]), str(WORKERS_BAR))
    closing("two workers / one, CPU a stream", ratio(costs[2], costs[1]), "none")


async def _flood(port: int, streams: int) -> float:
    left = iter(range(streams))
    readers: list[Reader] = []

    async def one_by_one() -> None:
        for _ in left:
            one = await reader(port, "guarded", FLOOD_CONTENTS, 0)
            await one.done
            one.transport.close()
            readers.append(one)

    began = time.perf_counter()
    await asyncio.gather(*(one_by_one() for _ in range(FLOOD_AT_ONCE)))
    rate = streams / (time.perf_counter() - began)
    for each in readers:
        check(each, FLOOD_CONTENTS)
    return rate


def _over(readers: Iterable[Reader], contents: int) -> None:
    for one in readers:
        check(one, contents)
        one.transport.close()


def _waited_ms(one: Reader) -> float:
    assert one.first is not None
    return 1000 * (one.first - one.began)


def _added(waits: dict[str, list[float]]) -> None:
    direct = waits["the provider itself"]
    for name in (PLAIN, GUARDED):
        for label, (share, bar) in FIRST_BARS.items():
            added = _quantile(waits[name], share) - _quantile(direct, share)
            print(f"  {label} added by {name}: {added:.3g} ms")
            closing(f"added / {bar:g} ms, {label}", added / bar, "1")


def _quantile(values: list[float], share: float) -> float:
    return statistics.quantiles(values, n=1000, method="inclusive")[round(share * 1000) - 1]
