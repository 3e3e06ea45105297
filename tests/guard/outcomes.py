"""A filter driven by pieces, in the terms of the reference; and the ways to cut a text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from tests.guard.reference import Found, Reference, render

from deltaweir.guard.filter import TextFilter
from deltaweir.guard.plan import plan_for
from deltaweir.guard.rules import Rule


def outcome(rules: Sequence[Rule], pieces: Iterable[str], *, cut: bool = False) -> Reference:
    """Return what a new filter makes of a text that comes in these pieces."""
    guard = TextFilter(plan_for(tuple(rules)))
    guard.track()
    output, size, shown = "", 0, 0
    for piece in pieces:
        output += guard.feed(piece)
        size += len(piece)
        assert guard.position == size
        assert shown <= guard.decided <= size
        shown = guard.decided
    output += guard.finish(cut=cut)
    found = sorted(Found(one.rule, one.action, one.offset, one.length) for one in guard.verdicts)
    hidden = frozenset(at for at in range(size) if guard.touches(at, at + 1))
    assert (guard.position, guard.decided, guard.withheld) == (size, size, len(hidden))
    return Reference(output, tuple(found), guard.stopped, hidden)


def pieces_of(text: str, sizes: Iterable[int]) -> list[str]:
    """Cut a text into pieces of these sizes, and one with the rest."""
    pieces, at = [], 0
    for size in sizes:
        pieces.append(text[at : at + size])
        at += size
    return [*pieces, text[at:]]


def cuts_of(text: str, sizes: Iterable[int] = ()) -> Iterator[list[str]]:
    """Yield a text whole, by character, cut once at every place, and cut as asked for."""
    yield [text]
    yield list(text)
    yield pieces_of(text, sizes)
    for at in range(1, len(text)):
        yield [text[:at], text[at:]]


def agree(rules: Sequence[Rule], text: str, sizes: Iterable[int] = ()) -> Reference:
    """Hold a filter against the reference, however the text is cut; return what both give."""
    wanted = render(text, rules)
    for pieces in cuts_of(text, sizes):
        assert outcome(rules, pieces) == wanted, told(rules, pieces)
    return wanted


def agree_on_endings(rules: Sequence[Rule], text: str, step: int = 1) -> None:
    """Hold a filter against the reference where somebody else ends the text, at each place."""
    for end in range(0, len(text) + 1, step):
        wanted = render(text[:end], rules, cut=True)
        for pieces in ([text[:end]], list(text[:end])):
            assert outcome(rules, pieces, cut=True) == wanted, told(rules, pieces)


def told(rules: Sequence[Rule], pieces: Sequence[str]) -> str:
    """Return a failing case in full, which no rule's own representation gives away."""
    asked = [{one: getattr(rule, one) for one in rule.__struct_fields__} for rule in rules]
    return f"{[{key: it for key, it in one.items() if it} for one in asked]} on {pieces}"
