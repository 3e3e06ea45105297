"""Characters as an automaton tells them apart. Pure."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from typing import NamedTuple

from deltaweir.guard.classes import Ranges
from deltaweir.guard.folding import fold


class Atom(NamedTuple):
    """What an automaton sees of a character: the classes it is in, and those of what it folds to.

    A set of classes is an integer with the bits of their numbers. ``folded`` has one for each
    character that stands for it to rules that fold: none for one that they skip.
    """

    plain: int
    folded: tuple[int, ...]


class Alphabet:
    """Tell which classes a character is in.

    Args:
        kinds: The classes, by number.
        folds: Whether any rule looks at what characters fold to.
    """

    def __init__(self, kinds: Sequence[Ranges], *, folds: bool) -> None:
        self._folds = folds
        turns: dict[int, int] = {0: 0}
        for number, ranges in enumerate(kinds):
            for low, high in ranges:
                turns[low] = turns.get(low, 0) ^ 1 << number
                turns[high + 1] = turns.get(high + 1, 0) ^ 1 << number
        self._from = sorted(turns)
        self._classes: list[int] = []
        now = 0
        for begin in self._from:
            now ^= turns[begin]
            self._classes.append(now)

    def classes(self, character: str) -> int:
        """Return the classes of a character."""
        return self._classes[bisect.bisect_right(self._from, ord(character)) - 1]

    def atom(self, character: str) -> Atom:
        """Return what is seen of a character."""
        folded = tuple(map(self.classes, fold(character))) if self._folds else ()
        return Atom(self.classes(character), folded)

    def atoms(self) -> list[Atom]:
        """Return every atom that a plain character can be, each once."""
        return [Atom(one, (one,)) for one in dict.fromkeys(self._classes)]
