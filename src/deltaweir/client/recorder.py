"""A stream on its way into a recording: what it shows, when it shows it, and how it ended.

Nothing that can go wrong here ends a stream: a file that takes no more is given up by
`deltaweir.adapters.recording_files`, with one warning.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from deltaweir.adapters.recording_files import RecordingFile
from deltaweir.client.frames import as_sent_of
from deltaweir.endings import Ending, State
from deltaweir.errors import DeltaweirError
from deltaweir.recorded_request import RecordTo, kept_request, record_to
from deltaweir.recording import (
    End,
    Header,
    Kept,
    Kind,
    end_line,
    event_line,
    failure_of,
    frame_line,
    header_line,
)
from deltaweir.schema.chunk import AnyChunk, TextChunk
from deltaweir.schema.frames import FrameWriter
from deltaweir.schema.request import AnyRequest

if TYPE_CHECKING:
    from deltaweir.client.destination import Settings
    from deltaweir.client.view import StreamView

StreamT = TypeVar("StreamT", bound="StreamView[Any, Any]")

_LINE = b'{"at":%d,"data":%b}\n'
_log = logging.getLogger("deltaweir.recording")


class Recorder:
    """Write what one stream shows into a file, as it is shown.

    Args:
        to: Where, and how much of the request with it.
        kind: The endpoint; None where the first chunk tells.
        clock: Returns seconds on a monotonic clock.

    Raises:
        InvalidRequest: The file cannot be written.
    """

    def __init__(
        self,
        to: RecordTo,
        kind: Kind | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file = RecordingFile(to.path)
        self._kept: Kept = to.request
        self._kind = kind
        self._clock = clock
        self._started = clock()
        self._began = datetime.now(UTC)
        self._request: Mapping[str, Any] | None = None
        self._model = ""
        self._usage_asked = False
        self._writer: FrameWriter | None = None
        self._as_sent: Callable[[AnyChunk], bytes | None] | None = None
        self._ended = self._shown = self._uncounted = False

    def follow(self, view: StreamView[Any, Any], request: AnyRequest | None) -> None:
        """Take what a stream shows from now on, and tell of the request that it answers.

        Args:
            view: The stream, which is told to call `took`, and `ended` or `left`.
            request: The request as it was sent; None where nobody knows.
        """
        self._started, self._began = self._clock(), datetime.now(UTC)
        self._usage_asked = view.usage_asked
        self._as_sent = as_sent_of(view)
        if request is not None:
            self._model = request.model or ""
            self._request = request.model_dump()
        if self._model:
            self._begin(None)

    def took(self, chunks: Sequence[AnyChunk]) -> None:
        """Write chunks that are shown now."""
        if self._ended:
            return
        at_us = int((self._clock() - self._started) * 1e6)
        self._shown = True
        try:
            frame = (self._writer or self._begin(chunks[0])).frame
            if self._as_sent is not None:
                lines = b"".join([self._played(at_us, chunk, frame) for chunk in chunks])
            elif len(chunks) == 1:
                # what a writer makes is JSON on one line, between "data: " and two line ends
                lines = _LINE % (at_us, frame(chunks[0])[6:-2])
            else:
                lines = b"".join([_LINE % (at_us, frame(chunk)[6:-2]) for chunk in chunks])
        except (TypeError, ValueError) as error:  # somebody else's chunk is no JSON
            why = f"got a chunk that is no JSON ({type(error).__name__})"
            _log.warning("the recording %s ends early: %s", self._file.path, why)
            self._ended = True
            self._file.close()
            return
        self._file.write(lines)

    def uncounted(self, error: DeltaweirError | OSError) -> None:
        """Take note that what the stream used cannot be counted, so that nobody tries again."""
        self._uncounted = True
        _log.warning("the recording %s has no usage: %s", self._file.path, type(error).__name__)

    def ended(self, view: StreamView[Any, Any], failure: DeltaweirError | None) -> None:
        """Write how the stream ended and what it used, which is counted now; once.

        Nothing stays of one that was refused, so that its file can be had for the next try.
        """
        if self._ended:
            return
        if failure is not None and not self._shown:
            self.discard()
            return
        at_us = self._us()  # before counting, which may take a while
        told: dict[str, Any] = {}
        try:
            told = {} if self._uncounted else _account_of(view)
        except (DeltaweirError, OSError) as error:  # a vocabulary that cannot be had
            self.uncounted(error)
        if failure is not None:
            told["error"] = failure_of(failure)
        self._end(view.ending, at_us, told)

    def left(self, view: StreamView[Any, Any]) -> None:
        """Write that the reader wants no more, or has not waited for the end; never waits."""
        if self._ended:
            return
        ending = view.ending
        if ending is not None and ending.state is State.FAILED and not self._shown:
            self.discard()
        else:
            self._end(ending, self._us(), {})

    def discard(self) -> None:
        """Record nothing, and leave no file behind."""
        self._ended = True
        self._file.discard()

    def _played(self, at_us: int, chunk: AnyChunk, frame: Callable[[AnyChunk], bytes]) -> bytes:
        """Return the line of a chunk that is played again, as it was then where it still is."""
        data = None if self._as_sent is None else self._as_sent(chunk)
        return frame_line(at_us, frame(chunk)) if data is None else event_line(at_us, data)

    def _begin(self, chunk: AnyChunk | None) -> FrameWriter:
        """Write the first line."""
        kind = self._kind or ("text" if isinstance(chunk, TextChunk) else "chat")
        model = self._model or ("" if chunk is None else chunk.model)
        request = None if self._request is None else kept_request(self._request, self._kept)
        header = Header(
            began=self._began.isoformat(timespec="microseconds").replace("+00:00", "Z"),
            kind=kind,
            model=model,
            usage_asked=self._usage_asked,
            request_kept="none" if request is None else self._kept,
            request=request,
        )
        self._request = None
        # before it is written, since a signal handler may end the stream meanwhile
        self._writer = FrameWriter(usage_asked=self._usage_asked, exact=True)
        self._file.write(header_line(header))
        # of things that are dropped together any may go first; not by `self`, a cycle of its own
        self._file.last_words = functools.partial(_last_words, self._clock, self._started)
        return self._writer

    def _end(self, ending: Ending | None, at_us: int, told: dict[str, Any]) -> None:
        self._ended = True
        if self._writer is None:
            self._begin(None)
        name = (ending or Ending.ABANDONED).value  # what is dropped while it runs has no ending
        self._file.write(end_line(End(at=at_us, end=name, **told)))
        self._file.close()

    def _us(self) -> int:
        """Return the time, in microseconds since the stream was asked for."""
        return _since(self._clock, self._started)


def _since(clock: Callable[[], float], started: float) -> int:
    return max(0, round((clock() - started) * 1e6))


def _last_words(clock: Callable[[], float], started: float) -> bytes:
    """Return the end of a stream that was dropped, as far as its file can know."""
    return end_line(End(at=_since(clock, started), end=Ending.ABANDONED.value))


def _account_of(view: StreamView[Any, Any]) -> dict[str, Any]:
    """Return what a stream used, as its recording's end tells it."""
    account = view.account()
    timing = view.timing
    return {
        "finish_reason": view.finish_reason,
        "usage": None if account.usage is None else account.usage.model_dump(),
        "cost_usd": account.cost_usd,
        "source": account.source,
        "headers_us": _us(timing.headers),
        "first_content_us": _us(timing.first_content),
        "deltaweir": view.told,
    }


