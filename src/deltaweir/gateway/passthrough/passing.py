"""What of a request and of its answer goes through a passthrough route. Pure.

Both ways only headers go through that are known to be harmless: a key, a cookie or an account
may stand under any other name. What the configuration says of an upstream wins over what a
client says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import quote, unquote_plus

import msgspec

from deltaweir import __version__
from deltaweir.client.provider import Outgoing, Provider, outgoing
from deltaweir.errors import InvalidRequest
from deltaweir.gateway.passthrough.forms import MULTIPART, field_of
from deltaweir.wire.http1 import Head

RawHeaders = Iterable[tuple[bytes, bytes]]

REFUSED_METHODS = frozenset({"CONNECT", "TRACE"})
"""CONNECT has no path, and the answer to TRACE would be the request, an upstream's key in it."""
BODILESS = frozenset({204, 304})
"""Statuses whose answers have no body."""

_BASE = "/v1"
_ASKED = frozenset(
    {
        "accept",
        "accept-language",
        "content-language",
        "content-type",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        "openai-beta",
        "range",
    }
)
_ANSWERED = frozenset(
    {
        "accept-ranges",
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-range",
        "content-type",
        "etag",
        "expires",
        "last-modified",
        "openai-processing-ms",
        "openai-version",
        "retry-after",
        "retry-after-ms",
        "vary",
        "x-should-retry",
    }
)
_PATH_SAFE = "/!$&'()*+,;=:@"
_QUERY_SAFE = "%!$&'()*+,;=:@/?[]"
_TRICK = re.compile(r"[\x00-\x1f\x7f\\]|%(?:00|25|2e|2f|5c)|/\.\.?(?:[/;]|$)", re.IGNORECASE)
"""What another server could take for a step out of the path, or into another one."""
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ENCODER = msgspec.json.Encoder()


def passes(patterns: Sequence[str], path: str) -> bool:
    """Tell whether a path is one of those that are passed on.

    Args:
        patterns: As ``passthrough`` has them; a ``*`` at the end stands for any rest.
        path: The request's path, decoded.
    """
    if _TRICK.search(path):
        return False
    return any(path.startswith(one[:-1]) if one.endswith("*") else path == one for one in patterns)


class Passed(NamedTuple):
    """A request to be passed on."""

    method: str
    path: str
    """Below ``/v1``, decoded."""
    query: bytes
    headers: Mapping[str, str]
    """Those that go through."""
    body: bytes
    model: str | None
    """What it names; None where it names none."""

    def __repr__(self) -> str:
        return f"Passed({self.method} {_BASE}{self.path})"  # the rest may be anything

    def named(self, model: str) -> Passed:
        """Return the request with another name of the model.

        Raises:
            InvalidRequest: It is a form, which is sent as it is.
        """
        if model == self.model:
            return self
        fields = None if self.is_form else _fields(self.body)
        if fields is None:
            raise InvalidRequest(
                f"the upstream knows the model {(self.model or '')[:80]!r} by another name, and a "
                "form is sent as it is; ask for a model without upstream_model, whose name needs "
                "no change",
                param="model",
            )
        fields["model"] = msgspec.Raw(_ENCODER.encode(model))
        return self._replace(body=_ENCODER.encode(fields), model=model)

    @property
    def is_form(self) -> bool:
        """Whether its body is a form of parts."""
        return _media(self.headers.get("content-type", "")) == MULTIPART

    def to(self, provider: Provider, *, request_id: str) -> Outgoing:
        """Return it as it goes to a provider."""
        fixed = {name for name, _ in provider.headers}
        return outgoing(
            provider._replace(query=_joined(provider.query, self.query)),
            quote(self.path, safe=_PATH_SAFE),
            request_id=request_id,
            body=self.body,
            method=self.method,
            headers={name: value for name, value in self.headers.items() if name not in fixed},
            version=__version__,
        )


