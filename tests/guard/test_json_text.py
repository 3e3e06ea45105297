"""JSON text is decoded however it is cut, and written again so that it means the same."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaweir.guard.json_text import STAND_IN, Decoder, encode, encode_outside

SURROGATES = st.characters(min_codepoint=0xD800, max_codepoint=0xDFFF, categories=["Cs"])
ANY_TEXT = st.text(st.one_of(st.characters(), SURROGATES, st.sampled_from('"\\/\n\x00\x7f')))
BROKEN = st.text(
    st.one_of(st.sampled_from('\\"ud89ace0bn/"q\ud83d\ude00'), st.characters(exclude_categories=()))
)

ESCAPES = {
    r"\"\\\/\b\f\n\r\t": '"\\/\b\f\n\r\t',
    r"\'": "'",
    r"\u0041\u00e9\u00E9\uffff": "A\u00e9\u00e9\uffff",
    r"\ud83d\ude00": "\U0001f600",
    r"\uD83D\uDE00": "\U0001f600",
    "\\ud83d\ude00": "\U0001f600",
    "\ud83d\\ude00": "\U0001f600",
    r"\ud83d": "\ud83d",
    r"\ude00": "\ude00",
    r"\ude00\ud83d": "\ude00\ud83d",
    r"\ud83d\ud83d\ude00": "\ud83d\U0001f600",
    r"\ud83dx\ude00": "\ud83dx\ude00",
    r"\ud83d\n\ude00": "\ud83d\n\ude00",
    r"\ud83d\u0041": "\ud83dA",
}
"""What each text stands for."""

NO_ESCAPES = [
    r"\d",
    r"\x41",
    r"\u",
    r"\u00g1",
    r"\u 041",
    r"\u+041",
    "\\u\u0661\u0662\u0663\u0664",
    r"\U00000041",
    r"\é",
]
"""A backslash before what makes no escape is a character like others."""


def decoded(pieces: list[str]) -> tuple[str, int]:
    """Decode pieces to the end; return the text, with quotes as bars, and their number."""
    decoder, out, quotes = Decoder(), "", 0
    for piece in pieces:
        at = 0
        while at < len(piece):
            part = decoder.take(piece, at)
            out, at, quotes = out + part.text + "|" * part.quote, part.end, quotes + part.quote
    return out + decoder.rest(), quotes


@pytest.mark.parametrize(("text", "meaning"), ESCAPES.items())
def test_escapes(text: str, meaning: str) -> None:
    """An escape is what it stands for, and a pair of surrogates is one character."""
    assert decoded([f"<{text}>"]) == (f"<{meaning}>", 0)
    assert decoded([*f"<{text}>"]) == (f"<{meaning}>", 0)
    assert decoded([text]) == (meaning, 0)


@pytest.mark.parametrize("text", NO_ESCAPES)
def test_what_is_no_escape(text: str) -> None:
    """What only looks like an escape is its own characters, whole or by character."""
    for whole in (f"<{text}>", f"<{text}", f'<{text}"'):
        expected = whole.replace('"', "|")
        assert decoded([whole])[0] == expected
        assert decoded([*whole])[0] == expected


def test_a_quote_ends_an_escape_that_is_not_whole() -> None:
    """A quote behind half an escape, or behind half a pair, ends the string."""
    assert decoded([r'\u00"a']) == (r"\u00|a", 1)
    assert decoded([r'\ud83d"a']) == ("\ud83d|a", 1)
    assert decoded([r"\ud83d\u", '"a']) == ("\ud83d\\u|a", 1)


def test_parts_end_behind_a_quote() -> None:
    """A part ends behind the quote, the next begins there, and the last has none."""
    decoder = Decoder()
    assert decoder.take('ab"c"', 0) == ("ab", 3, True)
    assert decoder.take('ab"c"', 3) == ("c", 5, True)
    assert decoder.take('ab"c', 3) == ("c", 4, False)
    assert decoder.take("", 0) == ("", 0, False)


def test_torn() -> None:
    """A decoder knows that its piece ended within a character, and what came of it."""
    decoder = Decoder()
    assert not decoder.torn
    came = ""
    for piece in ("\\", "u", "d83", "d", "\\", "ude0"):
        decoder.take(piece, 0)
        came += piece
        assert decoder.torn
        assert decoder.held == came
    decoder.take("0", 0)
    assert not decoder.torn
    assert decoder.held == ""


def test_places() -> None:
    """A decoded character is found where it began, an escape and a pair being one."""
    decoder = Decoder()
    for piece in (r"a\u00", r"e9b\n", r"\ud83d\ud83d", "\\ude00", r"\q\ud83dx", "\ud83d\ude00y"):
        decoder.take(piece, 0)
    starts = [0, 1, 7, 8, 10, 16, 28, 29, 30, 36, 37, 39]
    assert [*map(decoder.places.of, range(len(starts)))] == starts
    assert (decoder.decoded, decoder.raw) == (len(starts), 40)


def test_places_count_quotes() -> None:
    """A quote is one character, and so is half a pair before it."""
    decoder = Decoder()
    assert decoder.take(r'"\ud83d"a', 0).end == 1
    assert decoder.take(r'"\ud83d"a', 1).end == 8
    assert (decoder.decoded, decoder.raw) == (3, 8)
    assert [*map(decoder.places.of, range(4))] == [0, 1, 7, 8]


@given(BROKEN, st.lists(st.integers(0, 40)))
def test_cuts_change_nothing(text: str, cuts: list[int]) -> None:
    """Any text, well formed or not, means the same however it is cut."""
    borders = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pieces = [text[one:other] for one, other in itertools.pairwise(borders)]
    assert decoded(pieces) == decoded([text]) == decoded([*text])


@given(ANY_TEXT)
def test_decoded_as_json_reads_it(text: str) -> None:
    """What Python's own encoder writes is decoded to what its decoder reads."""
    for ascii_only in (True, False):
        written = json.dumps(text, ensure_ascii=ascii_only)
        if ascii_only:
            assert decoded([written[1:-1]]) == (json.loads(written), 0)
        read = decoded([encode(text)])
        assert read == (json.loads(f'"{encode(text)}"'), 0)
        encode(text).encode()  # UTF-8 has bytes for all of it


def test_only_what_must_be_is_escaped() -> None:
    """Text is written in strings with the shortest escapes, and only where JSON asks for them."""
    assert encode("a é \U0001f600 \x7f \u2028 ' /") == "a é \U0001f600 \x7f \u2028 ' /"
    assert encode('"\\\b\f\n\r\t\x00\x1f\ud800') == r"\"\\\b\f\n\r\t\u0000\u001f\ud800"
    assert encode(STAND_IN) == STAND_IN


def test_outside_of_strings() -> None:
    """Outside of strings blanks and line ends stay, and the stand-in is the only quote."""
    assert encode_outside('{\n\t[1.5e3, "\\\ud800') == '{\n\t[1.5e3, \\"\\\\\\ud800'
    assert encode_outside(f"{STAND_IN}x{STAND_IN}") == '"x"'
