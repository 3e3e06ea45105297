"""How long a rule can hold text back, and which rules could hold it for ever."""

from __future__ import annotations

import itertools

import pytest

from deltaweir.errors import InvalidRule
from deltaweir.guard.bounds import limit, longest_match, worst_hold
from deltaweir.guard.filter import TextFilter
from deltaweir.guard.plan import plan_for
from deltaweir.guard.rules import Rule


def rule(pattern: str, **more: object) -> Rule:
    """Return a rule with a pattern."""
    return Rule(id="r", regex=pattern, **more)  # type: ignore[arg-type]  # of any option


@pytest.mark.parametrize(
    ("pattern", "most"),
    [
        ("abc", 2),
        ("abc(?!a)", 3),
        ("ab{1,3}c", 4),
        ("ab*", 0),
        ("a{3}b*", 2),
        ("a{3}(?:bbb)*", 2),
        ("aab(?:c{4}d)?", 4),
        (r"\ba{2,4}\b", 4),
        ("ab|abcb", 1),
    ],
)
def test_the_worst_hold_is_exact(pattern: str, most: int) -> None:
    """No text over a small alphabet is held back more, and one is held back as much."""
    plan = plan_for((rule(pattern),))
    seen = 0
    for letters in itertools.product("abcd", repeat=7):
        one = TextFilter(plan)
        for letter in letters:
            one.feed(letter)
            seen = max(seen, one.position - one.decided)
    assert worst_hold(rule(pattern)) == seen == most


@pytest.mark.parametrize("pattern", ["a.*b", r"a+\b", "ab*c", "(?:a|b)*c", r"a(?:bc)*d", "a+(?=b)"])
def test_a_rule_that_could_hold_for_ever_is_refused(pattern: str) -> None:
    """Its language has no bound, and it does not match early; the message tells ways out."""
    with pytest.raises(InvalidRule, match="max_hold") as caught:
        limit(rule(pattern))
    assert caught.value.rule == "r"
    assert caught.value.reason == "unbounded"
    assert pattern not in str(caught.value)


def test_a_limit_makes_an_endless_rule_usable() -> None:
    """It holds as much as it may, and no more."""
    one = rule("a.*b", max_hold=9)
    assert worst_hold(one) == 9
    text = TextFilter(plan_for((one,)))
    text.feed("a" + "c" * 50)
    assert text.position - text.decided == 0


def test_a_validator_needs_a_bound() -> None:
    """What matches early is certain only for rules without a validator."""
    with pytest.raises(InvalidRule):
        limit(rule("[0-9]{12,}", validator="luhn"))
    assert worst_hold(rule("[0-9]{12,19}", validator="luhn")) == 19


def test_literals_hold_up_to_their_last_character() -> None:
    """What one literal has covered, another that goes on holds anew."""
    assert worst_hold(Rule(id="l", literals=("secret",))) == 5
    assert worst_hold(Rule(id="l", literals=("ab", "abcdef"))) == 3
    assert longest_match(Rule(id="l", literals=("ab", "abcdef"))) == 6


def test_a_folding_rule_has_a_limit_of_its_own() -> None:
    """Characters without width could go on for ever inside a match."""
    folding = Rule(id="l", literals=("secret",), fold=True)
    most = limit(folding)
    assert most is not None
    text = TextFilter(plan_for((folding,)))
    out = text.feed("s" + "\u200b" * 10 * most)
    assert text.position - text.decided <= most
    assert out == "[REDACTED:l]"


def test_a_rule_too_complex_to_tell_is_bounded_by_its_length() -> None:
    """The bound is then the length of its longest match."""
    assert worst_hold(rule("(?:a|b){1,5}a(?:a|b){16}c")) <= 23
