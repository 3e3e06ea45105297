"""Add a stream's chunks up to the whole reply.

The builder keeps pieces in lists and joins them once, so that n chunks cost O(n) however
long the reply grows. What it builds equals what the same call without ``stream`` returns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Generic, TypeVar

from deltaweir.schema.chunk import (
    AnyChunk,
    Choice,
    ChoiceLogprobs,
    Chunk,
    Delta,
    TextChoice,
    TextChunk,
    TextLogprobs,
    ToolCallDelta,
)
from deltaweir.schema.pieces import FunctionPieces, ToolPieces, UnknownPieces, chained, fold, joined
from deltaweir.schema.reading import add_unknown
from deltaweir.schema.reply import Message, Reply, ReplyChoice, TextReply

ReplyT = TypeVar("ReplyT", bound=Reply | TextReply)

_ENVELOPE = (
    "created",
    "deltaweir",
    "id",
    "model",
    "moderation",
    "service_tier",
    "system_fingerprint",
    "usage",
)


class ReplyBuilder(Generic[ReplyT]):
    """Add chunks up to a reply; choices and tool calls may come in any order.

    Usage is the last one seen, since providers report running totals, not increments.

    Args:
        kind: The reply to build, `Reply` or `TextReply`.
    """

    def __init__(self, kind: type[ReplyT]) -> None:
        self._kind = kind
        self._names = [name for name in _ENVELOPE if name in kind.__struct_fields__]
        self._envelope: dict[str, Any] = {}
        self._unknown: dict[str, Any] = {}
        self._choices: dict[int, _ChatChoice | _TextChoice] = {}

    @property
    def finish_reason(self) -> str | None:
        """Why the first choice ended; None while it is open."""
        first = self._choices.get(0) or next(iter(self._choices.values()), None)
        return first.finish_reason if first else None

    @property
    def told(self) -> Mapping[str, Any]:
        """What a server of ours has told under ``deltaweir``; empty so far, or from others."""
        told = self._envelope.get("deltaweir")
        return told if isinstance(told, dict) else {}

    def text(self, index: int = 0) -> str:
        """Return the content of one choice so far, empty when it has none."""
        choice = self._choices.get(index)
        return "".join(choice.texts) if choice else ""

    def add(self, chunk: AnyChunk) -> None:
        """Take one more chunk of the stream."""
        envelope = self._envelope
        for name in self._names:
            value = getattr(chunk, name)
            if value:
                envelope[name] = value
        if chunk.__dict__:
            self._unknown.update((k, v) for k, v in chunk.model_extra.items() if v is not None)
        choices: Iterable[Choice | TextChoice] = chunk.choices
        for choice in choices:
            known = self._choices.get(choice.index)
            if known is None:
                new = _ChatChoice if isinstance(choice, Choice) else _TextChoice
                known = self._choices[choice.index] = new(choice.index)
            known.add(choice)  # type: ignore[arg-type]  # both are of the stream's one kind

    def build(self) -> ReplyT:
        """Return the reply so far; the builder may go on."""
        choices: list[Any] = [self._choices[index].build() for index in sorted(self._choices)]
        reply = self._kind(choices=choices, **self._envelope)
        add_unknown(reply, self._unknown)
        return reply


def build_reply(chunks: Iterable[Chunk]) -> Reply:
    """Return the whole chat completion that these chunks add up to."""
    builder = ReplyBuilder(Reply)
    for chunk in chunks:
        builder.add(chunk)
    return builder.build()


def build_text_reply(chunks: Iterable[TextChunk]) -> TextReply:
    """Return the whole text completion that these chunks add up to."""
    builder = ReplyBuilder(TextReply)
    for chunk in chunks:
        builder.add(chunk)
    return builder.build()


class _TextChoice:
    """The text of one choice of a text completion, in pieces."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.texts: list[str] = []
        self.finish_reason: str | None = None
        self._logprobs: list[TextLogprobs] = []
        self._unknown = UnknownPieces(TextChoice)

    def add(self, choice: TextChoice) -> None:
        self.texts.append(choice.text)
        self.finish_reason = choice.finish_reason or self.finish_reason
        if choice.logprobs is not None:
            self._logprobs.append(choice.logprobs)
        self._unknown.add(choice)

    def build(self) -> TextChoice:
        built = TextChoice(
            finish_reason=self.finish_reason, index=self.index, text="".join(self.texts)
        )
        if self._logprobs:
            built.logprobs = TextLogprobs.model_validate(
                fold([logprobs.model_dump() for logprobs in self._logprobs])
            )
        self._unknown.give(built)
        return built


