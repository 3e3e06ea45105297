"""A provider as the caller describes it, and the requests that go there. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from deltaweir.errors import InvalidRequest
from deltaweir.wire.http1 import encode_request

RETRIES = 2
"""How often a request is sent again, as in the openai package."""

_PORTS = {"http": 80, "https": 443}


class Origin(NamedTuple):
    """Where a connection goes."""

    scheme: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        """Host and port as the Host header has them: IPv6 in brackets, usual ports left out."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


class Provider(NamedTuple):
    """An OpenAI-compatible server and how to speak to it.

    Its repr tells no key.
    """

    origin: Origin
    path: str
    """What stands before ``/chat/completions``, without a slash at its end."""
    api_key: str | None
    headers: tuple[tuple[str, str], ...]
    """Further headers, which win over those that are made here."""
    query: str
    """Query string of every request, such as Azure's ``api-version=...``; empty for none."""
    retries: int

    def __repr__(self) -> str:
        return f"Provider({self.origin.scheme}://{self.origin.authority}{self.path})"


def provider_of(
    base_url: str,
    *,
    api_key: str | None = None,
    organization: str | None = None,
    project: str | None = None,
    headers: Mapping[str, str] | None = None,
    query: Mapping[str, str] | None = None,
    retries: int = RETRIES,
) -> Provider:
    """Return a provider, its address checked.

    Args:
        base_url: Such as ``https://api.openai.com/v1``.
        api_key: Sent as a bearer token.
        organization: Sent as ``OpenAI-Organization``.
        project: Sent as ``OpenAI-Project``.
        headers: Sent with every request.
        query: Appended to every address.
        retries: How often a request may be sent again before content has come.

    Raises:
        InvalidRequest: The address is no http or https URL, or a value is of no use.
    """
    try:
        parts = urlsplit(base_url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise _no_address(str(error)) from error
    if parts.scheme not in _PORTS or not host:
        raise _no_address("expected one such as https://api.openai.com/v1")
    if parts.username is not None:
        raise _no_address("it has a user name or password, which belong into api_key or headers")
    if retries < 0:
        raise InvalidRequest(f"got max_retries={retries}, expected 0 or more", param="max_retries")
    named = {"openai-organization": organization, "openai-project": project}
    more = [(name, value) for name, value in named.items() if value is not None]
    more += [(name.lower(), value) for name, value in (headers or {}).items()]
    pairs = [part for part in (parts.query, urlencode(query or {})) if part]
    return Provider(
        origin=Origin(parts.scheme, host, port or _PORTS[parts.scheme]),
        path=quote(parts.path.rstrip("/"), safe="/%:@!$&'()*+,;=~"),
        api_key=api_key,
        headers=tuple(more),
        query="&".join(pairs),
        retries=retries,
    )


def _no_address(why: str) -> InvalidRequest:
    return InvalidRequest(
        f"got a base_url that is no address of a provider: {why}", param="base_url"
    )


class Outgoing(NamedTuple):
    """One request on its way to a provider; the same in every attempt."""

    provider: Provider
    raw: bytes
    """The whole request for a direct connection."""
    request_id: str
    """Sent as ``X-Client-Request-Id``."""


def outgoing(
    provider: Provider,
    path: str,
    *,
    request_id: str,
    body: bytes = b"",
    method: str = "POST",
    stream: bool = False,
    headers: Mapping[str, str] | None = None,
    query: Mapping[str, Any] | None = None,
    version: str = "",
) -> Outgoing:
    """Return a request's bytes.

    Args:
        provider: Where it goes.
        path: Such as ``/chat/completions``.
        request_id: An id of ours, also the idempotency key, since it does not change when the
            request is sent again.
        body: JSON text.
        method: The method.
        stream: Whether an event stream is wanted.
        headers: Further headers of this request; they win over all others.
        query: Further query of this request.
        version: What the User-Agent tells.

    Raises:
        InvalidRequest: A header cannot be sent.
    """
    made = {
        "host": provider.origin.authority,
        "accept": "text/event-stream" if stream else "application/json",
        "accept-encoding": "identity",  # a compressed stream cannot be read as it comes
        "user-agent": f"deltaweir/{version}",
        "x-client-request-id": request_id,
    }
    if method == "POST":
        made["content-type"] = "application/json"
        made["idempotency-key"] = request_id
    if provider.api_key:
        made["authorization"] = f"Bearer {provider.api_key}"
    made |= dict(provider.headers)
    made |= {name.lower(): value for name, value in (headers or {}).items()}
    target = provider.path + path + _query(provider.query, query)
    sent: Iterable[tuple[str, str]] = made.items()
    return Outgoing(provider, encode_request(method, target, sent, body), request_id)


def _query(always: str, more: Mapping[str, Any] | None) -> str:
    parts = [part for part in (always, urlencode(more or {}, doseq=True)) if part]
    return f"?{'&'.join(parts)}" if parts else ""
