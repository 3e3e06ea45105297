"""The cuts are where no later text can move the border of a piece."""

from __future__ import annotations

import re
import unicodedata

import pytest
import tiktoken

from deltaweir.meter import cuts


def test_the_classes_hold_characters_that_are_settled() -> None:
    """Unicode 3.2 and today's agree on each character of a class, and none is a mark."""
    expected = {cuts._LETTER: "L", cuts._DIGIT: "N", cuts._PUNCTUATION: "PS"}
    for members, major in expected.items():
        member = re.compile(f"[{members}]")
        found = [character for character in map(chr, range(0x110000)) if member.match(character)]
        assert len(found) >= 10
        for character in found:
            assert unicodedata.category(character)[0] in major
            assert unicodedata.ucd_3_2_0.category(character)[0] in major


@pytest.mark.parametrize("white", list("\t\n\x0b\x0c\r \u0085\u00a0\u2028\u3000"))
def test_nothing_is_cut_behind_white_space(white: str) -> None:
    """White space may go to the next word, unless it is a line end alone."""
    match = cuts.LAST_CUT.match(f"{white}{white}x")
    assert match is None
    alone = cuts.LAST_CUT.match(f"\u2019{white}x")
    assert alone is None or (white in "\r\n" and alone.end() == 2) or alone.end() == 1


@pytest.mark.parametrize("end", ["", "'", "'s", "'S", "'\u017f", "'l"])
def test_a_word_is_not_cut_from_what_may_be_its_contraction(end: str) -> None:
    """An apostrophe waits for its next character, and for good where that begins a contraction."""
    assert cuts.LAST_CUT.match("x" + end) is None
    other = cuts.LAST_CUT.match("x'a")
    assert other is not None
    assert other.end() == 1


def test_every_encoding_of_openai_is_cut() -> None:
    """All that tiktoken knows are in the list."""
    assert set(tiktoken.list_encoding_names()) == cuts.CUTTABLE
