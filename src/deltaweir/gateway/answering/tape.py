"""One stream's recording: it stands before the outlet, and takes what that is given.

Lines are written by the page, so that a chunk costs no system call, and half a second after
the first of them at the latest; that much is lost by a crash at most. A thread writes them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from deltaweir.adapters.later_recording import LaterRecording
from deltaweir.adapters.recording_files import RecordingFile
from deltaweir.endings import State
from deltaweir.gateway.answering.asked import Asked
from deltaweir.gateway.runs.outlet import Outlet
from deltaweir.gateway.runs.runs import Run
from deltaweir.recorded_request import kept_request
from deltaweir.recording import (
    End,
    Header,
    Kept,
    end_line,
    failure_of,
    frame_line,
    header_line,
)
from deltaweir.wire.sse import DONE

PAGE_BYTES = 8192
LATEST_S = 0.5
"""How long a line waits at most, in seconds."""
_ERROR = b'data: {"error":'


class Tape:
    """An outlet that writes down what it passes on, and its lane's feeder.

    It is made where one may wait, since the first line is written then, and used on one loop.

    Args:
        file: The file, open.
        asked: What is recorded.
        kept: How much of the request is.
        began: When the request came, in seconds on the monotonic clock.
    """

    def __init__(self, file: RecordingFile, asked: Asked, kept: Kept, began: float) -> None:
        self._file = LaterRecording(file)
        self._began = began
        self._run: Run | None = None
        self._outlet: Outlet | None = None
        self._finishes = self._left = False
        options = asked.request.stream_options
        request = None if kept == "none" else asked.request.model_dump()
        shown = None if request is None else request | {"model": asked.route.name}
        header = Header(
            began=datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
            kind="chat" if asked.chat else "text",
            model=asked.route.name,
            usage_asked=options is not None and bool(options.include_usage),
            request_kept=kept,
            request=None if shown is None else kept_request(shown, kept),
        )
        file.write(header_line(header))
        self._lines: list[bytes] = []
        self._bytes = 0
        self._due: asyncio.TimerHandle | None = None
        self._shown = False

    def follow(self, run: Run, *, finishes: bool) -> None:
        """Record a run.

        Args:
            run: The run.
            finishes: Whether it goes on when its client has left, and is recorded to its end.
        """
        self._run, self._finishes = run, finishes

    def before(self, outlet: Outlet) -> Outlet:
        """Stand before an outlet; return what the run writes to instead."""
        self._outlet = outlet
        return self

    def end(self) -> None:
        """Write how the stream ended, and what it used; nothing stays of one that was refused."""
        run = self._own_run
        if run.failure is not None and not self._shown:
            self.discard()
            return
        account, timing, failure = run.account(), run.timing, run.failure
        failed = run.ending is not None and run.ending.state is State.FAILED
        usage = account.usage
        self._lines.append(
            end_line(
                End(
                    at=self._us(time.monotonic()),
                    end="abandoned" if run.ending is None else run.ending.value,
                    finish_reason=run.finish_reason,
                    usage=None if usage is None else usage.model_dump(),
                    cost_usd=account.cost_usd,
                    source=account.source,
                    headers_us=_us(timing.headers),
                    first_content_us=_us(timing.first_content),
                    deltaweir=run.told,
                    error=failure_of(failure) if failed and failure is not None else None,
                )
            )
        )
        self._flush()
        self._file.close()

    def discard(self) -> None:
        """Record nothing, and leave no file."""
        self._unschedule()
        self._file.discard()

    # what follows is called by the lane

    def hold(self) -> None:
        """Pause the source for a reader who is too slow."""
        self._own_run.hold()

    def go_on(self) -> None:
        """Let the source go on."""
        self._own_run.go_on()

    def reader_left(self) -> None:
        """End the run, or let it go on with nobody but the recording to read it."""
        if self._finishes:
            self._left = True
            self._own_run.go_on()
        else:
            self._own_run.reader_left()

    # what follows is called by the run

    @property
    def lasting(self) -> bool:
        """Whether the outlet outlives its readers."""
        return self._own.lasting

    @property
    def straight(self) -> bool:
        """Whether pieces of a chunked body may be written as they come."""
        return self._own.straight

    @property
    def last(self) -> float:
        """When something was written last."""
        return self._own.last

    @last.setter
    def last(self, now: float) -> None:
        self._own.last = now

    @property
    def opened(self) -> float | None:
        """When the first frames were handed to the system."""
        return self._own.opened

    @property
    def begun(self) -> bool:
        """Whether something of the answer is on its way."""
        return self._own.begun

    @property
    def gone(self) -> bool:
        """Whether nobody will read what is written."""
        return self._own.gone and not self._finishes

    def frames(self, frames: Sequence[bytes]) -> None:
        """Write frames down, and pass them on."""
        self._take(frames)
        if not self._left:
            self._own.frames(frames)

    def piece(self, data: bytes, /) -> None:
        """Write down the frame that is a piece of a chunked body, and pass it on."""
        self._take([_framed(data)])
        if not self._left:
            self._own.piece(data)

    def pieces(self, pieces: Sequence[bytes]) -> None:
        """Write such frames down, and pass them on."""
        self._take([_framed(piece) for piece in pieces if piece])
        if not self._left:
            self._own.pieces(pieces)

    def heartbeat(self) -> None:
        """Keep an idle connection awake."""
        if not self._left:
            self._own.heartbeat()

    def conclude(self) -> None:
        """Take note that nothing comes any more."""
        self._own.conclude()

    # what follows is for the file

    @property
    def _own_run(self) -> Run:
        assert self._run is not None  # or nobody would call
        return self._run

    @property
    def _own(self) -> Outlet:
        assert self._outlet is not None  # or it is no outlet yet
        return self._outlet

    def _take(self, frames: Sequence[bytes]) -> None:
        at_us = self._us(time.monotonic())
        for frame in frames:
            if frame != DONE and not frame.startswith(_ERROR):  # which the end tells
                self._shown = True
                line = frame_line(at_us, frame)
                self._lines.append(line)
                self._bytes += len(line)
        if self._bytes >= PAGE_BYTES:
            self._flush()
        elif self._lines and self._due is None:
            self._due = asyncio.get_running_loop().call_later(LATEST_S, self._flush)

    def _flush(self) -> None:
        self._unschedule()
        lines, self._lines = self._lines, []
        self._bytes = 0
        self._file.write(b"".join(lines))

    def _unschedule(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _us(self, now: float) -> int:
        return max(0, round((now - self._began) * 1e6))


def _us(seconds: float | None) -> int | None:
    return None if seconds is None else max(0, round(seconds * 1e6))


def _framed(piece: bytes) -> bytes:
    """Return the frame in a piece of a chunked body."""
    return piece[piece.index(b"\n") + 1 : -2]
