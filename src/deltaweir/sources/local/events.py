"""What the engine says while it generates: its own event shapes, read and nothing more. Pure."""

from __future__ import annotations

import msgspec

from deltaweir.errors import (
    ContextLengthExceeded,
    DeltaweirError,
    InvalidRequest,
    StreamFailed,
)


class Lenient(msgspec.Struct):
    """The engine's own shapes: fields we do not use are passed over."""


class Timings(Lenient):
    """Running counts: tokens taken from the cache, read, and generated."""

    cache_n: int = 0
    prompt_n: int = 0
    predicted_n: int = 0


class Progress(Lenient):
    """How far a prompt is read, in tokens."""

    total: int = 0
    cache: int = 0
    processed: int = 0


class Failure(Lenient):
    """Why a request was refused or an answer broke off."""

    message: str = ""
    type: str = ""
    code: int | str | None = None
    n_prompt_tokens: int | None = None
    n_ctx: int | None = None


class SaidFunction(Lenient):
    """A piece of a function call."""

    name: str | None = None
    arguments: str | None = None


class SaidToolCall(Lenient):
    """A piece of a tool call."""

    index: int = 0
    id: str | None = None
    type: str | None = None
    function: SaidFunction | None = None


class SaidDelta(Lenient):
    """What an event adds to a message."""

    content: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[SaidToolCall] | None = None


class SaidTop(Lenient):
    """A token with its log probability; null where it is no number."""

    token: str = ""
    logprob: float | None = None
    bytes: list[int] | None = None


class SaidToken(SaidTop):
    """A generated token with its rivals."""

    top_logprobs: list[SaidTop] | None = None


class SaidLogprobs(Lenient):
    """Log probabilities, in the chat shape for both endpoints."""

    content: list[SaidToken] | None = None


class SaidChoice(Lenient):
    """One answer's part of an event, of either endpoint."""

    delta: SaidDelta | None = None
    text: str | None = None
    finish_reason: str | None = None
    logprobs: SaidLogprobs | None = None


class SaidCached(Lenient):
    """A breakdown of the prompt's tokens."""

    cached_tokens: int = 0


class SaidUsage(Lenient):
    """The engine's own count of a finished answer."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: SaidCached | None = None


class Event(Lenient):
    """One event of the engine's stream."""

    choices: list[SaidChoice] = []
    usage: SaidUsage | None = None
    timings: Timings | None = None
    prompt_progress: Progress | None = None
    error: Failure | None = None


# between two tokens the engine may say null, which is a sign of life
_DECODER: msgspec.json.Decoder[Event | None] = msgspec.json.Decoder(Event | None)


def decode(raw: bytes) -> Event | None:
    """Read one event; None is a sign of life.

    Raises:
        StreamFailed: The bytes are not what the engine says.
    """
    try:
        return _DECODER.decode(raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise StreamFailed(f"got {len(raw)} bytes from the engine that are no event") from error


def error_of(said: Failure, *, prompt: str) -> DeltaweirError:
    """Return the error of ours that a failure of the engine stands for.

    Args:
        said: What the engine says.
        prompt: The request's field that holds the prompt.
    """
    if said.type == "exceed_context_size_error":
        return ContextLengthExceeded(
            f"the prompt has {said.n_prompt_tokens} tokens, but the model's context holds "
            f"{said.n_ctx}; shorten the prompt",
            prompt_tokens=said.n_prompt_tokens,
            context_tokens=said.n_ctx,
            param=prompt,
        )
    if said.type == "invalid_request_error":
        return InvalidRequest(f"the engine refused the request: {said.message[:200]}")
    return StreamFailed(f"the engine failed: {said.message[:200]}")
