"""One request's life: its bytes out, its answer's bytes in, sent again or not. Pure.

A shell opens a connection and sends `start`; hands what it receives to `feed`, and the
connection's end to `eof` or its failure to `broke`; and looks after each call at

- ``pause_s``: not None, and the request is to be sent again after this pause, on a new
  connection, by `start`;
- ``ended``: the answer is whole, and the connection may serve again when ``reusable``.

A request is sent again only until its first content: chunks that came before it, such as the
role, are kept back until then, so that a reader never sees the chunks of two attempts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec

from deltaweir.client.answers import (
    MAX_BODY_BYTES,
    pause_before_retry,
    status_error,
    stream_error,
)
from deltaweir.client.provider import Outgoing
from deltaweir.errors import (
    ConnectionFailed,
    DeltaweirError,
    StreamFailed,
    StreamTruncated,
)
from deltaweir.schema.chunk import Chunk, TextChunk, Usage
from deltaweir.schema.record import Record
from deltaweir.schema.texts import has_content
from deltaweir.wire.http1 import Head, ResponseReader
from deltaweir.wire.sse import Decoder, Event

ChunkT = TypeVar("ChunkT", bound=Chunk | TextChunk)

MAX_REPLY_BYTES = 256 * 1024 * 1024
"""Bytes of the largest whole reply; a stream has no such limit."""


class Attempt:
    """What both kinds of exchange share: attempts, their heads, and when to try again.

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
        self._chance = chance
        self._now = now
        self._tries = 0
        self._reader = ResponseReader()
        self._refusal: list[bytes] = []

    @property
    def head(self) -> Head | None:
        """The head of the answer to the last attempt."""
        return self._reader.head

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
        self._reader = ResponseReader()
        self._refusal = []
        return self.request.raw

    def drain(self, data: bytes) -> None:
        """Take bytes that come after all that counts, up to the answer's last byte."""
        self._reader.feed(data)

    def broke(self, error: DeltaweirError) -> None:
        """Take note that the connection failed.

        Raises:
            DeltaweirError: The error, when the request is not sent again.
        """
        if not self._again(None, None):
            raise error

    def _again(self, head: Head | None, code: str | None) -> bool:
        """Decide whether to send again; if so ``pause_s`` says when."""
        if self._began() or self._tries >= self.request.provider.retries:
            return False
        pause = pause_before_retry(
            head, code, attempt=self._tries, chance=self._chance(), now=self._now()
        )
        if pause is None:
            return False
        self._tries += 1
        self.pause_s = pause
        return True

    def _began(self) -> bool:
        """Tell whether content has come, after which nothing is sent again."""
        return False

    def _refused(self, pieces: list[bytes]) -> None:
        """Collect the body of a refusal; when it is whole, raise it or try again."""
        self._refusal += pieces
        body = b"".join(self._refusal)
        self._refusal = [body]
        if self._reader.complete or len(body) > MAX_BODY_BYTES:
            self._refuse(body)

    def _refuse(self, body: bytes) -> None:
        head = self.head
        assert head is not None
        error = status_error(head, body, secret=self.request.provider.api_key)
        if not self._again(head, error.code):
            raise error


