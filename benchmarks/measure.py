"""What the benchmarks share: progress on stderr, rows of figures, and a closing line."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator, Sequence


def rounds(what: str, count: int) -> Iterator[int]:
    """Count rounds, and show on a terminal which of them is running."""
    for number in range(count):
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{what}: {number + 1} of {count}")
        yield number
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")


def heading(what: str, unit: str) -> None:
    """Print the title of some rows."""
    print(f"\n{f'{what} [{unit}]':44}{'min':>10}{'median':>10}{'max':>10}")


def row(name: str, values: Sequence[float]) -> None:
    """Print one thing's figures."""
    figures = (min(values), statistics.median(values), max(values))
    print(f"  {name:42}" + "".join(f"{_short(figure):>10}" for figure in figures), flush=True)


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the median of the ratios of each round, in which both ran side by side."""
    return statistics.median(one / other for one, other in zip(ours, theirs, strict=True))


def closing(what: str, value: float, bar: str) -> None:
    """Print the line that sums a comparison up."""
    print(f"ratio {what}: {_short(value)} (bar {bar})", flush=True)


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 1000 else f"{value:.3g}"
