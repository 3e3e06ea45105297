"""Forwarded streams in process: the gateway's own run, weir and source, the provider's bytes made.

Where nothing else is given, there are no sockets: a stream's connection is fed by hand, and what
would go to its reader is dropped.
"""

from __future__ import annotations

import asyncio
import collections
import functools
import json
import time
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, cast

from deltaweir.adapters.guards import policy_from
from deltaweir.client.clocks import Timeouts
from deltaweir.client.exchange import StreamExchange
from deltaweir.client.metering import ModelBasis, metering, weir_for
from deltaweir.client.provider import outgoing, provider_of
from deltaweir.gateway.lanes.outflow import Outflow
from deltaweir.gateway.runs.runs import Run
from deltaweir.gateway.streams.publication import Owner, Publication
from deltaweir.gateway.streams.reader import JournalReader
from deltaweir.guard.guard import StreamGuard
from deltaweir.guard.policy import Policy
from deltaweir.journal import Journal
from deltaweir.meter.budget import limit_of
from deltaweir.net.route import route_to
from deltaweir.schema.forwarding import ForwardedChunk, Forwarder
from deltaweir.schema.reply import Reply
from deltaweir.sources.upstream import UpstreamSource

MODEL = "gpt-4o-mini"
HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"x-request-id: req_0123456789\r\ntransfer-encoding: chunked\r\n\r\n"
)
PROVIDER = provider_of("http://127.0.0.1:1/v1", retries=0)
ROUTE = route_to(PROVIDER.origin, proxy="")
BUDGET = "1000000000tok"
"""A limit that is watched and never reached."""
_FILLING = "aZ3kQ9bT7mW2xY5c"


def event(
    delta: Mapping[str, Any],
    *,
    finish: str | None = None,
    filling: str,
    more: Mapping[str, Any] = MappingProxyType({}),
) -> bytes:
    """Return a chunk as OpenAI sends it today, null fields and all, as an event."""
    chunk = {
        "id": "chatcmpl-B1x2y3z4B1x2y3z4B1x2y3z4B1x2",
        "object": "chat.completion.chunk",
        "created": 1795500000,
        "model": "gpt-4o-mini-2024-07-18",
        "service_tier": "default",
        "system_fingerprint": "fp_0123456789",
        "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}],
        "usage": None,
        "obfuscation": filling,
        **more,
    }
    said = json.dumps(chunk, separators=(",", ":"), ensure_ascii=False)
    return b"data: %b\n\n" % said.encode()


def framed(body: bytes) -> bytes:
    """Return a piece of a chunked body, as it goes over the wire."""
    return b"%x\r\n%b\r\n" % (len(body), body)


def pieces(texts: Iterable[str], kind: str = "known") -> list[bytes]:
    """Return the pieces that bring these texts, one each.

    Args:
        texts: What they bring.
        kind: ``known``: nothing differs but the text; ``filled``: nor does ``obfuscation``,
            which has another length each time; ``unknown``: with fields that nobody knows.
    """
    more = {"x_trace": {"node": "a7", "ms": 12}} if kind == "unknown" else {}
    out = []
    for number, text in enumerate(texts):
        filling = _FILLING[: 1 + number % len(_FILLING)] if kind == "filled" else _FILLING[:6]
        out.append(framed(event({"content": text}, filling=filling, more=more)))
    return out


class Fed:
    """Stands for a connection to an upstream; feed it by what it was handed to."""

    fresh = False
    route = ROUTE

    def __init__(self) -> None:
        self.receiver: Any = None

    def hand_to(self, receiver: Any) -> None:
        """Keep who has the bytes now."""
        self.receiver = receiver

    async def send(self, data: bytes) -> None:
        """Send nothing."""

    def pause(self) -> None:
        """Go on."""

    def resume(self) -> None:
        """Go on."""

    def close(self) -> None:
        """Stay."""


class _Dropping:
    """Stands for a reader's transport."""

    def __init__(self) -> None:
        self.write = collections.deque[bytes](maxlen=0).append


