"""The running count is tiktoken's count of the text so far, however the text is cut."""

# ruff: noqa: RUF001 - texts that look like others are what a tokenizer must be tried on

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator

import pytest
import tiktoken
from hypothesis import given, settings
from hypothesis import strategies as st

from deltaweir.adapters.vocabularies import tokenizer_of
from deltaweir.meter import tokens
from deltaweir.meter.tokens import (
    COMMIT_CHARS,
    LAZY_CHARS,
    LOOKAHEAD_CHARS,
    TokenCounter,
    mended,
)

Reference = Callable[[str], tiktoken.Encoding]

NAMES = ["o200k_base", "o200k_harmony", "cl100k_base", "p50k_base", "p50k_edit", "r50k_base"]

TEXTS = {
    "English": "It's what we'd've done, don't you think? \"No,\" they're 12,345.67 miles away.\n\n",
    "typographic": "“It’s O’Reilly’s,” she’d said — they’ll… see.",
    "code": "def foo(self, x: int) -> dict:\n"
    "    return {'a': 1, \"b\": [x]}  # why\n\n\nclass B:\n\tx = 1",
    "JSON": '{"key":"value","n":-1.5e10,"list":[true,false,null],\n  "deep": {"a": {"b": ""}}}\n',
    "CJK": "你好，世界。这是一个测试！日本語のテキスト、カタカナ。한국어 문장입니다. １２３",
    "scripts": "Привет, мир! Ünïcödé ΑΒΓ αβγ. مرحبا بالعالم. नमस्ते दुनिया। สวัสดีชาวโลก שלום",
    "emoji": "ok👍🏽👍🏿 👩‍👩‍👧‍👦🇩🇪🇫🇷 ❤️!😀😀\n😀/x",
    "white space": "a  b   c\n\n  d\n \n\t\te\r\n\r\nf \r \n\n"
    "/g\u00a0h\u2028i\u3000 j\x0b\x0ck\x1c l\u0085\n   ",
    "line ends and slashes": "a/\n/b!\n/c!\n\n//d;\n'e.\r\n/\n//\n\n\nf\n\n'\n9/\n9\n/9 \n/",
    "digits": "1 12 123 1234 12345a6b77c888 9,999.99 1e9 ²½Ⅷ٣٤ 3'4'5 007!8",
    "apostrophes": "'s 'S's'T't'RE'Re'r'e'l'lL'd''s don't DON'T x'9 y' z'\n'a'b'll'LL'vé",
    "long s": "a'ſ ſ'ſ'think 'ſ's'ſ'T bſ'ſ",
    "case": "camelCaseHTTPServer XMLhttp ǅungla ıİ Kelvin ªº ʰx CONSTANT_CASE aB'sC'S",
    "marks": "e\u0301a\u0300 \u0301x !\u0301\n\u0301 a\u20dd1\u0301b '\u0301s ก\u0e31ข",
    "hostile": "a\u200bb\u180ec\ufeffd\ufffde\u0000f\u007fg"
    "\u0378h\U000e0001i\U0010ffff\u0601j\ufe0f",
    "surrogates": "a\ud83d\ude00b\ud83d \ude00c\udc00\ud800\ud800\udc00d\ufeff\ud83d",
    "special": "<|endoftext|><|im_start|>user\n<|fim_prefix|> <|endofprompt|>x<|return|>",
}

SURROGATES = ["\ud83d\ude00", "\ud83d", "\ude00", "\ud83da", "\ude00\ud83d", "\ufeff\ud83dx"]

ALPHABET = (
    " \t\n\r\u00a0\u2028\u0085\u3000\x0b\x1c\u180e\u200b'’/\\.,!?-_\"#:;()[]{}<>|"
    "aAbBsStTrReEvVmMlLdDzZ0123456789éÉßſİıKǅªʰ中文あア한ักबि\u0301\u0903\u20dd"
    "😀👍🏽\u200d\ufe0f\u0660Ⅷ²½\ufffd\ufeff。，…\ud83d\ude00\udc00\ud800"
)

