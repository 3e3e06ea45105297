"""Reads what stands for one character in a pattern: escapes and classes in brackets. Pure."""

from __future__ import annotations

from deltaweir.guard.classes import (
    BLANK,
    DIGITS,
    LAST,
    WORD,
    Ranges,
    cased,
    complement,
    normal,
    single,
    union,
)
from deltaweir.guard.pattern_nodes import PatternError

_SETS = {"d": DIGITS, "w": WORD, "s": BLANK}
_CONTROLS = {"n": 0x0A, "t": 0x09, "r": 0x0D, "f": 0x0C, "v": 0x0B, "0": 0x00}
_HEXADECIMAL = {"x": 2, "u": 4, "U": 8}
_DIGITS = frozenset("0123456789")
_HEX_DIGITS = _DIGITS | frozenset("abcdefABCDEF")

_BOUNDARY = "a word boundary is no character, and cannot stand in a class or a look-around"
ANCHOR = "anchors are not supported: (?<!.) is the text's beginning and (?!.) its end"
_PROPERTY = "classes by Unicode property are not supported: write the ranges"
_BACK_REFERENCE = "back-references are not supported"
_QUOTING = "quoting by \\Q and \\E is not supported: escape each character"
_REFUSED = {
    "b": _BOUNDARY,
    "B": _BOUNDARY,
    "A": ANCHOR,
    "Z": ANCHOR,
    "z": ANCHOR,
    "G": ANCHOR,
    "p": _PROPERTY,
    "P": _PROPERTY,
    "N": "characters by name are not supported: write \\uHHHH or \\UHHHHHHHH",
    "k": _BACK_REFERENCE,
    "g": _BACK_REFERENCE,
    "Q": _QUOTING,
    "E": _QUOTING,
}


def read_escape(pattern: str, start: int, *, fold: bool) -> tuple[int | Ranges, int]:
    r"""Read the escape whose backslash stands at ``start``.

    Returns:
        The code point of an escaped character, or the set of one of ``\d \w \s \D \W \S``
        (with case variants when ``fold``); and where the pattern goes on.

    Raises:
        PatternError: The escape is none of the subset.
    """
    if start + 1 >= len(pattern):
        raise PatternError(start, "a backslash with nothing after it")
    sign = pattern[start + 1]
    after = start + 2
    named = _SETS.get(sign.lower()) if sign.isascii() else None
    if named is not None:
        wide = cased(named) if fold else named
        return (wide if sign.islower() else complement(wide)), after
    if sign in _HEXADECIMAL:
        return _hexadecimal(pattern, start, _HEXADECIMAL[sign])
    if sign == "0" and pattern[after : after + 1] in _DIGITS:
        raise PatternError(start, "octal escapes are not supported: write \\xHH")
    if sign in _CONTROLS:
        return _CONTROLS[sign], after
    if sign.isascii() and sign.isalnum():
        unknown = _BACK_REFERENCE if sign in _DIGITS else "an unknown escape"
        raise PatternError(start, _REFUSED.get(sign, unknown))
    return ord(sign), after


def _hexadecimal(pattern: str, start: int, width: int) -> tuple[int, int]:
    digits = pattern[start + 2 : start + 2 + width]
    if len(digits) < width or not _HEX_DIGITS.issuperset(digits):
        raise PatternError(start, f"this escape needs {width} hexadecimal digits")
    code_point = int(digits, 16)
    if code_point > LAST:
        raise PatternError(start, "no character has a number above 10FFFF")
    return code_point, start + 2 + width


def read_class(pattern: str, start: int, *, fold: bool) -> tuple[Ranges, int]:
    """Read the class whose opening bracket stands at ``start``.

    Returns:
        Its characters, with case variants when ``fold`` (a negated class lacks them all); and
        where the pattern goes on.

    Raises:
        PatternError: The class is malformed, empty, or not of the subset.
    """
    at = start + 1
    negated = pattern.startswith("^", at)
    at += negated
    if pattern.startswith("]", at):
        raise PatternError(start, "an empty class: write \\] if the bracket is meant")
    written: list[tuple[int, int]] = []
    named: list[Ranges] = []
    while not pattern.startswith("]", at):
        member, at = _member(pattern, at, start, fold=fold)
        if isinstance(member, int):
            last, at = _range_end(pattern, at, start, first=member, fold=fold)
            written.append((member, last))
        else:
            _refuse_range(pattern, at)
            named.append(member)
    plain = normal(written)
    ranges = union(cased(plain) if fold else plain, *named)
    ranges = complement(ranges) if negated else ranges
    if not ranges:
        raise PatternError(start, "an empty class: no character is in it")
    return ranges, at + 1


def _member(pattern: str, at: int, start: int, *, fold: bool) -> tuple[int | Ranges, int]:
    if at >= len(pattern):
        raise PatternError(start, "this class is never closed")
    if pattern[at] == "\\":
        return read_escape(pattern, at, fold=fold)
    if pattern.startswith("[:", at):
        raise PatternError(at, "POSIX classes are not supported: write the ranges")
    return ord(pattern[at]), at + 1


def _range_end(pattern: str, at: int, start: int, *, first: int, fold: bool) -> tuple[int, int]:
    """Read the dash and the last character of a range, where there is one."""
    if not pattern.startswith("-", at) or pattern.startswith("-]", at):
        return first, at
    last, end = _member(pattern, at + 1, start, fold=fold)
    if not isinstance(last, int):
        raise PatternError(at, "a range must end with one character: write \\- for a dash")
    if last < first:
        raise PatternError(at, "a range must not end before it begins")
    return last, end


def _refuse_range(pattern: str, at: int) -> None:
    if pattern.startswith("-", at) and not pattern.startswith("-]", at):
        raise PatternError(at, "a range must begin with one character: write \\- for a dash")


def characters(read: int | Ranges, *, fold: bool) -> Ranges:
    """Return what was read as a set, with the case variants of a character when ``fold``."""
    if not isinstance(read, int):
        return read
    return cased(single(read)) if fold else single(read)
