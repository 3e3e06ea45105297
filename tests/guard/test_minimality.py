"""No filter could let go of a character earlier: continuations are tried out, all of them."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.guard.languages import matches, symbols_of
from tests.guard.reference import decided

from deltaweir.guard.filter import TextFilter
from deltaweir.guard.plan import plan_for
from deltaweir.guard.rules import Rule

LETTERS = "ab"
LONGEST = 6
CONTINUATIONS = tuple(
    "".join(letters)
    for size in range(LONGEST + 1)
    for letters in itertools.product(LETTERS, repeat=size)
)
"""Every text that is long enough to complete any match of the rules below, with what follows it."""

ATOMS = st.sampled_from(("a", "b", "[ab]", "a?", "b?", "(?:ab|ba)", "a{1,2}", "(?:a|ab)"))
BEFORE = st.sampled_from(("", "", "(?<!a)", "(?<=b)"))
AFTER = st.sampled_from(("", "", "(?!a)", "(?=b)"))
TAILS = st.sampled_from(("", "", "", "a*", "(?:ba)*"))


@st.composite
def branches(draw: st.DrawFn) -> str:
    """Draw a pattern of at most six characters, or one with a tail that matches as it goes."""
    body = "".join(draw(st.lists(ATOMS, max_size=2))) + draw(st.sampled_from(("a", "b", "[ab]")))
    after = draw(AFTER)
    tail = "" if after else draw(TAILS)
    return draw(BEFORE) + body + tail + after


@st.composite
def redacting(draw: st.DrawFn) -> tuple[Rule, ...]:
    """Draw one to three rules."""
    patterns = draw(st.lists(branches(), min_size=1, max_size=3))
    return tuple(Rule(id=f"r{number}", regex=one) for number, one in enumerate(patterns))


def covered(text: str, rules: Sequence[Rule]) -> set[int]:
    """Return the places of a whole text that some match covers."""
    return {
        at
        for rule in rules
        for span in matches(symbols_of(text, rule), rule)
        for at in range(span.start, span.end)
    }


def fates(text: str, rules: Sequence[Rule]) -> tuple[set[int], set[int]]:
    """Return the places of a text that all continuations cover, and those that some do."""
    covering = [covered(text + more, rules) for more in CONTINUATIONS]
    places = {*range(len(text))}
    always = functools.reduce(set.intersection, covering)
    return always & places, functools.reduce(set.union, covering) & places


@settings(max_examples=450, deadline=None)
@given(redacting(), st.text("abc", min_size=1, max_size=6))
def test_what_leaves_is_all_that_may(rules: tuple[Rule, ...], text: str) -> None:
    """After each character the filter is exactly where the best possible one would be.

    What some continuations cover and others do not must be held, and all that is ahead of it can
    go, since its fate is the same whatever comes.
    """
    always, sometimes = fates(text, rules)
    best = min(sometimes - always, default=len(text))
    guard = TextFilter(plan_for(rules))
    for character in text:
        guard.feed(character)
    assert guard.decided == decided(text, rules)
    assert guard.decided <= best
    # a match that nothing can avoid any more may wait until it is there
    assert guard.decided == best or guard.decided in always
