"""Rules as states and steps: what stands beside a match is asked of its start and its end."""

from __future__ import annotations

import itertools
import re

import pytest

from deltaweir.errors import InvalidRule
from deltaweir.guard import nfa as module
from deltaweir.guard.filter import TextFilter
from deltaweir.guard.nfa import Nfa
from deltaweir.guard.plan import plan_for
from deltaweir.guard.rules import Rule


def covered(text: str, pattern: str) -> list[bool]:
    """Return which characters any match of a pattern covers, by Python's own engine."""
    found = [False] * len(text)
    for start, end in itertools.combinations(range(len(text) + 1), 2):
        # the edges look at what stands beside, so the whole text is matched
        around = f"(?s:.{{{start}}})(?:{pattern})(?s:.{{{len(text) - end}}})"
        if re.fullmatch(around, text, re.ASCII):
            found[start:end] = [True] * (end - start)
    return found


@pytest.mark.parametrize(
    "pattern",
    [
        r"\b[ab-]{2}",
        r"[ab-]{2}\b",
        r"\b[ab-]{1,2}\b",
        r"\B[ab-]{2}",
        r"[ab-]{1,2}\B",
        r"(?<!a)b",
        r"(?<=a)b",
        r"a(?!b)",
        r"a(?=b)",
        r"(?<=-)a{1,2}(?=-)",
        r"\ba|b\B",
    ],
)
def test_edges_mean_what_they_mean_elsewhere(pattern: str) -> None:
    """On every text of four characters, at the beginning, inside and at the end."""
    plan = plan_for((Rule(id="r", regex=pattern, label="R"),))
    branches = pattern.split("|")
    for letters in itertools.product("ab-", repeat=4):
        text = "".join(letters)
        one = TextFilter(plan)
        one.track()
        for character in text:
            one.feed(character)
        one.finish(cut=False)
        expected = [any(at) for at in zip(*(covered(text, one) for one in branches), strict=True)]
        assert [one.touches(at, at + 1) for at in range(4)] == expected, text


def test_literals_share_their_beginnings() -> None:
    """A list costs its different beginnings, not its characters."""
    apart = Nfa([Rule(id="a", literals=("secret",)), Rule(id="b", literals=("second",))])
    assert len(apart.steps) == 1 + len("secret") + len("ond")


def test_rules_that_need_too_much_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the memory is spent."""
    monkeypatch.setattr(module, "MOST_STATES", 100)
    with pytest.raises(InvalidRule, match="more than 100 states"):
        Nfa([Rule(id="r", regex="a{200}")])


def test_a_pattern_that_would_take_too_long_is_refused() -> None:
    """The message says how large it is, and the ways out; never the pattern."""
    with pytest.raises(InvalidRule, match="it needs 63,002 states") as caught:
        Nfa([Rule(id="r", regex="(?:[a-z]{3}){9000}")])
    assert "a-z" not in str(caught.value)
