"""Escapes and classes are read as documented, or refused at their place."""

from __future__ import annotations

import pytest

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
    single,
    union,
)
from deltaweir.guard.pattern_escapes import characters, read_class, read_escape
from deltaweir.guard.pattern_nodes import PatternError


@pytest.mark.parametrize(
    ("escape", "read"),
    [
        (r"\n", 0x0A),
        (r"\t", 0x09),
        (r"\r", 0x0D),
        (r"\f", 0x0C),
        (r"\v", 0x0B),
        (r"\0", 0),
        (r"\x7E", 0x7E),
        (r"\u200b", 0x200B),
        (r"\U0010fFfF", LAST),
        (r"\.", ord(".")),
        (r"\\", ord("\\")),
        (r"\-", ord("-")),
        (r"\_", ord("_")),
        (r"\ ", ord(" ")),
        ("\\\u00e9", 0xE9),
        ("\\\u0660", 0x660),
        (r"\d", DIGITS),
        (r"\D", complement(DIGITS)),
        (r"\w", WORD),
        (r"\W", complement(WORD)),
        (r"\s", BLANK),
        (r"\S", complement(BLANK)),
    ],
)
def test_an_escape_is_a_character_or_a_set(escape: str, read: int | Ranges) -> None:
    """An escape ends where its last sign does, wherever in the pattern it stands."""
    assert read_escape(f"ab{escape}f", 2, fold=False) == (read, 2 + len(escape))
    assert read_escape(escape, 0, fold=False) == (read, len(escape))


def test_named_sets_fold_before_they_are_negated() -> None:
    """Long s is a word character once case is folded, and so no other character."""
    folded = cased(WORD)
    assert contains(folded, ord("\u017f"))
    assert read_escape(r"\w", 0, fold=True) == (folded, 2)
    assert read_escape(r"\W", 0, fold=True) == (complement(folded), 2)


@pytest.mark.parametrize(
    ("escape", "reason"),
    [
        ("\\", "nothing after it"),
        (r"\1", "back-references"),
        (r"\9", "back-references"),
        (r"\k<n>", "back-references"),
        (r"\g{1}", "back-references"),
        (r"\07", "octal"),
        (r"\A", "anchors"),
        (r"\Z", "anchors"),
        (r"\z", "anchors"),
        (r"\G", "anchors"),
        (r"\b", "word boundary is no character"),
        (r"\B", "word boundary is no character"),
        (r"\p{L}", "Unicode property"),
        (r"\P{L}", "Unicode property"),
        (r"\N{DASH}", "by name"),
        (r"\Qa\E", "quoting"),
        (r"\Ea", "quoting"),
        (r"\a", "unknown escape"),
        (r"\h", "unknown escape"),
        (r"\R", "unknown escape"),
        (r"\x4", "needs 2 hexadecimal digits"),
        (r"\x{41}", "needs 2 hexadecimal digits"),
        (r"\u12g4", "needs 4 hexadecimal digits"),
        (r"\u+123", "needs 4 hexadecimal digits"),
        (r"\U0010fff", "needs 8 hexadecimal digits"),
        (r"\U00110000", "above 10FFFF"),
    ],
)
def test_other_escapes_are_refused(escape: str, reason: str) -> None:
    """An escape outside the subset is refused where its backslash stands, in a class too."""
    for pattern, start in ((escape, 0), (f"ab{escape}", 2)):
        with pytest.raises(PatternError, match=reason) as caught:
            read_escape(pattern, start, fold=False)
        assert caught.value.position == start
    with pytest.raises(PatternError) as caught:
        read_class(f"[a{escape}", 0, fold=False)
    assert (caught.value.position, reason in caught.value.reason) == (2, True)


@pytest.mark.parametrize(
    ("text", "members"),
    [
        ("[a]", "a"),
        ("[cab]", "abc"),
        ("[a-e]", "abcde"),
        ("[a-a]", "a"),
        ("[-a]", "-a"),
        ("[a-]", "-a"),
        ("[-]", "-"),
        ("[--0]", "-./0"),
        ("[a-c-e]", "-abce"),
        (r"[\d-]", "-0123456789"),
        (r"[\]\-\\]", "]-\\"),
        (r"[\x41-\x43]", "ABC"),
        ("[.*+?(){}|$[]", ".*+?(){}|$["),
        ("[a^]", "^a"),
        ("[a&&b]", "&ab"),
    ],
)
def test_a_class_has_its_members(text: str, members: str) -> None:
    """A class holds characters, ranges, escapes and sets; a dash at its ends is a dash."""
    expected = union(*(single(ord(one)) for one in members))
    assert read_class(f"x{text}y", 1, fold=False) == (expected, 1 + len(text))
    negated = text.replace("[", "[^", 1)
    assert read_class(negated, 0, fold=False) == (complement(expected), len(negated))


def test_a_class_folds_before_it_is_negated() -> None:
    """Under folding a negated class lacks each variant of each member."""
    expected = cased(union(single(ord("k")), DIGITS))
    assert read_class(r"[k\d]", 0, fold=True) == (expected, 5)
    assert read_class(r"[^k\d]", 0, fold=True) == (complement(expected), 6)
    without, _ = read_class(r"[\W_]", 0, fold=True)
    assert intersection(without, cased(single(ord("k")))) == ()


@pytest.mark.parametrize(
    ("text", "position", "reason"),
    [
        ("[a", 0, "never closed"),
        ("[", 0, "never closed"),
        ("[^", 0, "never closed"),
        ("[a-", 0, "never closed"),
        ("[]", 0, "an empty class"),
        ("[]a]", 0, "an empty class"),
        ("[^]a]", 0, "an empty class"),
        (r"[^\s\S]", 0, "no character is in it"),
        (r"[^\0-\U0010ffff]", 0, "no character is in it"),
        ("[b-a]", 2, "before it begins"),
        (r"[a-\d]", 2, "must end with one character"),
        (r"[\d-a]", 3, "must begin with one character"),
        ("[a[:alpha:]]", 2, "POSIX"),
        ("[a-[:alpha:]]", 3, "POSIX"),
        ("[a\\", 2, "nothing after it"),
    ],
)
def test_malformed_classes_are_refused(text: str, position: int, reason: str) -> None:
    """A class that is not closed, empty or upside down is refused at the place."""
    with pytest.raises(PatternError) as caught:
        read_class(text, 0, fold=False)
    assert (caught.value.position, reason in caught.value.reason) == (position, True)


def test_what_was_read_becomes_a_set() -> None:
    """A character has its variants when case is folded; a set is complete as it was read."""
    assert characters(ord("k"), fold=False) == single(ord("k"))
    assert characters(ord("k"), fold=True) == cased(single(ord("k")))
    assert characters(EVERY, fold=True) == EVERY
    assert characters(single(ord("k")), fold=True) == single(ord("k"))
