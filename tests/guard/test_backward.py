"""A rule read backwards finds every place where a match may start."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from deltaweir.guard.backward import Backward
from deltaweir.guard.filter import TextFilter
from deltaweir.guard.plan import plan_for
from deltaweir.guard.rules import Rule

PATTERNS = ["a{1,3}b", "(?<!a)b{1,4}", r"\b[ab]{2,3}", "(?:ab|ba)+c?", "(?<=c)a|b"]


def starts(rule: Rule, text: str, *, end: int | None = None, whole: bool = True) -> list[int]:
    """Return where matches start that end at a place, and wait for nothing behind it."""
    end = len(text) if end is None else end
    found = Backward(rule).ending(text, 0, end, whole=whole, after=None)
    return [match.start for match in found]


@given(st.sampled_from(PATTERNS), st.text("abc ", min_size=1, max_size=12), st.data())
def test_it_finds_what_a_search_from_every_place_finds(
    pattern: str, text: str, data: st.DataObject
) -> None:
    """Each start is one where the pattern matches up to the end, with what stands before it."""
    end = data.draw(st.integers(1, len(text)))
    compiled = re.compile(pattern, re.ASCII)
    expected = [at for at in range(end) if compiled.fullmatch(text, at, end)]
    assert starts(Rule(id="r", regex=pattern), text, end=end) == expected


def test_a_part_of_a_text_has_no_beginning_of_its_own() -> None:
    """Where the text goes on to the left, nobody knows what stands before the part."""
    rule = Rule(id="r", regex=r"(?<!a)b{1,2}")
    assert starts(rule, "bb", whole=False) == [1]
    assert starts(rule, "bb") == [0, 1]


def test_literals_and_folding_are_read_backwards_too() -> None:
    """What folding skips does not stand in the way."""
    assert starts(Rule(id="r", literals=("abc", "bc")), "xabc") == [1, 2]
    folding = Rule(id="r", literals=("abc",), fold=True)
    assert starts(folding, "xA\u200bB\u0301c") == [1]


def test_a_match_may_end_inside_a_character_that_stands_for_several() -> None:
    """A digit with a full stop is both: the number that ends with the digit is a number."""
    rule = Rule(id="card", regex="[0-9]{12,19}", validator="luhn", fold=True)
    for text in ("411111111111111\u2488", "9411111111111111\u2488"):
        one = TextFilter(plan_for((rule,)))
        shown = one.feed(text) + one.finish(cut=False)
        assert "411111" not in shown, text
