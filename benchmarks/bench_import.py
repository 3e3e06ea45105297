"""CPU of starting: ``import deltaweir``, a client, the command's help; without Python's own."""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.measure import closing, heading, rounds, row

BAR_MS = 80
EMPTY = "an empty interpreter"
STARTS = {
    EMPTY: ["-c", "pass"],
    "import deltaweir": ["-c", "import deltaweir"],
    "deltaweir.types": ["-c", "import deltaweir; deltaweir.types"],
    "deltaweir.Client()": ["-c", "import deltaweir; deltaweir.Client()"],
    "deltaweir.AsyncClient()": ["-c", "import deltaweir; deltaweir.AsyncClient()"],
    "deltaweir.ChatCompletion": ["-c", "import deltaweir; deltaweir.ChatCompletion"],
    "deltaweir --help": ["-m", "deltaweir", "--help"],
}


def cpu(command: list[str]) -> float:
    """Run a command in a fresh process and return its CPU milliseconds, user and system."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(  # noqa: S603  # commands of this file
        [sys.executable, *command], stdout=subprocess.DEVNULL, check=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)


def main() -> None:
    """Start everything in turn, and take off what an empty interpreter of the round costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="of each start")
    arguments = parser.parse_args()
    for command in STARTS.values():  # bytecode written, pages read
        cpu(command)
    costs: dict[str, list[float]] = {name: [] for name in STARTS}
    for _ in rounds("starts", arguments.rounds):
        for name, command in STARTS.items():
            costs[name].append(cpu(command))
    heading("CPU of a start, an empty interpreter taken off", "ms")
    empty = costs.pop(EMPTY)
    row(EMPTY, empty)
    added = {
        name: [one - base for one, base in zip(values, empty, strict=True)]
        for name, values in costs.items()
    }
    for name, values in added.items():
        row(f"+ {name}", values)
    for name in ("import deltaweir", "deltaweir.Client()"):
        closing(f"{name} / {BAR_MS} ms", statistics.median(added[name]) / BAR_MS, "1")


if __name__ == "__main__":
    main()