class _ChatChoice:
    """The message of one choice of a chat completion, in pieces."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.texts: list[str] = []
        self.finish_reason: str | None = None
        self._role = "assistant"
        self._reasoning: list[str] = []
        self._says_reasoning = False
        self._refusals: list[str] = []
        self._audio: list[dict[str, Any]] = []
        self._function: FunctionPieces | None = None
        self._tools: dict[int, ToolPieces] = {}
        self._logprobs: list[ChoiceLogprobs] = []
        self._unknown = UnknownPieces(ReplyChoice)
        self._unknown_of_delta = UnknownPieces(Message)
        self._unknown_of_logprobs = UnknownPieces(ChoiceLogprobs)

    def add(self, choice: Choice) -> None:
        delta = choice.delta
        if delta.content is not None:
            self.texts.append(delta.content)
        self.finish_reason = choice.finish_reason or self.finish_reason
        if choice.logprobs is not None:
            self._logprobs.append(choice.logprobs)
            self._unknown_of_logprobs.add(choice.logprobs)
        self._add_rare(delta)
        self._unknown.add(choice)
        self._unknown_of_delta.add(delta)

    def _add_rare(self, delta: Delta) -> None:
        self._role = delta.role or self._role
        if isinstance(delta.reasoning, str):
            self._says_reasoning = True
        if delta.reasoning_content is not None:
            self._reasoning.append(delta.reasoning_content)
        elif isinstance(delta.reasoning, str):
            self._reasoning.append(delta.reasoning)
        if delta.refusal is not None:
            self._refusals.append(delta.refusal)
        if delta.audio is not None:
            self._audio.append(delta.audio)
        if delta.function_call is not None:
            self._function = self._function or FunctionPieces()
            self._function.add(delta.function_call)
        for piece in delta.tool_calls or ():
            self._tool(piece).add(piece)

    def _tool(self, piece: ToolCallDelta) -> ToolPieces:
        """Find the call a piece belongs to; without an index, a new id opens a new call."""
        index = piece.index
        if index is None:
            last = max(self._tools, default=-1)
            opens = bool(piece.id) and last >= 0 and self._tools[last].id != piece.id
            index = last + 1 if opens or last < 0 else last
        return self._tools.setdefault(index, ToolPieces())

    def build(self) -> ReplyChoice:
        message = Message(
            audio=fold(self._audio) if self._audio else None,
            content=joined(self.texts),
            function_call=self._function.build() if self._function else None,
            # under the server's own name as well, so that it can be sent back
            reasoning=joined(self._reasoning) if self._says_reasoning else None,
            reasoning_content=joined(self._reasoning),
            # OpenAI opens with an empty refusal that the whole reply does not have
            refusal=joined(self._refusals) or None,
            role=self._role,
            tool_calls=[self._tools[at].build() for at in sorted(self._tools)] or None,
        )
        self._unknown_of_delta.give(message)
        built = ReplyChoice(finish_reason=self.finish_reason, index=self.index, message=message)
        if self._logprobs:
            built.logprobs = ChoiceLogprobs(
                content=chained(piece.content for piece in self._logprobs),
                refusal=chained(piece.refusal for piece in self._logprobs),
            )
            self._unknown_of_logprobs.give(built.logprobs)
        self._unknown.give(built)
        return built
