"""What keys cost a request and a running stream: knowing who asks, being let in, getting more.

Run by ``.venv/bin/python benchmarks/bench_keys.py``; ``--directory`` says which disk to measure.
Where PostgreSQL, Valkey or Redis are installed, one of each is started for it, with its settings
for tests: no syncs.
"""

from __future__ import annotations

import argparse
import contextlib
import secrets
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import pytest
from benchmarks.measure import heading, rounds, row
from tests.live.databases import Postgres
from tests.live.valkeys import Valkey

from deltaweir.accounts import Opened, Tally
from deltaweir.allowances import KeyRecord, KeyTerms, digest_of, quotas_of
from deltaweir.gateway.config.store import StoreConfig
from deltaweir.gateway.keys.keys import Key, KeyRing
from deltaweir.gateway.keys.limits import Limits
from deltaweir.gateway.ledger.ledger import Ledger
from deltaweir.stores.sqlite import SqliteLedger
from deltaweir.stores.sqlite_keys import SqliteKeys

ROUNDS = 15
KEYS = 1000
CALLS = 2000
PLENTY = "1000000000tok"
SCARCE = "30000tok"  # a block of it is the smallest there is


def each(call: Callable[[int], object], calls: int = CALLS) -> float:
    """Return the microseconds of one call, waiting included."""
    began = time.perf_counter()
    for number in range(calls):
        call(number)
    return 1e6 * (time.perf_counter() - began) / calls


def ring(path: Path) -> None:
    """Measure who asks, and how it is known that nothing has changed."""
    store = SqliteKeys(path)
    sent = []
    for _ in rounds("keys made", KEYS):
        key_id = secrets.token_hex(6)
        key = f"dw-{key_id}-{secrets.token_urlsafe(32)}".encode()
        sent.append([(b"host", b"x"), (b"authorization", b"Bearer " + key)])
        terms = KeyTerms(rpm=60, quotas=quotas_of(["400tok/day"]))
        store.create(
            KeyRecord(id=key_id, digest=digest_of(key), name="n", terms=terms, created=time.time())
        )
    known, idle, changed = list[float](), list[float](), list[float]()
    with KeyRing(store) as keys:
        for number in rounds("keys", ROUNDS):
            known.append(each(lambda call: keys.authenticate(sent[call % (KEYS - ROUNDS)])))
            idle.append(each(lambda _: keys.poll()))
            store.revoke(sent[-1 - number][1][1][10:22].decode(), time.time())
            changed.append(each(lambda _: keys.poll(), calls=1))
    heading(f"one call, {KEYS} keys", "us")
    row("KeyRing.authenticate", known)
    row("KeyRing.poll, nothing has changed", idle)
    row("KeyRing.poll, a key has changed", changed)


def stream(limits: Limits, key: Key) -> None:
    """Admit a stream and end it."""
    limits.admit(key, stream_id="s", prompt_tokens=39, prompt_pico=0).close(
        prompt_tokens=39, completion_tokens=24, cost_pico=0
    )


def admitting(url: str, name: str, store: StoreConfig = StoreConfig()) -> None:
    """Measure whole streams, as the thread that asks sees them."""
    kinds = {
        "no limits": KeyTerms(),
        "a budget, far from its end": KeyTerms(quotas=quotas_of([PLENTY])),
        "a budget near its end": KeyTerms(quotas=quotas_of([SCARCE])),
        "60 million requests a minute": KeyTerms(rpm=60_000_000),
        "both rates, three budgets": KeyTerms(
            rpm=60_000_000,
            tpm=10**12,
            quotas=quotas_of([PLENTY, PLENTY + "/day", PLENTY + "/month"]),
        ),
    }
    times: dict[str, list[float]] = {kind: [] for kind in kinds}
    with Limits.open(url, store) as limits:
        for number in rounds("admitting", ROUNDS):
            for kind, terms in kinds.items():
                key = Key(id=f"{number}-{kind}-{name}", name="n", terms=terms)
                few = store.shared or "sqlite" not in url
                calls = 200 if few or (terms.quotas and terms.quotas[0].amount < 10**6) else CALLS
                times[kind].append(each(lambda _, key=key: stream(limits, key), calls))  # type: ignore[misc]
    heading(f"a stream admitted and ended, {name}", "us")
    for kind, taken in times.items():
        row(kind, taken)


def grown(limits: Limits, key: Key, step: int) -> float:
    """Return the microseconds in which a stream gets more, once it has used a step of tokens."""
    allowance = limits.admit(key, stream_id="s", prompt_tokens=39, prompt_pico=0)
    taken = each(lambda call: allowance.more(step * call, None), calls=500)
    allowance.close(prompt_tokens=39, completion_tokens=500 * step, cost_pico=0)
    return taken


def growing(path: Path) -> None:
    """Measure how a running stream gets more."""
    plenty, scarce = list[float](), list[float]()
    with Limits.open(f"sqlite:///{path}") as limits:
        for number in rounds("growing", ROUNDS):
            for budget, taken, step in ((PLENTY, plenty, 4096), (SCARCE, scarce, 32)):
                key = Key(
                    id=f"{number}-{budget}", name="n", terms=KeyTerms(quotas=quotas_of([budget]))
                )
                taken.append(grown(limits, key, step))
    heading("one Allowance.more, with all before it used", "us")
    row("far from the end, 4,096 tokens each", plenty)
    row("near the end, 32 tokens each", scarce)


def beside_a_ledger(path: Path) -> None:
    """Measure admission while the ledger writes rows to the same file as fast as it can."""
    over = threading.Event()

    def write(ledger: Ledger) -> None:
        number = 0
        while not over.wait(0.002):
            number += 1
            entry = Opened(stream_id=f"s{number}", started=time.time(), model="m")
            ledger.opened(entry, Tally).durable.result(60)

    with Ledger(SqliteLedger(path)) as ledger:
        thread = threading.Thread(target=write, args=(ledger,))
        thread.start()
        try:
            admitting(f"sqlite:///{path}", "beside a ledger that commits all the time")
        finally:
            over.set()
            thread.join()


@contextlib.contextmanager
def started(folder: Path) -> Iterator[list[tuple[str, str, StoreConfig]]]:
    """Start the servers that this machine has; yield how each is opened, and what it is called."""
    found = list[tuple[str, str, StoreConfig]]()
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(pytest.skip.Exception):
            database = stack.enter_context(Postgres(folder / "postgres"))
            found.append((database.url, "in PostgreSQL", StoreConfig()))
        with contextlib.suppress(pytest.skip.Exception):
            server = stack.enter_context(Valkey(folder / "valkey", append_only=False))
            found.append(("", "in Valkey or Redis", StoreConfig(url=server.url)))
        yield found


def main() -> None:
    """Measure all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--directory", help="where to put the files; default: the system's")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
        ring(Path(directory) / "keys.db")
        admitting(f"sqlite:///{directory}/alone.db", "alone")
        growing(Path(directory) / "growing.db")
        beside_a_ledger(Path(directory) / "beside.db")
        with started(Path(directory)) as servers:
            for url, name, store in servers:
                admitting(url, name, store)


if __name__ == "__main__":
    main()
