"""Add a stream's chunks up to the whole reply.

The builder keeps pieces in lists and joins them once, so that n chunks cost O(n) however
long the reply grows. What it builds equals what the same call without ``stream`` returns.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Generic, TypeVar

from deltaweir.schema.chunk import (
    AnyChunk,
    Choice,
    ChoiceLogprobs,
    Chunk,
    Delta,
    FunctionDelta,
    TextChoice,
    TextChunk,
    TextLogprobs,
    ToolCallDelta,
)
from deltaweir.schema.record import Record
from deltaweir.schema.reply import (
    FunctionCall,
    Message,
    Reply,
    ReplyChoice,
    TextReply,
    ToolCall,
)

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
_SINGLE = frozenset({"id", "index", "role", "type"})


class ReplyBuilder(Generic[ReplyT]):
    """Add chunks up to a reply; choices and tool calls may come in any order.

    Usage is the last one seen, since providers report running totals, not increments.

    Args:
        kind: The reply to build, `Reply` or `TextReply`.
    """

    def __init__(self, kind: type[ReplyT]) -> None:
        self._kind = kind
        self._envelope: dict[str, Any] = {}
        self._choices: dict[int, _ChatChoice | _TextChoice] = {}

    @property
    def finish_reason(self) -> str | None:
        """Why the first choice ended; None while it is open."""
        first = self._choices.get(0) or next(iter(self._choices.values()), None)
        return first.finish_reason if first else None

    def text(self, index: int = 0) -> str:
        """Return the content of one choice so far, empty when it has none."""
        choice = self._choices.get(index)
        return "".join(choice.texts) if choice else ""

    def add(self, chunk: AnyChunk) -> None:
        """Take one more chunk of the stream."""
        envelope = self._envelope
        for name in _ENVELOPE:
            value = getattr(chunk, name, None)
            if value:
                envelope[name] = value
        if chunk.__dict__:
            envelope.update(chunk.__dict__)
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
        known = {k: v for k, v in self._envelope.items() if k in self._kind.__struct_fields__}
        reply = self._kind(choices=choices, **known)
        reply.__dict__.update((k, v) for k, v in self._envelope.items() if k not in known)
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
        self._unknown = _Unknown()

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
                _fold([logprobs.model_dump() for logprobs in self._logprobs])
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
        self._refusals: list[str] = []
        self._audio: list[dict[str, Any]] = []
        self._function: _Function | None = None
        self._tools: dict[int, _Tool] = {}
        self._logprobs: list[ChoiceLogprobs] = []
        self._unknown = _Unknown()
        self._unknown_of_delta = _Unknown()

    def add(self, choice: Choice) -> None:
        delta = choice.delta
        if delta.content is not None:
            self.texts.append(delta.content)
        self.finish_reason = choice.finish_reason or self.finish_reason
        if choice.logprobs is not None:
            self._logprobs.append(choice.logprobs)
        self._add_rare(delta)
        self._unknown.add(choice)
        self._unknown_of_delta.add(delta)

    def _add_rare(self, delta: Delta) -> None:
        self._role = delta.role or self._role
        if delta.reasoning_content is not None:
            self._reasoning.append(delta.reasoning_content)
        if delta.refusal is not None:
            self._refusals.append(delta.refusal)
        if delta.audio is not None:
            self._audio.append(delta.audio)
        if delta.function_call is not None:
            self._function = self._function or _Function()
            self._function.add(delta.function_call)
        for piece in delta.tool_calls or ():
            self._tool(piece).add(piece)

    def _tool(self, piece: ToolCallDelta) -> _Tool:
        """Find the call a piece belongs to; without an index, a new id opens a new call."""
        index = piece.index
        if index is None:
            last = max(self._tools, default=-1)
            opens = piece.id is not None and last >= 0 and self._tools[last].id != piece.id
            index = last + 1 if opens or last < 0 else last
        return self._tools.setdefault(index, _Tool())

    def build(self) -> ReplyChoice:
        message = Message(
            audio=_fold(self._audio) if self._audio else None,
            content=_joined(self.texts),
            function_call=self._function.build() if self._function else None,
            reasoning_content=_joined(self._reasoning),
            # OpenAI opens with an empty refusal that the whole reply does not have
            refusal=_joined(self._refusals) or None,
            role=self._role,
            tool_calls=[self._tools[at].build() for at in sorted(self._tools)] or None,
        )
        self._unknown_of_delta.give(message)
        built = ReplyChoice(finish_reason=self.finish_reason, index=self.index, message=message)
        if self._logprobs:
            built.logprobs = ChoiceLogprobs(
                content=_chained(piece.content for piece in self._logprobs),
                refusal=_chained(piece.refusal for piece in self._logprobs),
            )
        self._unknown.give(built)
        return built


class _Function:
    """A function call in pieces."""

    def __init__(self) -> None:
        self._name: list[str] = []
        self._arguments: list[str] = []

    def add(self, piece: FunctionDelta) -> None:
        # some servers repeat the whole name in every piece
        if piece.name and [piece.name] != self._name:
            self._name.append(piece.name)
        if piece.arguments:
            self._arguments.append(piece.arguments)

    def build(self) -> FunctionCall:
        return FunctionCall(arguments="".join(self._arguments), name="".join(self._name))


class _Tool:
    """A tool call in pieces."""

    def __init__(self) -> None:
        self.id = ""
        self._type = "function"
        self._function: _Function | None = None
        self._unknown = _Unknown()

    def add(self, piece: ToolCallDelta) -> None:
        self.id = piece.id or self.id
        self._type = piece.type or self._type
        if piece.function is not None:
            self._function = self._function or _Function()
            self._function.add(piece.function)
        self._unknown.add(piece)

    def build(self) -> ToolCall:
        built = ToolCall(
            function=self._function.build() if self._function else None,
            id=self.id,
            type=self._type,
        )
        self._unknown.give(built)
        return built


class _Unknown:
    """The unknown fields of a record that comes in pieces."""

    __slots__ = ("_pieces",)

    def __init__(self) -> None:
        self._pieces: list[dict[str, Any]] = []

    def add(self, record: Record) -> None:
        if record.__dict__:
            self._pieces.append(dict(record.__dict__))

    def give(self, record: Record) -> None:
        if self._pieces:
            record.__dict__.update(_fold(self._pieces))


def _fold(pieces: list[dict[str, Any]]) -> dict[str, Any]:
    """Merge mappings: texts join, lists chain, mappings merge, of the rest the last counts."""
    columns: dict[str, list[Any]] = {}
    for piece in pieces:
        for name, value in piece.items():
            if value is not None:
                columns.setdefault(name, []).append(value)
            else:
                columns.setdefault(name, [])
    return {name: _merged(name, values) for name, values in columns.items()}


def _merged(name: str, values: list[Any]) -> Any:
    if not values:
        return None
    if name not in _SINGLE:
        if all(isinstance(value, str) for value in values):
            return "".join(values)
        if all(isinstance(value, list) for value in values):
            return [item for value in values for item in value]
        if all(isinstance(value, dict) for value in values):
            return _fold(values)
    return values[-1]


def _joined(pieces: list[str]) -> str | None:
    return "".join(pieces) if pieces else None


def _chained(pieces: Iterable[list[Any] | None]) -> list[Any] | None:
    present = [piece for piece in pieces if piece is not None]
    return [item for piece in present for item in piece] if present else None
