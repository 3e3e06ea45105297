"""Microseconds per chunk, step by step, from the JSON text of a provider to a program's loop."""

from __future__ import annotations

import importlib
import importlib.util
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.measure import closing, heading, ratio, rounds, row

import deltaweir
from deltaweir.testing import Script
from deltaweir.types import Chunk, Reply, ReplyBuilder
from deltaweir.weir import Weir

CHUNKS = 1000
ROUNDS = 30

Measured = Callable[[], Callable[[], object]]
"""Makes fresh input, and returns what is to be timed on it."""


def event(number: int) -> bytes:
    """Return a chunk as a provider sends it today, null fields and all."""
    choice = {"index": 0, "delta": {"content": f" word{number}"}, "logprobs": None}
    chunk = {
        "id": "chatcmpl-B1x2y3z4",
        "object": "chat.completion.chunk",
        "created": 1795500000,
        "model": "gpt-4o-mini-2024-07-18",
        "service_tier": "default",
        "system_fingerprint": "fp_0123456789",
        "choices": [{**choice, "finish_reason": "stop" if number == CHUNKS - 1 else None}],
        "usage": None,
    }
    return json.dumps(chunk, separators=(",", ":")).encode()


EVENTS = [event(number) for number in range(CHUNKS)]
STRANGE = [b'{"mood":"calm",' + one[1:] for one in EVENTS]


def decoded() -> list[Chunk]:
    """Decode every event."""
    return [Chunk.model_validate_json(one) for one in EVENTS]


def decoded_slowly() -> list[Chunk]:
    """Decode every event with a field that no reference knows."""
    return [Chunk.model_validate_json(one) for one in STRANGE]


def weir() -> Callable[[], object]:
    """Pass chunks through a weir that counts and holds nothing."""
    chunks, feed = decoded(), Weir(Chunk).feed
    return lambda: [feed(chunk, 0.0) for chunk in chunks]


def builder() -> Callable[[], object]:
    """Add chunks up to a reply."""
    chunks, adder = decoded(), ReplyBuilder(Reply)

    def run() -> Reply:
        for chunk in chunks:
            adder.add(chunk)
        return adder.build()

    return run


def stream(*, read_text: bool) -> Callable[[], object]:
    """Iterate over a stream whose source hands out chunks that are there already."""
    source: Script[Chunk] = Script(decoded())
    opened = deltaweir.Stream(source, Reply, weir=Weir(Chunk))

    def run() -> str:
        for _ in opened:
            pass
        return opened.text if read_text else ""

    return run


def steps() -> dict[str, Measured]:
    """Return what is measured, by name."""
    return {
        "json.loads": lambda: lambda: [json.loads(one) for one in EVENTS],
        "decode": lambda: decoded,
        "decode, with an unknown field": lambda: decoded_slowly,
        "Weir.feed": weir,
        "ReplyBuilder": builder,
        "Stream": lambda: stream(read_text=False),
        "Stream, and its text once": lambda: stream(read_text=True),
        **openai_steps(),
    }


def openai_steps() -> dict[str, Measured]:
    """Return how the openai package reads and adds up the same chunks, where it is installed."""
    if importlib.util.find_spec("openai") is None:
        return {}
    version = importlib.import_module("openai").__version__
    kind: Any = importlib.import_module("openai.types.chat").ChatCompletionChunk
    construct: Any = importlib.import_module("openai._models").construct_type
    state: Any = importlib.import_module(
        "openai.lib.streaming.chat._completions"
    ).ChatCompletionStreamState

    def read() -> list[Any]:
        return [construct(type_=kind, value=json.loads(one)) for one in EVENTS]

    def add_up() -> Callable[[], object]:
        chunks, adder = read(), state()
        return lambda: [adder.handle_chunk(chunk) for chunk in chunks]

    return {f"openai {version}, decode": lambda: read, f"openai {version}, add up": add_up}


def main() -> None:
    """Measure every step in turn, round after round."""
    spent: dict[str, list[float]] = {name: [] for name in steps()}
    for _ in rounds("steps", ROUNDS):
        for name, measured in steps().items():
            run = measured()
            began = time.perf_counter()
            run()
            spent[name].append(1_000_000 * (time.perf_counter() - began) / CHUNKS)
    heading(f"one chunk of {len(EVENTS[0])} bytes", "µs")
    for name, values in spent.items():
        row(name, values)
    closing("decode / json.loads", ratio(spent["decode"], spent["json.loads"]), "none yet")
    ours = statistics.median(spent["decode"]) + statistics.median(
        spent["Stream, and its text once"]
    )
    theirs = [statistics.median(values) for name, values in spent.items() if "openai" in name]
    if theirs:
        closing("openai / deltaweir, decoded and added up", sum(theirs) / ours, "none yet")


if __name__ == "__main__":
    main()