def _us(seconds: float | None) -> int | None:
    return None if seconds is None else max(0, round(seconds * 1e6))


@contextlib.contextmanager
def recording(
    fields: Mapping[str, Any], settings: Settings, kind: type[Any]
) -> Iterator[Recorder | None]:
    """Open the file that a call is recorded to, before anything is spent; None for none.

    Args:
        fields: What the caller gave.
        settings: What holds where the call says nothing.
        kind: The chunk type.

    Raises:
        InvalidRequest: The ``record`` is none, or its file cannot be written.
    """
    to = wanted(fields, settings)
    if to is None:
        yield None
        return
    recorder = Recorder(to, "text" if issubclass(kind, TextChunk) else "chat")
    try:
        yield recorder
    except BaseException:
        recorder.discard()
        raise


def wanted(fields: Mapping[str, Any], settings: Settings) -> RecordTo | None:
    """Return where a call is recorded: as it says itself, else as its client does.

    Raises:
        InvalidRequest: The ``record`` is none.
    """
    own = fields.get("record")
    return record_to(settings.record if own is None else own)


def recorded(
    stream: StreamT, recorder: Recorder | None, request: AnyRequest | None = None
) -> StreamT:
    """Return a stream that is recorded from now on.

    Args:
        stream: One of ours.
        recorder: What it is recorded by; None for not at all.
        request: The request that it answers, as it was sent.
    """
    if recorder is not None:
        recorder.follow(stream, request)
        stream.record_by(recorder)
    return stream
