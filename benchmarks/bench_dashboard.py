"""What the dashboard costs a gateway under load: CPU per chunk with nobody, one, and five watching.

Linux only, since the CPU of the gateway's processes is read from /proc.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import uvloop
from benchmarks.between import Between
from benchmarks.crowd import Reader, check
from benchmarks.measure import closing, heading, ratio, rounds, row
from benchmarks.process import Process

HERE = Path(__file__).parent
STREAMS, CONTENTS, PAUSE_MS = 200, 250, 20
OPENED_WITHIN_S = 0.2
SETTLED_S, MEASURED_S = 0.8, 3.5
WATCHING = (0, 1, 5)
BAR = 1.1
"""How much dearer a chunk may be while one watches."""
_REQUEST = b"GET /v1/dashboard HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n\r\n"


class Timed(Reader):
    """One streamed request, whose pieces' times are kept."""

    def __init__(self, contents: int) -> None:
        super().__init__("gpt-4o-mini", contents, PAUSE_MS)
        self.moments: list[float] = []

    def data_received(self, data: bytes) -> None:
        """Keep what comes, and when."""
        self.moments.append(time.perf_counter())
        super().data_received(data)


class Watcher(asyncio.Protocol):
    """One who watches, and counts what comes.

    Attributes:
        snapshots: How many have come.
        size: Bytes of all.
    """

    def __init__(self) -> None:
        self.snapshots = self.size = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask."""
        transport.write(_REQUEST)  # type: ignore[attr-defined]  # it is a whole transport

    def data_received(self, data: bytes) -> None:
        """Count."""
        self.snapshots += data.count(b"event: snapshot")
        self.size += len(data)


async def measured(gateway: Between, watching: int) -> tuple[float, list[float], list[Watcher]]:
    """Return CPU microseconds of a chunk, gaps between a stream's chunks in ms, and who watched."""
    loop = asyncio.get_running_loop()
    watchers, readers, began = list[Watcher](), list[Timed](), loop.time()
    for number in range(STREAMS):
        await asyncio.sleep(max(0.0, began + number * OPENED_WITHIN_S / STREAMS - loop.time()))
        _, one = await loop.create_connection(lambda: Timed(CONTENTS), "127.0.0.1", gateway.port)
        readers.append(one)
    with contextlib.ExitStack() as stack:
        for _ in range(watching):
            transport, watcher = await loop.create_connection(Watcher, "127.0.0.1", gateway.port)
            stack.callback(transport.close)
            watchers.append(watcher)
        await asyncio.sleep(SETTLED_S)
        early, seen = gateway.cpu(), sum(one.events for one in readers)
        since = time.perf_counter()
        await asyncio.sleep(MEASURED_S)
        late, seen = gateway.cpu(), sum(one.events for one in readers) - seen
        until = time.perf_counter()
        await asyncio.gather(*(one.done for one in readers))
    for one in readers:
        check(one, CONTENTS)
        one.transport.close()
    gaps = [
        1000 * (after - before)
        for one in readers
        for before, after in zip(one.moments, one.moments[1:], strict=False)
        if since <= before and after <= until
    ]
    return 1e6 * (late - early) / seen, gaps, watchers


def main() -> None:
    """Measure, who watches changing from run to run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    count = parser.parse_args().rounds
    if sys.platform != "linux":
        print("nothing is measured: this system has no /proc")
        return
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # or idle cores would make waking dear
    costs: dict[int, list[float]] = {watching: [] for watching in WATCHING}
    late: dict[int, list[float]] = {watching: [] for watching in WATCHING}
    size = 0.0
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        pacer = stack.enter_context(Process(sys.executable, str(HERE / "pacer.py")))
        gateway = stack.enter_context(Between("gateway", int(pacer.line()), folder))
        for number in rounds("watched", count + 1):
            for watching in WATCHING if number % 2 else reversed(WATCHING):
                cost, gaps, watchers = uvloop.run(measured(gateway, watching))
                if number:  # the first warms
                    costs[watching].append(cost)
                    late[watching].append(statistics.quantiles(gaps, n=1000)[998])
                for one in watchers:
                    assert one.snapshots > MEASURED_S, one.snapshots
                    size = max(size, one.size / one.snapshots)
    heading(f"{STREAMS} streams, a chunk each {PAUSE_MS} ms", "CPU µs per chunk")
    for watching, values in costs.items():
        row(f"{watching} watch", values)
    heading(f"gaps of {PAUSE_MS} ms, 999 in 1,000 below", "ms")
    for watching, values in late.items():
        row(f"{watching} watch", values)
    print(f"  a snapshot has {size / 1024:.3g} KiB")
    for watching in WATCHING[1:]:
        bar = f"{BAR}" if watching == 1 else "none"
        closing(f"{watching} watch / nobody", ratio(costs[watching], costs[0]), bar)


if __name__ == "__main__":
    main()
