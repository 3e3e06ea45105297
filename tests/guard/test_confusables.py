"""The table of look-alikes is well formed."""

from __future__ import annotations

import unicodedata
from collections import Counter

from deltaweir.guard.confusables import LOOK_ALIKES
from deltaweir.guard.folding import fold

_LINES = [line.partition(" ") for line in LOOK_ALIKES.strip().split("\n")]


def test_every_look_alike_stands_for_what_the_table_says() -> None:
    """Each character of a line folds to what stands at the line's beginning."""
    assert len(_LINES) > 26
    for meaning, _, look_alikes in _LINES:
        assert look_alikes
        assert all(fold(one) == meaning for one in look_alikes), meaning


def test_no_character_stands_for_two_things() -> None:
    """Each character is in the table once, the capital and the small letter counted as one."""
    counts = Counter(one.casefold() for _, _, look_alikes in _LINES for one in look_alikes)
    assert {one for one, count in counts.items() if count > 1} == set()


def test_meanings_are_ascii_and_look_alikes_are_assigned_and_not() -> None:
    """The table leads to ASCII only, and away from nothing that is ASCII."""
    for meaning, _, look_alikes in _LINES:
        assert meaning.isascii()
        assert not any(one.isascii() for one in look_alikes)
        assert all(unicodedata.name(one, "") for one in look_alikes)
