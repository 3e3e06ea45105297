"""What in a choice may hold generated text and is none of its texts: no guard reads it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from deltaweir.schema.chunk import Choice, TextChoice
from deltaweir.schema.scored import is_scored
from deltaweir.schema.texts import ELSEWHERE


def take_out_unread(choice: Choice | TextChoice) -> bool:
    """Take out of a choice what may hold generated text but is none of its `texts`.

    These are sounds; reasoning that is no text, or another than ``reasoning_content``; unknown
    fields of a delta, of tool calls and of log probabilities; and a whole message beside the
    delta. Token ids stay.

    Returns:
        Whether anything was there.
    """
    removed = _without(choice.__dict__, lambda name, _: name in ELSEWHERE)
    if choice.logprobs is not None:
        removed += _without(choice.logprobs.__dict__, lambda *field: not is_scored(*field))
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
