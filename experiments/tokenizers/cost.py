"""Measure what one tokenizer costs: loading, memory, short texts, hostile long pieces.

Usage: cost.py TOKENIZER [ENCODING]

One tokenizer a process, since memory and loading are a process's own. CPU time, the least of
five rounds; "at first" is the first of them, before short pieces are remembered. A text is
"cached" when the same one is counted again and again, "fresh" when it was never seen.
"""

from __future__ import annotations

import random
import resource
import sys
import time
from collections.abc import Callable
from functools import partial

from candidates import Count, counter, set_reference

ROUNDS = 5
CHANCE = random.Random(1)  # noqa: S311 - the same texts for every tokenizer


def milliseconds(action: Callable[[], object]) -> float:
    """Return the CPU time of one call."""
    start = time.process_time()
    action()
    return (time.process_time() - start) * 1e3


def resident_mb() -> float:
    """Return the most memory the process has held so far (Linux counts in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def letters(number: int, alphabet: str) -> str:
    """Return random letters."""
    return "".join(CHANCE.choices(alphabet, k=number))


def each(count: Count, texts: list[str]) -> None:
    """Count every text, one by one."""
    for text in texts:
        count(text)


HOSTILE: dict[str, Callable[[], str]] = {
    "100 kB of one letter": lambda: "a" * 100_000,
    "100 kB of random letters": lambda: letters(100_000, "abcdefghijklmnopqrstuvwxyz"),
    "100 kB of one ideograph": lambda: "中" * 33_333,
    "100 kB of one punctuation mark": lambda: "!" * 100_000,
    "100 kB of blanks": lambda: " " * 100_000,
    "100 kB of tabs and a letter": lambda: "\t" * 100_000 + "x",
}


def main() -> None:
    """Load a tokenizer and print its figures."""
    name = sys.argv[1]
    encoding = sys.argv[2] if len(sys.argv) > 2 else "o200k_base"
    if name == "tiktoken":
        set_reference()
    before, start = resident_mb(), time.process_time()
    count = counter(name, encoding)
    count("hello world")
    print(f"{name} {encoding}")
    print(f"  load {time.process_time() - start:.3f} s, {resident_mb() - before:.0f} MB")

    text, calls = " the quick brown fox jumps over it", 100_000
    best = min(milliseconds(lambda: [count(text) for _ in range(calls)]) for _ in range(ROUNDS))
    print(f"  cached, {len(text)} characters: {best / calls * 1e3:.2f} us")

    amount = 20_000
    rounds = list[float]()
    for _ in range(ROUNDS):
        fresh = [letters(48, "abcdefgh ijk lmno.,") for _ in range(amount)]
        rounds.append(milliseconds(partial(each, count, fresh)) / amount * 1e3)
    print(f"  fresh, 48 characters: {rounds[0]:.2f} us at first, {min(rounds):.2f} us at best")

    for label, piece in HOSTILE.items():
        least = float("inf")
        for shorter in range(ROUNDS):  # another piece each time: some keep what they have seen
            once = piece()[shorter:]
            least = min(least, milliseconds(partial(count, once)))
        print(f"  {label}: {least:.2f} ms")


if __name__ == "__main__":
    main()
