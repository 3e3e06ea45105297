"""What the ledger costs: the thread that streams, for each stream and each chunk; and the disk.

Run by ``.venv/bin/python benchmarks/bench_ledger.py``; ``--directory`` says which disk to measure.
Where PostgreSQL is installed, one is started for it, with its settings for tests: no syncs.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import pytest
from benchmarks.measure import closing, heading, ratio, rounds, row
from tests.live.databases import Postgres

from deltaweir.accounts import Attempt, Closed, Opened, Tally
from deltaweir.gateway.config.ledger import LedgerConfig
from deltaweir.gateway.ledger.ledger import Handle, Ledger
from deltaweir.schema.chunk import Choice, Chunk, Delta
from deltaweir.stores.sqlite import SqliteLedger
from deltaweir.weir import Weir

ROUNDS = 15
STREAMS = 2000
RUNNING = 200
CHUNKS = 5_000_000  # about a second, so that checkpoints fall into it
CHUNK_ROUNDS = 7
LIMIT_S = 60.0
USED = Tally(prompt_tokens=39, completion_tokens=24, cost_pico=20_250_000, source="provider")


def opened(ledger: Ledger, name: str) -> Handle:
    """Open one stream, as a gateway does."""
    entry = Opened(stream_id=name, started=time.time(), model="gpt-4o-mini", key_id="k", user="u")
    return ledger.opened(entry, lambda: USED)


def close(handle: Handle) -> None:
    """End one stream."""
    handle.close(
        Closed(
            stream_id=handle.stream_id,
            ended=time.time(),
            tally=USED,
            ending="complete",
            finish_reason="stop",
            first_content_s=0.2,
            total_s=1.5,
        )
    )


def whole(ledger: Ledger, name: str) -> None:
    """Open, attempt and close one stream."""
    handle = opened(ledger, name)
    now = time.time()
    handle.attempt(
        Attempt(
            stream_id=name,
            number=1,
            upstream="openai",
            started=now,
            ended=now,
            tally=USED,
            ending="complete",
        )
    )
    close(handle)


def streams(make: Callable[[], Ledger], of: str) -> None:
    """Measure whole streams: on the thread that streams, and until all rows are on disk."""
    calls: list[float] = []
    rates: list[float] = []
    with make() as ledger:
        for number in rounds(f"whole streams, {of}", ROUNDS):
            began, cpu = time.perf_counter(), time.thread_time()
            for stream in range(STREAMS):
                whole(ledger, f"{number}-{stream}")
            calls.append(1e6 * (time.thread_time() - cpu) / STREAMS)
            assert ledger.flush(LIMIT_S)
            rates.append(STREAMS / (time.perf_counter() - began))
    heading("one stream opened, attempted and closed, CPU of the calling thread", "us")
    row("per stream, its entries made and queued", calls)
    heading("streams a second until all is on disk, each two rows and three entries", "1/s")
    row(f"through Ledger, {of}", rates)


def waiting(make: Callable[[], Ledger], of: str) -> None:
    """Measure the time from opening one stream to its row on disk."""
    times: list[float] = []
    with make() as ledger:
        for number in rounds(f"durable, {of}", 20 * ROUNDS):
            began = time.perf_counter()
            opened(ledger, f"durable-{number}").durable.result(LIMIT_S)
            times.append(1000 * (time.perf_counter() - began))
    heading("from opening a stream to its row on disk, one at a time", "ms")
    row(f"Handle.durable, {of}", times)
    row("its 99th percentile", [statistics.quantiles(times, n=100)[98]])


def fed() -> float:
    """Pass chunks through a weir and return the microseconds of each, waiting included."""
    weir = Weir(Chunk)
    chunk = Chunk(choices=[Choice(index=0, delta=Delta(content=" word"))])
    began = time.perf_counter()
    for _ in range(CHUNKS):
        weir.feed(chunk, 0.0)
    return 1e6 * (time.perf_counter() - began) / CHUNKS


def chunks(path: Path) -> None:
    """Measure chunks beside an idle process, and beside a ledger with running streams."""
    alone: list[float] = []
    beside: list[float] = []
    for number in rounds("chunks", CHUNK_ROUNDS):
        sides: list[Callable[[], None]] = [
            lambda: alone.append(fed()),
            lambda name=f"running-{number}": beside.append(_fed_beside(path, name)),  # type: ignore[misc]
        ]
        for side in sides if number % 2 else reversed(sides):
            side()
    heading(f"one chunk through a weir, wall clock, {RUNNING} streams running beside it", "us")
    row("without a ledger", alone)
    row("with a ledger, checkpoints and all", beside)
    closing("with / without", ratio(beside, alone), "not measurable")


def _fed_beside(path: Path, name: str) -> float:
    with Ledger(SqliteLedger(path)) as ledger:
        handles = [opened(ledger, f"{name}-{number}") for number in range(RUNNING)]
        assert ledger.flush(LIMIT_S)
        taken = fed()
        for handle in handles:
            close(handle)
    return taken


def in_postgres(directory: Path) -> None:
    """Measure whole streams and the wait for a row with a server of one's own."""
    try:
        server = Postgres(directory / "postgres")
    except pytest.skip.Exception as error:
        print(f"PostgreSQL is left out: {error}")
        return
    with server:

        def make() -> Ledger:
            ledger = Ledger.open(LedgerConfig(url=server.url, spool=""))
            assert ledger is not None
            return ledger

        streams(make, "PostgreSQL")
        waiting(make, "PostgreSQL")


def main() -> None:
    """Measure all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--directory", help="where to put the files; default: the system's")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
        streams(lambda: Ledger(SqliteLedger(Path(directory) / "streams.db")), "SQLite")
        waiting(lambda: Ledger(SqliteLedger(Path(directory) / "waiting.db")), "SQLite")
        chunks(Path(directory) / "chunks.db")
        in_postgres(Path(directory))


if __name__ == "__main__":
    main()
