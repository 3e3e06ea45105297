"""A stream that is recorded while it is read."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterable, Awaitable, Iterable
from typing import Any, TypeVar, overload

from deltaweir.client.recorder import Recorder, recorded
from deltaweir.client.view import StreamView
from deltaweir.client.watch import watch
from deltaweir.client.watched import AsyncWatchedStream, WatchedStream
from deltaweir.errors import InvalidRequest
from deltaweir.recorded_request import AnyRecord, record_to
from deltaweir.sources.watched import is_stream, refused

T = TypeVar("T")
StreamT = TypeVar("StreamT", bound=StreamView[Any, Any])


@overload
def record(stream: StreamT, file: AnyRecord) -> StreamT: ...


@overload
def record(stream: Iterable[T], file: AnyRecord) -> WatchedStream[T]: ...


@overload
def record(
    stream: AsyncIterable[T] | Awaitable[AsyncIterable[T]], file: AnyRecord
) -> AsyncWatchedStream[T]: ...


def record(stream: Any, file: AnyRecord) -> Any:
    """Return a stream that is recorded while it is read: the same objects come, at once.

    What is shown is written to the file with its time, behind guard and budget, in the format
    of ``docs/recording.md``. A recording is played by the model ``replay:FILE`` and by the
    command ``deltaweir replay FILE``. A disk that fills up ends the recording, not the stream.

    Args:
        stream: One of ours, which is returned itself; or what `deltaweir.watch` takes, which is
            watched, and so tells usage and timing as well.
        file: A file, made for its owner alone, that does not exist yet or is empty; or a folder,
            in which a file of a new name is made.

    Raises:
        InvalidRequest: It is no stream, it is recorded already or has been read to its end, or
            the file cannot be written. A coroutine is closed then; all else is as it was.
    """
    to = record_to(file)
    if to is None:
        raise InvalidRequest("got no file to record to, expected a path", param="file")
    if isinstance(stream, StreamView):
        stream.check_recordable()
        return recorded(stream, Recorder(to))
    if not is_stream(stream):
        raise refused(stream)
    try:
        recorder = Recorder(to)  # first, since a stream is closed once its watched one is dropped
    except InvalidRequest:
        if inspect.iscoroutine(stream):
            stream.close()
        raise
    try:
        return recorded(watch(stream), recorder)
    except BaseException:
        recorder.discard()
        raise
