"""Folding sees through disguises, character by character."""

from __future__ import annotations

import string
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaweir.guard.classes import LAST
from deltaweir.guard.folding import fold

_SAMPLE = [*range(0x20000), *range(0x20000, LAST + 1, 31), *range(0xE0000, 0xE1010)]
"""The planes that scripts are in, whole, and some of the rest."""


def _folded(text: str) -> str:
    return "".join(map(fold, text))


CASES: dict[str, tuple[str, str]] = {
    "ASCII capitals": ("PassWord-1_x", "password-1_x"),
    "Cyrillic a": ("p\u0430ssword", "password"),
    "Cyrillic capitals": ("\u0420\u0410SSW\u041eRD", "password"),
    "Greek": ("\u03c1\u03b1ssw\u03bfrd", "password"),
    "Greek capitals": ("\u03a1\u0391SSW\u039fRD", "password"),
    "Greek lunate sigma": ("\u03f2\u03bfde \u03f9ODE", "code code"),
    "full width": ("\uff30\uff21\uff33\uff33\uff11\uff20", "pass1@"),
    "zero-width space": ("pa\u200bss", "pass"),
    "zero-width joiners, BOM, soft hyphen": ("p\u200ca\u200d\ufeffs\xads", "pass"),
    "direction marks": ("\u202ep\u202ca\u2066ss\u2069", "pass"),
    "variation selectors": ("p\ufe0fa\U000e0100ss", "pass"),
    "tags and unassigned ignorables": ("p\U000e0041a\U000e0fffs\u2065s", "pass"),
    "Hangul fillers": ("p\u3164a\uffa0s\u115fs\u1160", "pass"),
    "combining acute": ("pa\u0301ss", "pass"),
    "many marks": ("p\u0334\u0353a\u20ddss\u0489", "pass"),
    "accents": ("p\xe0\u015b\u015f", "pass"),
    "ligature fi": ("\ufb01le o\ufb03ce", "file office"),
    "mathematical bold": ("\U0001d429\U0001d41a\U0001d42c\U0001d42c\U0001d7cf", "pass1"),
    "mathematical script and fraktur": ("\u212d\u212f\U0001d4ee", "cee"),
    "circled": ("\u24df\u24d0\u24e2\u24e2\u2460", "pass1"),
    "white on black": ("\U0001f15f\U0001f170\U0001f182\U0001f182", "pass"),
    "flags": ("\U0001f1f5\U0001f1e6\U0001f1f8\U0001f1f8", "pass"),
    "superscripts and subscripts": ("x\xb2y\u2083\u1d43", "x2y3a"),
    "small capitals": ("\u1d18\u1d00\ua731\ua731", "pass"),
    "strokes": ("pa\u00dfw\xf8r\u0111", "password"),
    "sharp s": ("stra\xdfe STRA\u1e9eE", "strasse strasse"),
    "long s and Kelvin sign": ("pa\u017fs \u212aey", "pass key"),
    "dotted capital I": ("\u0130D", "id"),
    "dotless i": ("\u0131d", "id"),
    "Cherokee": ("\u13e2\u13aa\u13da\u13da \uabb2", "pass p"),
    "Armenian": ("\u0570\u0585\u057d\u0578", "houn"),
    "digits of other scripts": ("\u0661\u06f2\u0969\u0e54\U0001d7dd", "12345"),
    "dashes": ("1\u20112\u20133\u20144\u22125", "1-2-3-4-5"),
    "quotes": ("\u2018a\u2019 \u201cb\u201d \xb4", "'a' \"b\" '"),
    "full stops": ("a\u3002b\uff61c\uff0ed", "a.b.c.d"),
    "blanks": ("a\xa0b\u2003c\u3000d\u1680e\u2028f", "a b c d e\nf"),
    "double sign": ("\u33c4\u2116", "ccno"),
}


@pytest.mark.parametrize("name", CASES)
def test_disguises_fold_to_what_they_stand_for(name: str) -> None:
    """A text in disguise folds to what a reader takes it for."""
    text, expected = CASES[name]
    assert _folded(text) == expected


@pytest.mark.parametrize("character", ["\u200b", "\u0301", "\xad", "\ufe0f", "\u3164"])
def test_what_a_reader_does_not_see_folds_to_nothing(character: str) -> None:
    """Marks and invisible characters are skipped."""
    assert fold(character) == ""


def test_ascii_folds_only_its_capitals() -> None:
    """Every other ASCII character, control characters too, stands for itself."""
    for code in range(128):
        character = chr(code)
        assert fold(character) == character.lower()


@pytest.mark.parametrize(
    "word",
    ["\u0412\u043e\u0440\u043e\u043d", "\u039d\u03af\u03ba\u03bf\u03c2", "\u0540\u0561\u0575"],
)
def test_words_of_other_scripts_equal_themselves_in_capitals(word: str) -> None:
    """A look-alike is chosen per letter, not per case, so case stays folded in every script."""
    assert _folded(word.upper()) == _folded(word.lower())


def test_letters_without_look_alikes_stay_what_they_are() -> None:
    """Folding makes no Latin of Chinese, Japanese, Devanagari vowels or emoji."""
    for character in ("\u4e2d", "\u3042", "\u0905", "\u093e", "\U0001f600", "\u05d0", "\u0634"):
        assert fold(character) == character


def test_every_character_that_comes_out_stands_for_itself() -> None:
    """All over Unicode folding is idempotent, and its output is short."""
    for code in _SAMPLE:
        folded = fold(chr(code))
        assert len(folded) <= 18
        assert all(fold(part) == part for part in folded), hex(code)


def test_case_never_matters() -> None:
    """All over Unicode a character and its one-character variants fold to the same."""
    for code in _SAMPLE:
        character = chr(code)
        for variant in (character.lower(), character.upper()):
            if len(variant) == 1 and variant.casefold() == character.casefold():
                assert _folded(variant) == fold(character), hex(code)


@given(st.characters())
def test_composed_and_decomposed_text_fold_to_the_same(character: str) -> None:
    """Whether an accent is part of its letter or stands behind it makes no difference."""
    decomposed = unicodedata.normalize("NFD", character)
    assert _folded(decomposed) == fold(character)


def test_the_memory_of_the_folding_is_bounded() -> None:
    """However many characters a text has, only a fixed number of answers is remembered."""
    fold.cache_clear()
    for code in range(0x20000):
        fold(chr(code))
    information = fold.cache_info()
    assert information.maxsize is not None
    assert information.currsize <= information.maxsize <= 10_000


def test_every_latin_letter_has_look_alikes() -> None:
    """No letter of the alphabet is left without a disguise that is seen through."""
    reached = {fold(chr(code)) for code in range(0x370, 0x2000)}
    assert set(string.ascii_lowercase) <= reached
