"""What the experiments share: ways that run in turn, and a table with the one that won on top."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.measure import heading, ratio, row

ROUNDS = 9


def compare(what: str, ways: Mapping[str, Callable[[], float]]) -> None:
    """Print what each way costs, and its ratio to the first, the one that won.

    Args:
        what: Is compared.
        ways: Functions that each run once more and return seconds per chunk.
    """
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(ROUNDS + 1):
        for name, run in ways.items():
            seconds = run()
            if number:  # the first warms
                spent[name].append(1e6 * seconds)
    heading(what, "µs per chunk")
    best = next(iter(spent.values()))
    for name, values in spent.items():
        row(name, values)
    for name, values in [*spent.items()][1:]:
        print(f"  {name} / the first: {ratio(values, best):.2f}")