class StreamExchange(Attempt, Generic[ChunkT]):
    """The exchange of a streamed reply.

    Args:
        request: What is sent.
        kind: The chunk type.
        chance: Returns a number from 0 to 1.
        now: Returns seconds since the epoch.
    """

    def __init__(
        self,
        request: Outgoing,
        kind: type[ChunkT],
        *,
        chance: Callable[[], float],
        now: Callable[[], float],
    ) -> None:
        super().__init__(request, chance=chance, now=now)
        self.usage: Usage | None = None
        """The provider's last word on usage."""
        self.said_done = False
        """Whether the stream said ``[DONE]``."""
        self._kind = kind
        self._decoder = Decoder()
        self._early: list[ChunkT] | None = []

    def start(self) -> bytes:
        """Begin an attempt; send what is returned."""
        self._decoder = Decoder()
        self._early = []
        return super().start()

    def feed(self, data: bytes) -> list[ChunkT]:
        """Take the connection's next bytes; return the chunks they complete.

        Raises:
            DeltaweirError: The server refused, broke the protocol, or sent an error event.
        """
        chunks: list[ChunkT] = []
        try:
            pieces = self._reader.feed(data)
            head = self._reader.head
            if head is None:
                return chunks
            if head.status != 200:  # noqa: PLR2004  # the only status an event stream has
                self._refused(pieces)
                return chunks
            self._check_type(head, pieces)
            for piece in pieces:
                for event in self._decoder.feed(piece):
                    self._event(event, chunks)
        except (StreamFailed, StreamTruncated) as error:
            self._again_or_raise(error)
            return []
        if self._reader.complete and not self.ended:
            self.ended = True
            chunks += self._let_go()
        return chunks

    def eof(self) -> list[ChunkT]:
        """Take note that the peer closed the connection; return the last chunks.

        Raises:
            DeltaweirError: No answer had begun, and the request is not sent again.
        """
        try:
            self._reader.eof()
        except StreamTruncated as error:
            head = self.head
            if head is None:
                self._again_or_raise(_no_answer(error))
                return []
            if head.status != 200:  # noqa: PLR2004
                self._refuse(b"".join(self._refusal))
                return []
            if not self._began() and self._again(None, None):
                return []
        else:
            assert self.head is not None
            self._check_type(self.head, [])
        self.ended = True
        return self._let_go()

    def _began(self) -> bool:
        return self._early is None

    def _again_or_raise(self, error: DeltaweirError) -> None:
        if not self._again(None, None):
            raise error

    def _check_type(self, head: Head, pieces: list[bytes]) -> None:
        media = (head.get("content-type") or "text/event-stream").partition(";")[0].strip().lower()
        if media == "text/event-stream":
            return
        # an error inside 200, a page of a proxy, or a server that cannot stream
        self._refusal += pieces
        if self._reader.complete:
            body = b"".join(self._refusal)
            self._early = None  # sending it again would give the same
            try:
                value = msgspec.json.decode(body)
            except (msgspec.DecodeError, UnicodeError):
                value = None
            if isinstance(value, dict) and "error" in value:
                raise self._said(value)
            raise StreamFailed(
                f"the server answered with {media} where an event stream was asked for; "
                "check the base_url, or leave out stream=True",
                request_id=self.request_id,
            )
        pieces.clear()

    def _event(self, event: Event, chunks: list[ChunkT]) -> None:
        if self.ended:
            return
        if event.data == b"[DONE]":
            self.said_done = self.ended = True
            chunks += self._let_go()
            return
        if event.name == "error":
            raise self._said(_json(event.data))
        chunk: Any = self._kind.model_validate_json(event.data)
        if "error" in chunk.__dict__:
            raise self._said(chunk.__dict__)
        self.usage = chunk.usage or self.usage
        if self._early is None:
            chunks.append(chunk)
            return
        self._early.append(chunk)
        if any(has_content(choice) or choice.finish_reason for choice in chunk.choices):
            chunks += self._let_go()

    def _said(self, value: object) -> DeltaweirError:
        """Return the error that the server itself reports, after which nothing is sent again."""
        self._early = None
        return stream_error(value, request_id=self.request_id)

    def _let_go(self) -> list[ChunkT]:
        """Return the chunks that were kept back; from now on nothing is sent again."""
        early, self._early = self._early, None
        return early or []


class WholeExchange(Attempt):
    """The exchange of an answer that comes in one piece, as JSON."""

    def __init__(
        self, request: Outgoing, *, chance: Callable[[], float], now: Callable[[], float]
    ) -> None:
        super().__init__(request, chance=chance, now=now)
        self._body: list[bytes] = []
        self._bytes = 0

    def start(self) -> bytes:
        """Begin an attempt; send what is returned."""
        self._body, self._bytes = [], 0
        return super().start()

    def feed(self, data: bytes) -> None:
        """Take the connection's next bytes.

        Raises:
            DeltaweirError: The server refused, or broke the protocol.
        """
        try:
            pieces = self._reader.feed(data)
        except StreamFailed as error:
            self.broke(error)
            return
        head = self._reader.head
        if head is not None and not 200 <= head.status < 300:  # noqa: PLR2004
            self._refused(pieces)
            return
        self._body += pieces
        self._bytes += sum(map(len, pieces))
        if self._bytes > MAX_REPLY_BYTES:
            raise StreamFailed(f"the server's reply is larger than {MAX_REPLY_BYTES} bytes")
        self.ended = self._reader.complete

    def eof(self) -> None:
        """Take note that the peer closed the connection.

        Raises:
            DeltaweirError: The answer is not whole, and the request is not sent again.
        """
        try:
            self._reader.eof()
        except StreamTruncated as error:
            self.broke(_no_answer(error) if self.head is None else error)
            return
        self.feed(b"")
        self.ended = True

    def reply(self, kind: type[RecordT]) -> RecordT:
        """Return the answer, once ``ended``.

        Args:
            kind: What the answer is.

        Raises:
            StreamFailed: It is not what was asked for.
        """
        body = b"".join(self._body)
        value = _json(body)
        if isinstance(value, dict) and value.get("error"):
            raise stream_error(value, request_id=self.request_id)
        return kind.model_validate_json(body)


RecordT = TypeVar("RecordT", bound=Record)


def _json(data: bytes) -> object:
    try:
        value: object = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeError):
        return None
    return value


def _no_answer(error: StreamTruncated) -> ConnectionFailed:
    failed = ConnectionFailed("the server closed the connection without an answer")
    failed.__cause__ = error
    return failed
