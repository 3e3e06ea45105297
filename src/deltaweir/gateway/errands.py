"""Mail between gateways: to stop a stream where it runs, or to ask what it has used."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any, Literal

import msgspec

from deltaweir.endings import Ending
from deltaweir.errors import ServiceUnavailable
from deltaweir.gateway.store_calls import StoreCalls
from deltaweir.gateway.streams import Stream, Streams
from deltaweir.stores.failures import LedgerUnavailable

Errand = Literal["stop", "usage"]

ANSWER_S = 2.0
"""How long another gateway has to answer, in seconds."""


class Mail(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A message from one gateway to another.

    Attributes:
        token: What the answer is known by.
        errand: What is asked; None in an answer.
        stream_id: Of which stream.
        sender: Who asks.
        usage: The answer.
    """

    token: str = ""
    errand: Errand | None = None
    stream_id: str = ""
    sender: str = ""
    usage: dict[str, Any] | None = None


NO_MAIL = b"{}"
"""Mail that only wakes who listens."""
_MAIL = msgspec.json.Decoder(Mail)


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
        if found is None or found.ended is None:
            raise _unanswered()
        return found.ended

    def heard(self, message: bytes) -> None:
        """Take a message."""
        mail = _MAIL.decode(message)
        waiting = self._asked.get(mail.token)
        if mail.errand is not None:
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