PIECES = st.lists(
    st.one_of(
        st.text(st.sampled_from(ALPHABET), max_size=8),
        st.builds(str.__mul__, st.sampled_from(ALPHABET), st.integers(1, 90)),
        st.sampled_from(["'s", "'ll", " the", "\n\n", "don't", ". ", " 12", "/\n"]),
        st.text(max_size=4),
        st.sampled_from(sorted(TEXTS.values())),
    ),
    max_size=16,
)


class Recording:
    """A tokenizer that remembers what it was asked."""

    def __init__(self, encoding: tiktoken.Encoding, name: str | None = None) -> None:
        self.name = name or encoding.name
        self.asked: list[str] = []
        self._encoding = encoding

    def count(self, text: str) -> int:
        """Count as tiktoken does."""
        text.encode()  # fails for a surrogate
        self.asked.append(text)
        return len(self._encoding.encode_ordinary(text))


class Spelled(Recording):
    """A tokenizer that remembers what it was asked, and can say what each token is."""

    def tokens(self, text: str) -> list[str]:
        """Return the tokens as tiktoken does."""
        self.asked.append(text)
        return [self._encoding.decode([token]) for token in self._encoding.encode_ordinary(text)]


def whole(encoding: tiktoken.Encoding, text: str) -> int:
    """Return what encoding all of a text gives."""
    return len(encoding.encode_ordinary(text))


def eager(tokenizer: tokens.Tokenizer) -> TokenCounter:
    """Return a counter that cuts wherever it may, so that short texts try every cut."""
    counter = TokenCounter(tokenizer)
    counter._look_chars = 0
    return counter


def fed(counter: TokenCounter, *pieces: str) -> TokenCounter:
    """Return the counter after these pieces."""
    for piece in pieces:
        counter.feed(piece)
    return counter


@pytest.fixture(params=NAMES, scope="session")
def encoding(request: pytest.FixtureRequest, reference: Reference) -> tiktoken.Encoding:
    """Each encoding in turn."""
    return reference(request.param)


@pytest.mark.parametrize("text", list(TEXTS.values()), ids=list(TEXTS))
@pytest.mark.parametrize("make", [TokenCounter, eager])
def test_the_count_is_right_at_every_prefix(
    make: Callable[[tokens.Tokenizer], TokenCounter], text: str, encoding: tiktoken.Encoding
) -> None:
    """Character by character, the total is what tiktoken gives for the text so far."""
    counter = make(Recording(encoding))
    for end, character in enumerate(text * 2, 1):
        counter.feed(character)
        assert counter.total == whole(encoding, (text * 2)[:end])


@settings(deadline=None)
@given(pieces=PIECES, lengths=st.lists(st.integers(1, 120), min_size=1), shy=st.booleans())
def test_the_count_is_right_however_the_text_is_cut(
    encoding: tiktoken.Encoding, pieces: list[str], lengths: list[int], *, shy: bool
) -> None:
    """Random deltas of a hostile text, each as long as it likes, change nothing."""
    text = "".join(pieces)
    counter = (TokenCounter if shy else eager)(Recording(encoding))
    start = 0
    for length in itertools.cycle(lengths):
        counter.feed(text[start : start + length])
        start += length
        assert counter.total == whole(encoding, text[:start])
        if start >= len(text):
            break


@pytest.mark.parametrize("name", NAMES)
def test_the_tokenizers_that_ship_count_as_tiktoken_does(name: str, reference: Reference) -> None:
    """With what the product counts with, every prefix of every text has tiktoken's count too.

    Left out is U+017F: in o200k the tokenizer does not take it for the s of a contraction.
    """
    for text in TEXTS.values():
        counter = TokenCounter(tokenizer_of(name))
        plain = text.replace("\u017f", "s")
        for end, character in enumerate(plain, 1):
            counter.feed(character)
            assert counter.total == whole(reference(name), plain[:end])


@pytest.mark.parametrize("text", SURROGATES, ids=ascii)
def test_surrogates_are_mended_as_tiktoken_does(text: str, encoding: tiktoken.Encoding) -> None:
    """Pairs are joined and halves become U+FFFD, alike in tiktoken, in one delta and in many."""
    assert encoding.encode_ordinary(mended(text)) == encoding.encode_ordinary(text)
    assert not any("\ud800" <= character <= "\udfff" for character in mended(text))
    assert fed(TokenCounter(Recording(encoding)), *text).total == whole(encoding, text)


