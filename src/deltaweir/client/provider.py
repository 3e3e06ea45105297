"""A provider as the caller describes it, and the requests that go there. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote, quote_plus, urlencode, urlsplit

from deltaweir.errors import InvalidRequest
from deltaweir.wire.http1 import encode_request

RETRIES = 2
"""How often a request is sent again, as in the openai package."""

_PORTS = {"http": 80, "https": 443}
_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?")
_SAFE = "/%:@!$&'()*+,;=~"
_FRAMING = frozenset({"content-length", "transfer-encoding"})
"""Headers that say where a request ends; two answers to that would be two requests."""
_SECRET = re.compile(r"key|token|secret|auth|cookie")
_SHORTEST_SECRET = 8
"""Characters; a shorter key, such as the ``x`` that local servers take, hides nothing."""


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
        return f"Provider({self.base_url})"

    @property
    def base_url(self) -> str:
        """The address, as it was given but for its form."""
        return f"{self.origin.scheme}://{self.origin.authority}{self.path}"

    def without_secrets(self, text: str) -> str:
        """Return what a server said, with the keys that it may repeat taken out."""
        named = [value for name, value in self.headers if _SECRET.search(name)]
        for name, value in parse_qsl(self.query):
            if _SECRET.search(name.lower()):
                named += [value, quote_plus(value), quote(value)]
        for secret in (self.api_key or "", *named):
            bare = secret.removeprefix("Bearer ").strip()
            if len(bare) >= _SHORTEST_SECRET:
                text = text.replace(bare, "[key]")
        return text


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
        parts = urlsplit(str(base_url).strip())
        host, port = host_of(parts.hostname), parts.port
    except ValueError:  # its text is not told: it may repeat a part of a password
        raise _no_address("expected one such as https://api.openai.com/v1") from None
    if parts.scheme not in _PORTS or not host or port == 0:
        raise _no_address("expected one such as https://api.openai.com/v1")
    if parts.username is not None:
        raise _no_address("it has a user name or password, which belong into api_key or headers")
    _check_key(api_key)
    _check_retries(retries)
    named = {"openai-organization": organization, "openai-project": project}
    given = {name: value for name, value in named.items() if value is not None}
    more = _checked(given) | _checked(headers or {})
    pairs = [part for part in (quote(parts.query, safe=_SAFE + "?"), _encoded(query)) if part]
    return Provider(
        origin=Origin(parts.scheme, host, port or _PORTS[parts.scheme]),
        path=quote(parts.path.rstrip("/"), safe=_SAFE),
        api_key=api_key,
        headers=tuple(more.items()),
        query="&".join(pairs),
        retries=retries,
    )


def _check_key(key: Any) -> None:
    """Refuse a key that no server would know; nothing of it is told."""
    if key is None:
        return
    if not isinstance(key, str):
        raise InvalidRequest(
            f"got an api_key of type {type(key).__name__}, expected a text", param="api_key"
        )
    if key != key.strip():
        raise InvalidRequest(
            "got an api_key that begins or ends with a blank or a line break; strip() it",
            param="api_key",
        )


def _check_retries(retries: Any) -> None:
    if not isinstance(retries, int) or retries < 0:
        raise InvalidRequest(
            f"got max_retries={retries!r}, expected a number from 0", param="max_retries"
        )


def host_of(name: str | None) -> str | None:
    """Return a host's name as it goes over the wire, None where there is none.

    Args:
        name: A name, which may be international, or an address.

    Raises:
        ValueError: No host can have this name.
    """
    if not name:
        return None
    if ":" in name:
        return str(ipaddress.IPv6Address(name))
    # idna refuses empty and overlong labels, which the resolver would crash on later
    name = name.encode("idna").decode("ascii").lower()
    if not _NAME.fullmatch(name):
        raise ValueError("no host's name")
    return name


def _checked(headers: Mapping[Any, Any]) -> dict[str, str]:
    """Return headers by their names in lower case, unless one must not be set."""
    for name, value in headers.items():
        if not (isinstance(name, str) and isinstance(value, str)):
            got = f"{type(name).__name__}: {type(value).__name__}"
            raise InvalidRequest(f"got a header of type {got}, expected texts", param="headers")
        if name.lower() in _FRAMING:
            raise InvalidRequest(f"the header {name} is made from the body", param="headers")
    return {name.lower(): value for name, value in headers.items()}


def _encoded(query: Mapping[str, Any] | None) -> str:
    given = {name: value for name, value in (query or {}).items() if value is not None}
    return urlencode(given, doseq=True)


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

    def __repr__(self) -> str:
        return f"Outgoing({self.provider!r}, {self.request_id!r})"  # the bytes hold key and prompt


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
    made |= _checked(headers or {})
    target = quote(provider.path + path, safe=_SAFE)
    parts = [part for part in (provider.query, _encoded(query)) if part]
    if parts:
        target += f"?{'&'.join(parts)}"
    return Outgoing(provider, encode_request(method, target, made.items(), body), request_id)


class Letterhead:
    """What all requests to one address have in common, written once.

    Args:
        provider: Where they go.
        path: Such as ``/chat/completions``.
        stream: Whether event streams are wanted.
        version: What the User-Agent tells.

    Raises:
        InvalidRequest: A header cannot be sent.
    """

    def __init__(self, provider: Provider, path: str, *, stream: bool, version: str) -> None:
        self._provider = provider
        self._path, self._stream, self._version = path, stream, version
        self._before: bytes | None = None
        given = {name for name, _ in provider.headers}
        if not given & set(_VARYING):  # else the provider's own win
            raw = outgoing(provider, path, request_id="", stream=stream, version=version).raw
            lines = raw.removesuffix(b"\r\n\r\n").split(b"\r\n")
            varying = tuple(name.encode() + b":" for name in (*_VARYING, "content-length"))
            kept = [line for line in lines if not line.startswith(varying)]
            self._before = b"\r\n".join(kept)

    def outgoing(
        self, body: bytes, *, request_id: str, headers: Mapping[str, str] | None = None
    ) -> Outgoing:
        """Return a request's bytes.

        Args:
            body: JSON text.
            request_id: As for `outgoing`.
            headers: Further headers of this request.

        Raises:
            InvalidRequest: A header cannot be sent.
        """
        if headers or self._before is None:
            return outgoing(
                self._provider,
                self._path,
                request_id=request_id,
                body=body,
                stream=self._stream,
                headers=headers,
                version=self._version,
            )
        name = request_id.encode("ascii")
        raw = (
            b"%b\r\nx-client-request-id: %b\r\nidempotency-key: %b\r\ncontent-length: %d\r\n\r\n%b"
            % (self._before, name, name, len(body), body)
        )
        return Outgoing(self._provider, raw, request_id)


_VARYING = ("x-client-request-id", "idempotency-key")
"""Headers that differ from request to request."""
