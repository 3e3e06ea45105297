"""One request's life: its bytes out, its answer's bytes in, sent again or not. Pure.

A shell opens a connection and sends `start`; hands what it receives to `feed`, and the
connection's end to `eof` or its failure to `broke`; and looks after each call at

- ``failure``: not None, and it is to be raised once the chunks before it are handed on;
- ``pause_s``: not None, and the request is to be sent again after this pause, on a new
  connection, by `start`;
- ``ended``: the answer is whole, and the connection may serve again when ``reusable``.

A request is sent again only until its first content: chunks that came before it, such as the
role, are kept back until then, so that a reader never sees the chunks of two attempts. What
a reader gets does not depend on how the bytes were cut: chunks before a fault come first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, cast

from deltaweir.client.answers import parsed, stream_error, tells_error
from deltaweir.client.attempt import Attempt, ChunkT
from deltaweir.client.provider import Outgoing
from deltaweir.client.whole import WholeExchange
from deltaweir.errors import DeltaweirError, StreamFailed, StreamTruncated
from deltaweir.schema.texts import has_content
from deltaweir.wire.http1 import Head
from deltaweir.wire.sse import Decoder, Event

__all__ = ["StreamExchange", "WholeExchange"]

MAX_EARLY_CHUNKS = 1024
"""Chunks kept back before content; a server that sends more is not asked again."""

_PAGES = frozenset(
    {"application/json", "application/problem+json", "text/html", "application/xhtml+xml"}
)
"""Types that are no event stream; others may be, since many servers name none or a wrong one."""
_EVENT_STARTS = (b"data:", b"event:", b"id:", b"retry:", b":")
_LONGEST_START = max(map(len, _EVENT_STARTS))
_SNIFFED_BYTES = 64


class StreamExchange(Attempt[ChunkT], Generic[ChunkT]):
    """The exchange of a streamed reply.

    Args:
        request: What is sent.
        kind: The chunk type.
        chance: Returns a number from 0 to 1.
        now: Returns seconds since the epoch.
        read: Returns the chunk that an event's data is; None reads the chunk type's JSON.
    """

    def __init__(
        self,
        request: Outgoing,
        kind: type[ChunkT],
        *,
        chance: Callable[[], float],
        now: Callable[[], float],
        read: Callable[[bytes], ChunkT] | None = None,
    ) -> None:
        super().__init__(request, chance=chance, now=now)
        self._read = read or cast("Callable[[bytes], ChunkT]", kind.model_validate_json)
        self._decoder = Decoder()
        self._early: list[ChunkT] = []
        self._page: bool | None = None
        self._sniffing = True

    def start(self) -> bytes:
        """Begin an attempt; send what is returned."""
        self._decoder = Decoder()
        self._early = []
        self._page, self._sniffing = None, True
        self.usage = None
        return super().start()

    def feed(self, data: bytes) -> list[ChunkT]:
        """Take the connection's next bytes; return the chunks they complete.

        Raises:
            DeltaweirError: The server refused, broke the protocol, or sent an error event.
        """
        chunks: list[ChunkT] = []
        try:
            self._take(self._reader.feed(data), chunks)
        except DeltaweirError as error:
            if chunks:
                self.failure = error
            elif not self._again():
                raise
        return chunks

    def between_events(self, data: bytes) -> bool:
        """Tell whether an answer that has begun stands between two whole events, each a chunk.

        Whoever knows what an event says may then take it by itself, and need not `feed` it.

        Args:
            data: What was fed last.
        """
        return (
            self._settled
            and not self.ended
            and self.failure is None
            and not self._page
            and self._decoder.idle
            and self._reader.between_chunks(data)
        )

    def eof(self) -> list[ChunkT]:
        """Take note that the peer closed the connection; return the last chunks.

        Raises:
            DeltaweirError: The server refused or did not answer, and is not asked again.
        """
        try:
            self._reader.eof()
        except StreamTruncated as error:
            if self.head is None:
                self.broke(self._no_answer(error))
                return []
        except StreamFailed:  # garbage was its last word
            if not self._again():
                raise
            return []
        if not self.answered:
            self._refuse()
            return []
        if self._page:
            raise self._no_stream()
        if self._again():
            return []
        self.ended = True
        return self._let_go()

    def broke(self, error: DeltaweirError) -> None:
        """Take note that the connection failed.

        After content this is an end like any other: whether it came too early, the finish
        reasons tell.

        Raises:
            DeltaweirError: The error, when no content has come and the request is not sent
                again.
        """
        if self._settled:
            self.ended = True
        else:
            super().broke(error)

    def _take(self, pieces: list[bytes], chunks: list[ChunkT]) -> None:
        head = self._reader.head
        if head is None or self.ended:
            return
        if not self.answered:
            if self._put_aside(pieces):
                self._refuse()
            return
        if self._page is None:
            self._check_encoding(head)
            self._page = _media(head) in _PAGES
        if self._page:
            pieces = self._off_page(pieces)
        if pieces:
            for event in self._decoder.feed(b"".join(pieces)):
                self._event(event, chunks)
        if self._reader.complete and not self.ended:
            self._completed(chunks)

    def _completed(self, chunks: list[ChunkT]) -> None:
        """Take note that the answer is whole, though it did not say ``[DONE]``."""
        self.ended = True
        chunks += self._let_go()

    def _off_page(self, pieces: list[bytes]) -> list[bytes]:
        """Collect what is said to be a page; return it if it is an event stream all the same."""
        enough = self._put_aside(pieces)
        if self._sniffing:
            body = b"".join(self._aside)
            start = body[:_SNIFFED_BYTES].removeprefix(b"\xef\xbb\xbf").lstrip()
            if start.startswith(_EVENT_STARTS):
                self._page, self._aside = False, []
                return [body]
            self._sniffing = len(start) < _LONGEST_START and len(body) < _SNIFFED_BYTES
        if enough:
            raise self._no_stream()
        return []

    def _no_stream(self) -> DeltaweirError:
        """Return the error of a page: an error under status 200, or no stream at all."""
        value = parsed(b"".join(self._aside))
        if isinstance(value, dict) and value.get("error"):
            return self._said(value)
        media = _media(self.head) if self.head is not None else ""
        return self._final(
            StreamFailed(
                f"the server answered with {media} where an event stream was asked for; "
                "check the base_url, or ask without stream",
                request_id=self.request_id,
            )
        )

    def _event(self, event: Event, chunks: list[ChunkT]) -> None:
        if self.ended:
            return
        data = event.data
        if data[:1] != b"{":
            data = data.strip()
            if data.startswith(b"[DONE]"):
                self.said_done = self.ended = True
                chunks += self._let_go()
                return
            if not data:  # the heartbeat of some servers
                return
        if event.name == "error":
            raise self._said(parsed(data))
        chunk = self._read(data)
        if chunk.__dict__ and tells_error(chunk):
            raise self._said(chunk.__dict__)
        self.usage = chunk.usage or self.usage
        if self._settled:
            chunks.append(chunk)
            return
        self._early.append(chunk)
        choices: Any = chunk.choices
        if len(self._early) > MAX_EARLY_CHUNKS or any(
            has_content(choice) or choice.finish_reason for choice in choices
        ):
            chunks += self._let_go()

    def _said(self, value: object) -> DeltaweirError:
        """Return the error that the server itself reports, after which nothing is sent again."""
        hide = self.request.provider.without_secrets
        return self._final(stream_error(value, request_id=self.request_id, hide=hide))

    def _let_go(self) -> list[ChunkT]:
        """Return the chunks that were kept back; from now on nothing is sent again."""
        self._settled = True
        early, self._early = self._early, []
        return early


def _media(head: Head) -> str:
    return (head.get("content-type") or "").partition(";")[0].strip().lower()[:80]
