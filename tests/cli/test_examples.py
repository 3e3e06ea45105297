"""Examples are tried by the automaton that guards streams, wherever a rule looks."""

from __future__ import annotations

from typing import Any

import pytest

from deltaweir.cli.examples import checked
from deltaweir.errors import InvalidRule
from deltaweir.guard.rules import Rule

CARD = "4111 1111 1111 1111"


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"action": "flag"},
        {"action": "block", "scope": ("prompt",)},
        {"scope": ("tool_args",)},
        {"fold": True},
    ],
)
def test_examples_of_any_rule(options: dict[str, Any]) -> None:
    """What a rule does with a match, and where, changes nothing about what it finds."""
    rule = Rule(
        id="card",
        regex=r"\b[0-9](?:[ -]?[0-9]){11,18}\b",
        validator="luhn",
        examples=(f"It is {CARD}.", CARD.replace("4", "5", 1), f"{CARD} and on"),
        counterexamples=(CARD.replace("4", "5", 1), CARD, f"x{CARD}"),
        **options,
    )
    (one,) = checked([rule])
    assert [(wrong.kind, wrong.number) for wrong in one.wrong] == [
        ("example", 2),
        ("counterexample", 2),
    ]
    assert one.examples == 6
    assert CARD[:4] not in "".join(map(str, one.wrong))


def test_rules_that_cannot_be_used() -> None:
    """A rule that could hold a stream back for ever is refused."""
    with pytest.raises(InvalidRule):
        checked([Rule(id="endless", regex="a.*b")])
