"""Requests of both endpoints: typed fields, unknown ones kept, and the rules for values.

Field names and ranges are those of OpenAI's API reference. A request that goes to a provider
is only checked for types, since a provider may allow more; one that the embedded model
answers must pass `check_chat` or `check_text` first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from deltaweir.errors import DeltaweirError, InvalidRequest
from deltaweir.schema.record import Record, always, plain

ROLES = ("assistant", "developer", "function", "system", "tool", "user")


class StreamOptions(Record):
    """What else a stream should carry."""

    invalid: ClassVar[type[DeltaweirError]] = InvalidRequest

    continuous_usage_stats: bool | None = None
    include_obfuscation: bool | None = None
    include_usage: bool | None = None


class ChatRequest(Record):
    """A request for a chat completion."""

    invalid: ClassVar[type[DeltaweirError]] = InvalidRequest

    messages: list[dict[str, Any]] = always(list)
    model: str | None = None
    audio: dict[str, Any] | None = None
    frequency_penalty: float | None = None
    function_call: str | dict[str, Any] | None = None
    functions: list[dict[str, Any]] | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool | None = None
    max_completion_tokens: int | None = None
    max_tokens: int | None = None
    metadata: dict[str, Any] | None = None
    modalities: list[str] | None = None
    moderation: dict[str, Any] | None = None
    n: int | None = None
    parallel_tool_calls: bool | None = None
    prediction: dict[str, Any] | None = None
    presence_penalty: float | None = None
    prompt_cache_key: str | None = None
    reasoning_effort: str | None = None
    response_format: dict[str, Any] | None = None
    safety_identifier: str | None = None
    seed: int | None = None
    service_tier: str | None = None
    stop: str | list[str] | None = None
    store: bool | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: float | None = None
    tool_choice: str | dict[str, Any] | None = None
    tools: list[dict[str, Any]] | None = None
    top_logprobs: int | None = None
    top_p: float | None = None
    user: str | None = None
    verbosity: str | None = None


class TextRequest(Record):
    """A request for a text completion (the older endpoint)."""

    invalid: ClassVar[type[DeltaweirError]] = InvalidRequest

    prompt: str | list[Any] = always(str)
    model: str | None = None
    best_of: int | None = None
    echo: bool | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: int | None = None
    max_tokens: int | None = None
    n: int | None = None
    presence_penalty: float | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    suffix: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    user: str | None = None


AnyRequest = ChatRequest | TextRequest
"""A request of either endpoint."""


def chat_request(fields: Mapping[str, Any]) -> ChatRequest:
    """Return a typed chat request; records among the messages become plain data.

    Raises:
        InvalidRequest: A field has the wrong type, or ``messages`` is missing.
    """
    messages = fields.get("messages")
    if messages is None:
        raise InvalidRequest("got no messages, expected a list of messages", param="messages")
    if not isinstance(messages, Iterable) or isinstance(messages, str | bytes | Mapping | Record):
        raise InvalidRequest(
            f"got messages of type {type(messages).__name__}, expected a list such as "
            '[{"role": "user", "content": "Hello"}]',
            param="messages",
        )
    fields = {**fields, "messages": list(messages)}
    return ChatRequest.model_validate(_plain(fields))


def text_request(fields: Mapping[str, Any]) -> TextRequest:
    """Return a typed request for a text completion.

    Raises:
        InvalidRequest: A field has the wrong type, or ``prompt`` is missing.
    """
    if fields.get("prompt") is None:
        raise InvalidRequest("got no prompt, expected a text", param="prompt")
    return TextRequest.model_validate(_plain(fields))


def _plain(fields: Mapping[str, Any]) -> Any:
    try:
        return plain(fields)
    except RecursionError:
        raise InvalidRequest("the request is nested too deeply, or holds itself") from None


def check_chat(request: ChatRequest) -> None:
    """Refuse what OpenAI's reference does not allow in a chat request.

    Raises:
        InvalidRequest: Names the field, what was got and what was wanted.
    """
    _check_both(request)
    if not request.messages:
        raise InvalidRequest("got an empty list, expected at least one message", param="messages")
    for at, message in enumerate(request.messages):
        _check_message(f"messages[{at}]", message)
        _check_unicode(f"messages[{at}]", message)
    _check_range("max_completion_tokens", request.max_completion_tokens, 0, None)
    _check_range("top_logprobs", request.top_logprobs, 0, 20)
    if request.top_logprobs is not None and not request.logprobs:
        raise InvalidRequest("top_logprobs needs logprobs=True", param="top_logprobs")


def check_text(request: TextRequest) -> None:
    """Refuse what OpenAI's reference does not allow in a request for a text completion.

    Raises:
        InvalidRequest: Names the field, what was got and what was wanted.
    """
    _check_both(request)
    _check_prompt(request.prompt)
    _check_range("logprobs", request.logprobs, 0, 5)
    _check_range("best_of", request.best_of, 1, 20)
    if request.best_of is not None and request.best_of < (request.n or 1):
        raise InvalidRequest(
            f"got best_of={request.best_of} with n={request.n}, expected best_of >= n",
            param="best_of",
        )
    if request.stream and (request.best_of or 1) > 1:
        raise InvalidRequest(
            f"got best_of={request.best_of} with stream=True, but the best of several can only "
            "be known when all have ended; use n, or leave stream out",
            param="best_of",
        )


def _check_both(request: AnyRequest) -> None:
    _check_range("temperature", request.temperature, 0, 2)
    _check_range("top_p", request.top_p, 0, 1)
    _check_range("presence_penalty", request.presence_penalty, -2, 2)
    _check_range("frequency_penalty", request.frequency_penalty, -2, 2)
    _check_range("n", request.n, 1, 128)
    _check_range("max_tokens", request.max_tokens, 0, None)
    for name, value in request.items():
        if name not in ("messages", "prompt"):  # these are looked at one by one
            _check_unicode(name, value)
    for token, bias in (request.logit_bias or {}).items():
        if not token.isdecimal():
            raise InvalidRequest("logit_bias has a key that is not a token id", param="logit_bias")
        _check_range("logit_bias", bias, -100, 100)
    if request.stream_options is not None and not request.stream:
        raise InvalidRequest("stream_options needs stream=True", param="stream_options")
    stop = request.stop
    for text in [stop] if isinstance(stop, str) else stop or ():
        if not text:
            raise InvalidRequest("got an empty text, expected one to stop at", param="stop")


def _check_range(name: str, value: float | None, low: float, high: float | None) -> None:
    if value is None:
        return
    # written so that NaN is refused too
    if not (value >= low and (high is None or value <= high)):
        wanted = f"at least {low}" if high is None else f"{low} to {high}"
        raise InvalidRequest(f"got {name}={value}, expected {wanted}", param=name)


def _check_message(name: str, message: dict[str, Any]) -> None:
    role = message.get("role")
    if role not in ROLES:
        got = "no role" if role is None else f"an unknown role of {len(str(role))} characters"
        raise InvalidRequest(
            f"{name} has {got}, expected one of {', '.join(ROLES)}", param=f"{name}.role"
        )
    content = message.get("content")
    if isinstance(content, str):
        check_text_is_unicode(f"{name}.content", content)
    elif isinstance(content, list) and content:
        for at, part in enumerate(content):
            _check_part(f"{name}.content[{at}]", part)
    elif content is not None:
        raise InvalidRequest(
            f"{name}.content is an empty list or of type {type(content).__name__}, "
            "expected a text or a list of parts",
            param=f"{name}.content",
        )
    elif role != "assistant" or not (message.get("tool_calls") or message.get("function_call")):
        raise InvalidRequest(
            f"{name} has no content, which only an assistant's tool calls may lack",
            param=f"{name}.content",
        )
    if role == "tool" and not isinstance(message.get("tool_call_id"), str):
        raise InvalidRequest(
            f"{name} has role tool but no tool_call_id", param=f"{name}.tool_call_id"
        )


def _check_part(name: str, part: Any) -> None:
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(kind, str):
        raise InvalidRequest(f"{name} is not a part with a type", param=name)
    if kind in ("text", "refusal"):
        text = part.get(kind)
        if not isinstance(text, str):
            raise InvalidRequest(f"{name}.{kind} is missing or not a text", param=name)
        check_text_is_unicode(f"{name}.{kind}", text)


def _check_prompt(prompt: str | list[Any]) -> None:
    prompts = prompt if isinstance(prompt, list) else [prompt]
    if not prompts:
        raise InvalidRequest("got an empty list, expected at least one prompt", param="prompt")
    flat = all(_is_token(item) for item in prompts)
    for at, item in enumerate(prompts):
        if isinstance(item, str):
            check_text_is_unicode(f"prompt[{at}]", item)
        elif not flat and not (
            isinstance(item, list) and item and all(_is_token(token) for token in item)
        ):
            raise InvalidRequest(
                f"prompt[{at}] is neither a text nor a list of token ids", param="prompt"
            )


def _is_token(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _check_unicode(name: str, value: Any) -> None:
    """Refuse half of a surrogate pair anywhere in a value; only the field is named."""
    if isinstance(value, str):
        check_text_is_unicode(name, value)
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            _check_unicode(name, key)
            _check_unicode(name, inner)
    elif isinstance(value, list):
        for inner in value:
            _check_unicode(name, inner)


def check_text_is_unicode(name: str, text: str) -> None:
    """Refuse a text with half of a surrogate pair, which no encoding can carry.

    Raises:
        InvalidRequest: Names the field and the position, not the text.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest(
            f"{name} holds half of a surrogate pair at character {error.start}; "
            "expected valid Unicode",
            param=name,
        ) from None
