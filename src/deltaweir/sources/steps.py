"""What a provider's two sources share: all of their steps that is done without waiting."""

from __future__ import annotations

import abc
import time
from typing import Generic, TypeVar

from deltaweir.client.attempt import Attempt, ChunkT
from deltaweir.errors import ConnectionFailed
from deltaweir.net import asynchronous, blocking
from deltaweir.net.route import hopeless, lost
from deltaweir.schema.chunk import Usage

ConnectionT = TypeVar("ConnectionT", blocking.Connection, asynchronous.Connection)


class RemoteSteps(abc.ABC, Generic[ChunkT, ConnectionT]):
    """A provider's answer, apart from how one waits for it.

    Args:
        exchange: The request.
        connect_s: Seconds to make a connection in; None for no limit.
    """

    def __init__(self, exchange: Attempt[ChunkT], connect_s: float | None) -> None:
        self._exchange = exchange
        self._connect_s = connect_s
        self._connection: ConnectionT | None = None
        self._fresh = False
        self._closed = False
        self._over = False
        self._pause_ends: float | None = None

    @property
    def usage(self) -> Usage | None:
        """The provider's last word on usage."""
        return self._exchange.usage

    @property
    def answered(self) -> bool:
        """Whether the answer has begun."""
        return self._exchange.answered

    @property
    def request_id(self) -> str | None:
        """The server's id of the request, once it has said one."""
        return self._exchange.request_id

    @property
    def said_done(self) -> bool:
        """Whether the stream said ``[DONE]``."""
        return self._exchange.said_done

    @abc.abstractmethod
    def close(self) -> None:
        """End the stream; see `deltaweir.sources.source.Source`."""

    def __del__(self) -> None:
        if hasattr(self, "_pause_ends"):
            self.close()

    def _pausing(self) -> float:
        """Return the seconds left of a pause, 0.0 for none."""
        pause = self._exchange.pause_s
        if pause is None:
            return 0.0
        if self._pause_ends is None:
            self._pause_ends = time.monotonic() + pause
        return max(0.0, self._pause_ends - time.monotonic())

    def _paused(self) -> None:
        """Take note that a pause is over."""
        self._pause_ends = self._exchange.pause_s = None

    def _connect_limit(self, timeout_s: float | None) -> float | None:
        limits = [limit for limit in (timeout_s, self._connect_s) if limit is not None]
        return min(limits, default=None)

    def _unconnected(self, error: ConnectionFailed, timeout_s: float | None) -> None:
        """Try again, or raise why not; the reader's own time comes before that for connecting."""
        self._drop()
        if self._closed or hopeless(error):
            raise error
        ran_out = isinstance(error.__cause__, TimeoutError) and error.__cause__.errno is None
        if (
            ran_out
            and timeout_s is not None
            and self._connect_limit(None) != self._connect_limit(timeout_s)
        ):
            raise TimeoutError from error
        self._exchange.broke(error)

    def _took(self, data: bytes, *, fresh: bool) -> list[ChunkT]:
        """Hand on what came; no bytes are the peer's end."""
        if not data and self._died_unused(fresh):
            return []
        chunks = self._exchange.feed(data) if data else self._exchange.eof()
        if self._exchange.pause_s is not None:
            self._drop()
        return chunks

    def _broke(self, error: OSError, *, fresh: bool) -> list[ChunkT]:
        """Try again after a connection failed in a wait, or raise why not."""
        if isinstance(error, TimeoutError) and error.errno is None:
            raise error  # of the reader's time; that of the network has a number
        if not self._died_unused(fresh):
            self._drop()
            self._exchange.broke(lost(error))
        return []

    def _died_unused(self, fresh: bool) -> bool:
        """Tell whether a kept connection died unused, which is nobody's fault; then drop it."""
        self._fresh = not fresh and self._exchange.head is None
        if self._fresh:
            self._drop()
        return self._fresh

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _failed(self) -> bool:
        """End after an error; tell whether it is to be raised: not if the reader has closed."""
        self._over = True
        self._drop()
        return not self._closed
