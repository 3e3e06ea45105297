"""What goes on to a client of an upstream that refused a request that was passed to it. Pure."""

from __future__ import annotations

from typing import NamedTuple

from deltaweir.client.provider import Provider
from deltaweir.client.relayed import RelayExchange
from deltaweir.wire.http1 import Head

_SHOWN = range(400, 500)
_OUR_KEY = frozenset({401, 403})
_ELSEWHERE = frozenset({401, 402, 403, 404, 408, 429})
"""Refusals below 500 that another upstream may not repeat."""


class Said(NamedTuple):
    """What an upstream said that goes on to the client."""

    head: Head
    provider: Provider
    refusal: bytes | None = None
    """The whole body of a refusal; None for a body that is still to come."""


def refusal_of(exchange: RelayExchange, provider: Provider) -> Said | None:
    """Return a refusal that a client gets as it is; those of our key are none of its business."""
    head, body = exchange.head, exchange.refusal
    if head is None or body is None or head.status in _OUR_KEY or head.status not in _SHOWN:
        return None
    return Said(head, provider, body)


def is_final(head: Head | None) -> bool:
    """Tell whether an upstream that works has refused what others would refuse too.

    Such are a method that a path does not take, a range that a file does not have, or a
    redirection: whoever asks for that must not, by asking often, have upstreams left alone.
    """
    return head is not None and head.status < _SHOWN.stop and head.status not in _ELSEWHERE
