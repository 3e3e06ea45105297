"""From ``close()`` to an idle engine: while it generates, and while it reads a long prompt."""

from __future__ import annotations

import argparse
import random
import secrets
import statistics
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.measure import closing, heading, rounds, row

import deltaweir
from deltaweir.models.weights import resolve
from deltaweir.sources.local.answer import load
from deltaweir.sources.local.engine import Engine
from deltaweir.types import TextChunk, TextReply

PROMPT_BAR_MS = 1000 / 3
LONG = "the river went on and on " * 500
TOKENS_BEFORE_CLOSE = 12


def opened(
    client: deltaweir.Client, model: str, prompt: str
) -> deltaweir.Stream[TextChunk, TextReply]:
    """Start a long answer."""
    return client.completions.create(
        model=model, prompt=prompt, max_tokens=400, temperature=0, stream=True
    )


def closing_time(stream: deltaweir.Stream[TextChunk, TextReply], engine: Engine) -> float:
    """Close a stream and return the milliseconds until its native call has returned."""
    assert engine.running
    began = time.perf_counter()
    stream.close()
    while engine.running:
        time.sleep(0.0001)
    return 1000 * (time.perf_counter() - began)


def while_generating(
    client: deltaweir.Client, model: str, engine: Engine, count: int
) -> tuple[list[float], list[float]]:
    """Return the milliseconds of closing, and those of one token, measured beside them."""
    closings: list[float] = []
    tokens: list[float] = []
    for _ in rounds("generating", count):
        stream = opened(client, model, "Once upon a time, beside a river")
        times: list[float] = []
        for _chunk in stream:
            times.append(time.perf_counter())
            if len(times) == TOKENS_BEFORE_CLOSE:
                break
        token = (times[-1] - times[1]) / (len(times) - 2)
        tokens.append(1000 * token)
        time.sleep(random.random() * token)  # noqa: S311  # anywhere between two tokens
        closings.append(closing_time(stream, engine))
    return closings, tokens


def while_reading(client: deltaweir.Client, model: str, engine: Engine, count: int) -> list[float]:
    """Return the milliseconds of closing in the middle of a prompt never seen before."""
    closings: list[float] = []
    for _ in rounds("reading a prompt", count):
        stream = opened(client, model, f"{secrets.token_hex(8)} {LONG}")
        reader = threading.Thread(target=list, args=(stream,))
        reader.start()
        while stream.prompt_progress[0] == 0:
            time.sleep(0.001)
        time.sleep(random.random())  # noqa: S311  # anywhere within a batch
        read, total = stream.prompt_progress
        assert read < total, "the prompt was read before it could be closed"
        closings.append(closing_time(stream, engine))
        reader.join()
    return closings


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="smollm2", help="a catalogue name or a GGUF file")
    parser.add_argument("--rounds", type=int, default=30, help="of each measurement")
    arguments = parser.parse_args()
    client, engine = deltaweir.Client(), load(resolve(arguments.model))
    closings, tokens = while_generating(client, arguments.model, engine, arguments.rounds)
    heading("close() while generating", "ms")
    row("until the engine is idle", closings)
    row("one token takes", tokens)
    parts = [one / token for one, token in zip(closings, tokens, strict=True)]
    closing("close / a token, median", statistics.median(parts), "1")
    closing("close / a token, max", max(parts), "1")
    closings = while_reading(client, arguments.model, engine, arguments.rounds)
    heading("close() in the middle of a prompt", "ms")
    row("until the engine is idle", closings)
    closing("close / a third of a second, max", max(closings) / PROMPT_BAR_MS, "1")


if __name__ == "__main__":
    main()
