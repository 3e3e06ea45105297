"""The bodies of requests: read up to a limit, and JSON objects."""

from __future__ import annotations

from typing import Any

import msgspec

from deltaweir.errors import InvalidRequest
from deltaweir.gateway.lanes.lane import Message, Receive

MOST_PARTS = 100_000
"""Objects and lists in one request; brackets in texts count too, so that they cost nothing."""


class ClientGoneError(Exception):
    """The client hung up before its request was whole."""


async def read_body(receive: Receive, limit_bytes: int) -> bytes:
    """Return a request's body.

    Raises:
        InvalidRequest: It is larger than the limit (413).
        ClientGoneError: The client hung up.
    """
    pieces: list[bytes] = []
    size = 0
    more = True
    while more:
        message: Message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        piece = message.get("body", b"")
        size += len(piece)
        if size > limit_bytes:
            raise InvalidRequest(
                f"the request is larger than {limit_bytes} bytes", status=413, code="too_large"
            )
        pieces.append(piece)
        more = message.get("more_body", False)
    return b"".join(pieces)


def check_parts(body: bytes) -> None:
    """Refuse a body of so many parts that looking at each would take seconds.

    Raises:
        InvalidRequest: It has more objects and lists than any conversation.
    """
    if len(body) > MOST_PARTS and body.count(b"{") + body.count(b"[") > MOST_PARTS:
        raise InvalidRequest(
            f"the request has more than {MOST_PARTS} objects and lists", code="too_large"
        )


def fields_of(body: bytes) -> dict[str, Any]:
    """Return a request's fields.

    Raises:
        InvalidRequest: The body is not a JSON object.
    """
    try:
        fields = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InvalidRequest(f"got a body of {len(body)} bytes that is not JSON") from error
    if not isinstance(fields, dict):
        raise InvalidRequest("got a body that is not a JSON object")
    return fields
