"""How a choice ends: as its model meant to, or where somebody else said."""

from __future__ import annotations

from deltaweir.schema.chunk import Choice, TextChoice

_OWN = frozenset({"stop", "tool_calls", "function_call"})

_STOPS = ("stop_reason", "matched_stop")
"""Where vLLM and SGLang tell the text that ended a choice; a number there is a token's."""


def is_cut(choice: Choice | TextChoice) -> bool:
    """Tell whether a choice ended otherwise than its model meant to: at a limit, at a stop."""
    return choice.finish_reason not in _OWN or any(
        isinstance(choice.__dict__.get(name), str) for name in _STOPS
    )
