"""Tokens per second through `deltaweir.Client`, against xllamacpp called directly."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.direct import Direct
from benchmarks.measure import closing, heading, ratio, rounds, row

import deltaweir
from deltaweir.models.weights import resolve
from deltaweir.sources.local.answer import load

TOPICS = ("rivers", "dams", "weirs", "lakes", "locks", "floods", "springs", "tides")
BAR = "0.95x"

Ask = Callable[[str, int], int]
"""Answers a prompt with at most so many tokens, and returns how many came."""


def through_client(client: deltaweir.Client, model: str) -> Ask:
    """Return what asks through our client, reading every chunk."""

    def ask(prompt: str, max_tokens: int) -> int:
        with client.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": prompt}],
            max_tokens=max_tokens,
            temperature=0,
            stream=True,
        ) as stream:
            for _ in stream:
                pass
        assert stream.usage is not None
        return stream.usage.completion_tokens

    return ask


def once(ask: Ask, pool: ThreadPoolExecutor, streams: int, tokens: int) -> tuple[float, float]:
    """Run some streams at once; return tokens per second, and CPU milliseconds per token."""
    prompts = [f"Write a very long story about {topic}." for topic in TOPICS[:streams]]
    began, cpu_began = time.perf_counter(), time.process_time()
    came = sum(pool.map(ask, prompts, [tokens] * streams))
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu_began
    return came / seconds, 1000 * cpu / came


def compare(ours: Ask, theirs: Ask, *, streams: int, tokens: int, count: int) -> None:
    """Run both in turn, the first to run changing each round, and print what they did."""
    what = "one stream" if streams == 1 else f"{streams} streams at once"
    speeds: dict[Ask, list[float]] = {ours: [], theirs: []}
    work: dict[Ask, list[float]] = {ours: [], theirs: []}
    with ThreadPoolExecutor(streams) as pool:
        for ask in (ours, theirs):  # prompts read, pages touched, threads started
            once(ask, pool, streams, 8)
        for number in rounds(what, count):
            for ask in (ours, theirs) if number % 2 else (theirs, ours):
                speed, cpu = once(ask, pool, streams, tokens)
                speeds[ask].append(speed)
                work[ask].append(cpu)
    heading(what, "tokens per second")
    row("deltaweir.Client", speeds[ours])
    row("xllamacpp alone", speeds[theirs])
    heading(what, "CPU ms per token, engine included")
    row("deltaweir.Client", work[ours])
    row("xllamacpp alone", work[theirs])
    closing(f"deltaweir / xllamacpp, {what}", ratio(speeds[ours], speeds[theirs]), BAR)


def main() -> None:
    """Measure one stream, then eight."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="smollm2", help="a catalogue name or a GGUF file")
    parser.add_argument("--rounds", type=int, default=10, help="of each comparison")
    arguments = parser.parse_args()
    weights = resolve(arguments.model)
    load(weights)
    ours, theirs = through_client(deltaweir.Client(), arguments.model), Direct(weights).chat
    compare(ours, theirs, streams=1, tokens=128, count=arguments.rounds)
    compare(ours, theirs, streams=8, tokens=48, count=arguments.rounds)


if __name__ == "__main__":
    main()
