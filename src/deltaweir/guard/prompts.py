"""A prompt before it is sent: rules of the scope ``prompt`` look at all of its texts. Pure."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from deltaweir.errors import GuardBlocked
from deltaweir.guard.arguments import ArgumentsFilter
from deltaweir.guard.filter import TextFilter
from deltaweir.guard.plan import Plan
from deltaweir.guard.policy import Policy
from deltaweir.guard.verdicts import MOST_VERDICTS, Verdict
from deltaweir.schema.request import AnyRequest

RequestT = TypeVar("RequestT", bound=AnyRequest)

_PARTS = ("messages", "prompt", "suffix", "prediction", "tools", "functions", "response_format")
"""The fields of a request that hold text for the model."""

_NOT_READ = frozenset({"role", "id", "tool_call_id"})
"""Keys of a message, or of a call in it, whose values name things."""
_DATA = frozenset({"type", "image_url", "input_audio", "file"})
"""Keys of a part of a message whose values are data: images, sounds, files."""


class CheckedPrompt(NamedTuple):
    """A request that may be sent, and what was found in it."""

    request: Any
    verdicts: list[Verdict]


def check_request(request: RequestT, policy: Policy) -> CheckedPrompt:
    """Return a request with what its prompt must not tell replaced.

    The request that came in stays as it is.

    Raises:
        GuardBlocked: A rule that blocks or truncates has matched; or the prompt is of tokens,
            which no rule can read.
    """
    plan = policy.plan("prompt")
    if plan is None:
        return CheckedPrompt(request, [])
    verdicts: list[Verdict] = []
    checked = copy.copy(request)
    for part in _PARTS:
        value = getattr(request, part, None)
        if value is not None:
            setattr(checked, part, _checked(value, part, plan, verdicts))
    return CheckedPrompt(checked, verdicts[:MOST_VERDICTS])


def _checked(value: Any, where: str, plan: Plan, verdicts: list[Verdict]) -> Any:
    """Return a value of a request with its texts filtered."""
    if isinstance(value, str):
        return _text(value, where, plan, verdicts, kind=TextFilter)
    if isinstance(value, Mapping):
        return {
            name: inner
            if _is_no_text(where, name)
            else _text(inner, f"{where}.{name}", plan, verdicts, kind=ArgumentsFilter)
            if name == "arguments" and isinstance(inner, str)
            else _checked(inner, f"{where}.{name}", plan, verdicts)
            for name, inner in value.items()
        }
    if isinstance(value, list | tuple):
        if where == "prompt" and any(isinstance(one, int | list | tuple) for one in value):
            raise GuardBlocked(
                "got a prompt of tokens, which a guard of prompts cannot read; send its text",
                param="prompt",
            )
        return [
            _checked(one, f"{where}[{number}]", plan, verdicts) for number, one in enumerate(value)
        ]
    return value


def _is_no_text(where: str, name: str) -> bool:
    """Tell whether a key of a message or a part of one holds no text for the model to read."""
    if not where.startswith("messages["):
        return False
    steps = where.count("[") + where.count(".")
    if name == "type":
        return True
    return name in (_NOT_READ if steps == 1 or ".tool_calls[" in where else _DATA)


def _text(
    text: str, where: str, plan: Plan, verdicts: list[Verdict], *, kind: Callable[..., Any]
) -> str:
    one = kind(plan, field=where, choice=None)
    out: str = one.feed(text) + one.finish(cut=False)
    if len(verdicts) < MOST_VERDICTS:
        verdicts += one.verdicts
    if one.stopped is not None:
        rules = ", ".join(sorted({found.rule for found in one.verdicts}))
        raise GuardBlocked(
            f"a guard refused the prompt: {where} matches {rules}; nothing was sent",
            param=where,
        )
    return out
