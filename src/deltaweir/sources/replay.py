"""Recordings as sources: what was shown comes again, at its own pace, faster, or at once.

A playback ends as what was recorded did. A stream that was cut is cut, one that failed fails
with the same error, and one whose recording breaks off is truncated, whatever it had said.
"""

from __future__ import annotations

import asyncio
import queue
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from deltaweir.adapters.recording_files import RecordedFile
from deltaweir.endings import Ending, State
from deltaweir.errors import InvalidRecording, InvalidRequest, StreamFailed, StreamTruncated
from deltaweir.recording import AT_ONCE, End, Event, error_in
from deltaweir.schema.chunk import Chunk, TextChunk, Usage

ChunkT = TypeVar("ChunkT", bound=Chunk | TextChunk)

MOST_AT_ONCE = 64
"""Events that one wait brings at most."""
_LONGEST_WAIT_S = 3600.0
"""After which a wait begins anew; what systems can wait has a bound."""
_MOST_KEPT = 1024
"""Chunks whose bytes are kept; more than a reader can have before him."""


class Playing(Generic[ChunkT]):
    """A recording while it is played, however its reader waits.

    Args:
        recording: The recording, of which nothing was played.
        kind: The chunk type.
        speed: A factor on its own pace; 0 waits for nothing.
        read: Returns the chunk that an event's data is; as the chunk type reads it unless told.
        clock: Returns seconds on a monotonic clock.

    Raises:
        InvalidRequest: It is a recording of the other endpoint.
    """

    def __init__(
        self,
        recording: RecordedFile,
        kind: type[ChunkT],
        *,
        speed: float = 1.0,
        read: Callable[[bytes], ChunkT] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        check_kind(recording, text=issubclass(kind, TextChunk))
        self.answered = False
        """Whether a chunk has come."""
        self.said_done = False
        """Whether the recording says that all was sent."""
        self.over = False
        """Whether the recorded stream's end was reached."""
        self.cut: Ending | None = None
        """How the recorded stream was cut; None where it was not, or until then."""
        self.keeps_bytes = False
        """Whether `as_sent` will be asked."""
        self._recording = recording
        self._kind: type[Any] = kind
        plainly: Any = kind.model_validate_json
        self._read: Callable[[bytes], ChunkT] = read or plainly
        self._speed = speed
        self._clock = clock
        self._started: float | None = None
        self._events = recording.events()
        self._next: Event | None = None
        self._damage: InvalidRecording | None = None
        self._sent: dict[int, tuple[ChunkT, bytes]] = {}
        self._closed = False
        self._begin()

    def _begin(self) -> None:
        """Make what the reader waits by."""

    @property
    def end(self) -> End | None:
        """What the recording's last line says, once it is read."""
        return self._recording.reader.end

    @property
    def usage(self) -> Usage | None:
        """The recorded usage, once the end is reached."""
        end = self.end if self.over else None
        return None if end is None or end.usage is None else Usage.model_validate(end.usage)

    def as_sent(self, chunk: ChunkT) -> bytes | None:
        """Return the bytes that a chunk was recorded as; None where it is not as it was then.

        Args:
            chunk: One that came from here.
        """
        known = self._sent.get(id(chunk))
        if known is None or known[0] is not chunk:
            return None
        return known[1] if chunk == self._kind.model_validate_json(known[1]) else None

    def due(self) -> list[ChunkT] | float | None:
        """Return the chunks that are due; or the seconds until some are; or None at the end.

        Raises:
            DeltaweirError: The recorded stream failed, or the recording is damaged here.
        """
        if self._closed:
            return None
        now = self._clock()
        if self._started is None:
            self._started = now
        chunks: list[ChunkT] = []
        try:
            while self._damage is None and len(chunks) < MOST_AT_ONCE:
                event = self._next or next(self._events, None)
                self._next = event
                if event is None:
                    return chunks or self._ended(now)
                wait = self._until(event.at, now)
                if wait > 0:
                    return chunks or wait
                self._next = None
                chunks.append(self._chunk(event))
        except InvalidRecording as error:
            self._damage = error
        if self._damage is not None and not chunks:
            raise self._damage
        return chunks  # what is whole is shown first

    def _until(self, at_us: int, now: float) -> float:
        """Return the seconds until a time of the recording, or as long as one may wait."""
        assert self._started is not None
        if self._speed == AT_ONCE:
            return 0.0
        return min(self._started + at_us / 1e6 / self._speed - now, _LONGEST_WAIT_S)

    def _chunk(self, event: Event) -> ChunkT:
        try:
            chunk = self._read(event.data)
        except StreamFailed as error:
            raise self._recording.reader.damaged(
                "what it holds is no chunk; it was recorded by another program"
            ) from error
        self.answered = True
        if self.keeps_bytes:
            self._sent[id(chunk)] = (chunk, event.data)
            if len(self._sent) > _MOST_KEPT:
                del self._sent[next(iter(self._sent))]
        return chunk

    def _ended(self, now: float) -> float | None:
        """End as the recorded stream did, when it did; return the seconds until then."""
        end = self.end
        if end is None:
            raise StreamTruncated(
                f"{self._recording.name} breaks off before the stream's end, so that nobody "
                "knows how it ended"
            )
        wait = self._until(end.at, now)
        if wait > 0:
            return wait
        self.over = True
        ending = end.ending
        if ending.state is State.FAILED:
            raise error_in(end)
        if ending is Ending.ABANDONED:
            raise StreamTruncated(
                "the recording ends here, since whoever read the answer stopped it",
                code="abandoned",
            )
        self.said_done = ending is Ending.COMPLETE
        self.cut = None if self.said_done else ending
        return None


class ReplaySource(Playing[ChunkT]):
    """A recording for a reader that blocks; made as `Playing` is."""

    def _begin(self) -> None:
        # this queue may be put to in a signal handler or a finaliser without a deadlock
        self._wakes: queue.SimpleQueue[None] = queue.SimpleQueue()

    def receive(self, timeout_s: float | None) -> list[ChunkT] | None:
        """Wait for the next chunks; see `deltaweir.sources.source.Source`."""
        while isinstance(due := self.due(), float):
            wait = due if timeout_s is None else min(due, timeout_s)
            try:
                self._wakes.get(timeout=wait)
            except queue.Empty:
                if wait < due:
                    raise TimeoutError from None
        return due

    def close(self) -> None:
        """Play no more, and wake the reader."""
        self._closed = True
        self._wakes.put(None)


class AsyncReplaySource(Playing[ChunkT]):
    """A recording for a reader that awaits on the loop that made it; made as `Playing` is."""

    def _begin(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()

    async def receive(self, timeout_s: float | None) -> list[ChunkT] | None:
        """Wait for the next chunks; see `deltaweir.sources.source.AsyncSource`."""
        while isinstance(due := self.due(), float):
            wait = due if timeout_s is None else min(due, timeout_s)
            try:
                async with asyncio.timeout(wait):
                    await self._woken.wait()
            except TimeoutError:
                if wait < due:
                    raise
        await asyncio.sleep(0)  # a recording that is played at once lets others run
        return due

    def close(self) -> None:
        """Play no more, and wake the reader."""
        self._closed = True
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._woken.set)


def check_kind(recording: RecordedFile, *, text: bool) -> None:
    """Refuse a recording of the other endpoint.

    Args:
        recording: The recording.
        text: Whether a text completion was asked for, or a chat completion.

    Raises:
        InvalidRequest: It is one.
    """
    asked = "text" if text else "chat"
    if recording.header.kind != asked:
        raise InvalidRequest(
            f"{recording.name} is a recording of a {_NAMES[recording.header.kind]}, and was asked "
            f"for a {_NAMES[asked]}",
            param="model",
        )


_NAMES = {"chat": "chat completion", "text": "text completion"}
