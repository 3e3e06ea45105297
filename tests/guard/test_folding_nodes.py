"""Patterns of rules that fold read what characters stand for."""

from __future__ import annotations

import pytest

from deltaweir.adapters.rule_files import preset
from deltaweir.guard.filter import TextFilter
from deltaweir.guard.folding_nodes import folded
from deltaweir.guard.pattern import Chars, Series, parse
from deltaweir.guard.policy import policy_of
from deltaweir.guard.rules import Rule


def shown(text: str, pattern: str) -> str:
    """Return a text after a folding rule."""
    plan = policy_of([Rule(id="r", regex=pattern, fold=True, label="R")]).plan("content")
    assert plan is not None
    one = TextFilter(plan)
    return one.feed(text) + one.finish(cut=False)


@pytest.mark.parametrize(
    "text", ["KEY", "key", "\uff4bey", "k\u00e9y", "k\u200bey", "\u043a\u0435\u0443"]
)
def test_a_pattern_finds_what_looks_like_it(text: str) -> None:
    """Capitals, wide letters, accents, invisible characters, Cyrillic twins."""
    assert shown(f"a {text}!", "K[A-F]y") == "a [REDACTED:R]!"


def test_a_character_that_stands_for_several_is_a_series() -> None:
    """On both sides: in the pattern, and in the text."""
    assert shown("stra\u00dfe", "strasse") == "[REDACTED:R]"
    assert shown("STRASSE", "stra\u00dfe") == "[REDACTED:R]"
    assert shown("o\ufb03ce", "off") == "[REDACTED:R]ce"


def test_a_class_takes_no_blank_that_it_does_not_name() -> None:
    """A range of letters has signs among them that fold to a blank."""
    assert shown("a b", "a[\u00c0-\u052f]b") == "a b"
    assert shown("a\u00e9b aeb", "a[\u00c0-\u052f]b") == "[REDACTED:R] [REDACTED:R]"
    assert shown("a\u00a0b", "a[ _]b") == "[REDACTED:R]"


def test_what_folding_skips_is_nothing_in_a_pattern_too() -> None:
    """A pattern copied with an invisible character still finds."""
    (branch,) = parse("\u200b")
    assert folded(branch.body) == Series(())
    assert isinstance(folded(Chars(((0, 0x10FFFF),))), Chars)


def test_presets_that_fold_leave_prose_alone() -> None:
    """The words before an address are not part of it."""
    plan = policy_of(preset("standard"), fold=True).plan("content")
    assert plan is not None
    one = TextFilter(plan)
    out = one.feed("Thanks for waiting. It is: jane.roe@example.com - write!")
    assert out + one.finish(cut=False) == "Thanks for waiting. It is: [REDACTED:email] - write!"


def test_all_but_a_character_is_all_but_what_folds_to_it() -> None:
    """A negated class does not take the capital by a side door."""
    assert shown("xAx, xbx", "x[^a]x") == "xAx, [REDACTED:R]"
