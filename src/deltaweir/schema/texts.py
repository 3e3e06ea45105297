"""The texts a choice carries, by field: where counting, budgets and guards look.

A field is named as in the protocol: ``content``, ``reasoning_content``, ``refusal``,
``function_call`` (its arguments), ``text``; the arguments of the third tool call are
``tool_calls[2]``, and its function's name is ``tool_calls[2].name``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from deltaweir.schema.chunk import Choice, Delta, FunctionDelta, TextChoice, ToolCallDelta
from deltaweir.schema.record import Record

_PLAIN = ("reasoning_content", "content", "refusal")

SCORED = ("content", "refusal", "reasoning_content")
"""The lists of log probabilities; the last is DeepSeek's, unknown to the records."""

_ELSEWHERE = ("content", "delta", "message", "text", "token_ids")
"""Unknown fields of a choice in which some servers say the text once more, or all of it."""


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


def take_out_unread(choice: Choice | TextChoice) -> bool:
    """Take out of a choice what may hold generated text but is none of its `texts`.

    These are sounds; reasoning that is no text, or another than ``reasoning_content``; unknown
    fields of a delta, of tool calls and of log probabilities; and a whole message beside the
    delta. Token ids stay.

    Returns:
        Whether anything was there.
    """
    removed = _without(choice.__dict__, lambda name, _: name in _ELSEWHERE)
    if choice.logprobs is not None:
        removed += _without(choice.logprobs.__dict__, lambda *field: not _scored(*field))
    if isinstance(choice, TextChoice):
        return removed > 0
    delta = choice.delta
    if delta.audio is not None:
        delta.audio = None
        removed += 1
    if delta.reasoning and not (
        isinstance(delta.reasoning, str) and delta.reasoning_content in {None, "", delta.reasoning}
    ):
        delta.reasoning = None
        removed += 1
    removed += _without(delta.__dict__)
    functions = [delta.function_call, *(call.function for call in delta.tool_calls or ())]
    for record in (*functions, *(delta.tool_calls or ())):
        removed += 0 if record is None else _without(record.__dict__)
    return removed > 0


def _without(unknown: dict[str, Any], unread: Callable[[str, Any], bool] = lambda *_: True) -> int:
    """Take fields out of the unknown ones of a record; token ids are no text."""
    names = [
        name
        for name, value in unknown.items()
        if unread(name, value) and not (name == "token_ids" and isinstance(value, list))
    ]
    for name in names:
        del unknown[name]
    return len(names)


def _scored(name: str, value: Any) -> bool:
    """Tell whether an unknown list of log probabilities can be read as the known ones are."""
    return (
        name in SCORED
        and isinstance(value, list)
        and all(isinstance(one, dict) and isinstance(one.get("token"), str) for one in value)
    )


def take_out(choice: Choice | TextChoice) -> Choice | TextChoice:
    """Take all but its end out of a choice, into one that goes ahead of it."""
    own: Choice | TextChoice
    if isinstance(choice, TextChoice):
        own = TextChoice(index=choice.index, text=choice.text)
        choice.text = ""
    else:
        own = Choice(index=choice.index, delta=choice.delta)
        choice.delta = Delta()
    own.logprobs, choice.logprobs = choice.logprobs, None
    for name in [name for name in _ELSEWHERE if name in choice.__dict__]:
        own.__dict__[name] = choice.__dict__.pop(name)
    return own


def carrier(
    kind: type[Choice | TextChoice], index: int, field: str, text: str
) -> Choice | TextChoice:
    """Return a choice that brings one text to one field and nothing else."""
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
