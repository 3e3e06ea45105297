"""What all targets share: an engine that makes inputs, a time budget, and what becomes of a find.

The engine is atheris, guided by coverage, where it can be imported, else Hypothesis, which
mutates the seeds without guidance. A target's module takes seeds and a check; run as a script it
fuzzes, or with a file it checks that one input::

    python fuzz/fuzz_sse.py --seconds 20
    python fuzz/fuzz_sse.py .fuzz/sse-crash-...
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib
import importlib.util
import os
import random
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

FINDS = Path(__file__).parents[1] / ".fuzz"
"""Where inputs that break something are kept."""
MAX_BYTES = 2 * 1024
_EXAMPLES = 500

Check = Callable[[int, bytes], None]
"""Takes a seed for what is left to chance, and an input; raises when something does not hold."""


@contextlib.contextmanager
def instrumented(*packages: str) -> Iterator[None]:
    """Import what is to be fuzzed inside of this, so that atheris sees its branches."""
    if importlib.util.find_spec("atheris") is None:
        yield
        return
    with importlib.import_module("atheris").instrument_imports(include=list(packages)):
        yield


def cuts(data: bytes, seed: int) -> Iterator[tuple[str, list[bytes]]]:
    """Yield the same bytes whole, byte by byte, and cut at random, each with its name."""
    yield "whole", [data]
    yield "byte by byte", [data[at : at + 1] for at in range(len(data))]
    yield "cut at random", cut(data, seed)


def cut(data: bytes, seed: int) -> list[bytes]:
    """Return bytes cut at random."""
    chance = random.Random(seed)  # noqa: S311  # repeatable
    pieces, at = [], 0
    while at < len(data):
        size = chance.choice((1, 2, 3, 7, 40, 300))
        pieces.append(data[at : at + size])
        at += size
    return pieces


def floods(seed: int) -> bool:
    """Tell whether an input is one of the few that are repeated without end, which takes long."""
    return seed % 32 == 1


def kept_bytes(feed: Callable[[], object]) -> int:
    """Return how much memory is still in use after a call that was not before."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        kept = feed()
        after, _ = tracemalloc.get_traced_memory()
        del kept
        return after - before
    finally:
        tracemalloc.stop()


def run(name: str, check: Check, seeds: Sequence[bytes]) -> None:
    """Fuzz for as long as the command line says; exit with 1 after a find.

    Args:
        name: The target's.
        check: What must hold of an input.
        seeds: Good inputs to begin with.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("file", nargs="?", type=Path, help="check this input and nothing else")
    arguments = parser.parse_args()
    if arguments.file is not None:
        _checked(check, arguments.file.read_bytes())
        print(f"fuzz {name}: {arguments.file} holds")
        return
    for seed in seeds:
        check(0, seed)
    FINDS.mkdir(exist_ok=True)
    (FINDS / ".gitignore").write_text("*\n")
    if importlib.util.find_spec("atheris") is None:
        _by_hypothesis(name, check, seeds, arguments.seconds)
    else:
        _by_atheris(name, check, seeds, arguments.seconds)


def _checked(check: Check, data: bytes) -> None:
    """Check an input as the engines have it: two bytes of seed, and the rest."""
    check(int.from_bytes(data[:2], "big"), data[2:])


def _by_atheris(name: str, check: Check, seeds: Sequence[bytes], seconds: int) -> None:
    """Run libFuzzer in a child, since it ends its process by itself."""
    atheris: Any = importlib.import_module("atheris")
    with tempfile.TemporaryDirectory() as corpus:
        for seed in seeds:
            (Path(corpus) / hashlib.sha256(seed).hexdigest()).write_bytes(seed)
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(read)
            options = [f"-max_total_time={seconds}", f"-artifact_prefix={FINDS}/{name}-", corpus]
            _fuzz(atheris, check, options, told=write)
        os.close(write)
        with open(read, "rb") as told:  # noqa: PTH123  # a pipe
            count = len(told.read()) * 256
        _, status = os.waitpid(child, 0)
    _say(name, "atheris", count, seconds, failed=os.waitstatus_to_exitcode(status) != 0)


def _fuzz(atheris: Any, check: Check, options: list[str], *, told: int) -> None:
    count = 0

    def one(data: bytes) -> None:
        nonlocal count
        _checked(check, data)
        count += 1
        if count % 256 == 0:
            os.write(told, b".")

    limits = [f"-max_len={MAX_BYTES}", "-timeout=10", "-rss_limit_mb=1024", "-verbosity=0"]
    atheris.Setup([sys.argv[0], *limits, *options], one)
    atheris.Fuzz()


def _by_hypothesis(name: str, check: Check, seeds: Sequence[bytes], seconds: int) -> None:
    from hypothesis import HealthCheck, Phase, given, seed, settings
    from hypothesis import strategies as st

    edit = st.tuples(st.integers(0, 2**16), st.integers(0, 3), st.binary(max_size=12))
    edited = st.builds(_edited, st.sampled_from(seeds), st.lists(edit, max_size=6))
    inputs = st.builds(bytes.__add__, st.binary(min_size=2, max_size=2), edited)
    count, failing = 0, b""

    def one(data: bytes) -> None:
        nonlocal count, failing
        count += 1
        failing = data
        _checked(check, data)

    quiet = settings(
        max_examples=_EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    ends = time.monotonic() + seconds
    try:
        while time.monotonic() < ends:
            seed(random.getrandbits(64))(quiet(given(inputs)(one)))()
    except BaseException:
        find = FINDS / f"{name}-crash-{hashlib.sha256(failing).hexdigest()[:16]}"
        find.write_bytes(failing)
        _say(name, "Hypothesis", count, seconds, failed=True, last=False)
        raise
    _say(name, "Hypothesis", count, seconds, failed=False)


def _edited(data: bytes, edits: Sequence[tuple[int, int, bytes]]) -> bytes:
    """Return an input with bytes put in, put over others, taken out, and repeated."""
    for where, what, piece in edits:
        at = where % (len(data) + 1)
        if what == 0:
            data = data[:at] + piece + data[at:]
        elif what == 1:
            data = data[:at] + piece + data[at + len(piece) :]
        elif what == 2:
            data = data[:at] + data[at + where % 40 :]
        else:
            data = data[:at] + data[max(0, at - where % 200) : at] + data[at:]
    return data[:MAX_BYTES]


def _say(
    name: str, engine: str, count: int, seconds: int, *, failed: bool, last: bool = True
) -> None:
    found = f"a find, in {FINDS}" if failed else "nothing found"
    print(f"fuzz {name}: {count:,} inputs in {seconds} s by {engine}, {found}", flush=True)
    if failed and last:
        raise SystemExit(1)
