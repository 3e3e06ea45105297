"""The own loop of asyncio against uvloop, under the gateway's own way.

python without_uvloop.py
"""

from __future__ import annotations

import asyncio
import functools
import sys
from pathlib import Path

import uvloop

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.forwarded import pieces
from benchmarks.guard_texts import TEXTS
from benchmarks.layers import Layer
from side_by_side import compare

STREAMS, TURNS, WARM = 100, 40, 60


def main() -> None:
    """Compare them, passing on alone and with all that the gateway does."""
    warming, texts = TEXTS["Python's manual"](0)
    warm, ready = pieces(warming[:WARM]), pieces(texts)
    data = [
        [ready[(7 * stream + turn) % len(ready)] for stream in range(STREAMS)]
        for turn in range(TURNS)
    ]
    loops = {"uvloop": uvloop.new_event_loop(), "asyncio": asyncio.new_event_loop()}
    for name, what in (("and written", "passed on"), ("and guarded", "counted and guarded")):
        layers = {kind: Layer(loop, name, STREAMS, warm) for kind, loop in loops.items()}
        ways = {
            f"{what} on {kind}": functools.partial(one.spent, data) for kind, one in layers.items()
        }
        compare(f"{STREAMS} streams in turn", ways)


if __name__ == "__main__":
    main()
