"""Stop sequences: the text goes on to the first one, however it is cut."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaweir.sources.local.stops import Stops


def through(sequences: list[str], pieces: Iterable[str]) -> tuple[str, bool]:
    """Return what of a text leaves, and whether it was stopped."""
    stops = Stops(sequences)
    said = "".join(stops.feed(piece) for piece in pieces)
    return said + stops.finish(), stops.found


@pytest.mark.parametrize(
    ("sequences", "text", "said"),
    [
        ([], "anything", "anything"),
        (["\n"], "one\ntwo", "one"),
        (["END"], "EN", "EN"),
        (["abc", "b"], "xabc", "xa"),  # b is whole before abc is
        (["bc", "abc"], "xabcd", "x"),  # of two that end together the longer
        (["aab"], "aaab", "a"),
        (["x"], "xx", ""),
    ],
)
def test_the_text_ends_before_the_sequence_that_is_whole_first(
    sequences: list[str], text: str, said: str
) -> None:
    """Whole or letter by letter, the same text leaves."""
    assert through(sequences, [text])[0] == said
    assert through(sequences, text)[0] == said


def test_what_cannot_belong_to_a_sequence_leaves_at_once() -> None:
    """Only the longest possible beginning of a sequence is held."""
    stops = Stops(["stop!"])
    assert stops.feed("please sto") == "please "
    assert stops.feed("op") == "stoop"
    assert stops.feed("s") == ""
    assert stops.finish() == "s"


def test_after_a_sequence_nothing_leaves() -> None:
    """What the model says after its end is dropped."""
    stops = Stops(["."])
    assert stops.feed("a.b") == "a"
    assert stops.found
    assert stops.feed("c") == stops.finish() == ""


@given(
    st.lists(st.text("ab", min_size=1, max_size=4), max_size=3),
    st.lists(st.text("ab", max_size=5), max_size=8),
)
def test_the_outcome_does_not_depend_on_the_cuts(sequences: list[str], pieces: list[str]) -> None:
    """Any cut of a text gives what the uncut text gives, and no sequence ever leaves."""
    said, found = through(sequences, pieces)
    assert (said, found) == through(sequences, ["".join(pieces)])
    assert not any(sequence in said for sequence in sequences)
