"""Microseconds per delta of the guard, how far it holds text back, and what its rules cost."""

from __future__ import annotations

import argparse
import contextlib
import functools
import gc
import statistics
import sys
import time
import tracemalloc
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.guard_texts import DELTAS, HOSTILE, TEXTS, Deltas, literals
from benchmarks.measure import closing, heading, ratio, rounds, row
from benchmarks.process import Process
from benchmarks.provider import AT_ONCE

import deltaweir
from deltaweir.adapters.rule_files import preset
from deltaweir.guard.filter import TextFilter
from deltaweir.guard.guard import StreamGuard
from deltaweir.guard.plan import Plan, plan_for
from deltaweir.guard.policy import Policy, policy_of
from deltaweir.guard.rules import Rule
from deltaweir.types import Choice, Chunk, Delta
from deltaweir.weir import Weir

HOSTILE_CHARS = (250_000, 1_000_000)
FEW_CHARS = 5
"""Characters of a delta of a hostile text."""


def listed(count: int, kind: str, *, fold: bool = False) -> Policy:
    """Return a policy of one list of literals."""
    return policy_of([Rule(id="list", literals=literals(count, kind), fold=fold)])


SETS: dict[str, Callable[[str], Policy]] = {
    "standard": lambda _: policy_of(preset("standard")),
    "secrets": lambda _: policy_of(preset("secrets")),
    "pii": lambda _: policy_of(preset("pii")),
    "10 literals": functools.partial(listed, 10),
    "1,000 literals": functools.partial(listed, 1_000),
    "10,000 literals": functools.partial(listed, 10_000),
    "10,000 literals, folded": functools.partial(listed, 10_000, fold=True),
    "standard, and 10,000": lambda kind: SETS["standard"](kind).joined(listed(10_000, kind)),
}
"""The rules, which for lists depend on the kind of text."""
BARS = {"standard": 2, "10,000 literals": 3}


def compiled(name: str, kind: str) -> Plan:
    """Return a plan that nothing has been through."""
    plan_for.cache_clear()
    plan = SETS[name](kind).plan("content")
    assert plan is not None
    return plan


def feeding(plan: Plan, deltas: Deltas) -> float:
    """Feed a text, and return CPU microseconds per delta."""
    feed = TextFilter(plan).feed
    gc.collect()  # of what was compiled; what the text itself leaves behind counts
    began = time.process_time()
    for delta in deltas:
        feed(delta)
    return 1_000_000 * (time.process_time() - began) / len(deltas)


def cost(kind: str, times: int) -> None:
    """Measure every set of rules in turn on a kind of text."""
    spent = {(name, how): list[float]() for name in SETS for how in ("cold", "held out", "again")}
    for number in rounds(kind, times):
        warming, deltas = TEXTS[kind](number)
        for name in SETS:
            plan = compiled(name, kind)
            spent[name, "cold"].append(feeding(plan, warming[:DELTAS]))
            feeding(plan, warming[DELTAS:])
            spent[name, "held out"].append(feeding(plan, deltas))
            spent[name, "again"].append(feeding(plan, deltas))
    heading(f"{kind}, {DELTAS:,} deltas", "CPU µs per delta")
    for (name, how), values in spent.items():
        row(f"{name}, {how}", values)
    for name, bar in BARS.items():
        value = statistics.median(spent[name, "held out"])
        closing(f"{name}, held out / {bar} µs, {kind}", value / bar, "1, goal 1 µs")


class Held(NamedTuple):
    """How far a text was held back."""

    characters: list[int]
    """After each delta, how many have come and not left."""
    waits: list[int]
    """How many more deltas came before the last character of each had left."""


def held(plan: Plan, deltas: Deltas) -> Held:
    """Feed a text, and look after each delta at what has left."""
    one = TextFilter(plan)
    characters: list[int] = []
    waiting: deque[tuple[int, int]] = deque()
    waits = [0] * len(deltas)
    for number, delta in enumerate(deltas):
        one.feed(delta)
        characters.append(one.position - one.decided)
        waiting.append((number, one.position))
        while waiting and waiting[0][1] <= one.decided:
            came, _ = waiting.popleft()
            waits[came] = number - came
    for came, _ in waiting:
        waits[came] = len(deltas) - came
    return Held(characters, waits)


def beginning(plan: Plan, deltas: Deltas) -> int:
    """Return how many deltas come before the first character leaves, the first not counted."""
    one = TextFilter(plan)
    return next(number for number, delta in enumerate(deltas) if one.feed(delta))


def holding(kind: str) -> None:
    """Show for a kind of text what is held back, and how long a text's beginning is."""
    _, deltas = TEXTS[kind](0)
    starts = range(0, len(deltas) - 100, 10)
    print(f"\n{f'held back, {kind}':44}{'mean':>10}{'99 %':>10}{'max':>10}")
    for name in SETS:
        plan = compiled(name, kind)
        characters, waits = held(plan, deltas)
        first = [beginning(plan, deltas[start:]) for start in starts]
        _spread(f"{name}: characters", characters)
        _spread(f"{name}: deltas", waits)
        _spread(f"{name}: deltas before the first leaves", first)


