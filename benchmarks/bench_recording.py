"""What recording adds to a chunk, for a client and at a gateway, and what playing it costs."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.measure import closing, heading, rounds, row

from deltaweir.adapters.recording_files import RecordedFile, RecordingFile
from deltaweir.client.recorder import Recorder, recorded
from deltaweir.client.streams import Stream
from deltaweir.gateway.answering.tape import Tape
from deltaweir.recorded_request import RecordTo
from deltaweir.recording import event_line
from deltaweir.schema.frames import FrameWriter
from deltaweir.sources.replay import ReplaySource
from deltaweir.testing import Script
from deltaweir.types import ChatRequest, Chunk, Reply
from deltaweir.weir import Weir

CHUNKS = 1000
ROUNDS = 30


def chunks() -> list[Chunk]:
    """Return the chunks of a stream, each with a word."""
    base = {"id": "chatcmpl-B1x2y3z4", "created": 1795500000, "model": "gpt-4o-mini-2024-07-18"}
    return [
        Chunk.model_validate(
            base
            | {
                "choices": [
                    {
                        "index": 0,
                        "delta": {"content": f" word{number}"},
                        "finish_reason": "stop" if number == CHUNKS - 1 else None,
                    }
                ]
            }
        )
        for number in range(CHUNKS)
    ]


def frames() -> list[bytes]:
    """Return the same as frames."""
    writer = FrameWriter()
    return [writer.frame(chunk) for chunk in chunks()]


class _Nowhere:
    """An outlet that drops what it is given."""

    lasting, straight, gone, begun, opened, last = False, True, False, True, 0.0, 0.0

    def frames(self, frames: Any) -> None:
        """Drop frames."""


def streamed(path: Path | None) -> Callable[[], object]:
    """Return the reading of a stream, one chunk a wait, recorded where there is a path."""
    stream = Stream(Script(chunks()), Reply, weir=Weir(Chunk))
    if path is not None:
        recorded(stream, Recorder(RecordTo(str(path)), "chat"))

    def read() -> None:
        for _ in range(CHUNKS):  # the end counts tokens, which is no chunk's cost
            next(stream)

    return read


def taped(path: Path | None) -> Callable[[], object]:
    """Return the writing of frames one by one, by a gateway's recording where there is a path."""
    outlet: Any = _Nowhere()
    if path is not None:
        asked: Any = type("Asked", (), {"request": ChatRequest(), "route": None, "chat": True})
        asked.route = type("Route", (), {"name": "m"})
        tape = Tape(RecordingFile(str(path)), asked, "none", time.monotonic())
        outlet = tape.before(outlet)
    each = [[frame] for frame in frames()]

    async def written() -> None:
        for one in each:
            outlet.frames(one)

    return lambda: asyncio.run(written())  # what comes is written on a loop, 1,000 at once


def played(path: Path) -> Callable[[], object]:
    """Return the playing of a recording, at once."""
    stream = Stream(ReplaySource(RecordedFile(str(path)), Chunk, speed=0), Reply, weir=Weir(Chunk))

    def read() -> None:
        for _ in range(CHUNKS):
            next(stream)

    return read


def main() -> None:
    """Measure each in turn."""
    spent: dict[str, list[float]] = {}
    data = [frame[6:-2] for frame in frames()]
    with tempfile.TemporaryDirectory() as folder:
        for number in rounds("recording", ROUNDS):
            path = Path(folder) / f"{number}.jsonl"
            ways = {
                "a stream": streamed(None),
                "a stream, recorded": streamed(path),
                "a gateway's frame": taped(None),
                "a gateway's frame, recorded": taped(Path(folder) / f"{number}-tape.jsonl"),
                "its line alone": lambda: [event_line(1, one) for one in data],
            }
            for name, way in ways.items():
                spent.setdefault(name, []).append(_timed(way))
            spent.setdefault("a stream that is played", []).append(_timed(played(path)))
    heading("one chunk", "µs")
    for name, values in spent.items():
        row(name, values)
    for name in ("a stream", "a gateway's frame"):
        with_, without = spent[f"{name}, recorded"], spent[name]
        added = sorted(one - other for one, other in zip(with_, without, strict=True))
        closing(f"recording adds to {name}, in µs", added[len(added) // 2], "3")


def _timed(way: Callable[[], object]) -> float:
    began = time.perf_counter()
    way()
    return 1e6 * (time.perf_counter() - began) / CHUNKS


if __name__ == "__main__":
    main()
