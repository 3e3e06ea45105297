"""Windows end with sentences, cover each character once, and let nothing out before its time."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaweir.guard.windows import Mode, Window, Windows, WindowTerms

TEXTS = st.text(st.sampled_from("ab3. \n!\u3002\u2026\"'"), max_size=60) | st.text(max_size=30)
MODES: tuple[Mode, ...] = ("hold", "follow")


class Judged:
    """A text on its way through windows that are all found clean.

    Args:
        **terms: As in the terms; no overlap unless given.
    """

    def __init__(self, **terms: Any) -> None:
        self.terms = WindowTerms(**{"overlap": 0} | terms)
        self.windows = Windows(self.terms)
        self.given = ""
        self.shown = ""
        self.cleared = 0
        self.seen: list[Window] = []
        self.new: list[str] = []

    def take(self, text: str, now: float = 0.0) -> None:
        """Bring text; judge nothing."""
        self.given += text
        self.shown += self.windows.take(text, now)
        self._check()

    def judge(self, now: float = 0.0, most: int | None = None) -> list[str]:
        """Judge what is due; return the new text of each window."""
        found: list[str] = []
        while len(found) != most and (window := self.windows.due(now)) is not None:
            assert self.windows.due(now) is None
            assert self.windows.deadline is None
            found.append(self.given[self.cleared : window.upto])
            self.seen.append(window)
            self._check()
            self.cleared = window.upto
            self.shown += self.windows.clear(window.upto)
            self._check()
        self.new += found
        return found

    def end(self) -> list[str]:
        """End the text and judge all that is left."""
        self.windows.end()
        return self.judge()

    def _check(self) -> None:
        follows = self.terms.mode == "follow"
        assert self.shown == (self.given if follows else self.given[: self.cleared])
        assert self.windows.shown == len(self.shown)
        assert self.windows.judged == self.cleared
        assert self.windows.waiting is (self.cleared < len(self.given))


def pieces_of(text: str, cuts: Iterable[int]) -> list[str]:
    """Return a text cut at these places, taken modulo its length."""
    places = sorted({cut % (len(text) + 1) for cut in cuts} | {0, len(text)})
    return [text[start:end] for start, end in itertools.pairwise(places)]


@given(
    text=TEXTS,
    cuts=st.lists(st.integers(0, 100)),
    terms=st.fixed_dictionaries(
        {
            "mode": st.sampled_from(MODES),
            "longest": st.integers(1, 12),
            "overlap": st.integers(0, 8),
        }
    ),
    pace=st.sampled_from((0.0, 0.1, 1.0)),
    most=st.sampled_from((0, 1, None)),
)
def test_the_promises_hold_however_the_text_is_cut(
    text: str, cuts: list[int], terms: dict[str, Any], pace: float, most: int | None
) -> None:
    """Each character is new once, shown when cleared, in windows that are never too long."""
    one = Judged(**terms)
    now = 0.0
    for piece in pieces_of(text, cuts):
        now += pace
        one.take(piece, now)
        one.judge(now, most)
    one.end()
    assert "".join(one.new) == one.shown == text
    assert not one.windows.waiting
    assert one.windows.deadline is None
    for new, window in zip(one.new, one.seen, strict=True):
        assert 1 <= len(new) <= one.terms.longest
        before = window.text.removesuffix(new)
        assert before + new == window.text
        assert len(before) <= one.terms.overlap
        start = window.upto - len(new) - len(before)
        assert text[start : window.upto] == window.text
        if before:
            begins = start == 0 or text[start - 1].isspace()
            assert not before[0].isspace() or start == 0
            assert begins or not any(map(str.isspace, before))


@given(text=TEXTS, cuts=st.lists(st.integers(0, 100)), longest=st.integers(1, 12))
def test_what_waits_for_a_sentence_does_not_depend_on_cuts(
    text: str, cuts: list[int], longest: int
) -> None:
    """Judged at its end, a text has the same windows whole and in pieces."""
    whole, cut = Judged(longest=longest), Judged(longest=longest)
    whole.take(text)
    for piece in pieces_of(text, cuts):
        cut.take(piece)
    assert whole.end() == cut.end()


@given(text=TEXTS, pace=st.sampled_from((0.0, 0.1, 0.3)), longest=st.integers(1, 12))
def test_no_character_waits_longer_than_patience(text: str, pace: float, longest: int) -> None:
    """At the deadline a window is due, and no deadline is later than patience allows."""
    one = Judged(longest=longest)
    for at, character in enumerate(text):
        arrival = at * pace
        while (deadline := one.windows.deadline) is not None and deadline <= arrival:
            assert one.judge(deadline)
        one.take(character, arrival)
        one.judge(arrival)
        deadline = one.windows.deadline
        assert deadline is None or deadline <= arrival + 0.25
        assert one.windows.waiting is (deadline is not None)


@pytest.mark.parametrize(
    ("text", "windows"),
    [
        ("One. Two", ["One."]),
        ("One. Two! Three", ["One. Two!"]),
        ("It is 3.14 m", []),
        ("It is 3.", []),
        ("One.", []),
        ("One. ", ["One."]),
        ("see example.com or", []),
        ("One\nTwo", ["One\n"]),
        ("One\r\n\r\nTwo", ["One\r\n\r\n"]),
        ("\n\nOne\nTwo", ["\n\nOne\n"]),
        ("\n\n \n", []),
        ("Really?! (No.) Yes", ["Really?! (No.)"]),
        ('He said "no." Then', ['He said "no."']),
        ("He said \u201cno.\u201d\u00a0Then", ["He said \u201cno.\u201d"]),
        ("So\u2026 what", ["So\u2026"]),
        ("\u4f60\u597d\u3002\u300d\u518d\u89c1", ["\u4f60\u597d\u3002\u300d"]),
        ("\u771f\u7684\uff1f!\u518d\u89c1\uff01", ["\u771f\u7684\uff1f!"]),
        ("a\u3002b.c", ["a\u3002"]),
        ("", []),
    ],
)
def test_a_window_ends_with_the_last_sentence(text: str, windows: list[str]) -> None:
    """A sentence ends with its mark and closing quotes; whether it does, what follows tells."""
    one = Judged()
    one.take(text)
    assert one.judge() == windows


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("one two thr", "one two "),
        ("one two.", "one two."),
        ("it is 3.", "it is "),
        ("3.", "3."),
        (" one", " one"),
        ("  ", "  "),
    ],
)
def test_text_that_waited_long_enough_is_judged_without_its_end(text: str, first: str) -> None:
    """It is cut behind its last whole word, or taken as it is."""
    one = Judged()
    one.take(text, 1.0)
    assert one.windows.deadline == 1.25
    assert one.judge(1.24) == []
    assert one.judge(1.25, 1) == [first]


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("aaaa bbbbbbb", "aaaa "),
        ("aaaaaaaaaaaa", "aaaaaaaaaa"),
        ("aaaa bbbb. c", "aaaa bbbb."),
        ("aaaa bbbb.", "aaaa bbbb."),
        ('aaaa bbbb."', "aaaa bbbb."),
        ("aaaa bbbb..", "aaaa bbbb."),
        ("aaaa bbb3.1", "aaaa "),
        ("aaaa bbb3.", "aaaa "),
        ("aaaaa bbbb\n", "aaaaa "),
    ],
)
def test_text_that_is_long_enough_is_judged_without_its_end(text: str, first: str) -> None:
    """At ten characters it ends with a sentence, or else a word, or else at ten."""
    one = Judged(longest=10)
    one.take(text)
    assert one.judge(most=1) == [first]


def test_patience_counts_from_the_first_character_that_waits() -> None:
    """What a window leaves behind has the time of its own arrival."""
    one = Judged()
    one.take("One. ", 0.0)
    one.take("Two", 0.1)
    one.take(" three", 0.2)
    assert one.judge(0.2) == ["One."]
    assert one.windows.deadline == 0.25
    assert one.judge(0.25) == [" Two "]
    assert one.windows.deadline == pytest.approx(0.45)
    assert one.judge(0.5) == ["three"]
    one.take(" four", 1.0)
    assert one.windows.deadline == 1.25


def test_the_end_makes_everything_due() -> None:
    """What fits into one window is one, though sentences end within; the rest is cut."""
    one = Judged(longest=12)
    one.take("One. Two", 5.0)
    one.windows.end()
    assert one.windows.deadline == 5.0
    assert one.judge(5.0) == ["One. Two"]
    two = Judged(longest=12)
    two.take("One is it. Two is not. No")
    assert two.end() == ["One is it.", " Two is not.", " No"]


@pytest.mark.parametrize(
    ("judged", "before"),
    [
        ("One.", "One."),
        ("One two three.", "three."),
        ("One two-three.", "wo-three."),
        ("Onetwothree ", ""),
        ("One two three ", "three "),
    ],
)
def test_a_window_begins_with_judged_text(judged: str, before: str) -> None:
    """It is whole words, as many as fit; a word that does not fit is cut if it stands alone."""
    one = Judged(overlap=9)
    one.take(judged)
    assert one.judge(1.0) == [judged]
    one.take("New. ")
    one.judge()
    assert one.seen[-1].text == before + "New."


def test_a_window_that_is_not_out_cannot_be_cleared() -> None:
    """A verdict on another text, or a second one, is an error of the caller."""
    one = Windows(WindowTerms())
    one.take("One. ", 0.0)
    with pytest.raises(ValueError, match="up to character 4"):
        one.clear(4)
    assert one.due(0.0) == Window("One.", 4)
    with pytest.raises(ValueError, match="up to character 3"):
        one.clear(3)
    assert one.clear(4) == "One."


def test_an_ended_text_takes_no_more() -> None:
    """Text behind the end would never be judged."""
    one = Windows(WindowTerms())
    one.end()
    assert one.take("", 0.0) == ""
    with pytest.raises(ValueError, match="after its end"):
        one.take("x", 0.0)


@pytest.mark.parametrize("mode", MODES)
def test_nothing_leaves_after_a_drop(mode: Mode) -> None:
    """Neither new text nor a late verdict brings anything out."""
    one = Windows(WindowTerms(mode))
    one.take("One. Two. ", 0.0)
    shown = one.shown
    window = one.due(0.0)
    assert window is not None
    one.drop()
    assert one.clear(window.upto) == one.take("Three. ", 0.0) == ""
    assert one.due(9.0) is None
    assert one.deadline is None
    assert not one.waiting
    assert one.shown == shown


def test_a_repr_tells_no_text() -> None:
    """A window may stand in a log."""
    assert repr(Window("secret", 6)) == "Window(6 characters, upto=6)"


def test_a_long_text_keeps_only_what_waits() -> None:
    """A megabyte in one piece is cut without being copied again and again."""
    one = Windows(WindowTerms(overlap=10))
    one.take("Word after word. " * 60_000, 0.0)
    one.end()
    count = 0
    while (window := one.due(0.0)) is not None:
        assert len(window.text) <= 210
        one.clear(window.upto)
        count += 1
    assert one.judged == 17 * 60_000
    assert 17 * 60_000 / 200 <= count <= 17 * 60_000 / 180
    kept = len(one._before) + len(one._head.text) + sum(map(len, one._pieces))
    assert kept <= 11
