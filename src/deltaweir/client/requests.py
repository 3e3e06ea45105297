"""A call on its way to a provider: its fields as one request over HTTP."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from deltaweir import __version__
from deltaweir.client.clocks import Timeouts, timeouts_of
from deltaweir.client.destination import Settings, checked_resume
from deltaweir.client.guarding import UNGUARDED, Guarded, guard_in, guarded
from deltaweir.client.provider import Outgoing, Provider, outgoing
from deltaweir.client.resumption import Resumption, resumption_of
from deltaweir.errors import InvalidRequest
from deltaweir.meter.budget import NO_LIMIT, Limit, limit_of
from deltaweir.schema.record import Record, always
from deltaweir.schema.request import AnyRequest, ChatRequest, chat_request, text_request

WHOLE_HEADERS_S = 600.0
"""How long a whole reply may take to begin, where nobody says otherwise: it begins at its end."""

_OURS = (
    "budget",
    "extra_body",
    "extra_headers",
    "extra_query",
    "guard",
    "record",
    "replay_speed",
    "resume",
    "timeout",
    "timeouts",
)
_ENCODER = msgspec.json.Encoder()


class Model(Record):
    """One of a provider's models."""

    id: str = always(str)
    created: int | None = None
    object: str = always(lambda: "model")
    owned_by: str | None = None


class ModelList(Record):
    """A provider's models; iterating gives them one by one."""

    data: list[Model] = always(list)
    object: str = always(lambda: "list")

    def __iter__(self) -> Any:
        return iter(self.data)


class RemoteCall(NamedTuple):
    """A request that is ready to be sent, and how long to wait for its answer."""

    sent: Outgoing
    timeouts: Timeouts
    request: AnyRequest
    limit: Limit = NO_LIMIT
    guard: Guarded = UNGUARDED
    resumption: Resumption | None = None
    """How the stream is resumed; None for what is not."""


def remote_call(
    fields: Mapping[str, Any],
    provider: Provider,
    *,
    chat: bool,
    settings: Settings,
) -> RemoteCall:
    """Return a call's request; fields that are not known are sent too.

    Only a stream can be cut. So a whole reply with a budget, or with a guard that reads it, is
    asked for as a stream, which ``request.stream`` then says.

    Args:
        fields: What the caller gave, options of ours among them.
        provider: Where it goes.
        chat: Whether it is a chat completion, or a text completion.
        settings: What holds where the call says nothing.

    Raises:
        InvalidRequest: A field has the wrong type, or cannot be sent.
        GuardBlocked: A guard refuses the prompt.
    """
    limit, policy = limit_in(fields, settings), guard_in(fields, settings)
    if not fields.get("stream"):
        if limit:
            fields = streamed(fields, "budget")
        elif policy.reads_answers:
            fields = streamed(fields, "guard")
    request, guard = guarded(request_of(fields, chat=chat), policy)
    content = request.model_dump()
    try:
        body = _ENCODER.encode(content)
    except (TypeError, UnicodeEncodeError) as error:
        raise InvalidRequest(f"the request is not JSON: {type(error).__name__}") from error
    clocks = timeouts_of(fields.get("timeouts"), fields.get("timeout"), base=settings.timeouts)
    stream = bool(request.stream)
    if not stream and clocks.headers == Timeouts().headers:
        clocks = clocks._replace(headers=WHOLE_HEADERS_S)
    headers, query = _mapping(fields, "extra_headers"), _mapping(fields, "extra_query")
    named, resumption = new_request_id(), None
    if resume_in(fields, settings) and stream:
        resumption, headers = resumption_of(
            provider,
            headers=headers,
            query=query,
            request_id=named,
            version=__version__,
            asked=content.get("deltaweir"),
        )
    sent = outgoing(
        provider,
        "/chat/completions" if chat else "/completions",
        request_id=named,
        body=body,
        stream=stream,
        headers=headers,
        query=query,
        version=__version__,
    )
    return RemoteCall(sent, clocks, request, limit, guard, resumption)


def model_list_call(provider: Provider, settings: Settings) -> RemoteCall:
    """Return the request for a provider's models."""
    sent = outgoing(
        provider, "/models", request_id=new_request_id(), method="GET", version=__version__
    )
    return RemoteCall(sent, settings.timeouts, ChatRequest())


def only_model(models: ModelList) -> str:
    """Return the one model a provider has, to be asked where none is named.

    Raises:
        InvalidRequest: There are several, or none; the message names them.
    """
    names = [model.id for model in models.data]
    if len(names) == 1:
        return names[0]
    shown = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")  # noqa: PLR2004
    raise InvalidRequest(
        f"got no model, and the provider has {len(names)}: {shown or 'none'}; "
        "name one, or set DELTAWEIR_MODEL",
        param="model",
    )


def streamed(fields: Mapping[str, Any], cutter: str) -> dict[str, Any]:
    """Return the request for a stream that makes a whole reply, since only a stream can be cut.

    A whole reply has its provider's usage, so the stream is asked for that.

    Args:
        fields: The call's fields.
        cutter: What may cut it: ``budget`` or ``guard``.

    Raises:
        InvalidRequest: ``best_of`` chooses among whole answers, which no stream has.
    """
    check_streamable(fields.get("best_of"), cutter)
    options = fields.get("stream_options") or {"include_usage": True}
    return {**fields, "stream": True, "stream_options": options}


def check_streamable(best_of: Any, cutter: str) -> None:
    """Refuse what cannot be asked for as a stream.

    Args:
        best_of: The request's.
        cutter: What may cut the stream: ``budget`` or ``guard``.

    Raises:
        InvalidRequest: ``best_of`` chooses among whole answers.
    """
    if (best_of or 1) != 1:
        raise InvalidRequest(
            f"got best_of with a {cutter}; a {cutter} needs a stream, and providers do not "
            "stream the best of several",
            param="best_of",
        )


def limit_in(fields: Mapping[str, Any], settings: Settings) -> Limit:
    """Return the limit of a call: its own and its client's, whichever is tighter.

    Raises:
        InvalidRequest: The ``budget`` is none.
    """
    return limit_of(fields.get("budget")).tighter(settings.limit)


def resume_in(fields: Mapping[str, Any], settings: Settings) -> bool:
    """Tell whether a stream is to be resumed: as its call says, or else its client.

    Raises:
        InvalidRequest: The ``resume`` is neither true nor false.
    """
    asked = fields.get("resume")
    return settings.resume if asked is None else checked_resume(asked)


def new_request_id() -> str:
    """Return an id that no other request has."""
    return f"req_{os.urandom(12).hex()}"


def request_of(fields: Mapping[str, Any], *, chat: bool) -> AnyRequest:
    """Return a typed request of the fields that are not options of ours.

    Raises:
        InvalidRequest: A field has the wrong type, or messages or prompt are missing.
    """
    body = {name: value for name, value in fields.items() if name not in _OURS}
    body |= _mapping(fields, "extra_body") or {}
    return chat_request(body) if chat else text_request(body)


def _mapping(fields: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise InvalidRequest(
            f"got {name} of type {type(value).__name__}, expected a mapping", param=name
        )
    return dict(value)
