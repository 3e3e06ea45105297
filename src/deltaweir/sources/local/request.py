"""From a request to what the engine is asked: checks first, then one native call a choice.

The engine serves at most as many choices at once as it has slots, takes only one prompt a
stream, reads ``max_tokens: 0`` as one token, and ignores much in silence. So each choice of
each prompt becomes a call of its own, and what neither engine nor model can do is refused
here, before anything is computed. Pure.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
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
from deltaweir.sources.local.tools import Tools, plan_tools

SAMPLING = ("min_p", "repeat_penalty", "top_k", "typical_p")
"""Sampling options of the engine that OpenAI does not have, passed on when they are given."""

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


class Abilities(NamedTuple):
    """What a model can do, as its file says."""

    name: str
    vocabulary: int
    """Tokens it knows; ids run from 0 up to this."""
    tools: bool
    """Whether its chat template shows tools to it."""
    infill: tuple[str, str, str] | None
    """The texts of its prefix, suffix and middle tokens, None when it cannot fill in."""


class Call(NamedTuple):
    """One native call: one prompt, one choice."""

    choice: int
    """The choice that the call's text belongs to."""
    prompt: int
    """Which of the request's prompts it answers."""
    body: bytes
    """What the engine is sent, as JSON."""


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


def plan_chat(request: ChatRequest, abilities: Abilities) -> Plan:
    """Plan a chat completion.

    Raises:
        InvalidRequest: The request is malformed, or asks what the model cannot do.
    """
    check_chat(request)
    _check_unsupported(request, abilities)
    tools = plan_tools(request, can_use_tools=abilities.tools, model=abilities.name)
    body = _sampling(request, abilities)
    body["messages"] = [_text_only(message) for message in request.messages]
    limit = request.max_completion_tokens
    limit = request.max_tokens if limit is None else limit
    body["max_tokens"] = limit or (-1 if limit is None else 1)
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
    calls = [
        Call(index, 0, _ENCODER.encode(_seeded(body, request.seed, index)))
        for index in range(request.n or 1)
    ]
    forced = tools if tools is not None and (tools.forced or tools.legacy) else None
    return Plan(True, calls, forced, [""], rivals, limit == 0, None)


def plan_text(request: TextRequest, abilities: Abilities) -> Plan:
    """Plan a text completion; ``max_tokens`` is 16 unless told, as OpenAI has it.

    Raises:
        InvalidRequest: The request is malformed, or asks what the model cannot do.
    """
    check_text(request)
    _check_unsupported(request, abilities)
    body = _sampling(request, abilities)
    limit = 16 if request.max_tokens is None else request.max_tokens
    body["max_tokens"] = limit or 1
    if request.logprobs is not None or (request.best_of or 1) > 1:
        body["logprobs"] = max(request.logprobs or 0, 1)
    prompts = list(_prompts(request.prompt))
    each = max(request.n or 1, request.best_of or 1)
    calls = [
        Call(
            at * each + one,
            at,
            _ENCODER.encode(
                _seeded({**body, "prompt": _checked(prompt, request, abilities)}, request.seed, one)
            ),
        )
        for at, prompt in enumerate(prompts)
        for one in range(each)
    ]
    best = (request.n or 1) if (request.best_of or 1) > (request.n or 1) else None
    echo = [_echoed(prompt, request) for prompt in prompts]
    return Plan(False, calls, None, echo, request.logprobs, limit == 0, best)


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
        if int(token) >= abilities.vocabulary:
            raise InvalidRequest(
                f"logit_bias names token {token}, but {abilities.name} knows tokens 0 to "
                f"{abilities.vocabulary - 1}",
                param="logit_bias",
            )


def _sampling(request: AnyRequest, abilities: Abilities) -> dict[str, Any]:
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
        body["repeat_last_n"] = -1  # OpenAI's penalties look at all of the text
    if request.stop:
        body["stop"] = [request.stop] if isinstance(request.stop, str) else request.stop
    if request.logit_bias:
        body["logit_bias"] = request.logit_bias
    for name, value in request.__dict__.items():
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise InvalidRequest(
                f"{name} is of type {type(value).__name__}, expected a number", param=name
            )
        body[name] = value
    return body


def _seeded(body: dict[str, Any], seed: int | None, offset: int) -> dict[str, Any]:
    """Give each choice a seed of its own, so that n answers to one seed differ."""
    if seed is None:
        return body
    return {**body, "seed": (seed + offset) % 2**31}


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
    return wanted


def _text_only(message: dict[str, Any]) -> dict[str, Any]:
    content = message.get("content")
    if isinstance(content, list):
        for part in content:
            if part["type"] not in ("text", "refusal"):
                raise InvalidRequest(
                    "the embedded model reads text only; got a message part of another type",
                    param="messages",
                )
        text = "".join(part[part["type"]] for part in content)
        return {**message, "content": text}
    return message


def _prompts(prompt: str | list[Any]) -> Iterator[str | list[int]]:
    if isinstance(prompt, str) or isinstance(prompt[0], int):
        yield prompt
    else:
        yield from prompt


def _checked(
    prompt: str | list[int], request: TextRequest, abilities: Abilities
) -> str | list[int]:
    if request.suffix:
        if abilities.infill is None:
            raise InvalidRequest(
                f"{abilities.name} has no tokens for filling in; leave suffix out", param="suffix"
            )
        if not isinstance(prompt, str):
            raise InvalidRequest("suffix needs a prompt of text", param="suffix")
        before, after, middle = abilities.infill
        return f"{before}{prompt}{after}{request.suffix}{middle}"
    if isinstance(prompt, list):
        worst = max(prompt)
        if worst >= abilities.vocabulary:
            raise InvalidRequest(
                f"prompt names token {worst}, but {abilities.name} knows tokens 0 to "
                f"{abilities.vocabulary - 1}",
                param="prompt",
            )
    elif not prompt:
        raise InvalidRequest("got an empty prompt, expected a text", param="prompt")
    return prompt


def _echoed(prompt: str | list[int], request: TextRequest) -> str:
    if not request.echo:
        return ""
    if request.logprobs is not None:
        raise InvalidRequest(
            "the embedded model does not score prompts; ask for echo or for logprobs",
            param="echo",
        )
    if not isinstance(prompt, str):
        raise InvalidRequest(
            "the embedded model echoes prompts of text only, not of token ids", param="echo"
        )
    return prompt
