"""Chunks: what a stream is made of, for chat and for text completions.

Fields are those of OpenAI's API reference (chat completion chunk, completion), with
``reasoning_content`` as other providers have it. They stand in alphabetical order, which is
the order in which the embedded model's chunks are printed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deltaweir.schema import content_parts
from deltaweir.schema.record import Record, always, null


class FunctionDelta(Record):
    """A piece of a function call: its name in the first piece, then parts of its arguments."""

    arguments: str | None = None
    name: str | None = None


class ToolCallDelta(Record):
    """A piece of one tool call; pieces of the same ``index`` belong together."""

    function: FunctionDelta | None = None
    id: str | None = None
    index: int | None = None
    type: str | None = None


class TopLogprob(Record):
    """One of the likeliest tokens at a position, with its natural log probability."""

    bytes: list[int] | None = None
    logprob: float = always(float)
    token: str = always(str)


class TokenLogprob(Record):
    """A generated token with its natural log probability and its rivals."""

    bytes: list[int] | None = None
    logprob: float = always(float)
    token: str = always(str)
    top_logprobs: list[TopLogprob] | None = always(list)


class ChoiceLogprobs(Record):
    """Log probabilities of the tokens in this piece, by the field they were written to."""

    content: list[TokenLogprob] | None = None
    refusal: list[TokenLogprob] | None = None


class Delta(Record):
    """What one chunk adds to the message of one choice."""

    audio: dict[str, Any] | None = None
    content: str | None = None
    function_call: FunctionDelta | None = None
    reasoning: Any = None
    """Reasoning under the name that OpenRouter, Groq and newer vLLM give it, a text."""
    reasoning_content: str | None = None
    refusal: str | None = None
    role: str | None = None
    tool_calls: list[ToolCallDelta] | None = None

    @classmethod
    def adapted(cls, value: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return plain data whose content is one text; see `deltaweir.schema.content_parts`."""
        return content_parts.joined(value)


class Choice(Record):
    """One answer's part of a chunk; ``finish_reason`` is null until its last chunk."""

    delta: Delta = always(Delta)
    finish_reason: str | None = always(null)
    index: int = always(int)
    logprobs: ChoiceLogprobs | None = None


class PromptTokensDetails(Record):
    """A breakdown of the prompt's tokens."""

    audio_tokens: int | None = None
    cached_tokens: int | None = None


class CompletionTokensDetails(Record):
    """A breakdown of the generated tokens."""

    accepted_prediction_tokens: int | None = None
    audio_tokens: int | None = None
    reasoning_tokens: int | None = None
    rejected_prediction_tokens: int | None = None


class Usage(Record):
    """Tokens read and tokens generated, as the engine or the provider counts them."""

    completion_tokens: int = always(int)
    completion_tokens_details: CompletionTokensDetails | None = None
    prompt_tokens: int = always(int)
    prompt_tokens_details: PromptTokensDetails | None = None
    total_tokens: int = always(int)


class PartialUsage(Usage):
    """Tokens generated where those of the prompt are not known, and so neither is their sum."""

    prompt_tokens: int | None = always(null)  # type: ignore[assignment]  # a count, but not known
    total_tokens: int | None = always(null)  # type: ignore[assignment]  # likewise


class Chunk(Record):
    """One event of a streamed chat completion."""

    choices: list[Choice] = always(list)
    created: int = always(int)
    id: str = always(str)
    model: str = always(str)
    object: str = always(lambda: "chat.completion.chunk")
    deltaweir: dict[str, Any] | None = None
    moderation: dict[str, Any] | None = None
    obfuscation: str | None = None
    service_tier: str | None = None
    system_fingerprint: str | None = None
    usage: Usage | None = None


class TextLogprobs(Record):
    """Log probabilities of a text completion: four lists, one entry per token."""

    text_offset: list[int] = always(list)
    token_logprobs: list[float | None] = always(list)
    tokens: list[str] = always(list)
    top_logprobs: list[dict[str, float] | None] | None = None


class TextChoice(Record):
    """One answer's part of a chunk of a text completion."""

    finish_reason: str | None = always(null)
    index: int = always(int)
    logprobs: TextLogprobs | None = None
    text: str = always(str)


class TextChunk(Record):
    """One event of a streamed text completion."""

    choices: list[TextChoice] = always(list)
    created: int = always(int)
    id: str = always(str)
    model: str = always(str)
    object: str = always(lambda: "text_completion")
    deltaweir: dict[str, Any] | None = None
    system_fingerprint: str | None = None
    usage: Usage | None = None


AnyChunk = Chunk | TextChunk
"""A chunk of either endpoint."""


def has_figures(chunk: AnyChunk) -> bool:
    """Tell whether a chunk says what was used; zeros while its answer goes on do not (LocalAI)."""
    usage = chunk.usage
    if usage is None:
        return False
    known = usage.prompt_tokens or usage.completion_tokens or usage.total_tokens
    return bool(known or not chunk.choices or any(one.finish_reason for one in chunk.choices))