def passed(method: str, path: str, query: bytes, headers: RawHeaders, body: bytes) -> Passed:
    """Return a request as it is to be passed on, its model found.

    A body that is a JSON object goes on with each of its keys once, so that nobody behind us
    finds another model in it than was found here; ``deltaweir`` in it is for us.

    Args:
        method: The method.
        path: The path, decoded, with ``/v1``.
        query: The query as it came.
        headers: All headers, names in lower case.
        body: The body, empty for none.

    Raises:
        InvalidRequest: The body is compressed, or is not what its content type says.
    """
    kept = _kept(headers, _ASKED)
    kind = kept.get("content-type", "")
    _check_headers(headers)
    form = _media(kind) == MULTIPART
    fields = None if form or not body else _fields(body)
    if form:
        model = field_of("model", kind, body)
    elif fields is not None:
        fields.pop("deltaweir", None)
        body, model = _ENCODER.encode(fields), _model(fields)
    elif body and _media(kind).endswith("json"):
        raise InvalidRequest(f"got a body of {len(body)} bytes that is not a JSON object")
    else:
        model = None
    if body and not kind:
        kept["content-type"] = "application/octet-stream" if fields is None else "application/json"
    kept.setdefault("accept", "*/*")
    return Passed(method, path.removeprefix(_BASE), query, kept, body, model)


def answer_headers(head: Head, provider: Provider) -> list[tuple[bytes, bytes]]:
    """Return the headers of an upstream's answer that go through, but for the body's length.

    Args:
        head: The answer's head.
        provider: Whose answer it is; its keys are taken out.
    """
    raw = ((name.encode("latin-1"), value.encode("latin-1")) for name, value in head.headers)
    kept = _kept(raw, _ANSWERED)
    if (said := head.get("x-request-id")) is not None and not _CONTROL.search(said):
        kept["x-upstream-request-id"] = said
    if _media(kept.get("content-type", "")) == "text/event-stream":
        kept["x-accel-buffering"] = "no"  # or nginx would collect the events
    return [
        (name.encode(), provider.without_secrets(value).encode("latin-1"))
        for name, value in kept.items()
    ]


def _kept(headers: RawHeaders, known: frozenset[str]) -> dict[str, str]:
    """Return the headers that go through; those of one name are joined."""
    read = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
    # a header that Connection names is for the next hop alone (RFC 9110, section 7.6.1)
    hops = ",".join(value for name, value in read if name == "connection").lower()
    known -= {name.strip() for name in hops.split(",")}
    kept: dict[str, str] = {}
    for name, value in read:
        if name in known and not _CONTROL.search(value):
            kept[name] = f"{kept[name]}, {value}" if name in kept else value
    return kept


def _check_headers(headers: RawHeaders) -> None:
    """Refuse what would hide a model."""
    named = [(name, value) for name, value in headers if name.startswith(b"content-")]
    if sum(name == b"content-type" for name, _ in named) > 1:
        raise InvalidRequest("got several content types")
    coded = [value for name, value in named if name == b"content-encoding"]
    if any(value.strip().lower() != b"identity" for value in coded):
        raise InvalidRequest(
            "got a compressed body, expected a plain one", status=415, code="unsupported_encoding"
        )


def _fields(body: bytes) -> dict[str, msgspec.Raw] | None:
    """Return a JSON object's values, not decoded; None for anything else."""
    try:
        return _FIELDS.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def _model(fields: Mapping[str, msgspec.Raw]) -> str | None:
    try:
        model = msgspec.json.decode(fields.get("model", b"null"))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        model = 0
    if not isinstance(model, str | None):
        raise InvalidRequest("model: expected a text", param="model")
    return model


def _joined(own: str, sent: bytes) -> str:
    """Return an upstream's own query and a client's, which cannot change the former."""
    fixed = {_key(pair) for pair in own.split("&") if pair}
    pairs = quote(sent, safe=_QUERY_SAFE).split("&")
    kept = [pair for pair in pairs if pair and _key(pair) not in fixed]
    return "&".join([own, *kept] if own else kept)


def _key(pair: str) -> str:
    return unquote_plus(pair.partition("=")[0])


def _media(kind: str) -> str:
    return kind.partition(";")[0].strip().lower()
