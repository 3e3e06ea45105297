"""What a parsed pattern is made of, and how long its words are. Pure.

A node describes a set of words; there are no groups, no greed and no conditions inside it.
The constructors ``series``, ``either`` and ``repeat`` flatten what they can, so that what builds
an automaton meets no nested series, no choice between single characters and no repeat that
only repeats the empty text. Nodes are tuples: a ``Series`` and an ``Either`` of the same items
compare equal, so tell them apart by class, and never use a node as a key.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from deltaweir.guard.classes import Ranges, union


class PatternError(ValueError):
    """A pattern is outside the subset, or malformed.

    Attributes:
        position: Where, in characters of the pattern from 0.
        reason: Why, and where there is one, the way out; holds nothing of the pattern's text.
    """

    def __init__(self, position: int, reason: str) -> None:
        super().__init__(position, reason)
        self.position = position
        self.reason = reason

    def __str__(self) -> str:
        return f"at character {self.position}: {self.reason}"


class Chars(NamedTuple):
    """One character out of a set, which is never empty."""

    ranges: Ranges


class Series(NamedTuple):
    """One after the other; without items, the empty text."""

    items: tuple[Node, ...]


class Either(NamedTuple):
    """Any one of at least two."""

    options: tuple[Node, ...]


class Repeat(NamedTuple):
    """The item from ``least`` to ``most`` times; None for as often as one likes."""

    item: Node
    least: int
    most: int | None


Node = Chars | Series | Either | Repeat


class Edge(NamedTuple):
    """A condition on the one character beside a match.

    Attributes:
        kind: "look": it is in ``ranges``. "boundary" and "inside": of it and the match's own
            outermost character exactly one, or none or both, are word characters (ASCII; what
            lies beyond the text is none).
        ranges: The characters allowed, for "look".
        at_end: Whether the text's beginning or end will do instead, for "look".
    """

    kind: Literal["look", "boundary", "inside"]
    ranges: Ranges = ()
    at_end: bool = True


class Branch(NamedTuple):
    """One alternative of a pattern, with the conditions on what stands around it."""

    before: Edge | None
    body: Node
    after: Edge | None


EMPTY = Series(())


def series(items: Sequence[Node]) -> Node:
    """Return a node for the items one after the other."""
    flat: list[Node] = []
    for item in items:
        if isinstance(item, Series):
            flat.extend(item.items)
        else:
            flat.append(item)
    return flat[0] if len(flat) == 1 else Series(tuple(flat))


def either(options: Sequence[Node]) -> Node:
    """Return a node for any one of the options, of which there is at least one."""
    flat: list[Node] = []
    for option in options:
        if isinstance(option, Either):
            flat.extend(option.options)
        else:
            flat.append(option)
    sets = [option.ranges for option in flat if isinstance(option, Chars)]
    if len(sets) == len(flat):
        return Chars(union(*sets))
    if all(isinstance(option, Series) and not option.items for option in flat):
        return EMPTY
    return flat[0] if len(flat) == 1 else Either(tuple(flat))


def repeat(item: Node, *, least: int, most: int | None) -> Node:
    """Return a node for the item from ``least`` to ``most`` times; None for any number."""
    if most == 0 or (isinstance(item, Series) and not item.items):
        return EMPTY
    if isinstance(item, Repeat) and item.least <= 1:
        # Together they leave out no number. Kept apart, copies that may be nothing or may be
        # many would cost as much as the square of their number.
        endless = most is None or item.most is None
        together = None if endless else (most or 0) * (item.most or 0)
        return repeat(item.item, least=least * item.least, most=together)
    return item if least == most == 1 else Repeat(item, least, most)


def shortest(node: Node) -> int:
    """Return how many characters the shortest word of a node has."""
    return _widths(node)[0]


def longest(node: Node) -> int | None:
    """Return how many characters the longest word of a node has; None if there is none."""
    return _widths(node)[1]


_Width = tuple[int, int | None]


def _widths(node: Node) -> _Width:
    """Return the lengths of the shortest and the longest word, without recursion."""
    waiting: list[tuple[Node, bool]] = [(node, False)]
    done: list[_Width] = []
    while waiting:
        current, ready = waiting.pop()
        parts = _parts(current)
        if ready:
            first = len(done) - len(parts)
            done[first:] = [_combined(current, done[first:])]
        else:
            waiting.append((current, True))
            waiting.extend((part, False) for part in parts)
    return done[0]


def _parts(node: Node) -> tuple[Node, ...]:
    if isinstance(node, Series):
        return node.items
    if isinstance(node, Either):
        return node.options
    return (node.item,) if isinstance(node, Repeat) else ()


def _combined(node: Node, parts: Sequence[_Width]) -> _Width:
    lows = [low for low, _ in parts]
    highs = [high for _, high in parts if high is not None]
    bounded = len(highs) == len(parts)
    if isinstance(node, Chars):
        return 1, 1
    if isinstance(node, Series):
        return sum(lows), sum(highs) if bounded else None
    if isinstance(node, Either):
        return min(lows), max(highs) if bounded else None
    low = lows[0] * node.least
    if not bounded or (node.most is None and highs[0] > 0):
        return low, None
    return low, highs[0] * (node.most or 0)
