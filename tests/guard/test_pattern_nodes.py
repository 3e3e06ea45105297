"""Nodes are built flat, and tell how long their words are."""

from __future__ import annotations

import pytest

from deltaweir.guard.classes import single
from deltaweir.guard.pattern import parse
from deltaweir.guard.pattern_nodes import (
    EMPTY,
    Chars,
    Either,
    Node,
    Repeat,
    Series,
    either,
    longest,
    repeat,
    series,
    shortest,
)

A, B = Chars(single(ord("a"))), Chars(single(ord("b")))
AB = Series((A, B))


@pytest.mark.parametrize(
    ("pattern", "least", "most"),
    [
        ("", 0, 0),
        ("a", 1, 1),
        ("[ab]c.", 3, 3),
        ("(?:ab|c)", 1, 2),
        ("(?:ab|c|)", 0, 2),
        ("a?b*", 0, None),
        ("a{2,5}", 2, 5),
        ("a{2,}", 2, None),
        ("(?:ab|c){2,3}d", 3, 7),
        ("(?:a{2,}|b){3}", 3, None),
        ("(?:a|bc*)", 1, None),
        ("(?:a?){0,10000}", 0, 10_000),
        ("(?:){5}", 0, 0),
        ("(?:a{0})*", 0, 0),
        (r"\b(?!x)", 0, 0),
    ],
)
def test_the_shortest_and_the_longest_word_are_known(
    pattern: str, least: int, most: int | None
) -> None:
    """Lengths are in characters; that of the longest word is None where there is none."""
    (branch,) = parse(pattern)
    assert (shortest(branch.body), longest(branch.body)) == (least, most)


def test_an_endless_repeat_of_the_empty_text_is_no_longer_than_it() -> None:
    """Nodes that nobody simplified have the right lengths too."""
    endless = Repeat(Either((EMPTY, EMPTY)), 0, None)
    assert (shortest(endless), longest(endless)) == (0, 0)


def test_lengths_of_deep_nodes_do_not_recurse() -> None:
    """A hundred thousand nodes within each other are no danger to the stack."""
    node: Node = A
    for _ in range(100_000):
        node = Repeat(node, 0, 1)
    assert (shortest(node), longest(node)) == (0, 1)


def test_a_series_holds_no_series() -> None:
    """Series within a series become part of it, and one of a single item is the item."""
    assert series([A, AB, EMPTY, B]) == Series((A, A, B, B))
    assert series([EMPTY, A]) is A
    assert series([]) == EMPTY


def test_a_choice_holds_no_choice() -> None:
    """Choices within a choice become part of it; one between characters is a class."""
    flat = either([AB, Either((A, EMPTY))])
    assert isinstance(flat, Either)
    assert flat.options == (AB, A, EMPTY)
    assert either([A, B]) == Chars(((97, 98),))
    assert either([AB]) is AB
    assert either([EMPTY, EMPTY]) is EMPTY


@pytest.mark.parametrize(
    ("item", "least", "most", "expected"),
    [
        (A, 1, 1, A),
        (A, 0, 0, EMPTY),
        (EMPTY, 3, None, EMPTY),
        (A, 0, 1, Repeat(A, 0, 1)),
        (Repeat(A, 0, 1), 0, 1, Repeat(A, 0, 1)),
        (Repeat(A, 1, None), 0, 1, Repeat(A, 0, None)),
        (Repeat(A, 0, 1), 1, None, Repeat(A, 0, None)),
        (Repeat(A, 1, None), 1, None, Repeat(A, 1, None)),
        (Repeat(A, 2, 2), 2, 2, Repeat(Repeat(A, 2, 2), 2, 2)),
        (Repeat(A, 2, 2), 0, 1, Repeat(Repeat(A, 2, 2), 0, 1)),
        (Repeat(A, 0, 1), 2, 3, Repeat(A, 0, 3)),
    ],
)
def test_repeats_are_no_deeper_than_they_must_be(
    item: Node, least: int, most: int | None, expected: Node
) -> None:
    """Optional and endless repeats of each other are one; counted ones are left as they are."""
    built = repeat(item, least=least, most=most)
    assert built == expected
    assert type(built) is type(expected)


def test_optional_copies_are_copies_from_none_on() -> None:
    """The empty word is in each of them, so it is in all together."""
    maybe = repeat(Chars(((97, 97),)), least=0, most=1)
    assert repeat(maybe, least=5000, most=5000) == Repeat(Chars(((97, 97),)), 0, 5000)
    assert repeat(maybe, least=3, most=None) == Repeat(Chars(((97, 97),)), 0, None)
