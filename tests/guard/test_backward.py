"""A rule read backwards finds every place where a match may start."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from deltaweir.guard.backward import Backward
from deltaweir.guard.rules import Rule

PATTERNS = ["a{1,3}b", "(?<!a)b{1,4}", r"\b[ab]{2,3}", "(?:ab|ba)+c?", "(?<=c)a|b"]


@given(st.sampled_from(PATTERNS), st.text("abc ", max_size=12), st.data())
def test_it_finds_what_a_search_from_every_place_finds(
    pattern: str, text: str, data: st.DataObject
) -> None:
    """Each start is one where the pattern matches up to the end, with what stands before it."""
    end = data.draw(st.integers(0, len(text)))
    expected = [at for at in range(end) if re.compile(pattern, re.ASCII).fullmatch(text, at, end)]
    found = Backward(Rule(id="r", regex=pattern)).starts(text, 0, end, whole=True)
    assert found == expected


def test_a_part_of_a_text_has_no_beginning_of_its_own() -> None:
    """Where the text goes on to the left, nobody knows what stands before the part."""
    backward = Backward(Rule(id="r", regex=r"(?<!a)b{1,2}"))
    assert backward.starts("bb", 0, 2, whole=False) == [1]
    assert backward.starts("bb", 0, 2, whole=True) == [0, 1]


def test_literals_and_folding_are_read_backwards_too() -> None:
    """What folding skips does not stand in the way."""
    assert Backward(Rule(id="r", literals=("abc", "bc"))).starts("xabc", 0, 4, whole=True) == [1, 2]
    folding = Backward(Rule(id="r", literals=("abc",), fold=True))
    assert folding.starts("xA\u200bB\u0301c", 0, 6, whole=True) == [1]
