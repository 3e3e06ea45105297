"""Reads how often something is repeated in a pattern. Pure."""

from __future__ import annotations

from typing import NamedTuple

from deltaweir.guard.pattern_nodes import PatternError

MOST_REPEATS = 10_000
"""The greatest number in a repeat."""

_DIGITS = frozenset("0123456789")
_STARS = {"*": (0, None), "+": (1, None), "?": (0, 1)}


class Times(NamedTuple):
    """How often, and where the pattern goes on; no ``most`` is without bound."""

    least: int
    most: int | None
    end: int


def is_repeat(pattern: str, at: int) -> bool:
    """Whether the sign at ``at`` is a repeat; a brace is only with a digit or a comma after it."""
    if pattern[at] in _STARS:
        return True
    following = pattern[at + 1 : at + 2]
    return pattern[at] == "{" and (following == "," or following in _DIGITS)


def read_times(pattern: str, at: int) -> Times:
    """Read the repeat that stands at ``at``, greedy or lazy: both repeat the same.

    Raises:
        PatternError: The numbers are malformed or out of range, or the repeat is possessive.
    """
    sign = pattern[at]
    least, most, end = (*_STARS[sign], at + 1) if sign in _STARS else _read_braces(pattern, at)
    if pattern.startswith("+", end):
        raise PatternError(at, "possessive repeats are not supported")
    return Times(least, most, end + pattern.startswith("?", end))


def _read_braces(pattern: str, at: int) -> Times:
    least, end = _read_number(pattern, at + 1)
    most = least
    if pattern.startswith(",", end):
        most, end = _read_number(pattern, end + 1)
    if least is None or not pattern.startswith("}", end):
        raise PatternError(at, "a repeat is {n}, {n,} or {n,m}: write \\{ if the brace is meant")
    if max(least, most or 0) > MOST_REPEATS:
        raise PatternError(at, f"a repeat of more than {MOST_REPEATS} times")
    if most is not None and most < least:
        raise PatternError(at, "a repeat's most must not be below its least")
    return Times(least, most, end + 1)


def _read_number(pattern: str, start: int) -> tuple[int | None, int]:
    """Return the number that stands at a place, None if there is none, and where it ends."""
    end = start
    while end < len(pattern) and pattern[end] in _DIGITS:
        end += 1
    # Python refuses to read numbers of many digits; these are enough to be out of range.
    digits = pattern[start:end].lstrip("0")[:9]
    return (int(digits or "0") if end > start else None), end
