"""Whole replies: what a call without ``stream`` returns, and what a stream adds up to."""

from __future__ import annotations

from typing import Any

from deltaweir.schema.chunk import ChoiceLogprobs, TextChoice, Usage
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
