"""Patterns of rules that fold: what they describe in folded characters. Pure."""

from __future__ import annotations

from deltaweir.guard.classes import Ranges, cased, union
from deltaweir.guard.folding import fold
from deltaweir.guard.pattern import Chars, Either, Node, Repeat, Series

_MOST_FOLDED = 2000
"""Characters of a class that are folded one by one; of larger classes only case is."""


def folded(node: Node) -> Node:
    """Return a node that reads what characters fold to.

    A character that stands for several, such as a ligature, becomes a series; a class also
    takes what its characters fold to.
    """
    match node:
        case Chars(ranges):
            return _folded_class(ranges)
        case Series(items):
            return Series(tuple(map(folded, items)))
        case Either(options):
            return Either(tuple(map(folded, options)))
        case Repeat(item, least, most):
            return Repeat(folded(item), least, most)


def _folded_class(ranges: Ranges) -> Node:
    if sum(high - low + 1 for low, high in ranges) > _MOST_FOLDED:
        return Chars(cased(ranges))
    single: list[tuple[int, int]] = []
    several: list[Node] = []
    for low, high in ranges:
        for code in range(low, high + 1):
            symbols = fold(chr(code))
            if len(symbols) == 1:
                single.append((ord(symbols), ord(symbols)))
            elif symbols:
                several.append(Series(tuple(Chars(((ord(one),) * 2,)) for one in symbols)))
    options: list[Node] = [Chars(union(tuple(single)))] if single else []
    options += several
    if not options:
        return Series(())  # a character that folding skips
    return options[0] if len(options) == 1 else Either(tuple(options))
