"""Repeats are read as numbers, or refused at their place."""

from __future__ import annotations

import pytest

from deltaweir.guard.pattern_nodes import PatternError
from deltaweir.guard.pattern_repeats import is_repeat, read_times


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("*", 0, None),
        ("+", 1, None),
        ("?", 0, 1),
        ("{3}", 3, 3),
        ("{3,}", 3, None),
        ("{3,5}", 3, 5),
        ("{0}", 0, 0),
        ("{0,10000}", 0, 10_000),
        ("{10000}", 10_000, 10_000),
        ("{0003,005}", 3, 5),
    ],
)
def test_a_repeat_has_a_least_and_a_most(text: str, least: int, most: int | None) -> None:
    """A repeat ends behind its numbers; a question mark makes it lazy, which changes nothing."""
    assert is_repeat(f"a{text}", 1)
    assert read_times(f"a{text}b", 1) == (least, most, 1 + len(text))
    assert read_times(f"a{text}?", 1) == (least, most, 2 + len(text))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{2,1}", "below its least"),
        ("{10001}", "more than 10000 times"),
        ("{0,10001}", "more than 10000 times"),
        ("{10001,}", "more than 10000 times"),
        ("{" + "9" * 5000 + "}", "more than 10000 times"),
        ("{,5}", "{n,m}"),
        ("{,}", "{n,m}"),
        ("{2", "{n,m}"),
        ("{2,", "{n,m}"),
        ("{2,3", "{n,m}"),
        ("{2, 3}", "{n,m}"),
        ("{2,3,4}", "{n,m}"),
        ("*+", "possessive"),
        ("++", "possessive"),
        ("?+", "possessive"),
        ("{2}+", "possessive"),
    ],
)
def test_malformed_repeats_are_refused(text: str, reason: str) -> None:
    """A repeat that is upside down, too often, possessive or unfinished is refused."""
    assert is_repeat(f"ab{text}", 2)
    with pytest.raises(PatternError) as caught:
        read_times(f"ab{text}", 2)
    assert (caught.value.position, reason in caught.value.reason) == (2, True)


@pytest.mark.parametrize("text", ["{", "{a}", "{ 1}", "{}", "}", "a", "{-1}", "{\u0663}"])
def test_a_brace_without_a_number_is_a_brace(text: str) -> None:
    """What is no repeat to Python and to RE2 is none here."""
    assert not is_repeat(text, 0)
