"""From a request to what the engine is asked: checks first, then one native call a choice.

The engine serves at most as many choices at once as it has slots, takes only one prompt a
stream, reads ``max_tokens: 0`` as one token, and ignores much in silence. So each choice of
each prompt becomes a call of its own, and what neither engine nor model can do is refused
here, before anything is computed. Pure.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from deltaweir.errors import InvalidRequest
from deltaweir.schema.request import (
    AnyRequest,
    ChatRequest,
    TextRequest,
    check_chat,
    check_text,
)
from deltaweir.sources.local.prompts import (
    Abilities,
    check_fits,
    echo_of,
    message_of,
    prompt_of,
    prompts_of,
)
from deltaweir.sources.local.schemas import check_schema
from deltaweir.sources.local.tools import Tools, plan_tools

USUAL_TEXT_TOKENS = 16
"""Tokens of a text completion that asks for no number, as OpenAI has it."""
SAMPLING = ("min_p", "repeat_penalty", "top_k", "typical_p")
"""Sampling options of the engine that OpenAI does not have, passed on when they are given."""

_MOST_TOKENS = 2**31 - 1  # a number for the engine; any context ends before
_MOST_DIGITS = 20
_ALL_OF_THE_TEXT = 2**17  # what OpenAI's penalties look at; the engine has no word for all

_ENCODER = msgspec.json.Encoder()

_CANNOT = {
    "audio": "speak",
    "modalities": "produce anything but text",
    "moderation": "moderate",
    "prediction": "use a predicted output",
    "reasoning_effort": "reason at different efforts",
    "store": "store replies",
    "verbosity": "be told how verbose to be",
}
_HARMLESS = {"modalities": ["text"], "store": False, "reasoning_effort": "none"}


class Call(NamedTuple):
    """One native call: one prompt, one choice."""

    choice: int
    """The choice that the call's text belongs to."""
    prompt: int
    """Which of the request's prompts it answers."""
    shared: bytes
    """What the engine is sent, as JSON; the same bytes for all choices of a prompt."""
    seed: int | None = None
    """The choice's own seed, so that n answers to one seed differ; None for any."""

    @property
    def body(self) -> bytes:
        """What the engine is sent, with the seed."""
        return (
            self.shared if self.seed is None else b'%b,"seed":%d}' % (self.shared[:-1], self.seed)
        )


class Plan(NamedTuple):
    """All that one request asks of the engine."""

    chat: bool
    calls: list[Call]
    tools: Tools | None
    """How tool calls are forced and shaped; None when the engine's own way is right."""
    echo: list[str]
    """What each prompt's choices begin with; empty texts where nothing is echoed."""
    logprobs: int | None
    """How many rivals each token is shown with; None when none were asked for."""
    nothing: bool
    """Whether no token may be generated at all (``max_tokens: 0``)."""
    best_of: int | None
    """How many of the choices are kept, the likeliest; None for all."""
    stop: Sequence[str] = ()
    """The texts at which an answer stops."""
    continuous_usage: bool = False
    """Whether every chunk carries the count so far."""


def plan_chat(request: ChatRequest, abilities: Abilities) -> Plan:
    """Plan a chat completion.

    Raises:
        InvalidRequest: The request is malformed, or asks what the model cannot do.
    """
    check_chat(request)
    _check_unsupported(request, abilities)
    tools = plan_tools(request, can_use_tools=abilities.tools, model=abilities.name)
    body = _sampling(request)
    body["messages"] = [message_of(message) for message in request.messages]
    check_fits("messages", body["messages"], abilities)
    limit = request.max_completion_tokens
    limit = request.max_tokens if limit is None else limit
    body["max_tokens"] = -1 if limit is None else _limit(limit)
    if request.response_format is not None:
        body["response_format"] = _response_format(request.response_format)
    if tools is not None:
        body.update(tools.body)
    rivals = (request.top_logprobs or 0) if request.logprobs else None
    if rivals is not None:
        if tools is not None:
            raise InvalidRequest(
                "the embedded model cannot give logprobs together with tools", param="logprobs"
            )
        # asked for none, the engine gives no entries at all
        body.update(logprobs=True, top_logprobs=max(rivals, 1))
    shared = _ENCODER.encode(body)
    calls = [Call(index, 0, shared, _seed(request.seed, index)) for index in range(request.n or 1)]
    return Plan(
        chat=True,
        calls=calls,
        tools=tools if tools is not None and (tools.forced or tools.legacy) else None,
        echo=[""],
        logprobs=rivals,
        nothing=limit == 0,
        best_of=None,
        stop=_stops(request),
        continuous_usage=_continuous(request),
    )


