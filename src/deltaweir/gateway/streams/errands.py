"""Mail between gateways: to stop a stream where it runs, or to ask what it has used."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from deltaweir.endings import Ending
from deltaweir.errors import ServiceUnavailable
from deltaweir.gateway.streams.store_calls import GRACE_S, StoreCalls
from deltaweir.gateway.streams.streams import Stream, Streams
from deltaweir.stores.failures import LedgerUnavailable

Errand = Literal["stop", "usage"]
"""What one can have done where a stream runs."""
_READ = "read"
"""Tells that streams are read elsewhere, so that they do not end unread."""

ANSWER_S = 2.0
"""How long another gateway has to answer, in seconds."""


class Mail(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A message from one gateway to another.

    Attributes:
        token: What the answer is known by.
        errand: What is asked; None in an answer, and where there is nothing to do.
        stream_id: Of which stream.
        stream_ids: Of which streams, where they are several.
        sender: Who asks.
        usage: The answer.
    """

    token: str = ""
    errand: str | None = None
    stream_id: str = ""
    stream_ids: tuple[str, ...] = ()
    sender: str = ""
    usage: dict[str, Any] | None = None


NO_MAIL = b"{}"
"""Mail that only wakes who listens."""
_MAIL = msgspec.json.Decoder(Mail)
_log = logging.getLogger("deltaweir.gateway")


class Errands:
    """Send errands, and run those that come.

    Args:
        calls: The store.
        streams: The streams of this gateway.
    """

    def __init__(self, calls: StoreCalls, streams: Streams) -> None:
        self._calls = calls
        self._streams = streams
        self._asked: dict[str, asyncio.Future[dict[str, Any] | None]] = {}

    async def ask(self, stream: Stream, errand: Errand) -> dict[str, Any]:
        """Have a stream stopped where it runs, or ask what it has used; return that.

        Raises:
            ServiceUnavailable: The store, or the gateway that runs it, cannot be asked.
        """
        if stream.usage()["ending"] is not None:
            return stream.usage()
        told = await self._sent(stream, errand)
        if told is not None:
            return told
        # there it has ended meanwhile, or nobody is there any more
        found = await self._calls.find(
            stream.stream_id, lambda found: found is None or found.ended is not None
        )
        if found is not None and found.ended is None and not found.alive:
            await asyncio.sleep(GRACE_S)
            assert stream.gateway is not None
            await self._calls.for_client(self._calls.bury, stream.stream_id, stream.gateway, 0)
            found = await self._calls.for_client(self._calls.store.find, stream.stream_id)
        if found is None or found.ended is None:
            raise _unanswered()
        return found.ended

    async def tell_read(self, gateway: str, stream_ids: Sequence[str]) -> None:
        """Tell a gateway which of its streams are read here.

        Raises:
            LedgerUnavailable: The store cannot be reached.
        """
        message = msgspec.json.encode(Mail(errand=_READ, stream_ids=tuple(stream_ids)))
        await self._calls.call(self._calls.store.send, gateway, message)

    def heard(self, message: bytes) -> None:
        """Take a message; one that another version of this has written may say nothing here."""
        try:
            mail = _MAIL.decode(message)
        except (msgspec.DecodeError, UnicodeError) as error:
            _log.warning("a message of another gateway is not understood: %s", type(error).__name__)
            return
        waiting = self._asked.get(mail.token)
        if mail.errand == _READ:
            self._streams.read_elsewhere(mail.stream_ids)
        elif mail.errand in ("stop", "usage"):
            self._calls.spawn(self._run(mail))
        elif waiting is not None and not waiting.done():
            waiting.set_result(mail.usage)

    async def _sent(self, stream: Stream, errand: Errand) -> dict[str, Any] | None:
        store, token = self._calls.store, secrets.token_hex(8)
        mail = Mail(token=token, errand=errand, stream_id=stream.stream_id, sender=store.gateway)
        answer = self._asked[token] = asyncio.get_running_loop().create_future()
        try:
            message = msgspec.json.encode(mail)
            if not await self._calls.for_client(store.send, stream.gateway, message):
                return None
            told: dict[str, Any] | None = await asyncio.wait_for(answer, ANSWER_S)
        except TimeoutError as error:
            raise _unanswered() from error
        else:
            return told
        finally:
            del self._asked[token]

    async def _run(self, mail: Mail) -> None:
        stream = self._streams.get(mail.stream_id)
        if stream is not None and stream.run is not None and mail.errand == "stop":
            stream.run.abort(Ending.STOPPED)
        usage = None if stream is None else stream.usage()
        answer = msgspec.json.encode(Mail(token=mail.token, usage=usage))
        try:
            await self._calls.call(self._calls.store.send, mail.sender, answer)
        except LedgerUnavailable:  # it is logged, and who asked waits no longer than ANSWER_S
            return


def _unanswered() -> ServiceUnavailable:
    return ServiceUnavailable("the gateway that runs this stream does not answer; ask again")
