"""What every exchange shares: its attempts, refusals, and when to try again. Pure."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Generic, TypeVar

from deltaweir.client.answers import MAX_BODY_BYTES, pause_before_retry, status_error
from deltaweir.client.provider import Outgoing
from deltaweir.errors import ConnectionFailed, DeltaweirError, StreamFailed, StreamTruncated
from deltaweir.schema.chunk import Chunk, TextChunk, Usage
from deltaweir.wire.http1 import Head, ResponseReader

ChunkT = TypeVar("ChunkT", bound=Chunk | TextChunk)


class Attempt(abc.ABC, Generic[ChunkT]):
    """An exchange as a shell sees it; `deltaweir.client.exchange` tells how to drive it.

    Args:
        request: What is sent.
        chance: Returns a number from 0 to 1.
        now: Returns seconds since the epoch.
    """

    def __init__(
        self, request: Outgoing, *, chance: Callable[[], float], now: Callable[[], float]
    ) -> None:
        self.request = request
        self.pause_s: float | None = None
        """How long to wait before `start` is called again; None when it is not."""
        self.ended = False
        """Whether the answer is whole."""
        self.failure: DeltaweirError | None = None
        """What went wrong after the chunks that were returned last; raise it behind them."""
        self.usage: Usage | None = None
        """The provider's last word on usage."""
        self.said_done = False
        """Whether the stream said ``[DONE]``."""
        self._chance = chance
        self._now = now
        self._tries = 0
        self._started = False
        self._settled = False  # content has come, or a final word: nothing is sent again
        self._reader = ResponseReader()
        self._aside: list[bytes] = []  # the body of a refusal, or of a page
        self._aside_bytes = 0

    @property
    def head(self) -> Head | None:
        """The head of the answer to the last attempt."""
        return self._reader.head

    @property
    def answered(self) -> bool:
        """Whether an answer has begun that is no refusal."""
        # 201 too: frameworks have it as their default for POST
        return self.head is not None and 200 <= self.head.status < 300  # noqa: PLR2004

    @property
    def request_id(self) -> str | None:
        """The server's id of the request, once it has said one."""
        return self.head.get("x-request-id") if self.head is not None else None

    @property
    def framed_end(self) -> bool:
        """Whether the answer's last byte has come; it may come after all that counts."""
        return self._reader.complete

    @property
    def reusable(self) -> bool:
        """Whether the connection may serve another request."""
        return self._reader.complete and self._reader.reusable

    def start(self) -> bytes:
        """Begin an attempt; send what is returned."""
        self.pause_s = None
        if self._started:
            self._reader = ResponseReader()
            self._aside, self._aside_bytes = [], 0
        self._started = True
        return self.request.raw

    @abc.abstractmethod
    def feed(self, data: bytes) -> list[ChunkT]:
        """Take the connection's next bytes; return the chunks they complete.

        Raises:
            DeltaweirError: The server refused, broke the protocol, or sent an error event.
        """

    @abc.abstractmethod
    def eof(self) -> list[ChunkT]:
        """Take note that the peer closed the connection; return the last chunks.

        Raises:
            DeltaweirError: The server refused, or did not answer.
        """

    def drain(self, data: bytes) -> None:
        """Take bytes that come after all that counts, up to the answer's last byte.

        Raises:
            StreamFailed: They break the protocol.
        """
        self._reader.feed(data)

    def broke(self, error: DeltaweirError) -> None:
        """Take note that the connection failed.

        Raises:
            DeltaweirError: The error, when the request is not sent again.
        """
        if not self._again():
            raise error

    def _again(self, head: Head | None = None, code: str | None = None) -> bool:
        """Decide whether to send again; if so ``pause_s`` says when."""
        if self._settled or self._tries >= self.request.provider.retries:
            return False
        pause = pause_before_retry(
            head, code, attempt=self._tries, chance=self._chance(), now=self._now()
        )
        if pause is None:
            return False
        self._tries += 1
        self.pause_s = pause
        return True

    def _final(self, error: DeltaweirError) -> DeltaweirError:
        """Return an error after which nothing is sent again, since it would give the same."""
        self._settled = True
        return error

    def _put_aside(self, pieces: list[bytes]) -> bool:
        """Collect a body that is no answer; tell whether there is enough of it."""
        self._aside += pieces
        self._aside_bytes += sum(map(len, pieces))
        return self._reader.complete or self._aside_bytes > MAX_BODY_BYTES

    def _refuse(self) -> None:
        """Raise what a refusal says, or try again."""
        head, provider = self.head, self.request.provider
        assert head is not None
        error = status_error(head, b"".join(self._aside), hide=provider.without_secrets)
        if not self._again(head, error.code):
            raise self._final(error)

    def _check_encoding(self, head: Head) -> None:
        """Refuse a compressed body; none was asked for, and none can be read as it comes."""
        encoding = (head.get("content-encoding") or "").strip().lower()
        if encoding not in ("", "identity"):
            raise self._final(
                StreamFailed(
                    f"the server compressed its answer ({encoding[:20]}), though it was asked "
                    "not to",
                    request_id=self.request_id,
                )
            )

    def _no_answer(self, error: StreamTruncated) -> DeltaweirError:
        """Return the error of a connection that ended too early."""
        if self.head is not None:
            return error
        failed = ConnectionFailed("the server closed the connection without an answer")
        failed.__cause__ = error
        return failed