@functools.cache
def _standard() -> Policy:
    """Return the preset, compiled; all streams share it, as those of a gateway do."""
    policy = policy_from("standard")
    policy.prepare()
    return policy


class _Lane:
    """Stands for the lane of a reader whose answer has a chunked body."""

    framed = True
    gone = False

    def __init__(self, transport: Any) -> None:
        self.transport = transport
        self._write = transport.write

    async def start(self, *_: Any) -> None:
        """Send no head."""

    def look(self) -> None:
        """Hold nobody: all that is written is taken."""

    def write(self, data: bytes) -> None:
        """Send a piece."""
        self._write(framed(data))


class _Pool:
    """Has one connection."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def take(self, *_: Any, **__: Any) -> Any:
        """Give it."""
        return self._connection


class _Attempt:
    """Stands for the attempt at an upstream; without a ``long_way`` there is no other one."""

    usage = None
    answered = True
    said_done = False

    def __init__(self, long_way: UpstreamSource[ForwardedChunk] | None) -> None:
        self.long_way = long_way

    def pause(self) -> None:
        """Go on."""

    def resume(self) -> None:
        """Go on."""

    def close(self) -> None:
        """Stay."""


class Forwarded:
    """A stream that an upstream answers, up to its first content, and ready for more.

    Args:
        guard: Whether the preset ``standard`` reads it.
        budget: Whether a budget is watched.
        straight: Whether chunks may go straight; else all take the long way.
        connection: To the upstream; None for one that is fed by hand.
        transport: The reader's; None for nobody.
        read: Returns the chunk that an event's data is; None reads as the gateway does.
        journal: Whether it may be resumed; its reader is the first of those of its journal.
    """

    def __init__(
        self,
        *,
        guard: bool = False,
        budget: bool = False,
        straight: bool = True,
        connection: Any = None,
        transport: Any = None,
        read: Any = None,
        journal: bool = False,
    ) -> None:
        policy = _standard() if guard else None
        metered = metering(ModelBasis(None), MODEL, limit_of(BUDGET if budget else None))
        self.weir = weir_for(
            ForwardedChunk, metered, None, None if policy is None else StreamGuard(policy, ())
        )
        self.run = Run(
            Reply,
            weir=self.weir,
            metering=metered,
            request_id="req_0",
            annotate=True,
            patient=True,
            heartbeat_s=15.0,
        )
        self.connection = Fed() if connection is None else connection
        self.outflow = Outflow(cast("Any", _Lane(transport or _Dropping())), [])
        exchange = StreamExchange(
            outgoing(PROVIDER, "/chat/completions", request_id="req_0"),
            ForwardedChunk,
            chance=lambda: 0.0,
            now=time.time,
            read=read or cast("Any", Forwarder(ForwardedChunk, guarded=guard)).read,
        )
        self.source: UpstreamSource[ForwardedChunk]
        self.source = UpstreamSource(exchange, cast("Any", _Pool(self.connection)), self.run)
        self._straight = straight
        self.publication = Publication("stm_0", Owner(), Journal()) if journal else None

    async def begin(self) -> None:
        """Ask the upstream; what it says may follow."""
        if self.publication is None:
            self.run.write_to(self.outflow)
        else:
            JournalReader(self.publication).read(self.outflow)
            self.run.write_to(self.publication)
        self.run.follow(_Attempt(self.source if self._straight else None), Timeouts())
        await self.source.begin(None)

    async def warm(self, ready: list[bytes]) -> None:
        """Feed the head of an answer and its first pieces by hand."""
        await self.begin()
        self.feed([HEAD])
        for piece in ready:
            self.feed([piece])
            if self.outflow.opened is None:  # the head to the reader is written by a task
                await asyncio.sleep(0)

    def feed(self, ready: Iterable[bytes]) -> None:
        """Feed pieces by hand, one by one."""
        connection = self.connection
        for piece in ready:
            connection.receiver.received(piece)
