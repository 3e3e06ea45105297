"""Whole replies: what a call without ``stream`` returns, and what a stream adds up to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deltaweir.schema import content_parts
from deltaweir.schema.chunk import (
    AnyChunk,
    Choice,
    ChoiceLogprobs,
    Chunk,
    Delta,
    FunctionDelta,
    TextChoice,
    TextChunk,
    ToolCallDelta,
    Usage,
)
from deltaweir.schema.record import Record, always, null


class FunctionCall(Record):
    """A call that the model wants made: the function's name, and its arguments as JSON text."""

    arguments: str = always(str)
    name: str = always(str)


class ToolCall(Record):
    """One tool call of a message."""

    function: FunctionCall | None = None
    id: str = always(str)
    type: str = always(lambda: "function")


class Message(Record):
    """An assistant's message; append it to ``messages`` to go on with the conversation."""

    audio: dict[str, Any] | None = None
    content: str | None = always(null)
    function_call: FunctionCall | None = None
    reasoning: Any = None
    reasoning_content: str | None = None
    refusal: str | None = None
    role: str = always(lambda: "assistant")
    tool_calls: list[ToolCall] | None = None

    @classmethod
    def adapted(cls, value: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return plain data whose content is one text; see `deltaweir.schema.content_parts`."""
        return content_parts.joined(value)


class ReplyChoice(Record):
    """One answer of a whole reply."""

    finish_reason: str | None = always(null)
    index: int = always(int)
    logprobs: ChoiceLogprobs | None = None
    message: Message = always(Message)


class Reply(Record):
    """A whole chat completion."""

    choices: list[ReplyChoice] = always(list)
    created: int = always(int)
    id: str = always(str)
    model: str = always(str)
    object: str = always(lambda: "chat.completion")
    deltaweir: dict[str, Any] | None = None
    moderation: dict[str, Any] | None = None
    service_tier: str | None = None
    system_fingerprint: str | None = None
    usage: Usage | None = None


class TextReply(Record):
    """A whole text completion."""

    choices: list[TextChoice] = always(list)
    created: int = always(int)
    id: str = always(str)
    model: str = always(str)
    object: str = always(lambda: "text_completion")
    deltaweir: dict[str, Any] | None = None
    system_fingerprint: str | None = None
    usage: Usage | None = None


AnyReply = Reply | TextReply
"""A whole reply of either endpoint."""


def as_chunk(reply: AnyReply) -> AnyChunk:
    """Return a whole reply as the one chunk that says the same, for whoever reads chunks.

    Log probabilities and unknown fields are left out.
    """
    if isinstance(reply, TextReply):
        return TextChunk(
            choices=[
                TextChoice(index=one.index, text=one.text, finish_reason=one.finish_reason)
                for one in reply.choices
            ],
            created=reply.created,
            id=reply.id,
            model=reply.model,
            deltaweir=reply.deltaweir,
            system_fingerprint=reply.system_fingerprint,
            usage=reply.usage,
        )
    return Chunk(
        choices=[
            Choice(index=one.index, delta=_delta(one.message), finish_reason=one.finish_reason)
            for one in reply.choices
        ],
        created=reply.created,
        id=reply.id,
        model=reply.model,
        deltaweir=reply.deltaweir,
        moderation=reply.moderation,
        service_tier=reply.service_tier,
        system_fingerprint=reply.system_fingerprint,
        usage=reply.usage,
    )


def _delta(message: Message) -> Delta:
    calls = [
        ToolCallDelta(index=index, id=call.id, type=call.type, function=_function(call.function))
        for index, call in enumerate(message.tool_calls or ())
    ]
    return Delta(
        audio=message.audio,
        content=message.content,
        function_call=_function(message.function_call),
        reasoning=message.reasoning,
        reasoning_content=message.reasoning_content,
        refusal=message.refusal,
        role=message.role,
        tool_calls=calls or None,
    )


def _function(call: FunctionCall | None) -> FunctionDelta | None:
    return None if call is None else FunctionDelta(name=call.name, arguments=call.arguments)
