"""A server that lets streams be resumed, and breaks them off where a test says."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from deltaweir.testing import Drop, Peer, Request, error_answer, json_answer, stream_answer
from deltaweir.testing.faults import Answer, Step

STREAM = "stm_" + "0123456789abcdef" * 2
OFFER = {"x-deltaweir-stream-id": STREAM, "x-request-id": "req_server"}
Fault = Callable[[Sequence[Step]], Answer]
"""Makes of a whole answer what is sent of it."""


def numbered(events: Iterable[Step], *, first: int = 1, stream: str = STREAM) -> list[bytes]:
    """Return events with their ids."""
    found = [event for event in events if isinstance(event, bytes)]
    return [b"id: %b:%d\n%b" % (stream.encode(), n, one) for n, one in enumerate(found, first)]


def offering(events: Sequence[bytes], **options: Any) -> list[Step]:
    """Return the answer of a server that offers to resume what it streams."""
    return stream_answer(events, headers=OFFER, **options)


def after(events: int) -> Fault:
    """Break off after so many events."""
    return lambda steps: [*steps[: events + 1], Drop()]


def after_bytes(count: int) -> Fault:
    """Break off after so many bytes, head and framing included."""

    def cut(steps: Sequence[Step]) -> Answer:
        raw = b"".join(step for step in steps if isinstance(step, bytes))
        return [raw[:count], Drop()]

    return cut


def refusing(status: int, **headers: str) -> Fault:
    """Refuse instead."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: error_answer(status, "not now", headers=named)


def whole(steps: Sequence[Step]) -> Answer:
    """Change nothing."""
    return steps


def nothing_more() -> Fault:
    """Say that the stream has ended."""
    return lambda _: [b"HTTP/1.1 204 No Content\r\n\r\n"]


class ResumablePeer(Peer):
    """A peer whose streams go on after the ``Last-Event-ID`` of whoever comes back.

    Args:
        events: The events, without ids.
        faults: What becomes of the answers, in their order; those after are whole.
        certificate: As for `Peer`.
    """

    def __init__(
        self, events: Iterable[Step], *faults: Fault, certificate: Path | None = None
    ) -> None:
        super().__init__([Drop()], certificate=certificate)
        self._events = numbered(events)
        self._faults = list(faults)

    @property
    def stops(self) -> list[Request]:
        """The requests that asked to end the stream."""
        return [request for request in self.requests if request.method == "DELETE"]

    @property
    def resumes(self) -> list[str]:
        """The ``Last-Event-ID`` of each request that came back."""
        came = [request for request in self.requests if request.method == "GET"]
        return [request.headers["last-event-id"] for request in came]

    def _take(self) -> Answer:
        request = self.requests[-1]
        if request.method == "DELETE":
            return json_answer({"id": STREAM})
        taken = 0
        if request.method == "GET":
            assert request.target == f"/v1/streams/{STREAM}"
            taken = int(request.headers["last-event-id"].removeprefix(f"{STREAM}:"))
        else:
            assert json.loads(request.headers["x-deltaweir"])["resume"] is True
        answer = offering(self._events[taken:])
        return self._faults.pop(0)(answer) if self._faults else answer
