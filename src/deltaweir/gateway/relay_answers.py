"""What a client is told of an upstream that a request was passed to, and how long that may take."""

from __future__ import annotations

from typing import NamedTuple

from deltaweir.client.provider import Provider
from deltaweir.client.relayed import RelayExchange
from deltaweir.errors import (
    AuthenticationFailed,
    ConnectionFailed,
    DeltaweirError,
    PermissionDenied,
    ServiceUnavailable,
    StreamFailed,
)
from deltaweir.gateway.upstreams import Upstream
from deltaweir.wire.http1 import Head

_ERRORS = range(400, 600)
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


def refusal_of(exchange: RelayExchange, upstream: Upstream) -> Said | None:
    """Return a refusal that a client gets as it is; those of our key are none of its business."""
    head, body = exchange.head, exchange.refusal
    if head is None or body is None or head.status in _OUR_KEY or head.status not in _SHOWN:
        return None
    return Said(head, upstream.provider, body)


def is_final(head: Head | None) -> bool:
    """Tell whether an upstream that works has refused what others would refuse too.

    Such are a method that a path does not take, a range that a file does not have, or a
    redirection: whoever asks for that must not, by asking often, have upstreams left alone.
    """
    return head is not None and head.status < _SHOWN.stop and head.status not in _ELSEWHERE


def told(error: DeltaweirError, name: str) -> DeltaweirError:
    """Return an upstream's error as a client may hear it; the log has what is for operators."""
    if isinstance(error, AuthenticationFailed | PermissionDenied):
        shown: DeltaweirError = StreamFailed(f"the upstream {name!r} refused this server's key")
    elif isinstance(error, ConnectionFailed):
        shown = ConnectionFailed(f"the upstream {name!r}: no connection")
    else:
        error.message = f"the upstream {name!r}: {error.message}"
        error.args = (error.message,)
        if error.status not in _ERRORS:  # a redirection, say
            error.status = StreamFailed.default_status
        return error
    shown.__cause__ = error
    return shown


def resting(seconds: float) -> DeltaweirError:
    """Return the error of a request that no upstream is asked for.

    Args:
        seconds: In how many one may be asked again.
    """
    wait = max(1, round(seconds + 0.5))
    return ServiceUnavailable(
        f"the upstreams of this route are left alone after failures; ask again in {wait} s",
        code="upstreams_resting",
    )
