"""Rules made ready: what stands for a match, and which rules cannot be used together."""

from __future__ import annotations

import pytest

from deltaweir.errors import InvalidRule
from deltaweir.guard.filter import TextFilter
from deltaweir.guard.plan import plan_for
from deltaweir.guard.rules import Rule


def shown(text: str, *rules: Rule) -> str:
    """Return a text after some rules."""
    one = TextFilter(plan_for(rules))
    return one.feed(text) + one.finish(cut=False)


def test_a_replacement_names_its_rule_by_label_or_id() -> None:
    """The label is for readers, the id for operators."""
    assert shown("x", Rule(id="r", literals=("x",))) == "[REDACTED:r]"
    assert shown("x", Rule(id="r", literals=("x",), label="a word")) == "[REDACTED:a word]"


def test_a_name_that_tells_what_was_hidden_is_not_shown() -> None:
    """Who names a rule after its own word still does not show the word."""
    assert shown("my secret", Rule(id="secret", literals=("secret",))) == "my [REDACTED]"


def test_a_rule_that_finds_the_word_leaves_a_black_bar() -> None:
    """What stands for a match is never one itself."""
    assert shown("so ABC", Rule(id="r", regex="[A-Z]{3}")) == "so ███"


def test_a_rule_that_finds_every_replacement_is_refused() -> None:
    """Nothing could stand for its matches; one that blocks needs nothing."""
    with pytest.raises(InvalidRule, match=r"rule 'r': it would match \[REDACTED\]"):
        plan_for((Rule(id="r", regex=".{3}"),))
    assert shown("so ABC", Rule(id="r", regex=".{3}", action="block")) == ""


def test_equal_rules_are_compiled_once() -> None:
    """Making a guard again costs a look-up."""
    first = plan_for((Rule(id="r", literals=("x", "y")),))
    assert plan_for((Rule(id="r", literals=("x", "y")),)) is first


def test_flags_look_beside_and_hide_nothing() -> None:
    """The same text leaves at once, and the find is told, with other rules or without."""
    flag = Rule(id="f", literals=("spam",), action="flag")
    for rules in ((flag,), (flag, Rule(id="r", literals=("bad",)))):
        one = TextFilter(plan_for(rules))
        assert one.feed("spa") == "spa"
        assert one.feed("m") == "m"
        (verdict,) = one.verdicts
        assert (verdict.rule, verdict.action, verdict.offset, verdict.length) == ("f", "flag", 0, 4)
        assert one.withheld == 0


@pytest.mark.parametrize("cut", range(1, 12))
def test_flags_end_where_a_block_ends_the_text(cut: int) -> None:
    """What stands behind the end was never shown, wherever the piece ends."""
    rules = (
        Rule(id="f", literals=("spam",), action="flag"),
        Rule(id="b", literals=("bad",), action="block"),
    )
    one = TextFilter(plan_for(rules))
    text = "spam bad spam"
    assert one.feed(text[:cut]) + one.feed(text[cut:]) == "spam "
    assert [(found.rule, found.offset) for found in one.verdicts] == [("b", 5), ("f", 0)]


def test_a_flag_may_find_what_it_likes() -> None:
    """Nothing stands for its finds, so no replacement can be one."""
    one = TextFilter(plan_for((Rule(id="f", regex=".{3}", action="flag"),)))
    assert one.feed("anything") == "anything"
    assert [found.length for found in one.verdicts] == [8]


def test_a_flag_at_its_limit_flags_nothing_and_ends_nothing() -> None:
    """What it says of overflow is for rules that hide."""
    endless = Rule(id="f", regex="a.*b", action="flag", max_hold=3, on_overflow="block")
    other = Rule(id="g", literals=("zzz",), action="flag")
    one = TextFilter(plan_for((endless, other)))
    assert one.feed("a and more, zzz") == "a and more, zzz"
    assert one.stopped is None
    assert [found.rule for found in one.verdicts] == ["g"]


def test_a_validator_of_long_matches_is_refused() -> None:
    """It would look at all of them from each of their places."""
    with pytest.raises(InvalidRule, match="400 characters"):
        plan_for((Rule(id="r", regex="(?:[0-9] ?){12,200}", validator="luhn"),))
