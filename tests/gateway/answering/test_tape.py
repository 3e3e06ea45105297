"""The outlet that records: all is passed on, and what was a frame is written down."""

from __future__ import annotations

import asyncio
import functools
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deltaweir.adapters import later_recording
from deltaweir.adapters.recording_files import RecordingFile
from deltaweir.errors import StreamFailed
from deltaweir.gateway.answering.tape import PAGE_BYTES, Tape
from deltaweir.types import ChatRequest
from deltaweir.wire.sse import DONE

FRAME = b'data: {"id":"1"}\n\n'
PIECE = b"%x\r\n%b\r\n" % (len(FRAME), FRAME)
ERROR = b'data: {"error":{"message":"no"}}\n\n'


class Outlet:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.given: list[bytes] = []
        self.lasting, self.straight, self.gone, self.begun = False, True, True, True
        self.opened, self.last = 1.0, 2.0

    def frames(self, frames: Sequence[bytes]) -> None:
        """Keep frames."""
        self.given += frames

    def piece(self, data: bytes, /) -> None:
        """Keep a piece."""
        self.given.append(data)

    def pieces(self, pieces: Sequence[bytes]) -> None:
        """Keep pieces."""
        self.given += pieces

    def heartbeat(self) -> None:
        """Keep a heartbeat."""
        self.given.append(b":")

    def conclude(self) -> None:
        """Keep an end."""
        self.given.append(b"end")


class Run:
    """Keeps what it is told."""

    failure: StreamFailed | None = None

    def __init__(self) -> None:
        self.told: list[str] = []

    def hold(self) -> None:
        """Keep that it is held."""
        self.told.append("hold")

    def go_on(self) -> None:
        """Keep that it goes on."""
        self.told.append("go on")

    def reader_left(self) -> None:
        """Keep that its reader left."""
        self.told.append("left")


def on_a_loop(test: Callable[..., Any]) -> Callable[..., None]:
    """Run a test on a loop, as tapes are used."""

    @functools.wraps(test)
    def run(**fixtures: Any) -> None:
        asyncio.run(test(**fixtures))

    return run


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of the recording."""
    return tmp_path / "r.jsonl"


def taped(path: Path, *, finishes: bool = False) -> Any:
    """Return a tape with the outlet and the run behind it."""
    asked: Any = SimpleNamespace(request=ChatRequest(), chat=True, route=SimpleNamespace(name="m"))
    tape = Tape(RecordingFile(str(path)), asked, "none", time.monotonic())
    outlet, run = Outlet(), Run()
    assert tape.before(outlet) is tape
    tape.follow(run, finishes=finishes)  # type: ignore[arg-type]  # enough of one
    return tape, outlet, run


def written(path: Path) -> list[Any]:
    """Return the data that are on disk, once all is written that was handed over."""
    handed_over()
    lines = path.read_bytes().splitlines()
    return [json.loads(line)["data"] for line in lines[1:]]


def is_there(path: Path) -> bool:
    """Tell whether there is a file, once all is done that was handed over."""
    handed_over()
    return path.exists()


def handed_over() -> None:
    """Wait until the thread that writes has nothing to do."""
    later_recording._WRITER.submit(int).result(10)


@on_a_loop
async def test_all_is_passed_on(path: Path) -> None:
    """The outlet gets what it would have got, in the same order."""
    tape, outlet, _ = taped(path)
    tape.frames([FRAME, DONE])
    tape.piece(PIECE)
    tape.pieces([b"", PIECE])
    tape.heartbeat()
    tape.conclude()
    assert outlet.given == [FRAME, DONE, PIECE, b"", PIECE, b":", b"end"]
    assert (tape.lasting, tape.straight, tape.begun, tape.gone) == (False, True, True, True)
    tape.last += 1
    assert (tape.opened, tape.last, outlet.last) == (1.0, 3.0, 3.0)


@on_a_loop
async def test_frames_are_written_however_they_come(path: Path) -> None:
    """A frame and a piece have the same line; [DONE], errors and empty pieces have none."""
    tape, _, _ = taped(path)
    tape.frames([FRAME, DONE, ERROR])
    tape.piece(PIECE)
    tape.pieces([b"", PIECE, PIECE])
    many = PAGE_BYTES // len(FRAME) + 1
    tape.pieces([PIECE] * many)
    assert written(path) == [{"id": "1"}] * (4 + many)


@on_a_loop
async def test_lines_are_written_by_the_page(path: Path) -> None:
    """A few frames wait for more, so that none costs a system call; the header does not."""
    tape, _, _ = taped(path)
    tape.frames([FRAME])
    assert (is_there(path), written(path)) == (True, [])
    tape.discard()
    assert not is_there(path)


@on_a_loop
async def test_no_line_waits_for_long(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A frame is written after a while though none follows, and so is the next."""
    monkeypatch.setattr("deltaweir.gateway.answering.tape.LATEST_S", 0.001)
    tape, _, _ = taped(path)
    for number in (1, 2):
        tape.frames([FRAME])
        for _ in range(1000):
            if len(written(path)) == number:
                break
            await asyncio.sleep(0.001)
        assert len(written(path)) == number


@on_a_loop
async def test_nothing_stays_of_what_was_refused(path: Path) -> None:
    """An error that comes when frames could have come leaves no file."""
    tape, _, run = taped(path)
    run.failure = StreamFailed("no")
    tape.frames([ERROR])
    tape.end()
    assert not is_there(path)


def test_a_lane_reaches_the_run(path: Path) -> None:
    """A reader who is slow or gone is the run's to know."""
    tape, _, run = taped(path)
    tape.hold()
    tape.go_on()
    tape.reader_left()
    assert run.told == ["hold", "go on", "left"]


@on_a_loop
async def test_without_its_reader_a_run_may_go_on(path: Path) -> None:
    """A run that finishes has the recording for a reader, and the client is sent nothing more."""
    tape, outlet, run = taped(path, finishes=True)
    tape.reader_left()
    assert (run.told, tape.gone) == (["go on"], False)
    tape.frames([FRAME])
    tape.piece(PIECE)
    tape.pieces([PIECE] * (PAGE_BYTES // len(FRAME)))
    tape.heartbeat()
    assert outlet.given == []
    assert len(written(path)) > 2
