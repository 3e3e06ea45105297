"""How a server is asked to let a stream be resumed, read on, and stopped. Pure.

The wish is a header that others ignore; the stream's id in the answer's head is the offer. Then
each event has an id, which names the stream and its number; the stream is read on after an event,
and stopped for everyone, at an address of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from deltaweir.client.answers import parsed, status_error
from deltaweir.client.provider import Outgoing, Provider, outgoing
from deltaweir.errors import DeltaweirError, InvalidRequest, StreamFailed
from deltaweir.wire.http1 import Head
from deltaweir.wire.sse import Decoder, Event

ASKING_HEADER = "x-deltaweir"
OFFER_HEADER = "x-deltaweir-stream-id"

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What may stand in an address as it is; another id is no offer."""
_MOST_DIGITS = 15
_WHAT_TO_DO = {
    404: "what came is kept; ask again for all of it",
    410: "what came is kept; ask again for all of it",
}


class Resumption(NamedTuple):
    """How a stream's requests are made once it has an id; its repr tells no key."""

    provider: Provider
    headers: Mapping[str, str]
    """Further headers of the first request, by their names in lower case."""
    query: Mapping[str, Any] | None
    request_id: str
    version: str
    stops: bool = True
    """Whether the server shall stop a stream whose reader leaves, not finish it for others."""

    def __repr__(self) -> str:
        return f"Resumption({self.provider!r}, {self.request_id!r})"

    def reading(self, stream_id: str, last: int) -> Outgoing:
        """Return the request for what follows an event.

        Args:
            stream_id: The stream's id.
            last: The event's number; 0 for all of them.
        """
        return self._request(stream_id, "GET", {"last-event-id": f"{stream_id}:{last}"})

    def stopping(self, stream_id: str) -> Outgoing:
        """Return the request that ends a stream for everyone."""
        return self._request(stream_id, "DELETE", {})

    def _request(self, stream_id: str, method: str, more: Mapping[str, str]) -> Outgoing:
        return outgoing(
            self.provider,
            f"/streams/{stream_id}",
            request_id=self.request_id,
            method=method,
            stream=method == "GET",
            headers={**self.headers, **more},
            query=self.query,
            version=self.version,
        )


def resumption_of(
    provider: Provider,
    *,
    headers: Mapping[str, Any] | None,
    query: Mapping[str, Any] | None,
    request_id: str,
    version: str,
    asked: object = None,
) -> tuple[Resumption, dict[str, Any]]:
    """Return how to resume a stream, and the headers that ask for it.

    What a caller has put into ``X-Deltaweir`` himself is kept; where only the body says what
    becomes of the stream when he leaves, the header says the same.

    Args:
        provider: Where the request goes.
        headers: Further headers of the request.
        query: Further query of the request.
        request_id: The id of ours.
        version: What the User-Agent tells.
        asked: The body's ``deltaweir``, which asks for such things as well.

    Raises:
        InvalidRequest: The caller's ``X-Deltaweir`` is no JSON object.
    """
    given = {str(name).lower(): value for name, value in (headers or {}).items()}
    own = given.pop(ASKING_HEADER, dict(provider.headers).get(ASKING_HEADER))
    said = {} if own is None else parsed(str(own).encode())
    if not isinstance(said, dict):
        raise InvalidRequest(
            "got a header X-Deltaweir that is no JSON object; resume=True adds to one",
            param="headers",
        )
    in_body = asked.get("on_disconnect") if isinstance(asked, Mapping) else None
    wish = {"on_disconnect": in_body or "cancel", **said, "resume": True}
    stops = "cancel" in (in_body, wish["on_disconnect"])  # whoever hears both takes that
    resumption = Resumption(provider, given, query, request_id, version, stops)
    return resumption, {**given, ASKING_HEADER: msgspec.json.encode(wish).decode()}


def offer_in(head: Head) -> str | None:
    """Return the id by which a server offers to resume; None where it does not."""
    given = head.get(OFFER_HEADER)
    return given if given is not None and _ID.fullmatch(given) else None


def number_of(event_id: str, stream_id: str) -> int | None:
    """Return the number in an event's id; None where it is not one of the stream's."""
    stream, _, number = event_id.rpartition(":")
    plain = number.isascii() and number.isdecimal() and len(number) <= _MOST_DIGITS
    return int(number) if plain and stream == stream_id else None


def refused(head: Head, body: bytes, *, last: int, provider: Provider) -> DeltaweirError:
    """Return what a server says that does not let a stream be read on.

    Args:
        head: Its answer's head.
        body: What is there of the answer's body.
        last: The number of the event that was asked to be followed.
        provider: Knows what must not be repeated.
    """
    error = status_error(
        head, body, hide=provider.without_secrets, todo=_WHAT_TO_DO.get(head.status)
    )
    error.message = f"asked for what follows event {last}, {error.message}"
    error.args = (error.message,)
    return error


class PlacedDecoder(Decoder):
    """A decoder that knows which event it returned last, for a stream that may be resumed.

    Args:
        first_id: The id that the first event must have, unless it is an error; None takes any.
    """

    __slots__ = ("_first_id", "place")

    def __init__(self, first_id: str | None = None) -> None:
        super().__init__()
        self.place: str | None = None
        """The id of the last event that was returned; None before the first that was due."""
        self._first_id = first_id

    def feed(self, piece: bytes) -> list[Event]:
        """Take the next bytes and return the events they complete.

        Raises:
            StreamFailed: An event is too large, or the first is not the one that is due.
        """
        events = super().feed(piece)
        if not events:
            return events
        if self._first_id is not None and events[0].id != self._first_id:
            if _tells_error(events[0]):  # whoever takes it raises: no text is doubled or lost
                return events
            raise StreamFailed(
                f"asked to go on with event {self._first_id}, the server sent "
                f"{events[0].id[:100] or 'one without an id'}"
            )
        self._first_id, self.place = None, events[-1].id
        return events


def _tells_error(event: Event) -> bool:
    """Tell whether an event is a stream's last word, whatever number whoever said it gave it."""
    value = parsed(event.data)
    return isinstance(value, dict) and bool(value.get("error") or event.name == "error")
