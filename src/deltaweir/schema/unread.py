"""What may hold generated text and is none of a choice's texts: no guard reads it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from deltaweir.schema.chunk import AnyChunk, Choice, TextChoice
from deltaweir.schema.scored import is_scored

_HARMLESS = frozenset(
    {
        "content_filter_results",  # Azure: its filter's findings
        "matched_stop",  # SGLang: the stop text of the request
        "native_finish_reason",  # OpenRouter
        "prompt_filter_results",  # Azure
        "prompt_token_ids",  # vLLM
        "provider",  # OpenRouter: who answered
        "stop_reason",  # vLLM: the stop text of the request
        "timings",  # llama.cpp: figures
    }
)
"""Unknown fields of chunks and choices whose words are their server's own, never the model's.

Groq's ``x_groq`` is none: asked to debug, it has the generated tokens, and of a failure the text.
"""


def take_out_unread_of(chunk: AnyChunk) -> bool:
    """Take out of a chunk its own unknown fields that may hold words or tokens of the model's.

    Returns:
        Whether anything was there.
    """
    ids = chunk.__dict__.pop("token_ids", None)  # of which choice nobody can tell
    return _without(chunk.__dict__, _may_be_said) > 0 or ids is not None


def take_out_unread(choice: Choice | TextChoice) -> bool:
    """Take out of a choice what may hold generated text but is none of its `texts`.

    These are sounds; reasoning that is no text, or another than ``reasoning_content``; unknown
    fields of a delta, of tool calls and of log probabilities; and those of the choice that may
    hold words or tokens, unless they are known to be their server's own. Its token ids stay.

    Returns:
        Whether anything was there.
    """
    removed = _without(choice.__dict__, _may_be_said)
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


def _may_be_said(name: str, value: Any) -> bool:
    """Tell whether a field may hold words or tokens of the model's; a single figure does not."""
    return name not in _HARMLESS and isinstance(value, str | list | dict) and len(value) > 0


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
