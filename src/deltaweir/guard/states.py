"""The states and moves that an automaton makes as it runs. Pure."""

from __future__ import annotations

from typing import NamedTuple

from deltaweir.guard.alphabet import Atom

Groups = tuple[frozenset[int], ...]
Left = tuple[int, int]
"""The starts that what came before allows, of rules that do not fold and of those that do."""


class State:
    """A state: what the threads can be in, and the moves out of it that are known."""

    __slots__ = ("by_character", "by_text", "count", "ends", "groups", "left", "limited")

    def __init__(self, left: Left, groups: Groups, ends: tuple[tuple[int, int], ...]) -> None:
        self.left = left
        self.groups = groups
        self.count = len(groups)
        self.ends = ends
        """Thread and rule of each match that the end of the text completes, the oldest of each."""
        self.limited: tuple[tuple[int, int], ...] | None = None
        """Thread and rule of all that have a limit, once somebody has asked."""
        self.by_character: dict[str, Move] = {}
        self.by_text: dict[str, Crossing] = {}


class Move(NamedTuple):
    """What one character does.

    Attributes:
        state: The next state.
        keep: Which threads go on, by number; None when all do.
        begins: Whether a thread starts with this character.
        early: Thread and rule of each match that ended before this character: of those that
            start at several places, the longest.
        late: Likewise of each match that ends with it; a thread beyond the last is the one that
            starts with it.
    """

    state: State
    keep: tuple[int, ...] | None
    begins: bool
    early: tuple[tuple[int, int], ...]
    late: tuple[tuple[int, int], ...]


class Step(NamedTuple):
    """What one character does to one state of the rules, or begins.

    Attributes:
        targets: The states behind it.
        early: The rules of which a match ended before this character.
        late: The rules of which a match ends with it.
    """

    targets: frozenset[int]
    early: tuple[int, ...]
    late: tuple[int, ...]
    left: Left


NO_LEFT: Left = (0, 0)
NOTHING: frozenset[int] = frozenset()
NOWHERE = Step(NOTHING, (), (), NO_LEFT)


class Symbol:
    """The characters that the rules do not tell apart, and what they do.

    Args:
        atom: What is seen of them.
    """

    __slots__ = ("atom", "moves", "steps")

    def __init__(self, atom: Atom) -> None:
        self.atom = atom
        self.moves: dict[State, Move] = {}
        self.steps: dict[int | Left, Step] = {}


class Crossing(NamedTuple):
    """What a piece of text does in which nothing matches.

    Attributes:
        state: The next state; None when something matches, and each character must be looked at.
        keep: Which threads go on, by number; None when none does.
        begins: Where in the piece threads start that are alive behind it.
    """

    state: State | None
    keep: tuple[int, ...] | None
    begins: tuple[int, ...]


EVENTFUL = Crossing(None, None, ())
"""A piece in which something matches."""
