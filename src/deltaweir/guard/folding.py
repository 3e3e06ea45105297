"""What a character stands for to a rule that folds. Pure.

A rule with ``fold = true`` must find ``password`` when it is written with a Cyrillic a, in full
width, in mathematical bold, with accents, or with zero-width spaces between its letters.
Folding is done character by character, so that what was found maps back to what was written.
It makes different words equal too: that is its price, and why no rule folds unless told.
"""

from __future__ import annotations

import unicodedata
from functools import cache, lru_cache

from deltaweir.guard.confusables import LOOK_ALIKES

# Nonspacing and enclosing marks, and format characters; spacing marks are vowels, and stay.
_SKIPPED_CATEGORIES = frozenset({"Mn", "Me", "Cf"})

# What Unicode says is not shown though its category does not say so: fillers of Hangul, and
# places kept for more such characters (Default_Ignorable_Code_Point).
_SKIPPED = frozenset({0x115F, 0x1160, 0x2065, 0x3164, 0xFFA0, *range(0xFFF0, 0xFFF9)})
_SKIPPED_PLANE = range(0xE0000, 0xE1000)

_LINE_SEPARATORS = "\u2028\u2029\u0085"
_OGHAM_SPACE = "\u1680"

# Letters in circles and squares, white on black and as halves of flags: NFKD knows only the
# black on white ones.
_ALPHABETS_FROM = (0x1F150, 0x1F170, 0x1F1E6)


@lru_cache(maxsize=8192)
def fold(character: str) -> str:
    """Return what a character stands for to a folding rule.

    Compatibility forms are taken apart (NFKD), marks and invisible characters dropped, case
    folded, digits of every script made ASCII, and look-alikes made Latin. Each character of
    what comes out stands for itself.

    Returns:
        The empty text for what a reader does not see, else one or more characters.
    """
    small = character.casefold()
    # Before NFKD too: it makes a sigma of the lunate one, which is a c to every reader.
    known = None if small.isascii() else _table().get(small)
    if known is not None:
        return known
    parts = unicodedata.normalize("NFKD", character)
    return "".join(_latin(part.casefold()) for part in parts if not _is_skipped(part))


def _is_skipped(character: str) -> bool:
    code_point = ord(character)
    return (
        unicodedata.category(character) in _SKIPPED_CATEGORIES
        or code_point in _SKIPPED
        or code_point in _SKIPPED_PLANE
    )


def _latin(small: str) -> str:
    digit = unicodedata.decimal(small, None) if len(small) == 1 else None
    return _table().get(small, small) if digit is None else str(digit)


@cache
def _table() -> dict[str, str]:
    table = dict.fromkeys(_LINE_SEPARATORS, "\n") | {_OGHAM_SPACE: " "}
    for start in _ALPHABETS_FROM:
        table.update((chr(start + place), chr(ord("a") + place)) for place in range(26))
    for line in LOOK_ALIKES.split("\n"):
        meaning, _, look_alikes = line.partition(" ")
        table.update(dict.fromkeys(look_alikes.casefold(), meaning))
    return table
