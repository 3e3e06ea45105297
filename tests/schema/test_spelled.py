"""Tokens get their own characters where they make up a text, and are strays where not."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from deltaweir.schema.scored import Token
from deltaweir.schema.spelled import Entry, Place, Span, Unit, pieces, placed

EURO = "€".encode()


def tokens(*texts: str) -> list[Token]:
    """Return tokens whose values are their texts."""
    return [Token(text, text, None) for text in texts]


def parts(*raw: bytes) -> list[Token]:
    """Return tokens known by their bytes."""
    return [Token(one, one.hex(), one) for one in raw]


def values(entries: Sequence[Entry]) -> list[str | bytes]:
    """Return what the entries are of."""
    return [entry.value for entry in entries]


def test_pieces_are_told_by_text_or_bytes() -> None:
    """A token within a character has all of it; what makes up another text has no piece."""
    assert pieces(tokens("ab", "", "c"), "abc") == [(0, 2), (2, 2), (2, 3)]
    assert pieces(parts(b"x", EURO[:2], EURO[2:], b""), "x€") == [(0, 1), (1, 2), (1, 2), (2, 2)]
    assert pieces(tokens("ab"), "abc") is None
    assert pieces([*parts(b"a"), *tokens("b")], "ab") is None


def test_an_empty_token_has_the_next_character() -> None:
    """Places count from where the text begins in its field."""
    spans = [entry.spans for entry in placed(tokens("ab", "", "c"), Place("f", 5, "abc"))]
    assert spans == [(("f", 5, 7),), (("f", 7, 8),), (("f", 7, 8),)]


@given(st.lists(st.text("ab€", min_size=1, max_size=3), min_size=1), st.data())
def test_tokens_ahead_that_make_up_the_text(texts: list[str], data: st.DataObject) -> None:
    """However far ahead they are, each gets its own place once the text has caught up."""
    text = "".join(texts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=3)))
    unit = Unit()
    unit.add(tokens(*texts))
    assert unit.exact() is None
    for start, end in itertools.pairwise([0, *cuts, len(text)]):
        unit.cover(Place("f", 7 + start, text[start:end]))
        unit.compare()
        found = unit.exact()
        assert (found is None) is (end < len(text))
        if found is not None:
            break
    ends = list(itertools.accumulate(map(len, texts)))
    assert found == [
        Entry(one, (Span("f", 7 + start, 7 + end),))
        for one, start, end in zip(texts, [0, *ends], ends, strict=False)
    ]


def test_a_unit_of_other_words_is_strays() -> None:
    """Those that a text says, in order; the bytes that nobody can read stay with them."""
    unit = Unit()
    unit.add([*tokens("ab", "no", "c"), *parts(EURO[:2])])
    unit.cover(Place("f", 0, "abxc"))
    unit.compare()
    assert unit.exact() is None
    assert unit.before(Place("f", 4, "€")) is None
    found = list(unit.entries())
    assert values(found) == ["ab", "c", EURO[:2]]
    assert all(entry.stray and not entry.spans for entry in found)


def test_a_unit_that_differs_is_looked_at_once() -> None:
    """As long as its text, but of other characters, it can never make it up."""
    unit = Unit()
    unit.add(tokens("ab"))
    unit.cover(Place("f", 0, "ax"))
    assert unit.exact() is None
    unit.add(tokens("c"))
    unit.cover(Place("f", 2, "c"))
    unit.compare()
    assert (unit.exact(), values(list(unit.entries()))) == (None, ["c"])


def test_a_unit_of_several_texts_is_strays() -> None:
    """In two fields, or in a name that has no place, it is not known where a token stands."""
    for several in (True, False):
        unit = Unit()
        unit.add(tokens("a", "b"))
        if several:
            unit.cover(Place("f", 0, "a"))
        else:
            unit.say("a")
        unit.cover(Place("g", 0, "b"))
        unit.compare()
        assert unit.exact() is None
        assert values(list(unit.entries())) == ["a", "b"]


def test_parts_of_a_character_are_its_own() -> None:
    """Tokens that cannot be read and came without a text belong to the character behind them."""
    unit = Unit()
    unit.add(parts(EURO[:2], b""))
    unit.compare()
    unit.add(parts(b""))
    assert unit.before(Place("f", 3, "€x")) == [
        Entry(one, (Span("f", 3, 4),)) for one in (EURO[:2], b"", b"")
    ]


def test_what_is_ahead_is_told_and_bounded() -> None:
    """What no text has said yet; of too much the latest is kept, as strays."""
    unit = Unit()
    unit.add(tokens("ab", "cd"))
    unit.cover(Place("f", 0, "abc"))
    unit.compare()
    assert unit.ahead() == "d"
    unit.add(tokens(*["x"] * 300))
    unit.compare()
    assert unit.ahead() == "x" * 255
    unit.cover(Place("f", 3, "d" + "x" * 300))
    unit.compare()
    assert unit.exact() is None
