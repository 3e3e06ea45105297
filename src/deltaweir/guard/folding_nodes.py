"""Patterns of rules that fold: what they describe in folded characters. Pure."""

from __future__ import annotations

from deltaweir.guard.classes import Ranges, contains, union
from deltaweir.guard.folding import fold
from deltaweir.guard.pattern import Chars, Either, Node, Repeat, Series

_MOST_FOLDED = 2000
"""Characters of a class that are folded one by one; larger ones, as of 'all but', stay."""


def folded(node: Node) -> Node:
    """Return a node that reads what characters fold to.

    A character that stands for several, such as a ligature, becomes a series; a class takes
    what its characters fold to, each symbol of it.
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
    size = sum(high - low + 1 for low, high in ranges)
    if size > _MOST_FOLDED:
        return Chars(ranges)
    single: list[tuple[int, int]] = []
    several: list[Node] = []
    for low, high in ranges:
        for code in range(low, high + 1):
            symbols = fold(chr(code))
            if size > 1 and not all(_belongs(symbol, ranges) for symbol in symbols):
                continue
            if len(symbols) == 1 or size > 1:  # what stands for several is several of the class
                single += [(ord(symbol), ord(symbol)) for symbol in symbols]
            elif symbols:
                several.append(Series(tuple(Chars(((ord(one),) * 2,)) for one in symbols)))
    options: list[Node] = [Chars(union(tuple(single)))] if single else []
    options += several
    if not options:
        return Series(())  # a character that folding skips
    return options[0] if len(options) == 1 else Either(tuple(options))


def _belongs(symbol: str, ranges: Ranges) -> bool:
    """Tell whether what a member of a class folds to is meant by the class.

    Letters are. But among the letters of a range stand signs that fold to a blank or to
    punctuation, which a class takes only where it names them.
    """
    return symbol.isalnum() or contains(ranges, ord(symbol))
