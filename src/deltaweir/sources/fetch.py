"""Wait for an answer that comes in one piece, within its clocks."""

from __future__ import annotations

import random
import time

from deltaweir.client.clocks import Clocks, Timeouts
from deltaweir.client.provider import Outgoing
from deltaweir.client.whole import RecordT, WholeExchange
from deltaweir.errors import DeltaweirError
from deltaweir.net.async_pool import AsyncPool
from deltaweir.net.blocking import Pool
from deltaweir.sources.remote import AsyncRemoteSource, RemoteSource


def fetch(sent: Outgoing, kind: type[RecordT], pool: Pool, timeouts: Timeouts) -> RecordT:
    """Return the answer to a request; block until it is whole.

    Args:
        sent: The request, sent again as its provider's ``retries`` allow.
        kind: What the answer is.
        pool: Where the connection comes from.
        timeouts: How long to wait. A name is looked up by the system, at its own pace.

    Raises:
        DeltaweirError: There is no answer, no usable one, or none in time.
    """
    exchange = WholeExchange(sent, chance=random.random, now=time.time)
    source = RemoteSource(exchange, pool, connect_s=timeouts.connect)
    clocks = Clocks(timeouts)
    try:
        while (limit := clocks.limit) != 0:
            began = time.monotonic()
            try:
                ended = source.receive(limit) is None
            except TimeoutError:
                ended = False
            clocks.waited(time.monotonic() - began, answered=source.answered)
            if ended:
                return exchange.reply(kind)
        raise clocks.error()
    except DeltaweirError as error:
        error.request_id = error.request_id or sent.request_id
        raise
    finally:
        source.close()


async def fetch_async(
    sent: Outgoing, kind: type[RecordT], pool: AsyncPool, timeouts: Timeouts
) -> RecordT:
    """Return the answer to a request; await it; see `fetch`."""
    exchange = WholeExchange(sent, chance=random.random, now=time.time)
    source = AsyncRemoteSource(exchange, pool, connect_s=timeouts.connect)
    clocks = Clocks(timeouts)
    try:
        while (limit := clocks.limit) != 0:
            began = time.monotonic()
            try:
                ended = await source.receive(limit) is None
            except TimeoutError:
                ended = False
            clocks.waited(time.monotonic() - began, answered=source.answered)
            if ended:
                return exchange.reply(kind)
        raise clocks.error()
    except DeltaweirError as error:
        error.request_id = error.request_id or sent.request_id
        raise
    finally:
        source.close()