def test_a_text_without_surrogates_needs_no_mending() -> None:
    """Such a text comes back as it is."""
    text = "\ufeffé😀"
    assert mended(text) is text


def test_half_a_pair_counts_until_the_other_half_comes(encoding: tiktoken.Encoding) -> None:
    """A high surrogate at the end is U+FFFD for now, also where a cut is looked for."""
    counter = fed(eager(Recording(encoding)), "a \ud83d")
    assert counter.total == whole(encoding, "a \ufffd")
    counter.feed("\ude00")
    assert counter.total == whole(encoding, "a 😀")


@pytest.mark.parametrize("unit", ["a", "!", " ", "\n", "中", "😀", "é", "1", "ab", "\ud83d", "'s"])
def test_a_hundred_thousand_characters_without_a_cut_cost_nothing_unasked(
    unit: str, reference: Reference
) -> None:
    """They are not encoded while they arrive, and once when asked; the count is exact then."""
    encoding = reference("o200k_base")
    tokenizer = Recording(encoding)
    counter = TokenCounter(tokenizer)
    half = unit * (50_000 // len(unit))
    for start in range(0, len(half), 5):
        counter.feed(half[start : start + 5])
    assert tokenizer.asked == []
    assert counter.total == counter.total == whole(encoding, half)
    assert len(tokenizer.asked) == 1
    fed(counter, half, " and then")
    assert counter.total == whole(encoding, half * 2 + " and then")
    assert len(tokenizer.asked) <= 3


def test_the_text_behind_a_long_word_is_cut_again(reference: Reference) -> None:
    """Once its end is found a long word is encoded once, however often the total is asked."""
    tokenizer = Recording(reference("o200k_base"))
    counter = fed(TokenCounter(tokenizer), "x" * 10_000)
    for _ in range(200):
        counter.feed(" word")
        assert counter.total > 0
    assert sum(len(text) > 1000 for text in tokenizer.asked) < 20
    assert counter.total == whole(reference("o200k_base"), "x" * 10_000 + " word" * 200)


def test_feeding_encodes_each_character_once(encoding: tiktoken.Encoding) -> None:
    """A text of a hundred thousand characters reaches the tokenizer once, in small pieces."""
    tokenizer = Recording(encoding)
    text = "".join(TEXTS.values()).replace("\ud83d", "") * 100
    counter = TokenCounter(tokenizer)
    for start in range(0, len(text), 4):
        counter.feed(text[start : start + 4])
    asked = tokenizer.asked.copy()
    assert mended(text).startswith("".join(asked))
    assert len("".join(asked)) > len(mended(text)) - 2 * COMMIT_CHARS
    assert len(asked) < len(text) / (COMMIT_CHARS / 4)
    assert counter.total == whole(encoding, text)


def test_a_long_delta_is_encoded_only_when_asked(encoding: tiktoken.Encoding) -> None:
    """What is longer than the limit waits; shorter ones behind it do not."""
    tokenizer = Recording(encoding)
    long = "some words " * 1000
    counter = fed(TokenCounter(tokenizer), long, *["more words "] * 100)
    assert max(map(len, tokenizer.asked)) <= LAZY_CHARS
    assert counter.total == whole(encoding, long + "more words " * 100)


def test_nothing_is_nothing(encoding: tiktoken.Encoding) -> None:
    """An empty text has no tokens, and empty deltas add none."""
    tokenizer = Recording(encoding)
    counter = fed(TokenCounter(tokenizer), "", "")
    assert counter.total == 0
    assert counter.fitting("", 0) is None
    assert tokenizer.asked == []


def test_an_encoding_that_nobody_has_looked_at_is_never_cut(reference: Reference) -> None:
    """Its count is that of the whole text, unless the caller vouches for the cuts."""
    encoding = reference("o200k_base")
    text = "one two three " * 50
    tokenizer = Recording(encoding, "new_base")
    assert fed(TokenCounter(tokenizer), *text).total == whole(encoding, text)
    assert tokenizer.asked == [text]
    assert TokenCounter(tokenizer).fitting(text, 9) == len("one two three " * 3) - 1
    vouched = fed(TokenCounter(tokenizer, cuttable=True), *text)
    assert vouched.total == whole(encoding, text)
    assert max(map(len, tokenizer.asked[-3:])) < 2 * COMMIT_CHARS


def stops(text: str) -> Iterator[int]:
    """Give the places that do not part a pair of surrogates."""
    for place in range(len(text) + 1):
        if not re.fullmatch("[\ud800-\udbff][\udc00-\udfff]", text[max(place - 1, 0) : place + 1]):
            yield place


@settings(deadline=None)
@given(pieces=PIECES, more=PIECES, room=st.integers(-2, 60))
def test_what_fits_is_within_the_limit_and_more_is_not(
    encoding: tiktoken.Encoding, pieces: list[str], more: list[str], room: int
) -> None:
    """The count up to the cut is within the limit, which is passed nearby; nothing is kept."""
    sent, text = "".join(pieces), "".join(more)
    counter = fed(TokenCounter(Recording(encoding)), *pieces)
    total = whole(encoding, sent)
    limit = total + room
    fits = counter.fitting(text, limit)
    assert counter.total == total
    if fits is None:
        assert whole(encoding, sent + text) <= limit
    elif fits == 0 and room < 0:
        assert whole(encoding, sent + text) > limit
    else:
        assert whole(encoding, sent + text[:fits]) <= limit
        places = list(stops(text))
        at = places.index(fits)
        near = places[max(at - LOOKAHEAD_CHARS, 0) : at + 2]
        assert any(whole(encoding, sent + text[:place]) > limit for place in near)
    counter.feed(text)
    assert counter.total == whole(encoding, sent + text)


def test_bytes_alone_show_that_a_text_fits(encoding: tiktoken.Encoding) -> None:
    """Nothing is encoded while there are fewer bytes than tokens to spare."""
    tokenizer = Recording(encoding)
    counter = fed(TokenCounter(tokenizer), "x" * 3000, " y" * 3000)
    before = tokenizer.asked.copy()
    assert counter.fitting("é" * 100, 9200) is None
    assert counter.fitting("\ud83d\ude00é", 9006) is None
    assert tokenizer.asked == before
    assert counter.fitting("é", 9001) is None
    assert len(tokenizer.asked) > len(before)


def test_what_waits_is_counted_before_a_cut_is_sought(encoding: tiktoken.Encoding) -> None:
    """A long part that nobody has counted is, once its bytes no longer show that all fits."""
    long = "some words " * 1000
    tokenizer = Recording(encoding)
    counter = fed(TokenCounter(tokenizer), long)
    assert tokenizer.asked == []
    limit = whole(encoding, long + "and more words")
    assert counter.fitting("and more words", limit) is None
    assert counter.fitting("and more words", limit - 1) == len("and more")


def test_a_long_text_takes_few_counts_to_cut(encoding: tiktoken.Encoding) -> None:
    """A hundred thousand characters are cut with some forty counts of little more than the text."""
    tokenizer = Recording(encoding)
    text = "The weir measures a stream, and controls it. " * 2300
    limit = whole(encoding, text) // 2
    fits = TokenCounter(tokenizer).fitting(text, limit)
    assert fits is not None
    assert whole(encoding, text[:fits]) <= limit < whole(encoding, text[: fits + 1])
    assert len(tokenizer.asked) < 80
    assert sum(map(len, tokenizer.asked)) < 4 * len(text)


def test_a_limit_that_is_passed_lets_nothing_through(encoding: tiktoken.Encoding) -> None:
    """Where the text so far has too many tokens, no character fits."""
    assert fed(TokenCounter(Recording(encoding)), "one two three").fitting(" four", 2) == 0


def test_a_word_that_becomes_one_token_later_is_found(reference: Reference) -> None:
    """Counts may fall: the cut is behind the last beginning, nearby, that fits again."""
    encoding = reference("o200k_base")
    counts = [whole(encoding, " Python and"[:end]) for end in range(12)]
    assert counts == [0, 1, 1, 1, 2, 2, 3, 1, 2, 2, 2, 2]
    assert TokenCounter(Recording(encoding)).fitting(" Python and", 1) == len(" Python")
    counts = [whole(encoding, " Each and"[:end]) for end in range(7)]
    assert counts == [0, 1, 1, 1, 2, 1, 2]
    assert TokenCounter(Recording(encoding)).fitting(" Each and", 1) == len(" Each")


def test_a_cut_is_found_wherever_the_deltas_end(reference: Reference) -> None:
    """Characters around the end of a look are seen by the next one, so that no cut is missed."""
    tokenizer = Recording(reference("o200k_base"))
    fed(eager(tokenizer), *"one two\nthree.4 rock'n'roll 'a")
    assert tokenizer.asked == ["one", " two", "\nthree", ".", "4", " rock", "'n'roll"]


def test_the_rest_of_a_count_is_what_it_would_be(encoding: tiktoken.Encoding) -> None:
    """Asking for the total with more text adds none."""
    counter = fed(TokenCounter(Recording(encoding)), "don")
    assert counter.total_with("'t \ud83d") == whole(encoding, "don't \ud83d")
    assert counter.total == whole(encoding, "don")


@pytest.mark.parametrize("unit", ["aaaa", "ha", "=", " ", "\n", "x!y"])
def test_a_long_piece_costs_its_new_characters_though_it_is_asked_for_each_time(
    unit: str, encoding: tiktoken.Encoding
) -> None:
    """The total of a run is asked at each delta, and few characters are encoded for it."""
    tokenizer = Spelled(encoding)
    counter, text = TokenCounter(tokenizer), "f(x)" + unit * (20_000 // len(unit))
    for start in range(0, len(text), 8):
        counter.feed(text[start : start + 8])
        total = counter.total
        if start % 1000 == 0:
            assert total == whole(encoding, text[: start + 8])
    assert counter.total == whole(encoding, text)
    assert len("".join(tokenizer.asked)) < 40 * len(text)
    for more in (" and", " then", "."):
        text += more
        assert fed(counter, more).total == whole(encoding, text)


@settings(deadline=None, max_examples=40)
@given(pieces=PIECES, unit=st.text("aZ!= \n\t'/(", min_size=1, max_size=3), more=PIECES)
def test_a_run_among_other_texts_is_counted_right(
    encoding: tiktoken.Encoding, pieces: list[str], unit: str, more: list[str]
) -> None:
    """Whatever is before and behind a run, each total asked for is that of the whole text."""
    counter, text = TokenCounter(Spelled(encoding)), ""
    for piece in (*pieces, *[unit * 100] * 9, *more):
        ahead = counter.total_with(piece)
        text += piece
        assert fed(counter, piece).total == ahead == whole(encoding, text)


@pytest.mark.parametrize("unit", ["a", "=", " ", "ha"])
def test_a_limit_within_a_long_piece_is_found_cheaply(
    unit: str, encoding: tiktoken.Encoding
) -> None:
    """It is the same place, whether all comes at once or delta by delta, for few characters."""
    text = unit * (20_000 // len(unit))
    limit = whole(encoding, text) // 2
    tokenizer = Spelled(encoding)
    fits = TokenCounter(tokenizer).fitting(text, limit)
    assert fits is not None
    assert whole(encoding, text[:fits]) <= limit < whole(encoding, text[: fits + 17])
    assert len("".join(tokenizer.asked)) < 8 * len(text)
    counter = fed(TokenCounter(tokenizer), text[:9000])
    assert counter.total == whole(encoding, text[:9000])
    before = len(tokenizer.asked)
    end = 9000
    while (more := counter.fitting(text[end : end + 8], limit)) is None:
        counter.feed(text[end : end + 8])
        end += 8
    assert whole(encoding, text[: end + more]) <= limit < whole(encoding, text[: end + 8])
    assert len("".join(tokenizer.asked[before:])) < 40 * (end - 9000) + 2000


def test_a_long_part_that_waits_is_counted_with_the_piece_behind_it(
    encoding: tiktoken.Encoding,
) -> None:
    """The total of a piece is that of all the text."""
    parts = "some words " * 1000, "7", *["=" * 100] * 50
    counter = fed(TokenCounter(Spelled(encoding)), *parts)
    assert counter.total == whole(encoding, "".join(parts))
