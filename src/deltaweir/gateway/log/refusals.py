"""What the log says of requests that were refused before they were streams; never a key. Pure.

Whoever tries keys could fill a disk with such lines: of each second a few are written, and the
others are counted.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from deltaweir.errors import DeltaweirError
from deltaweir.gateway.config.server import OWN_ROUTES

KEY, MODEL, REQUEST_ID = "deltaweir.key_id", "deltaweir.model", "deltaweir.request_id"
"""Where a request's scope has what is known of it: the id of its key, the model, and its own id."""
MOST_LINES = 10
"""Lines a second."""
OTHER = "other"
"""The route of all that is answered nowhere: a path may hold anything."""

_ROUTES = frozenset({*OWN_ROUTES, "/metrics", "/healthz", "/readyz", "/openapi.json"})
_CODE = re.compile(r"[\w.:-]{1,64}", re.ASCII)


class Refusal(NamedTuple):
    """A request that was refused before it was a stream.

    Attributes:
        request_id: What the answer's ``x-request-id`` said; None where that is not known here.
        route: Which of the server's routes; one that is passed on as the configuration has it.
        model: What the client asked for; None where it named none, or was refused before.
        key_id: The id of the client's key, which is no secret; None where it is not known.
        status: The HTTP status that was sent.
        code: The error's code.
    """

    request_id: str | None
    route: str
    model: str | None
    key_id: str | None
    status: int
    code: str | None


def refusal_of(
    scope: Mapping[str, Any],
    error: DeltaweirError,
    *,
    request_id: str | None,
    passed: Sequence[str],
) -> Refusal:
    """Return what may be told of a request that was refused.

    Args:
        scope: The request's, as ASGI has it.
        error: Why.
        request_id: Its id; None for that of its scope.
        passed: The routes that are passed on.
    """
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    model = scope.get(MODEL)
    return Refusal(
        request_id=scope.get(REQUEST_ID) if request_id is None else request_id,
        route=route_of(path, passed),
        model=model if isinstance(model, str) else None,
        key_id=scope.get(KEY),
        status=error.status,
        code=code_of(error),
    )


def route_of(path: str, passed: Sequence[str]) -> str:
    """Return which route a path belongs to, and nothing else of the path.

    Args:
        path: As the client has it.
        passed: The routes that are passed on, with a ``*`` for any rest.
    """
    if path in _ROUTES:
        return path
    patterns = [*(f"{route}*" for route in OWN_ROUTES if route.endswith("/")), *passed]
    for pattern in patterns:
        if path == pattern or (pattern.endswith("*") and path.startswith(pattern[:-1])):
            return pattern
    return OTHER


def code_of(error: DeltaweirError | None) -> str | None:
    """Return an error's code for the log; ``-`` for one that is no name, and may be anything.

    An upstream's own code goes on to the client, whatever it is.
    """
    if error is None or error.code is None:
        return None
    return error.code if _CODE.fullmatch(error.code) else "-"


class Flood:
    """Let a few lines a second through, and count what is left out, by status.

    Args:
        most: Lines a second.
    """

    def __init__(self, most: int = MOST_LINES) -> None:
        self._most = most
        self._since = float("-inf")
        self._lines = 0
        self._left: Counter[int] = Counter()

    def admits(self, status: int, now: float) -> bool:
        """Tell whether a line may be written now; else it is counted.

        Args:
            status: The refusal's.
            now: Seconds on a monotonic clock.
        """
        if now - self._since >= 1:
            self._since, self._lines = now, 0
        if self._lines < self._most:
            self._lines += 1
            return True
        self._left[status] += 1
        return False

    def left_out(self, now: float) -> dict[int, int]:
        """Return how many were left out, by status, once the second is over; they are then told."""
        if not self._left or now - self._since < 1:
            return {}
        left, self._left = dict(sorted(self._left.items())), Counter()
        return left
