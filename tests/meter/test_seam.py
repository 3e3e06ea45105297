"""A long piece that grows has the count of the whole, though only its end is encoded."""

from __future__ import annotations

import itertools
import random
import sys
from collections.abc import Callable

import pytest
import regex  # type: ignore[import-untyped]  # comes with tiktoken
import tiktoken
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from deltaweir.adapters.vocabularies import ranks_of, tokenizer_of
from deltaweir.meter import seam
from deltaweir.meter.seam import LONG_PIECE_BYTES, LONGEST_TOKEN_CHARS, Seam, Spelling, body_of

NAMES = ["o200k_base", "cl100k_base", "p50k_base", "r50k_base"]
CLASSES = list(seam._STARTS)
LONG = LONGEST_TOKEN_CHARS + 1

HEADS = st.lists(
    st.one_of(
        st.sampled_from(["", "x", "1", " ", "  ", "\n", "\r\n", "\t", "(", "!!", "/", "'", "'s"]),
        st.sampled_from(["A", "Aa", ".\n", "\n/", " #", "x.", "\u0301", "\u00a0", "&\n ", "é"]),
    ),
    max_size=4,
).map("".join)

ADMITTED = {
    "": (0, "\n !-/A_a\t"),
    " ": (0, "!-/Aa"),
    "x": (1, "\n !-/\t"),
    "word ": (4, "!-/Aa"),
    "two  ": (4, "!-/Aa"),
    "\t ": (1, "!-/Aa"),
    "7": (1, "\n !-/Aa\t"),
    "x\n": (2, "!-Aa"),
    "x\r\n": (3, "!-Aa"),
    "(": (0, "\n!-Aa"),
    "/": (0, "\n!-Aa"),
    "x(": (1, "\n!-Aa"),
    "x\n(": (2, "Aa"),
    "**": (2, "Aa \t"),
    " *": (2, "Aa \t"),
    " A": (0, "Aa"),
    "x\n\n": (1, "\n \t"),
    "\n": (0, "\n \t"),
    "x'": (2, " \t"),
    " .": (0, "\n"),
}
"""Where the body begins for each head, whichever character of these goes on for long."""

REFUSED = {
    "'": "!\nAa",
    "x'": "!\nAa",
    "\u00e9": "!\n Aa\t",
    "\t": "!\n Aa",
    "aA": "a",
    "\n/": "!Aa",
    "x\n": "/",
    "!\n/(": "Aa",
    "//(": "",
    "//": "Aa",
    "'(": "Aa",
    ".\n": " \t",
    "  ": "\n\t",
    "a": "'\u00e9\r\u00a0",
}
"""What does not begin a body, whichever character of these goes on for long."""


def runs(length: int) -> st.SearchStrategy[str]:
    """Give texts of one class, some with two or three different characters."""

    def of(members: str) -> st.SearchStrategy[str]:
        few = st.lists(st.sampled_from(members), min_size=1, max_size=3)
        return few.flatmap(
            lambda some: st.text(st.sampled_from(some), min_size=length, max_size=length + 40)
        )

    return st.sampled_from(CLASSES).flatmap(of)


def borders(pattern: str, text: str) -> set[int]:
    """Return where pieces of a text begin."""
    return {match.start() for match in regex.finditer(pattern, text)}


@pytest.mark.parametrize("head", list(ADMITTED), ids=repr)
def test_a_body_begins_with_what_its_first_piece_takes_in(head: str) -> None:
    """One blank, one mark, or what else goes with the class belongs to the body."""
    start, characters = ADMITTED[head]
    for character in characters:
        found = body_of(head + character * LONG)
        assert found is not None, character
        assert character in found[1]
        assert found[0] == start


@pytest.mark.parametrize("head", list(REFUSED), ids=repr)
def test_what_might_move_a_border_is_refused(head: str) -> None:
    """Contractions, mixed white space, changing case and other scripts have no body."""
    for character in REFUSED[head]:
        assert body_of(head + character * LONG) is None, character


def test_a_body_is_longer_than_any_token() -> None:
    """What might be looked up whole is not taken for merged."""
    assert body_of("a" * LONGEST_TOKEN_CHARS) is None
    assert body_of("a" * LONG) is not None
    assert body_of("") is None


@pytest.mark.parametrize("name", NAMES)
def test_no_token_is_longer_than_it_is_said(
    name: str, reference: Callable[[str], tiktoken.Encoding]
) -> None:
    """The longest token of each encoding has the length that a body must pass."""
    longest = max(map(len, reference(name).token_byte_values()))
    assert longest == LONGEST_TOKEN_CHARS


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=300)
@given(head=HEADS, run=runs(LONG))
def test_each_part_of_a_body_has_the_borders_that_it_has_within(
    name: str, head: str, run: str, reference: Callable[[str], tiktoken.Encoding]
) -> None:
    """The patterns themselves say so, for each part of a body's beginning and for its length."""
    pattern = reference(name)._pat_str
    text = head + run
    found = body_of(text)
    assume(found is not None)
    assert found is not None
    start = found[0]
    shortest = len(head) + 3
    within = borders(pattern, text)
    assert start in within or start == 0
    for end in range(shortest, len(text)):
        assert borders(pattern, text[:end]) == within
    for first, last in itertools.combinations(range(start, shortest + 6), 2):
        part = {first + border for border in borders(pattern, text[first:last])}
        assert part == {first} | {border for border in within if first < border < last}


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=60)
@given(
    head=HEADS,
    run=runs(700),
    begun=st.integers(LONG, 300),
    lengths=st.lists(st.integers(1, 20), min_size=1),
)
def test_the_count_is_that_of_the_whole_at_every_prefix(
    name: str, head: str, run: str, begun: int, lengths: list[int]
) -> None:
    """However a body grows, and whatever is before it, encoding all of it gives the same."""
    tokenizer = tokenizer_of(name)
    assert isinstance(tokenizer, Spelling)
    counted = Seam(tokenizer)
    counted._next_try_chars = 0
    stem = [head, run[:begun]]
    text = head + run[:begun]
    assume(body_of(text) is not None)
    end = begun
    for length in itertools.cycle(lengths):
        more = run[end : end + length]
        assert counted.total(stem, more) == tokenizer.count(text + more)
        stem.append(more)
        text += more
        end += length
        if not more:
            break


