"""What a parsed pattern matches, found by trying everything: slow, and hard to get wrong."""

from __future__ import annotations

from collections.abc import Iterator

from deltaweir.guard.classes import WORD, contains
from deltaweir.guard.pattern import Branch, Chars, Edge, Either, Node, Series


def ends(node: Node, text: str, start: int) -> frozenset[int]:
    """Return where a word of the node that begins at ``start`` can end."""
    if isinstance(node, Chars):
        fits = start < len(text) and contains(node.ranges, ord(text[start]))
        return frozenset({start + 1} if fits else ())
    if isinstance(node, Series):
        reached = frozenset({start})
        for item in node.items:
            reached = _from_each(item, text, reached)
        return reached
    if isinstance(node, Either):
        return frozenset().union(*(ends(option, text, start) for option in node.options))
    reached = frozenset({start})
    for _ in range(node.least):
        reached = _from_each(node.item, text, reached)
    for _ in range(len(text) + 1 if node.most is None else node.most - node.least):
        reached |= _from_each(node.item, text, reached)
    return reached


def _from_each(node: Node, text: str, starts: frozenset[int]) -> frozenset[int]:
    return frozenset().union(*(ends(node, text, start) for start in starts))


def spans(branches: tuple[Branch, ...], text: str) -> set[tuple[int, int]]:
    """Return every beginning and end of a match that is not empty."""
    return {span for branch in branches for span in _spans(branch, text)}


def _spans(branch: Branch, text: str) -> Iterator[tuple[int, int]]:
    for start in range(len(text)):
        outside = text[start - 1] if start else None
        if not _holds(branch.before, outside, text[start]):
            continue
        for end in ends(branch.body, text, start):
            following = text[end] if end < len(text) else None
            if end > start and _holds(branch.after, following, text[end - 1]):
                yield start, end


def _holds(edge: Edge | None, outside: str | None, inside: str) -> bool:
    if edge is None:
        return True
    if edge.kind == "look":
        return edge.at_end if outside is None else contains(edge.ranges, ord(outside))
    differ = _is_word(outside) != _is_word(inside)
    return differ if edge.kind == "boundary" else not differ


def _is_word(character: str | None) -> bool:
    return character is not None and contains(WORD, ord(character))
