"""The exchange of an answer that comes in one piece, such as a reply without ``stream``. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from deltaweir.client.answers import parsed, stream_error, tells_error
from deltaweir.client.attempt import Attempt
from deltaweir.client.provider import Outgoing
from deltaweir.errors import DeltaweirError, StreamFailed, StreamTruncated
from deltaweir.schema.chunk import Chunk
from deltaweir.schema.record import Record

RecordT = TypeVar("RecordT", bound=Record)

MAX_REPLY_BYTES = 256 * 1024 * 1024
"""Bytes of the largest whole reply; a stream has no such limit."""


class WholeExchange(Attempt[Chunk]):
    """The exchange of an answer that comes in one piece, as JSON; it has no chunks.

    Args:
        request: What is sent.
        chance: Returns a number from 0 to 1.
        now: Returns seconds since the epoch.
    """

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

    def feed(self, data: bytes) -> list[Chunk]:
        """Take the connection's next bytes; return no chunks.

        Raises:
            DeltaweirError: The server refused, or broke the protocol.
        """
        try:
            pieces = self._reader.feed(data)
        except StreamFailed as error:
            self.broke(error)
            return []
        self._keep(pieces)
        return []

    def eof(self) -> list[Chunk]:
        """Take note that the peer closed the connection.

        Raises:
            DeltaweirError: The answer is not whole, and the request is not sent again.
        """
        try:
            self._reader.eof()
        except StreamTruncated as error:
            if self.head is None or self.answered:
                self.broke(self._no_answer(error))
            else:
                self._refuse()
            return []
        except StreamFailed as error:  # garbage was its last word
            self.broke(error)
            return []
        self._keep([])
        return []

    def reply(self, kind: type[RecordT]) -> RecordT:
        """Return the answer, once ``ended``.

        Args:
            kind: What the answer is.

        Raises:
            DeltaweirError: It is not what was asked for, or tells an error.
        """
        body = b"".join(self._body)
        try:
            reply = kind.model_validate_json(body)
        except DeltaweirError as error:
            value = parsed(body)
            if isinstance(value, dict) and value.get("error"):
                raise self._said(value) from None
            raise self._unreadable(value, error) from error
        if tells_error(reply):
            raise self._said(reply.__dict__)
        return reply

    def _keep(self, pieces: list[bytes]) -> None:
        """Keep pieces of the body, and look whether it is whole."""
        head = self._reader.head
        if head is None:
            return
        if not self.answered:
            if self._put_aside(pieces):
                self._refuse()
            return
        self._check_encoding(head)
        self._body += pieces
        self._bytes += sum(map(len, pieces))
        if self._bytes > MAX_REPLY_BYTES:
            raise StreamFailed(f"the server's reply is larger than {MAX_REPLY_BYTES} bytes")
        self.ended = self._reader.complete

    def _unreadable(self, value: object, error: DeltaweirError) -> DeltaweirError:
        """Return the error of a body that is no answer; of a page, how it may have come about."""
        media = ((self.head and self.head.get("content-type")) or "").partition(";")[0].strip()
        if value is None and media and "json" not in media.lower():
            error = StreamFailed(
                f"the server answered with {media[:80]} where JSON was asked for; "
                "check the base_url"
            )
        error.request_id = self.request_id
        return error

    def _said(self, value: object) -> DeltaweirError:
        return stream_error(
            value,
            request_id=self.request_id,
            hide=self.request.provider.without_secrets,
            what="the server answered with an error",
        )