class Merging:
    """Merges by rank as tiktoken does, with the tokens it is given and a lookup before that."""

    def __init__(self, ranks: dict[str, int]) -> None:
        self.ranks = ranks

    def count(self, text: str) -> int:
        """Count as the merges go."""
        return len(self.tokens(text))

    def tokens(self, text: str) -> list[str]:
        """Return the tokens of a text that is one piece."""
        if text in self.ranks:
            return [text]
        parts = list(text)
        while True:
            pairs = [self.ranks.get(a + b, sys.maxsize) for a, b in itertools.pairwise(parts)]
            lowest = min(pairs, default=sys.maxsize)
            if lowest == sys.maxsize:
                return parts
            at = pairs.index(lowest)
            parts[at : at + 2] = [parts[at] + parts[at + 1]]


@settings(deadline=None, max_examples=100)
@given(
    words=st.lists(st.text("ab", min_size=2, max_size=7), max_size=12, unique=True),
    chance=st.randoms(use_true_random=False),
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=6),
)
def test_it_holds_for_tokens_that_no_merges_lead_to(
    words: list[str], chance: random.Random, lengths: list[int]
) -> None:
    """Any tokens in any order of ranks do, also those that only a lookup finds."""
    tokenizer = Merging({word: rank for rank, word in enumerate(["a", "b", *words])})
    counted = Seam(tokenizer)
    counted._next_try_chars = 0
    stem = ["".join(chance.choices("ab", k=LONG))]
    for length in lengths:
        more = "".join(chance.choices("ab", k=length))
        whole = "".join(stem) + more
        assert counted.total(stem, more) == tokenizer.count(whole)
        stem.append(more)
        assert counted.total(stem, "") == tokenizer.count(whole)
        assert counted._tokens == tokenizer.tokens(whole)


def test_what_leaves_the_class_is_not_counted() -> None:
    """It is None for the text asked about alone, and for good once it is in the stem."""
    tokenizer = tokenizer_of("o200k_base")
    assert isinstance(tokenizer, Spelling)
    counted = Seam(tokenizer)
    stem = ["a" * LONG_PIECE_BYTES]
    assert counted.total(stem, " b") is None
    assert counted.total(stem, "b") == tokenizer.count(stem[0] + "b")
    stem.append("aA")
    assert counted.total(stem, "A") is None
    stem.append("A" * 200)
    assert counted.total(stem, "") is None


def test_a_body_is_looked_for_when_the_text_has_doubled() -> None:
    """A text whose end has none is looked at rarely, and counts once it has one."""
    tokenizer = tokenizer_of("o200k_base")
    assert isinstance(tokenizer, Spelling)
    counted = Seam(tokenizer)
    stem = ["\u4e2d" * LONG_PIECE_BYTES]
    assert counted.total(stem, "") is None
    stem.append("\n" + "=" * (LONG_PIECE_BYTES - 2))
    assert counted.total(stem, "") is None
    stem.append("=")
    assert counted.total(stem, "==") == tokenizer.count("".join(stem) + "==")


def test_a_copy_goes_on_alone() -> None:
    """What either of two takes in does not change the other."""
    tokenizer = tokenizer_of("cl100k_base")
    assert isinstance(tokenizer, Spelling)
    one = Seam(tokenizer)
    stem = ["(" + "z" * LONG_PIECE_BYTES]
    before = one.total(stem, "")
    two = one.copy()
    more = [*stem, "zebra" * 9]
    assert two.total(more, "") == tokenizer.count("".join(more))
    assert one.total(stem, "") == before == tokenizer.count(stem[0])


def test_pairs_are_forgotten_before_they_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long word of random letters does not fill the memory, and stays exact."""
    monkeypatch.setattr(seam, "_REMEMBERED_PAIRS", 10)
    tokenizer = tokenizer_of("o200k_base")
    assert isinstance(tokenizer, Spelling)
    counted, letters = Seam(tokenizer), random.Random(4)  # noqa: S311  # repeatable
    stem = ["".join(letters.choices(seam._SMALL, k=LONG_PIECE_BYTES))]
    for _ in range(100):
        stem.append("".join(letters.choices(seam._SMALL, k=4)))
        assert counted.total(stem, "") == tokenizer.count("".join(stem))
        assert len(counted._pairs) <= 10


@pytest.mark.parametrize("name", NAMES)
def test_tokens_are_spelled_as_they_are_counted(name: str) -> None:
    """The tokens of an ASCII text make it up, and are as many as are counted."""
    tokenizer = tokenizer_of(name)
    assert isinstance(tokenizer, Spelling)
    text = "def ruler(width):\n\treturn '=' * width  # <|endoftext|>\n"
    spelled = tokenizer.tokens(text)
    assert "".join(spelled) == text
    assert len(spelled) == tokenizer.count(text)
    if name in {"p50k_base", "r50k_base"}:
        assert {token.encode() for token in spelled} <= ranks_of(name).keys()
