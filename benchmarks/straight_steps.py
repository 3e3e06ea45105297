"""What each step of the straight way costs by itself, warm, in one stream."""

from __future__ import annotations

import asyncio
import timeit
import tracemalloc
from collections.abc import Sequence
from time import monotonic
from typing import Any

import msgspec
from benchmarks.forwarded import Forwarded, pieces

STEPS = {
    "known by its beginning and end": (
        "for data in ready:\n"
        " line = lines[len(data)]\n"
        " data.startswith(line) and data.startswith(before, len(line)) and data.endswith(after)"
    ),
    "its text cut out and decoded": (
        "for data in ready: decode(data[start - 1:len(data) - size + 1])"
    ),
    "the time, and the gap before it": (
        "for data in ready:\n"
        " now = monotonic()\n"
        " pace.gaps[int((now - pace.last) * 1000).bit_length()] += 1\n"
        " pace.last = now"
    ),
    "kept to be counted": "for text in texts: take(text)",
    "counted, when somebody looks": "account()",
    "through the guard": "for text in texts: show(text, 0.0)",
    "a frame made for another text": (
        "for text in texts:\n"
        " told = encode(text)\n"
        " b'%x\\r\\n%b%b%b' % (len(before) + len(told) + len(after), before, told[1:], after)"
    ),
}
"""Statements over a stream's chunks, by what they do; see `deltaweir.gateway.runs.straight`."""
_EMPTY = "for data in ready: pass"
_MARK = b'"content":"'


class Steps:
    """Time the steps one by one.

    Args:
        warming: Texts that come before.
        texts: Texts of the chunks that are timed.
    """

    def __init__(self, warming: Sequence[str], texts: Sequence[str]) -> None:
        self._count = len(texts)
        ready = pieces(texts)
        plain, guarded = asyncio.run(_streams(warming))
        start = ready[0].index(_MARK) + len(_MARK)
        after = ready[0][ready[0].index(b'"', start) :]
        self._names: dict[str, Any] = {
            "ready": ready,
            "texts": texts,
            "lines": {len(one): one[: one.index(b"data: ")] for one in ready},
            "start": start,
            "size": len(after),
            "before": ready[0][ready[0].index(b"data: ") : start],
            "after": after,
            "decode": msgspec.json.Decoder(str).decode,
            "encode": msgspec.json.Encoder().encode,
            "monotonic": monotonic,
            "gaps": [0] * 64,
            "pace": plain.run.pace,
            "take": plain.weir.text_way(0).take,
            "show": guarded.weir.text_way(0).show,
            "account": plain.run.account,
        }

    def spent(self) -> dict[str, float]:
        """Return the seconds of a chunk for each step, the loop around it taken off."""
        empty = self._timed(_EMPTY)
        return {
            name: (self._timed(step) - (empty if "for" in step else 0.0)) / self._count
            for name, step in STEPS.items()
        }

    def _timed(self, statement: str) -> float:
        return timeit.Timer(statement, globals=self._names).timeit(1)


async def _streams(warming: Sequence[str]) -> tuple[Forwarded, Forwarded]:
    warm = pieces(warming)
    both = Forwarded(), Forwarded(guard=True)
    for one in both:
        await one.warm(warm)
    return both


async def memory(warming: Sequence[str], count: int) -> dict[str, float]:
    """Return what Python allocates for a stream's run, weir, exchange and source, in bytes."""
    sizes: dict[str, float] = {}
    warm = pieces(warming[:10])
    for name, guard in (("counted", False), ("counted and guarded", True)):
        await Forwarded(guard=guard).warm(warm)
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        streams = []
        for _ in range(count):
            one = Forwarded(guard=guard)
            await one.warm(warm)
            streams.append(one)
        sizes[name] = (tracemalloc.get_traced_memory()[0] - before) / count
        tracemalloc.stop()
    return sizes