def plan_text(request: TextRequest, abilities: Abilities) -> Plan:
    """Plan a text completion; ``max_tokens`` is 16 unless told, as OpenAI has it.

    Raises:
        InvalidRequest: The request is malformed, or asks what the model cannot do.
    """
    check_text(request)
    _check_unsupported(request, abilities)
    body = _sampling(request)
    limit = USUAL_TEXT_TOKENS if request.max_tokens is None else request.max_tokens
    body["max_tokens"] = _limit(limit)
    keep, each = request.n or 1, max(request.n or 1, request.best_of or 1)
    if request.logprobs is not None or each > keep:
        body["logprobs"] = max(request.logprobs or 0, 1)
    prompts = list(prompts_of(request.prompt))
    calls: list[Call] = []
    for at, prompt in enumerate(prompts):
        checked = prompt_of(prompt, request, abilities)
        shared = _ENCODER.encode({**body, "prompt": checked})
        calls += [
            Call(at * each + one, at, shared, _seed(request.seed, one)) for one in range(each)
        ]
    return Plan(
        chat=False,
        calls=calls,
        tools=None,
        echo=[echo_of(prompt, request) for prompt in prompts],
        logprobs=request.logprobs,
        nothing=limit == 0,
        best_of=keep if each > keep else None,
        stop=_stops(request),
        continuous_usage=_continuous(request),
    )


def _check_unsupported(request: AnyRequest, abilities: Abilities) -> None:
    for name, what in _CANNOT.items():
        value = getattr(request, name, None)
        if value is not None and value != _HARMLESS.get(name, ...):
            raise InvalidRequest(f"{abilities.name} cannot {what}; leave {name} out", param=name)
    known = [*request.__struct_fields__, *SAMPLING]
    for name in request.__dict__:
        if name not in SAMPLING:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise InvalidRequest(
                f"got an unknown field {name!r}, which the embedded model cannot use{hint}",
                param=name,
            )
    for token in request.logit_bias or ():
        if len(token) > _MOST_DIGITS or int(token) >= abilities.vocabulary:
            raise InvalidRequest(
                f"logit_bias names token {token[:_MOST_DIGITS]}, but {abilities.name} knows "
                f"tokens 0 to {abilities.vocabulary - 1}",
                param="logit_bias",
            )


def _sampling(request: AnyRequest) -> dict[str, Any]:
    body: dict[str, Any] = {
        "stream": True,
        "stream_options": {"include_usage": True},
        "timings_per_token": True,  # the running count of every token
        "return_progress": True,  # a sign of life, and a place to cancel, in a long prompt
        "cache_prompt": True,
    }
    for name in ("temperature", "top_p", "presence_penalty", "frequency_penalty"):
        value = getattr(request, name)
        if value is not None:
            body[name] = value
    if request.presence_penalty or request.frequency_penalty:
        body["repeat_last_n"] = _ALL_OF_THE_TEXT
    if request.logit_bias:
        body["logit_bias"] = {str(int(token)): bias for token, bias in request.logit_bias.items()}
    for name, value in request.__dict__.items():
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise InvalidRequest(
                f"{name} is of type {type(value).__name__}, expected a number", param=name
            )
        if not (math.isfinite(value) and abs(value) < _MOST_TOKENS):
            raise InvalidRequest(f"got {name}={value}, expected a sensible number", param=name)
        body[name] = value
    return body


def _stops(request: AnyRequest) -> Sequence[str]:
    return [request.stop] if isinstance(request.stop, str) else request.stop or ()


def _continuous(request: AnyRequest) -> bool:
    options = request.stream_options
    return bool(options is not None and options.continuous_usage_stats)


def _limit(tokens: int) -> int:
    """Return the engine's limit; it reads 0 as 1, so that call is ended by its reader."""
    return min(max(tokens, 1), _MOST_TOKENS)


def _seed(seed: int | None, offset: int) -> int | None:
    return None if seed is None else (seed + offset) % 2**31


def _response_format(wanted: dict[str, Any]) -> dict[str, Any]:
    kind = wanted.get("type")
    if kind not in ("text", "json_object", "json_schema"):
        raise InvalidRequest(
            "response_format has an unknown type, expected text, json_object or json_schema",
            param="response_format.type",
        )
    if kind == "json_schema":
        inner = wanted.get("json_schema")
        if not isinstance(inner, dict) or not isinstance(inner.get("schema"), dict):
            raise InvalidRequest(
                "response_format has no json_schema.schema, expected a JSON schema",
                param="response_format.json_schema",
            )
        check_schema(inner["schema"], param="response_format.json_schema")
    return wanted