def _spread(name: str, values: Sequence[int]) -> None:
    most = sorted(values)[len(values) * 99 // 100]
    print(f"  {name:42}{statistics.fmean(values):>10.2f}{most:>10}{max(values):>10}", flush=True)


def preparing(kind: str, times: int) -> None:
    """Show what it costs to compile each set, and what it takes of memory, then and warm."""
    heading("compiling", "CPU ms")
    for name, policy in SETS.items():
        policy(kind)  # files read, lists made
        spent = list[float]()
        for _ in rounds(name, times):
            began = time.process_time()
            compiled(name, kind)
            spent.append(1000 * (time.process_time() - began))
        row(name, spent)
    warming, _ = TEXTS[kind](0)
    print(f"\n{'memory [MiB]':44}{'compiled':>10}{'warm':>10}{'remembered':>12}")
    for name in SETS:
        plan_for.cache_clear()
        tracemalloc.start()
        plan = compiled(name, kind)
        before = tracemalloc.get_traced_memory()[0]
        feeding(plan, warming)
        after = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        remembered = 0 if plan.automaton is None else plan.automaton.remembered
        print(f"  {name:42}{before / 2**20:>10.2f}{after / 2**20:>10.2f}{remembered:>12,}")


def hostile(times: int) -> None:
    """Compare texts of two lengths that nearly match all along."""
    short, long = HOSTILE_CHARS
    heading(f"standard, {long:,} hostile characters, {FEW_CHARS} in a delta", "CPU µs per delta")
    ratios: dict[str, float] = {}
    for name, unit in HOSTILE.items():
        spent: dict[int, list[float]] = {short: [], long: []}
        for _ in rounds(name, times):
            for size, values in spent.items():
                text = (unit * (size // len(unit) + 1))[:size]
                deltas = [text[at : at + FEW_CHARS] for at in range(0, size, FEW_CHARS)]
                values.append(feeding(compiled("standard", ""), deltas))
        row(name, spent[long])
        ratios[name] = ratio(spent[long], spent[short])
    worst = max(ratios, key=lambda name: ratios[name])
    closing(f"a delta of {long:,} / of {short:,}, worst: {worst}", ratios[worst], "1: linear")


def weir(times: int) -> None:
    """Compare a weir that guards with one that does not, over chunks that are there already."""
    policy = policy_of(preset("standard"))
    spent: dict[str, list[float]] = {"no guard": [], "standard": []}
    for number in rounds("weir", times):
        warming, deltas = TEXTS["prose"](1000 + number)
        plan = policy.plan("content")
        assert plan is not None
        feeding(plan, warming)
        for name, values in spent.items():
            choices = ([Choice(delta=Delta(content=delta))] for delta in deltas)
            chunks = [Chunk(id="x", created=1, model="m", choices=one) for one in choices]
            feed = Weir(Chunk, guard=StreamGuard(policy) if name == "standard" else None).feed
            began = time.process_time()
            for chunk in chunks:
                feed(chunk, 0.0)
            values.append(1_000_000 * (time.process_time() - began) / len(deltas))
    _added("Weir.feed, prose held out", spent)


def client(times: int) -> None:
    """Compare a client that guards with one that does not, over a provider's stream."""
    with contextlib.ExitStack() as stack:
        script = str(Path(__file__).parent / "provider.py")
        provider = stack.enter_context(Process(sys.executable, script))
        base_url = f"http://127.0.0.1:{provider.line()}/at-once/v1"
        clients = {
            name: deltaweir.Client(base_url=base_url, api_key="sk-benchmark", guard=guard)
            for name, guard in (("no guard", None), ("standard", "standard"))
        }
        spent: dict[str, list[float]] = {name: [] for name in clients}
        for one in clients.values():
            reading(one)
        for number in rounds("client", times):
            for name in clients if number % 2 else reversed(clients):
                spent[name].append(reading(clients[name]))
    _added(f"deltaweir.Client, {AT_ONCE:,} chunks", spent)


def reading(one: deltaweir.Client) -> float:
    """Read a stream, and return CPU microseconds per chunk."""
    messages = [{"role": "user", "content": "hi"}]
    began, count = time.process_time(), 0
    with one.chat.completions.create(model="gpt-4o-mini", messages=messages, stream=True) as stream:
        for _ in stream:
            count += 1
    return 1_000_000 * (time.process_time() - began) / count


def _added(what: str, spent: dict[str, list[float]]) -> None:
    heading(what, "CPU µs per chunk")
    for name, values in spent.items():
        row(name, values)
    pairs = zip(spent["standard"], spent["no guard"], strict=True)
    row("added by the guard", [guarded - without for guarded, without in pairs])
    closing(f"guarded / not, {what}", ratio(spent["standard"], spent["no guard"]), "none")


def main() -> None:
    """Measure the cost, what is held, what rules cost, and the guard in its places."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    times = parser.parse_args().rounds
    for kind in TEXTS:
        cost(kind, times)
        holding(kind)
    preparing("prose", times)
    hostile(1 + times // 4)  # half a minute each
    weir(times)
    client(times)


if __name__ == "__main__":
    main()
