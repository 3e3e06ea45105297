"""Sets of characters: arithmetic against Python's own sets, and case against all of Unicode."""

from __future__ import annotations

import time
from collections import defaultdict
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deltaweir.guard.classes import (
    BLANK,
    DIGITS,
    EVERY,
    LAST,
    WORD,
    Ranges,
    cased,
    complement,
    contains,
    intersection,
    normal,
    single,
    union,
)

_SMALL = 40
_PAIRS = st.lists(st.tuples(st.integers(0, _SMALL), st.integers(0, _SMALL)).map(sorted))
_SETS = _PAIRS.map(lambda pairs: normal((first, last) for first, last in pairs))


def _members(ranges: Ranges) -> set[int]:
    return {code for first, last in ranges for code in range(first, min(last, _SMALL * 2) + 1)}


def _is_normal(ranges: Ranges) -> bool:
    ordered = all(first <= last for first, last in ranges)
    return ordered and all(before[1] + 1 < after[0] for before, after in pairwise(ranges))


@given(st.lists(_SETS))
def test_a_union_has_the_members_of_all_its_sets(sets: list[Ranges]) -> None:
    """A union holds what any of its sets holds, in normal form; that of none is empty."""
    joined = union(*sets)
    assert _members(joined) == set().union(*map(_members, sets))
    assert _is_normal(joined)


@given(_SETS, _SETS)
def test_an_intersection_has_what_both_sets_have(one: Ranges, other: Ranges) -> None:
    """An intersection holds what both of its sets hold, in normal form."""
    shared = intersection(one, other)
    assert _members(shared) == _members(one) & _members(other)
    assert _is_normal(shared)


@given(_SETS)
def test_a_complement_has_all_the_rest_of_unicode(ranges: Ranges) -> None:
    """A set and its complement share nothing and make up everything."""
    rest = complement(ranges)
    assert union(ranges, rest) == EVERY
    assert intersection(ranges, rest) == ()
    assert complement(rest) == ranges
    assert _is_normal(rest)


@given(_SETS, st.integers(0, _SMALL + 1))
def test_contains_agrees_with_the_members(ranges: Ranges, code_point: int) -> None:
    """A character is contained exactly if one of the ranges covers it."""
    assert contains(ranges, code_point) == (code_point in _members(ranges))


def test_the_ends_of_unicode_belong_to_it() -> None:
    """The first and the last character of Unicode are no exceptions."""
    assert complement(()) == EVERY
    assert complement(EVERY) == ()
    assert complement(single(LAST)) == ((0, LAST - 1),)
    assert contains(EVERY, LAST)
    assert contains(EVERY, 0)


@pytest.mark.parametrize(
    ("ranges", "members"),
    [
        (DIGITS, "0123456789"),
        (WORD, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"),
        (BLANK, "\t\n\v\f\r "),
    ],
)
def test_the_named_sets_are_ascii(ranges: Ranges, members: str) -> None:
    """The named sets hold their ASCII characters, and nothing of any other script."""
    assert {chr(code) for first, last in ranges for code in range(first, last + 1)} == set(members)
    assert _is_normal(ranges)


@pytest.mark.parametrize(
    ("character", "variants"),
    [
        ("k", "kK\u212a"),
        ("\u212a", "kK\u212a"),
        ("S", "sS\u017f"),
        ("\u017f", "sS\u017f"),
        ("a", "aA"),
        ("Z", "zZ"),
        ("5", "5"),
        ("@", "@"),
        ("`", "`"),
        ("[", "["),
        ("\u03c3", "\u03a3\u03c2\u03c3"),
        ("\xb5", "\xb5\u039c\u03bc"),
        ("\xe5", "\xc5\xe5\u212b"),
        ("\xdf", "\xdf\u1e9e"),
        ("\u01c6", "\u01c4\u01c5\u01c6"),
        ("\u0131", "\u0131"),
        ("\u0130", "\u0130"),
        ("\u1f80", "\u1f80\u1f88"),
        ("\u13a0", "\u13a0\uab70"),
        ("\u4e2d", "\u4e2d"),
        ("\U0001f600", "\U0001f600"),
    ],
)
def test_cased_adds_the_variants_of_a_character(character: str, variants: str) -> None:
    """Every variant of a character brings in all the others, whatever their script."""
    assert cased(single(ord(character))) == union(*(single(ord(one)) for one in variants))


def test_cased_adds_what_unicode_folds_to_the_same() -> None:
    """Over all of Unicode, characters are variants exactly if their full folding is equal."""
    by_folding: defaultdict[str, list[int]] = defaultdict(list)
    for code_point in range(LAST + 1):
        by_folding[chr(code_point).casefold()].append(code_point)
    orbits = [orbit for orbit in by_folding.values() if len(orbit) > 1]
    assert len(orbits) > 1000
    for orbit in orbits:
        expected = union(*map(single, orbit))
        assert all(cased(single(code_point)) == expected for code_point in orbit)
    caseless = [orbit[0] for orbit in by_folding.values() if len(orbit) == 1]
    kept = normal((code_point, code_point) for code_point in caseless)
    assert cased(kept) == kept


@given(st.lists(st.tuples(st.integers(0, 0x1F000), st.integers(0, 0x3000)), min_size=1, max_size=4))
@settings(deadline=None)
def test_cased_of_ranges_is_that_of_their_characters(starts: list[tuple[int, int]]) -> None:
    """Ranges long or short have the variants that their characters have one by one."""
    ranges = normal((start, start + length) for start, length in starts)
    members = {code for first, last in ranges for code in range(first, last + 1)}
    folded = {chr(code).casefold() for code in members}
    added = {
        code for code in range(0x20000) if code not in members and chr(code).casefold() in folded
    }
    assert cased(ranges) == union(ranges, normal((code, code) for code in added))


def test_cased_of_everything_is_everything() -> None:
    """The largest set has nothing to add, and the empty set has nothing to add to."""
    assert cased(EVERY) == EVERY
    assert cased(()) == ()


def test_cased_is_cheap_for_large_sets() -> None:
    """A thousand different sets of a million characters take less than two seconds of work."""
    cased(EVERY)
    start = time.process_time()
    for first in range(1000):
        assert contains(cased(((0x100 + first, LAST),)), ord("s")) == (first < 0x80)
    assert time.process_time() - start < 2
