"""Labels are ordered, and names of models are stripped to what rules go by."""

from __future__ import annotations

import pytest

from deltaweir.meter.rules import LABELS, Rule, base_name, weakest


def test_weakest() -> None:
    """The weakest label wins, in whatever order the rules come; no rule is official."""
    rules = [Rule(label, label, "") for label in LABELS]
    assert weakest([]) == "official"
    assert [weakest(rules[:end]) for end in (1, 2, 3)] == list(LABELS)
    assert weakest(rules[::-1]) == "estimated"


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (None, ""),
        ("GPT-4o", "gpt-4o"),
        ("openai/gpt-4o", "gpt-4o"),
        ("ft:gpt-4o-2024-08-06:team:suffix:id", "gpt-4o-2024-08-06"),
        ("openrouter/openai/gpt-4o:free", "gpt-4o"),
    ],
)
def test_base_name(model: str | None, name: str) -> None:
    """Provider and fine-tuning are no part of the name."""
    assert base_name(model) == name
