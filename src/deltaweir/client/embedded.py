"""A call on its way to the embedded model: request, model, engine, in this order.

A request is checked as far as it can be before anything is downloaded or loaded.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from deltaweir.client.clocks import Timeouts, timeouts_of
from deltaweir.errors import InvalidRequest
from deltaweir.models.catalogue import default_entry
from deltaweir.models.progress import Progress
from deltaweir.models.terminal import TerminalProgress
from deltaweir.models.weights import Weights, resolve
from deltaweir.schema.reply import TextReply
from deltaweir.schema.request import (
    AnyRequest,
    chat_request,
    check_chat,
    check_text,
    text_request,
)
from deltaweir.sources.local.answer import load, plan
from deltaweir.sources.local.best import keep_best
from deltaweir.sources.local.engine import Engine
from deltaweir.sources.local.request import Plan

_OURS = frozenset({"extra_body", "extra_headers", "extra_query", "timeout", "timeouts"})


class Call(NamedTuple):
    """A request with the clocks it asked for; checked, and bound for no model yet."""

    request: AnyRequest
    timeouts: Timeouts


class Prepared(NamedTuple):
    """All that a stream from the embedded model needs."""

    planned: Plan
    weights: Weights
    engine: Engine
    identity: str
    created: int
    request_id: str
    timeouts: Timeouts
    usage_asked: bool


def call_of(fields: Mapping[str, Any], *, chat: bool, timeouts: Timeouts) -> Call:
    """Return a checked request.

    Args:
        fields: What the caller gave, options of ours among them.
        chat: Whether it is a chat completion, or a text completion.
        timeouts: The clocks that hold where the call says nothing.

    Raises:
        InvalidRequest: A field has the wrong type, or a value that is not allowed.
    """
    extra = fields.get("extra_body") or {}
    if not isinstance(extra, Mapping):
        raise InvalidRequest(
            f"got extra_body of type {type(extra).__name__}, expected a mapping",
            param="extra_body",
        )
    body = {name: value for name, value in fields.items() if name not in _OURS} | dict(extra)
    request: AnyRequest
    if chat:
        request = chat_request(body)
        check_chat(request)
    else:
        request = text_request(body)
        check_text(request)
    clocks = timeouts_of(fields.get("timeouts"), fields.get("timeout"), base=timeouts)
    return Call(request, clocks)


def prepare(call: Call, *, progress: Progress | None = None) -> Prepared:
    """Bind a request to the embedded model; this may download and load it, and so blocks.

    Raises:
        ModelNotFound: No embedded model has this name.
        ModelUnavailable: Its weights cannot be had, or cannot be loaded.
        InvalidRequest: The model cannot do what is asked.
    """
    request = call.request
    weights = weights_of(request.model or default_entry().name, progress=progress)
    planned = plan(request, weights)
    options = request.stream_options
    return Prepared(
        planned=planned,
        weights=weights,
        engine=load(weights),
        identity=secrets.token_hex(15),
        created=int(time.time()),
        request_id=f"req_{secrets.token_hex(12)}",
        timeouts=call.timeouts._replace(headers=None),  # an engine has none
        usage_asked=bool(options is not None and options.include_usage),
    )


_known: dict[str, Weights] = {}
_looking = threading.Lock()


def weights_of(name: str, *, progress: Progress | None = None) -> Weights:
    """Return the weights of a model, found once in a process and pulled if need be.

    Args:
        name: A catalogue name, or the path of a GGUF file.
        progress: Told about a pull; None shows it on a terminal, and else nowhere.

    Raises:
        ModelNotFound: No embedded model has this name.
        ModelUnavailable: The weights cannot be had, or are damaged.
    """
    with _looking:
        known = _known.get(name)
        if known is None or not known.path.exists():
            known = resolve(name, progress=progress or TerminalProgress())
            _known[name] = known
        return known


def best_of(reply: TextReply, prepared: Prepared) -> TextReply:
    """Return a whole text completion with the choices that ``best_of`` keeps."""
    keep = prepared.planned.best_of
    if keep is None:
        return reply
    each = len(prepared.planned.calls) // len(prepared.planned.echo)
    return keep_best(reply, each=each, keep=keep, logprobs=prepared.planned.logprobs is not None)
