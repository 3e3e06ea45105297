"""Seconds to the first token: on a warm prefix, on a cold prompt, and from process start."""

from __future__ import annotations

import argparse
import secrets
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.measure import closing, heading, ratio, rounds, row

import deltaweir

TEXT = "A weir is a low dam across a river; it measures the water and controls its level. " * 12

SCRIPT = """
import sys
import deltaweir
messages = [{"role": "user", "content": "hi"}]
stream = deltaweir.Client().chat.completions.create(
    model=sys.argv[1], messages=messages, max_tokens=1, stream=True
)
for chunk in stream:
    print(chunk.choices[0].delta.content or "", end="", flush=True)
"""


def first_token(
    client: deltaweir.Client, model: str, prompt: str, *, cancelled: bool = False
) -> float:
    """Return the milliseconds from the call to the first text; then read on, or leave."""
    began, first = time.perf_counter(), 0.0
    with client.completions.create(model=model, prompt=prompt, max_tokens=4, stream=True) as stream:
        for chunk in stream:
            if not first and chunk.choices[0].text:
                first = 1000 * (time.perf_counter() - began)
                if cancelled:
                    break
    assert first, "the model said nothing"
    return first


def in_process(client: deltaweir.Client, model: str, count: int) -> None:
    """Measure prompts never seen before, and again: after a whole answer, after a cancel."""
    cold: list[float] = []
    warm: list[float] = []
    after: list[float] = []
    first_token(client, model, "hi")  # loads the model
    for _ in rounds("prompts", count):
        prompt = f"{secrets.token_hex(8)} {TEXT}"
        cold.append(first_token(client, model, prompt))
        warm.append(first_token(client, model, prompt))
        first_token(client, model, prompt, cancelled=True)
        after.append(first_token(client, model, prompt))
    heading("in a running process, about 250 tokens of prompt", "ms")
    row("cold prompt", cold)
    row("the same prompt again", warm)
    row("the same prompt, right after a cancel", after)
    closing("warm / cold", ratio(warm, cold), "none")
    closing("after a cancel / cold", ratio(after, cold), "none")


def from_start(model: str, count: int) -> None:
    """Measure new processes from their start to the first byte of an answer."""
    commands = {
        "deltaweir chat": [
            *("-m", "deltaweir", "chat", "--no-stats"),
            *("--model", model, "--max-tokens", "1", "hi"),
        ],
        "a script with deltaweir.Client": ["-c", SCRIPT, model],
    }
    waits: dict[str, list[float]] = {name: [] for name in commands}
    for _ in rounds("processes", count):
        for name, command in commands.items():
            began = time.perf_counter()
            with subprocess.Popen(  # noqa: S603  # commands of this file
                [sys.executable, *command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            ) as process:
                assert process.stdout is not None
                assert process.stdout.read(1), f"{name} said nothing"
                waits[name].append(1000 * (time.perf_counter() - began))
    heading("from process start, weights in the page cache", "ms")
    for name, values in waits.items():
        row(name, values)
    closing("command / script", ratio(*waits.values()), "none")


def main() -> None:
    """Measure in a running process, then from the start of new ones."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="smollm2", help="a catalogue name or a GGUF file")
    parser.add_argument("--rounds", type=int, default=10, help="of each comparison")
    arguments = parser.parse_args()
    in_process(deltaweir.Client(), arguments.model, arguments.rounds)
    from_start(arguments.model, arguments.rounds)


if __name__ == "__main__":
    main()
