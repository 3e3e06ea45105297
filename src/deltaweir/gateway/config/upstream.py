"""The tables ``[[upstreams]]``: OpenAI-compatible providers, and how to speak to them."""

from __future__ import annotations

import functools
import re
from typing import Any

import msgspec

from deltaweir.client.clocks import Timeouts, timeouts_of
from deltaweir.client.provider import Provider, outgoing, provider_of
from deltaweir.errors import InvalidRequest
from deltaweir.gateway.config.environment import PREFIX, resolved
from deltaweir.gateway.config.tables import within
from deltaweir.net.route import route_to, tls_context

MAX_CONNECTIONS = 1000
"""Connections to one upstream unless told, one for each stream that runs."""
_MOST_CONNECTIONS = 1_000_000
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_NEVER = "none"
"""What stands for a clock that never runs out, since TOML knows no null."""


class UpstreamConfig(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True
):
    """One of the tables ``[[upstreams]]``; its repr tells no key.

    Attributes:
        name: What models, the ledger and metrics call it.
        base_url: The provider's address, such as ``https://api.openai.com/v1``.
        api_key: Its key; ``env:NAME`` takes it from the environment.
        headers: Further headers of every request, each value perhaps ``env:NAME``.
        query: Query of every request, such as Azure's ``api-version``; each value perhaps
            ``env:NAME``.
        timeouts: Seconds by name: ``connect``, ``headers``, ``first_content``, ``stall``,
            ``total``; ``"none"`` waits for ever.
        max_connections: Connections to it at most, in each worker.
        proxy: An HTTP proxy's address; left out, the environment decides; empty for none.
        ca_file: Certificates to trust instead of the system's, a PEM file, from where the
            configuration is.
        deltaweir: Whether it is a Deltaweir too, which is sent what requests ask of us.
    """

    name: str
    base_url: str
    api_key: str | None = None
    headers: dict[str, str] = {}
    query: dict[str, str] = {}
    timeouts: dict[str, Any] = {}
    max_connections: int = MAX_CONNECTIONS
    proxy: str | None = None
    ca_file: str | None = None
    deltaweir: bool = False

    def __post_init__(self) -> None:
        """Refuse what could not be asked, and environment variables that are not there."""
        if not _NAME.fullmatch(self.name):
            raise InvalidRequest(
                f"name: got {self.name[:80]!r}, expected up to 64 of letters, digits, '.', '_' "
                "and '-'",
                param="name",
            )
        within("max_connections", self.max_connections, 1, _MOST_CONNECTIONS)
        if self.base_url.startswith((PREFIX, "os.environ/", "$")):
            raise InvalidRequest(
                f"base_url: addresses are written out, such as https://api.openai.com/v1; {PREFIX} "
                "is for secrets",
                param="base_url",
            )
        for end in ("/chat/completions", "/completions"):
            if self.base_url.rstrip("/").endswith(end):
                raise InvalidRequest(
                    f"base_url: got an address that ends with {end}, expected what stands before "
                    "it, such as https://api.openai.com/v1",
                    param="base_url",
                )
        if self.api_key is not None and (not self.api_key or self.api_key.startswith("$")):
            raise InvalidRequest(
                "api_key: got an empty text or one that begins with $; a key from the environment "
                'is "env:NAME"',
                param="api_key",
            )
        _ = self.clocks
        if self.proxy is not None:
            route_to(self.provider.origin, proxy=self.proxy)
        if self.ca_file is not None:
            tls_context(self.ca_file)
        # a key or a header with a line end would else break every request
        outgoing(self.provider, "/models", request_id="check", method="GET")

    def __repr__(self) -> str:
        # not the address as it was given: its query may hold a key
        return f"UpstreamConfig({self.name!r}, {self.provider.base_url!r})"

    @functools.cached_property
    def provider(self) -> Provider:
        """Where requests go and what is sent with each, keys resolved; no retries of its own."""
        key = None if self.api_key is None else resolved(self.api_key, param="api_key")
        headers = {
            name: resolved(value, param=f"headers.{name}") for name, value in self.headers.items()
        }
        query = {name: resolved(value, param=f"query.{name}") for name, value in self.query.items()}
        return provider_of(self.base_url, api_key=key, headers=headers, query=query, retries=0)

    @functools.cached_property
    def clocks(self) -> Timeouts:
        """How long to wait for it, and for what."""
        seconds = {
            name: None if value == _NEVER else value for name, value in self.timeouts.items()
        }
        try:
            return timeouts_of(seconds)
        except InvalidRequest as error:  # in TOML nobody can write None
            said = error.message.replace("or None", f'or "{_NEVER}"')
            raise InvalidRequest(said, param=error.param) from error
