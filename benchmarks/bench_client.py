"""CPU per chunk of our clients and of the openai package, each in a process of its own."""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.measure import closing, heading, ratio, rounds, row
from benchmarks.process import Process
from benchmarks.provider import AT_ONCE, PACED, PER_SECOND

HERE = Path(__file__).parent
OPENAI = HERE.parent / ".live" / "openai-new" / "bin" / "python"
BARS = {"at-once": "15x, goal 35x", "paced": "none"}
WAYS = {
    "at-once": f"{AT_ONCE:,} chunks as fast as they are read",
    "paced": f"{PACED:,} chunks one by one, {PER_SECOND:,} a second",
}
CLIENTS = {
    "deltaweir-sync": "deltaweir.Client",
    "deltaweir-async": "deltaweir.AsyncClient",
    "openai-sync": "openai.OpenAI",
    "openai-async": "openai.AsyncOpenAI",
    "bare-socket": "a socket, events counted",
}


def cost(reader: Process, base_url: str) -> float:
    """Let a client read one stream and return its CPU microseconds per chunk."""
    told = json.loads(reader.ask(base_url))
    assert told["chunks"] == (PACED if "/paced/" in base_url else AT_ONCE), told
    return 1_000_000 * float(told["cpu"]) / int(told["chunks"])


def measure(readers: dict[str, Process], origin: str, way: str, count: int) -> None:
    """Run all clients in turn, the first to run changing each round, and print their costs."""
    base_url = f"{origin}/{way}/v1"
    costs: dict[str, list[float]] = {name: [] for name in readers}
    for reader in readers.values():  # code read, caches filled, connection made
        cost(reader, f"{origin}/at-once/v1")
    for number in rounds(WAYS[way], count):
        for name in readers if number % 2 else reversed(readers):
            costs[name].append(cost(readers[name], base_url))
    heading(WAYS[way], "CPU µs per chunk")
    for name, values in costs.items():
        row(CLIENTS[name], values)
    for how, kind in (("sync", "Client"), ("async", "AsyncClient")):
        if (theirs := costs.get(f"openai-{how}")) is not None:
            value = ratio(theirs, costs[f"deltaweir-{how}"])
            closing(f"openai / deltaweir.{kind}, {way}", value, BARS[way])


def main() -> None:
    """Measure at once, then paced."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="of each comparison")
    parser.add_argument("--openai", default=str(OPENAI), help="an interpreter that has openai")
    arguments = parser.parse_args()
    names = [name for name in CLIENTS if not name.startswith("openai")]
    if Path(arguments.openai).exists():
        names = list(CLIENTS)
        code = "import importlib.metadata as m; print('openai', m.version('openai'))"
        subprocess.run([arguments.openai, "-c", code], check=True)  # noqa: S603  # as told
    else:
        print(f"openai is left out: {arguments.openai} is not there; `make test-live` makes it")
    with contextlib.ExitStack() as stack:
        provider = stack.enter_context(Process(sys.executable, str(HERE / "provider.py")))
        origin = f"http://127.0.0.1:{provider.line()}"
        readers: dict[str, Process] = {}
        for name in names:
            python = arguments.openai if name.startswith("openai") else sys.executable
            process = Process(python, str(HERE / "reader.py"), name)
            readers[name] = stack.enter_context(process)
        for way in WAYS:
            measure(readers, origin, way, arguments.rounds)


if __name__ == "__main__":
    main()
