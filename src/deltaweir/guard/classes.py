r"""Sets of characters, as sorted ranges of code points.

A set is a tuple of inclusive ``(first, last)`` pairs, in order, none touching another, so equal
sets are equal tuples and may be keys. The named sets are ASCII, as in RE2: ``\d`` in a rule
means the ten digits of a card number, not those of every script.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from functools import cache, lru_cache
from itertools import chain

Ranges = tuple[tuple[int, int], ...]

LAST = 0x10FFFF

EVERY: Ranges = ((0, LAST),)
DIGITS: Ranges = ((0x30, 0x39),)
WORD: Ranges = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))
BLANK: Ranges = ((0x09, 0x0D), (0x20, 0x20))

# No character from here on has an upper or lower case (a test looks at all of them).
_CASELESS_FROM = 0x20000

_LAST_ASCII = 0x7F

# Characters with variants that are looked up together.
_STRETCH = 64

# What the case variants of ASCII are beyond ASCII: long s and the Kelvin sign.
_LONG_S: Ranges = ((0x17F, 0x17F),)
_KELVIN: Ranges = ((0x212A, 0x212A),)


def single(code_point: int) -> Ranges:
    """Return the set of one character."""
    return ((code_point, code_point),)


def union(*sets: Ranges) -> Ranges:
    """Return the characters that are in any of the sets."""
    return normal(chain.from_iterable(sets))


def normal(pairs: Iterable[tuple[int, int]]) -> Ranges:
    """Return the set that inclusive pairs make, in whatever order and overlap they come.

    A pair whose last lies before its first is no character, and must not be given.
    """
    merged: list[tuple[int, int]] = []
    for first, last in sorted(pairs):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return tuple(merged)


def complement(ranges: Ranges) -> Ranges:
    """Return all characters of Unicode that are not in the set."""
    gaps: list[tuple[int, int]] = []
    start = 0
    for first, last in ranges:
        if start < first:
            gaps.append((start, first - 1))
        start = last + 1
    if start <= LAST:
        gaps.append((start, LAST))
    return tuple(gaps)


def intersection(one: Ranges, other: Ranges) -> Ranges:
    """Return the characters that are in both sets."""
    shared: list[tuple[int, int]] = []
    left = right = 0
    while left < len(one) and right < len(other):
        first = max(one[left][0], other[right][0])
        last = min(one[left][1], other[right][1])
        if first <= last:
            shared.append((first, last))
        if one[left][1] < other[right][1]:
            left += 1
        else:
            right += 1
    return tuple(shared)


def contains(ranges: Ranges, code_point: int) -> bool:
    """Whether a character is in the set, in steps that grow with the logarithm of its size."""
    place = bisect_right(ranges, (code_point, LAST)) - 1
    return place >= 0 and ranges[place][1] >= code_point


@lru_cache(maxsize=1024)
def cased(ranges: Ranges) -> Ranges:
    """Return the set with every case variant of its characters.

    Two characters are variants of each other when Unicode's full case folding makes the same
    of both: ``k``, ``K`` and the Kelvin sign; ``s``, ``S`` and long s; the three small and
    capital sigmas. No variant is longer than one character, so sharp s goes with capital
    sharp s and not with ``ss``. Dotless i has no variant, as in Unicode outside Turkish.
    """
    if not ranges or ranges[-1][1] <= _LAST_ASCII:
        return _cased_ascii(ranges)
    points, orbits = _orbits()
    found: list[Ranges] = [ranges]
    for first, last in ranges:
        start, end = bisect_left(points, first), bisect_right(points, last)
        # Whole stretches come ready, so that a class of all letters is no work to speak of.
        ready = range(-(-start // _STRETCH), end // _STRETCH)
        found.extend(map(_stretch, ready))
        found.extend(orbits[start : min(end, ready.start * _STRETCH)])
        found.extend(orbits[max(start, ready.stop * _STRETCH) : end])
    return union(*found)


@lru_cache(maxsize=1024)
def _stretch(number: int) -> Ranges:
    start = number * _STRETCH
    return union(*_orbits()[1][start : start + _STRETCH])


def _cased_ascii(ranges: Ranges) -> Ranges:
    upper = intersection(ranges, ((0x41, 0x5A),))
    lower = intersection(ranges, ((0x61, 0x7A),))
    swapped = union(
        ranges,
        tuple((first + 32, last + 32) for first, last in upper),
        tuple((first - 32, last - 32) for first, last in lower),
    )
    long_s = _LONG_S if contains(swapped, ord("s")) else ()
    return swapped + long_s + (_KELVIN if contains(swapped, ord("k")) else ())


@cache
def _orbits() -> tuple[list[int], list[Ranges]]:
    """Return the characters that have variants, in order, and for each all that are the same."""
    seen: dict[str, list[int]] = {}
    for point in range(_CASELESS_FROM):
        character = chr(point)
        folded = character.casefold()
        if folded != character:
            seen.setdefault(folded, []).append(point)
    by_point: dict[int, Ranges] = {}
    for folded, points in seen.items():
        # What a single character folds to folds to itself, and so was not seen above.
        orbit = (ord(folded), *points) if len(folded) == 1 else tuple(points)
        if len(orbit) > 1:
            by_point.update(dict.fromkeys(orbit, normal((point, point) for point in orbit)))
    ordered = sorted(by_point)
    return ordered, [by_point[point] for point in ordered]
