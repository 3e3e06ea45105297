"""Which ends of a choice are its model's own."""

from __future__ import annotations

from typing import Any

import pytest

from deltaweir.schema.ends import is_cut
from deltaweir.types import Choice, TextChoice


@pytest.mark.parametrize("reason", ["stop", "tool_calls", "function_call"])
def test_a_model_ends_by_itself(reason: str) -> None:
    """With these words, as OpenAI has them."""
    assert not is_cut(Choice(finish_reason=reason))
    assert not is_cut(TextChoice(finish_reason=reason))


@pytest.mark.parametrize("reason", ["length", "content_filter", "abort", ""])
def test_others_end_it(reason: str) -> None:
    """With all other words."""
    assert is_cut(Choice(finish_reason=reason))


@pytest.mark.parametrize(
    ("told", "cut"),
    [
        ({"stop_reason": "END"}, True),
        ({"matched_stop": "END"}, True),
        ({"stop_reason": None}, False),
        ({"matched_stop": 151645}, False),
    ],
)
def test_a_stop_that_the_reader_asked_for(told: dict[str, Any], *, cut: bool) -> None:
    """Some servers tell the text; the number of a token is the model's own end."""
    choice = Choice.model_validate({"index": 0, "delta": {}, "finish_reason": "stop", **told})
    assert is_cut(choice) is cut
