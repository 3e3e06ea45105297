"""The exchange of an answer that is handed on as it comes, whatever it is. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from deltaweir.client.attempt import Attempt
from deltaweir.client.provider import Outgoing
from deltaweir.errors import DeltaweirError, StreamTruncated

MAX_REFUSAL_BYTES = 64 * 1024
"""Bytes of the largest refusal that is handed on; what providers say is below one KiB."""

_NOT_MODIFIED = 304


class RelayExchange(Attempt[Any]):
    """The exchange of an answer whose body nobody reads here; its chunks are the body's bytes.

    The first chunks are returned with the answer's head, though they may have no bytes. A
    request is never sent again: whom to ask next is its owner's business.

    Args:
        request: What is sent.
        bodiless: Whether the answer has no body, whatever its head says: that of HEAD.
        chance: Returns a number from 0 to 1.
        now: Returns seconds since the epoch.
    """

    def __init__(
        self,
        request: Outgoing,
        *,
        bodiless: bool,
        chance: Callable[[], float],
        now: Callable[[], float],
    ) -> None:
        super().__init__(request, chance=chance, now=now)
        self._bodiless = bodiless

    @property
    def answered(self) -> bool:
        """Whether an answer has begun that is no refusal."""
        head = self.head
        return head is not None and (super().answered or head.status == _NOT_MODIFIED)

    @property
    def framed_end(self) -> bool:
        """Whether the answer's last byte has come."""
        return super().framed_end or (self._bodiless and self.head is not None)

    @property
    def refusal(self) -> bytes | None:
        """The body of a refusal, keys taken out; None where it is not whole, or cannot be read."""
        head = self.head
        if head is None or self.answered or not self.framed_end:
            return None
        encoding = (head.get("content-encoding") or "identity").strip().lower()
        if encoding != "identity" or self._aside_bytes > MAX_REFUSAL_BYTES:
            return None
        # Latin-1 takes any byte and gives it back, and keys are ASCII
        said = b"".join(self._aside).decode("latin-1")
        return self.request.provider.without_secrets(said).encode("latin-1")

    def feed(self, data: bytes) -> list[bytes]:
        """Take the connection's next bytes; return those of the body.

        Raises:
            DeltaweirError: The server refused, or broke the protocol.
        """
        first = self.head is None
        pieces = self._reader.feed(data)
        if self.head is None:
            return []
        if self._bodiless:
            pieces = []
        if not self.answered:
            if self._put_aside(pieces) or self._bodiless:
                self._refuse()
            return []
        self._settled = True
        self.ended = self.framed_end
        return pieces or ([b""] if first else [])

    def eof(self) -> list[bytes]:
        """Take note that the peer closed the connection; no bytes are left then.

        Raises:
            DeltaweirError: The server refused, did not answer, or its answer is not whole.
        """
        try:
            self._reader.eof()
        except StreamTruncated as error:
            if self.head is None or self.answered:
                self.broke(self._no_answer(error))
        if not self.answered:
            self._refuse()
        self.ended = True
        return []

    def broke(self, error: DeltaweirError) -> None:
        """Take note that the connection failed.

        Raises:
            DeltaweirError: The error.
        """
        raise self._final(error)
