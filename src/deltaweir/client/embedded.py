"""A call on its way to the embedded model: request, model, engine, in this order.

A request is checked as far as it can be before anything is downloaded or loaded.
"""

from __future__ import annotations

import copy
import os
import secrets
import threading
import time
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

from deltaweir.client.clocks import Timeouts, timeouts_of
from deltaweir.client.destination import Settings
from deltaweir.client.guarding import UNGUARDED, Guarded, guard_in, guarded
from deltaweir.client.requests import Model, ModelList, limit_in, new_request_id, request_of
from deltaweir.errors import ModelNotFound
from deltaweir.meter.budget import NO_LIMIT, Limit
from deltaweir.models.catalogue import catalogue, default_entry
from deltaweir.models.progress import Progress
from deltaweir.models.terminal import TerminalProgress
from deltaweir.models.weights import Weights, resolve
from deltaweir.schema.reply import Reply, TextReply
from deltaweir.schema.request import (
    AnyRequest,
    ChatRequest,
    StreamOptions,
    check_chat,
    check_text,
)
from deltaweir.sources.local.answer import load, plan
from deltaweir.sources.local.best import keep_best
from deltaweir.sources.local.engine import Engine
from deltaweir.sources.local.request import USUAL_TEXT_TOKENS, Plan

ReplyT = TypeVar("ReplyT", bound=Reply | TextReply)


class Call(NamedTuple):
    """A request with the clocks it asked for; checked, and bound for no model yet."""

    request: AnyRequest
    timeouts: Timeouts
    limit: Limit = NO_LIMIT
    guard: Guarded = UNGUARDED


class Prepared(NamedTuple):
    """All that a stream from the embedded model needs."""

    planned: Plan
    weights: Weights
    engine: Engine
    identity: str
    created: int
    request_id: str
    timeouts: Timeouts
    limit: Limit
    options: StreamOptions | None
    guard: Guarded = UNGUARDED
    request: AnyRequest | None = None


def call_of(fields: Mapping[str, Any], *, chat: bool, settings: Settings) -> Call:
    """Return a checked request, its prompt as a guard lets it through.

    Args:
        fields: What the caller gave, options of ours among them.
        chat: Whether it is a chat completion, or a text completion.
        settings: What holds where the call says nothing.

    Raises:
        InvalidRequest: A field has the wrong type, or a value that is not allowed.
        GuardBlocked: A guard refuses the prompt.
    """
    request = request_of(fields, chat=chat)
    if isinstance(request, ChatRequest):
        check_chat(request)
    else:
        check_text(request)
    clocks = timeouts_of(fields.get("timeouts"), fields.get("timeout"), base=settings.timeouts)
    limit = limit_in(fields, settings)
    checked, guard = guarded(request, guard_in(fields, settings))
    return Call(checked, clocks, limit, guard)


def prepare(call: Call, *, progress: Progress | None = None) -> Prepared:
    """Bind a request to the embedded model; this may download and load it, and so blocks.

    Raises:
        ModelNotFound: No embedded model has this name.
        ModelUnavailable: Its weights cannot be had, or cannot be loaded.
        InvalidRequest: The model cannot do what is asked.
    """
    request = call.request
    weights = weights_of(request.model or default_entry().name, progress=progress)
    if call.limit.tokens:
        # the engine need not compute a token that the budget would cut off
        request = _limited(request, call.limit.tokens)
    planned = plan(request, weights)
    return Prepared(
        planned=planned,
        weights=weights,
        engine=load(weights),
        identity=secrets.token_hex(15),
        created=int(time.time()),
        request_id=new_request_id(),
        timeouts=call.timeouts._replace(headers=None),  # an engine has none
        limit=call.limit,
        options=request.stream_options,
        guard=call.guard,
        request=call.request,
    )


def _limited(request: AnyRequest, tokens: int) -> AnyRequest:
    """Return a request for no more tokens than a budget has; its other fields are kept."""
    limited = copy.copy(request)
    if isinstance(limited, ChatRequest) and limited.max_completion_tokens is not None:
        limited.max_completion_tokens = min(limited.max_completion_tokens, tokens)
        return limited
    usual = None if isinstance(limited, ChatRequest) else USUAL_TEXT_TOKENS
    asked = usual if limited.max_tokens is None else limited.max_tokens
    limited.max_tokens = tokens if asked is None else min(asked, tokens)
    return limited


def without_provider(error: ModelNotFound, *, option: str = "base_url") -> ModelNotFound:
    """Return the error with what is likely to be wrong: the model is a provider's.

    Args:
        error: No embedded model has the name.
        option: How a provider's address would be given.
    """
    return ModelNotFound(
        f"{error.message}\nA provider would be asked for it, but none is named: by {option}, "
        "DELTAWEIR_BASE_URL or OPENAI_API_KEY.",
        param=error.param,
    )


_known: dict[str, Weights] = {}
_looking: dict[str, threading.Lock] = {}  # a pull of one model does not hold up another
if hasattr(os, "register_at_fork"):  # a thread that was looking does not exist in the child
    os.register_at_fork(after_in_child=_looking.clear)


def weights_of(name: str, *, progress: Progress | None = None) -> Weights:
    """Return the weights of a model, found once in a process and pulled if need be.

    Args:
        name: A catalogue name, or the path of a GGUF file.
        progress: Told about a pull; None shows it on a terminal, and else nowhere.

    Raises:
        ModelNotFound: No embedded model has this name.
        ModelUnavailable: The weights cannot be had, or are damaged.
    """
    with _looking.setdefault(name, threading.Lock()):
        known = _known.get(name)
        if known is None or not known.path.exists():
            try:
                known = resolve(name, progress=progress or TerminalProgress())
            except ModelNotFound as error:
                raise without_provider(error) from None
            _known[name] = known
        return known


def embedded_models() -> ModelList:
    """Return the models that can be embedded by name."""
    return ModelList(data=[Model(id=name, owned_by="deltaweir") for name in catalogue()])


def best_of(reply: ReplyT, prepared: Prepared) -> ReplyT:
    """Return a whole reply with the choices that ``best_of`` keeps, where it was asked for."""
    keep = prepared.planned.best_of
    if keep is None or not isinstance(reply, TextReply):
        return reply
    each = len(prepared.planned.calls) // len(prepared.planned.echo)
    keep_best(reply, each=each, keep=keep, logprobs=prepared.planned.logprobs is not None)
    return reply
