"""The texts a choice carries, by field: where counting, budgets and guards look.

A field is named as in the protocol: ``content``, ``reasoning_content``, ``refusal``,
``function_call`` (its arguments), ``text``; the arguments of the third tool call are
``tool_calls[2]``, and its function's name is ``tool_calls[2].name``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from deltaweir.schema.chunk import Choice, Delta, FunctionDelta, TextChoice, ToolCallDelta
from deltaweir.schema.record import Record

_PLAIN = ("reasoning_content", "content", "refusal")

ELSEWHERE = ("content", "delta", "message", "text", "token_ids")
"""Unknown fields of a choice in which some servers say its text once more, whole or as ids."""


class Text(NamedTuple):
    """One text of a choice, and where it stands."""

    field: str
    holder: Record
    attribute: str

    @property
    def value(self) -> str:
        """The text itself."""
        return str(getattr(self.holder, self.attribute))

    def replace(self, text: str) -> None:
        """Put another text in its place; an empty one takes the field away."""
        empty = "" if isinstance(self.holder, TextChoice) else None
        setattr(self.holder, self.attribute, text or empty)
        if self.field == "reasoning_content" and isinstance(self.holder, Delta):
            other = "reasoning" if self.attribute == self.field else self.field
            if getattr(self.holder, other):  # some servers send one text under both names
                setattr(self.holder, other, text or empty)


def texts(choice: Choice | TextChoice) -> Iterator[Text]:
    """Yield the texts of a choice that are not empty."""
    if isinstance(choice, TextChoice):
        if choice.text:
            yield Text("text", choice, "text")
        return
    delta = choice.delta
    for name in _PLAIN:
        if getattr(delta, name):
            yield Text(name, delta, name)
    if delta.reasoning and not delta.reasoning_content and isinstance(delta.reasoning, str):
        yield Text("reasoning_content", delta, "reasoning")
    if delta.function_call is not None and delta.function_call.arguments:
        yield Text("function_call", delta.function_call, "arguments")
    for at, call in enumerate(delta.tool_calls or ()):
        if call.function is not None and call.function.arguments:
            index = at if call.index is None else call.index
            yield Text(f"tool_calls[{index}]", call.function, "arguments")


def heads(choice: Choice | TextChoice) -> Iterator[Text]:
    """Yield the names of the functions that a choice calls; they are tokens as well.

    Their fields are ``function_call.name`` and, for the third tool call,
    ``tool_calls[2].name``.
    """
    if isinstance(choice, TextChoice):
        return
    delta = choice.delta
    if delta.function_call is not None and delta.function_call.name:
        yield Text("function_call.name", delta.function_call, "name")
    for at, call in enumerate(delta.tool_calls or ()):
        if call.function is not None and call.function.name:
            index = at if call.index is None else call.index
            yield Text(f"tool_calls[{index}].name", call.function, "name")


def identifiers(choice: Choice | TextChoice) -> Iterator[Text]:
    """Yield the ids of the calls in a choice, which some models write themselves."""
    if isinstance(choice, TextChoice):
        return
    for at, call in enumerate(choice.delta.tool_calls or ()):
        if call.id:
            index = at if call.index is None else call.index
            yield Text(f"tool_calls[{index}].id", call, "id")


def has_content(choice: Choice | TextChoice) -> bool:
    """Tell whether a choice brings something a reader waits for; a role alone is nothing.

    Content is the first non-empty content, text, reasoning, refusal, tool or function call,
    or audio.
    """
    if isinstance(choice, TextChoice):
        return bool(choice.text)
    delta = choice.delta
    return bool(
        delta.content
        or delta.reasoning_content
        or delta.reasoning
        or delta.refusal
        or delta.tool_calls
        or delta.function_call
        or delta.audio
    )


def says_something(value: Any) -> bool:
    """Tell whether a choice, or a part of one, brings anything beside its place."""
    if isinstance(value, Record):
        return any(name != "index" and says_something(inner) for name, inner in value.items())
    if isinstance(value, list):
        return any(map(says_something, value))
    return value is not None and value != ""


def only_text(choice: Choice | TextChoice) -> str | None:
    """Return the text of a choice that brings one and nothing else, but perhaps its role.

    This is the common case, told at the least cost; content, or the text of a completion.
    """
    if choice.finish_reason is not None or choice.logprobs is not None or choice.__dict__:
        return None
    if isinstance(choice, TextChoice):
        return choice.text
    delta = choice.delta
    if (
        delta.reasoning_content is None
        and delta.reasoning is None
        and delta.tool_calls is None
        and delta.refusal is None
        and delta.function_call is None
        and delta.audio is None
        and not delta.__dict__
    ):
        return delta.content
    return None


def take_out(choice: Choice | TextChoice) -> Choice | TextChoice:
    """Take all but its end out of a choice, into one that goes ahead of it.

    Unknown fields go with the end, unless they are known to say the text once more.
    """
    own: Choice | TextChoice
    if isinstance(choice, TextChoice):
        own = TextChoice(index=choice.index, text=choice.text)
        choice.text = ""
    else:
        own = Choice(index=choice.index, delta=choice.delta)
        choice.delta = Delta()
    own.logprobs, choice.logprobs = choice.logprobs, None
    for name in [name for name in ELSEWHERE if name in choice.__dict__]:
        own.__dict__[name] = choice.__dict__.pop(name)
    return own


def carrier(
    kind: type[Choice | TextChoice], index: int, field: str, text: str
) -> Choice | TextChoice:
    """Return a choice that brings one text to one field and nothing else.

    For the field ``reasoning_content`` its other name, ``reasoning``, may be given.
    """
    if kind is TextChoice:
        return TextChoice(index=index, text=text)
    if field == "function_call":
        return Choice(index=index, delta=Delta(function_call=FunctionDelta(arguments=text)))
    if field.startswith("tool_calls["):
        call = ToolCallDelta(
            index=int(field[len("tool_calls[") : -1]), function=FunctionDelta(arguments=text)
        )
        return Choice(index=index, delta=Delta(tool_calls=[call]))
    delta = Delta()
    setattr(delta, field, text)
    return Choice(index=index, delta=delta)
