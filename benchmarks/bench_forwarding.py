"""What a forwarded chunk costs: step by step, layer by layer, and beside nginx and a bare relay."""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import uvloop

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.forwarded import Forwarded, pieces
from benchmarks.guard_texts import TEXTS
from benchmarks.layers import WAYS, Layer, close, kernel
from benchmarks.measure import closing, heading, ratio, rounds, row
from benchmarks.served_streams import Servers, first, hang_ups, opening, paced, workers
from benchmarks.straight_steps import Steps, memory

WARM_PIECES = 4_000
SIZED = 200
"""Streams whose memory is looked at."""
LAYER_STREAMS, LAYER_WARM, LAYER_TURNS = 200, 60, 20
KINDS = {"known": "", "filled": ", varying filling", "unknown": ", new fields"}
"""Of chunks, and what is shown for them."""


def steps(count: int) -> None:
    """Measure chunks without sockets: the straight way and the long one."""
    asyncio.run(_steps(count))


async def _steps(count: int) -> None:
    warming, texts = TEXTS["prose"](0)
    streams: dict[str, tuple[Forwarded, list[bytes]]] = {}
    choices = itertools.product(KINDS, (False, True), (False, True), (True, False))
    for kind, guard, budget, straight in choices:
        one = Forwarded(guard=guard, budget=budget, straight=straight)
        await one.warm(pieces(warming[:WARM_PIECES], kind))
        name = "straight" if straight else "the long way"
        name += ", guarded" * guard + ", budget" * budget + KINDS[kind]
        streams[name] = one, pieces(texts, kind)
    spent: dict[str, list[float]] = {name: [] for name in streams}
    for _ in rounds("one chunk", count):
        for name, (one, ready) in streams.items():
            began = time.perf_counter()
            one.feed(ready)
            spent[name].append(1e6 * (time.perf_counter() - began) / len(ready))
            one.run.tidy()
    heading("one chunk, without sockets", "µs")
    for name, values in spent.items():
        row(name, values)
    for what in ("", ", guarded"):
        ratio_of_ways = ratio(spent[f"the long way{what}"], spent[f"straight{what}"])
        closing(f"long / straight{what}", ratio_of_ways, "none")


def single(count: int) -> None:
    """Measure each step of the straight way by itself, and the memory of what takes it."""
    warming, texts = TEXTS["Python's manual"](0)
    one = Steps(warming[:WARM_PIECES], texts)
    spent: dict[str, list[float]] = {}
    for _ in rounds("single steps", count):
        for name, seconds in one.spent().items():
            spent.setdefault(name, []).append(1e6 * seconds)
    heading("a step of the straight way", "µs per chunk")
    for name, values in spent.items():
        row(name, values)
    heading("Python's memory of a run with weir and source", "KiB")
    for name, size in asyncio.run(memory(warming, SIZED)).items():
        row(name, [size / 1024])


def layers(count: int) -> None:
    """Measure a chunk's way with sockets, in this process: each layer with all below it."""
    warming, texts = TEXTS["Python's manual"](0)
    ready, warm = pieces(texts), pieces(warming[:LAYER_WARM])
    loop = uvloop.new_event_loop()
    made = {name: Layer(loop, name, LAYER_STREAMS, warm) for name in WAYS}
    spent: dict[str, list[float]] = {}
    all_ = range(LAYER_STREAMS)
    for number in rounds("layers", count):
        for name, seconds in kernel(LAYER_STREAMS, ready[0]).items():
            spent.setdefault(f"{name} alone", []).append(1e6 * seconds)
        for name, one in made.items():
            data = [
                [ready[(7 * stream + number * LAYER_TURNS + turn) % len(ready)] for stream in all_]
                for turn in range(LAYER_TURNS)
            ]
            spent.setdefault(name, []).append(1e6 * one.spent(data))
    for one in made.values():
        close(one.channels)
    loop.run_until_complete(asyncio.sleep(0.1))
    heading(f"one chunk of {LAYER_STREAMS} streams in turn, on uvloop", "µs")
    for name, values in spent.items():
        row(name, values)
    for name in ("and counted", "and guarded", "the long way, guarded"):
        closing(f"{name} / and written", ratio(spent[name], spent["and written"]), "none")


def main() -> None:
    """Measure what is asked for, by default all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of each comparison")
    parser.add_argument("--requests", type=int, default=300, help="for the first content")
    parser.add_argument("--only", nargs="*", default=[], help="such as steps, or paced")
    arguments = parser.parse_args()
    count, requests = arguments.rounds, arguments.requests
    alone: dict[str, Callable[[], None]] = {
        "steps": lambda: steps(count),
        "single": lambda: single(count),
        "layers": lambda: layers(count),
    }
    served: dict[str, Callable[[Servers], None]] = {
        "first": lambda servers: first(servers, requests),
        "opening": opening,
        "hang_ups": hang_ups,
        "workers": lambda servers: workers(servers, count),
    }
    parts = {"paced", *alone, *served}
    wanted = set(arguments.only) or parts
    assert wanted <= parts, f"parts are {sorted(parts)}"
    for name, part in alone.items():
        if name in wanted:
            part()
    if sys.platform != "linux":
        print("\nprocesses are not measured: this system has no /proc")
        return
    if "paced" in wanted:
        everywhere = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {max(everywhere)})  # or idle cores would make waking dear
        with Servers() as servers:
            paced(servers, count)
        os.sched_setaffinity(0, everywhere)
    if served.keys() & wanted:
        with Servers() as servers:
            for name, served_part in served.items():
                if name in wanted:
                    served_part(servers)


if __name__ == "__main__":
    main()
