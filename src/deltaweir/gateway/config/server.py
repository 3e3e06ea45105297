"""The table ``[server]``: where to listen, and what holds for every request."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from deltaweir.errors import InvalidRequest
from deltaweir.gateway.config.tables import within

Auth = Literal["none", "keys"]
Log = Literal["text", "json", "none"]

MOST_WORKERS = 256
_DAY_S = 86_400.0
_MOST_BODY_MIB = 4096.0
_MOST_JOURNAL_MIB = 2.0**20
_MOST_PORT = 65535

OWN_ROUTES = (
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/count",
    "/v1/dashboard",
    "/v1/models",
    "/v1/models/",
    "/v1/streams",
    "/v1/streams/",
    "/v1/usage",
)
"""Routes that are answered here; below those that end with a slash, all are."""
_PASSED = re.compile(r"/v1/(?:[A-Za-z0-9._~-]+/)*(?:[A-Za-z0-9._~-]+\*?|\*)")

_ORIGIN = re.compile(r"\*|null|[a-z][a-z0-9+.-]*://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]+)?")
"""What a browser sends as ``Origin``: all in lower case, and nothing behind the port."""
_USUAL_PORT = re.compile(r"http://.*:80|https://.*:443")


class ServerConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table ``[server]``.

    Attributes:
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        workers: Processes that answer; each takes about one core.
        auth: Who may ask: ``none`` asks nobody for a key, ``keys`` wants one made by
            ``deltaweir keys create``.
        cors_origins: Web origins whose pages may call; ``*`` for all.
        heartbeat_s: Seconds of silence before a comment is sent, since proxies close
            connections that are silent for 30 to 100.
        max_body_mib: MiB of the largest request.
        drain_s: Seconds that open streams have to end when the server is told to stop.
        slow_reader_s: Seconds that a reader may take nothing while bytes wait for it.
        journal_ttl_s: Seconds for which a stream that may be resumed is kept after its end.
        journal_mib: MiB that such streams may take in all; what ended first goes first.
        resume_wait_s: Seconds that such a stream goes on while nobody reads it, where its client
            asked for ``cancel`` on disconnect.
        annotate: Whether finish chunks carry usage and cost under ``deltaweir``.
        passthrough: Further routes that are passed to upstreams, not counted, such as
            ``/v1/embeddings``; ``*`` at the end stands for any rest: ``/v1/audio/*``.
        page: Whether ``/`` shows the page, with a conversation and the dashboard.
        log: How each stream's end is logged, one line a stream and never its content:
            ``text``, ``json``, or ``none``.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 1
    auth: Auth = "none"
    cors_origins: tuple[str, ...] = ()
    heartbeat_s: float = 15.0
    max_body_mib: float = 16.0
    drain_s: float = 30.0
    slow_reader_s: float = 60.0
    journal_ttl_s: float = 300.0
    journal_mib: float = 256.0
    resume_wait_s: float = 30.0
    annotate: bool = True
    passthrough: tuple[str, ...] = ()
    page: bool = True
    log: Log = "text"

    def __post_init__(self) -> None:
        """Refuse numbers out of bounds, and origins and routes that are none."""
        if not self.host:
            raise InvalidRequest("host: got an empty text, expected an address", param="host")
        within("port", self.port, 0, _MOST_PORT)
        within("workers", self.workers, 1, MOST_WORKERS)
        within("heartbeat_s", self.heartbeat_s, 0, _DAY_S, more=True)
        within("max_body_mib", self.max_body_mib, 0, _MOST_BODY_MIB, more=True)
        within("drain_s", self.drain_s, 0, _DAY_S)
        within("slow_reader_s", self.slow_reader_s, 0, _DAY_S, more=True)
        within("journal_ttl_s", self.journal_ttl_s, 0, _DAY_S)
        within("journal_mib", self.journal_mib, 1, _MOST_JOURNAL_MIB)
        within("resume_wait_s", self.resume_wait_s, 0, _DAY_S)
        for origin in self.cors_origins:
            _check_origin(origin)
        for pattern in self.passthrough:
            _check_passed(pattern)


def _check_origin(origin: str) -> None:
    """Refuse what would match no page's origin, and so let none in without a word."""
    if not _ORIGIN.fullmatch(origin) or _USUAL_PORT.fullmatch(origin):
        raise InvalidRequest(
            f"cors_origins: got {origin.rpartition('@')[2]!r}, expected an origin as browsers "
            "send it, such as https://app.example.com or http://localhost:3000: scheme and host in "
            'lower case, a port unless it is the usual one, and nothing behind; or "*" for all',
            param="cors_origins",
        )


def _check_passed(pattern: str) -> None:
    if not _PASSED.fullmatch(pattern) or "/." in pattern:
        raise InvalidRequest(
            f"passthrough: got {pattern!r}, expected a path such as /v1/embeddings, "
            "or with a * at its end such as /v1/audio/*",
            param="passthrough",
        )
    own = _own(pattern)
    if own is not None:
        raise InvalidRequest(
            f"passthrough: {pattern!r} takes {own}, which is answered here", param="passthrough"
        )


def _own(pattern: str) -> str | None:
    """Return the first route of our own that a pattern would take."""
    for route in OWN_ROUTES:
        inside = pattern.startswith(route) if route.endswith("/") else pattern == route
        if inside or (pattern.endswith("*") and route.startswith(pattern[:-1])):
            return route
    return None
