r"""Exact token count of one long piece that grows, at the cost of what is appended. Pure.

**The problem.** A model that loops sends a hundred thousand times one letter, or a ruler of
``=``, or blanks: one piece of the encoding's pattern, so that no beginning of it is settled.

**The theorem** (Hendrik van Antwerpen and Alexander Neubeck, the write-up of GitHub's ``bpe``
crate): a sequence of tokens is the byte pair encoding of its bytes if and only if each two
neighbours are that of theirs. So the tokens of the piece so far are kept. When text is appended,
the last token is taken back and encoded together with it; where the pair at the seam encodes to
itself, all pairs do, and the sequence is right. Otherwise more tokens are taken back, at worst all.

Why it holds: until a merge crosses a border of the sequence, what happens on one side of each
border depends on nothing beyond, so the first merge that crosses one would also be made in the
text of these two tokens alone. That asks nothing of the ranks.

**A piece that is a token itself** is looked up by tiktoken before anything is merged, even a
token that no merges lead to. That is no harm:

- The last piece of a body is longer than any token (``LONGEST_TOKEN_CHARS``), so it is merged.
- A pair at the seam that is one token may be refused though merges would leave it: more is taken
  back, which is slower and as exact. A pair within a piece is accepted only by merges, for a
  lookup gives one token, not two.
- What is encoded again may come back as one token that no merges lead to. Then the pair with the
  token before it in its piece is refused; without one, it would be the whole piece.

**Where a part may be encoded on its own.** The theorem is about one piece, but a tokenizer takes
texts. So a *body* is admitted only if every part of it has the same borders of pieces alone as
it has within, in cl100k_base, o200k_base, p50k_base and r50k_base. With one class of ASCII as
all that follows, these are:

- *small letters*, or capitals and then small letters; *capitals* alone. Before them one blank
  or one mark, which is in the piece, or in r50k a mark is a piece of its own, alone as within.
- *marks*: ASCII punctuation and signs; before them one blank.
- *line feeds*; before them marks with or without a blank, since cl100k and o200k count line
  ends to the marks before them.
- *blanks*, or *tabs*; before them line feeds. White space to the end of a text is one piece,
  but that o200k cuts it behind the last line feed, in every part of it alike.

**Where a body begins** a piece must begin, whatever follows: at a blank before a letter or a mark;
at the start of the text, which is a cut of ``deltaweir.meter.tokens``; at a letter behind a
digit, a line end, two marks, or a blank and a mark; at a mark behind a letter, a digit or a
line end; at white space behind what is none. Never at or behind ``/`` that could follow line
ends, which o200k adds to them. The tokens before the body are counted with its first two
characters behind them, since white space looks at what follows.

**Left out**, counted whole as before: the apostrophe, whose letters may be a contraction; mixed
white space, where a later line end moves borders; blanks behind marks and line feeds, where
cl100k and r50k disagree; changing case, and all but ASCII, where tokens end within characters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

LONGEST_TOKEN_CHARS = 128
"""Bytes, and so characters of ASCII, of the longest token in any of the encodings."""

LONG_PIECE_BYTES = 512
"""Bytes without a cut from which on a seam pays; shorter pieces are encoded whole."""

_REMEMBERED_PAIRS = 4096
_SMALL = "abcdefghijklmnopqrstuvwxyz"
_CAPITALS = _SMALL.upper()
_LETTERS = _SMALL + _CAPITALS
_DIGITS = "0123456789"
_MARKS_LESS_SLASH = '!"#$%&()*+,-.:;<=>?@[\\]^_`{|}~'
_MARKS = _MARKS_LESS_SLASH + "/"


@runtime_checkable
class Spelling(Protocol):
    """A tokenizer that can also say what each token of a text is.

    It promises that it merges by rank, as tiktoken does, with the pattern that its name tells.
    """

    def count(self, text: str) -> int:
        """Return the number of tokens of a text."""

    def tokens(self, text: str) -> list[str]:
        """Return the tokens of an ASCII text, of which each is ASCII too."""


class Seam:
    """Counts the tokens of a text that has no cut, once it ends in a body.

    Not to be shared between threads.

    Args:
        tokenizer: Encodes parts of the text.
    """

    __slots__ = (
        "_before",
        "_chars",
        "_class",
        "_next_try_chars",
        "_pairs",
        "_taken",
        "_tokenizer",
        "_tokens",
    )

    def __init__(self, tokenizer: Spelling) -> None:
        self._tokenizer = tokenizer
        self._taken = 0
        self._chars = 0
        self._next_try_chars = LONG_PIECE_BYTES
        self._before = 0
        self._class = ""
        self._tokens: list[str] = []
        self._pairs: dict[tuple[str, str], bool] = {}

    def total(self, stem: Sequence[str], rest: str) -> int | None:
        """Return the number of tokens of a text, or None where it has to be counted whole.

        Args:
            stem: The text's beginning, in parts. Each call gives those of the call before, and
                perhaps more behind them; these alone are encoded.
            rest: What follows it. The next call need not go on with it.
        """
        if self._taken < len(stem):
            self._take(stem)
        if not self._tokens or rest.strip(self._class):
            return None
        kept, fresh = self._appended(rest)
        return self._before + kept + len(fresh)

    def copy(self) -> Seam:
        """Return one that goes on from here on its own."""
        other = Seam(self._tokenizer)
        other._taken, other._chars, other._before = self._taken, self._chars, self._before
        other._next_try_chars, other._class = self._next_try_chars, self._class
        other._tokens = self._tokens.copy()
        return other

    def _take(self, stem: Sequence[str]) -> None:
        """Encode what the stem has grown by, or look for a body where there is none."""
        more = "".join(stem[self._taken :])
        self._taken = len(stem)
        self._chars += len(more)
        if self._tokens and not more.strip(self._class):
            kept, fresh = self._appended(more)
            self._tokens[kept:] = fresh
            return
        self._tokens = []
        if self._chars >= self._next_try_chars:
            self._next_try_chars = 2 * self._chars  # so that all tries cost twice the last
            self._begin("".join(stem))

    def _begin(self, text: str) -> None:
        """Encode a text that ends in a body."""
        found = body_of(text)
        if found is None:
            return
        start, self._class = found
        first = text[start : start + 2]
        count = self._tokenizer.count
        self._before = count(text[:start] + first) - count(first) if start else 0
        self._tokens = self._tokenizer.tokens(text[start:])

    def _appended(self, text: str) -> tuple[int, list[str]]:
        """Return how many tokens stay when a text of the class follows, and those behind them."""
        tokens = self._tokens
        kept, back = len(tokens), 1
        fresh: list[str] = []
        while text:
            start = max(kept - back, 0)
            text = "".join((*tokens[start:kept], text))
            kept, back = start, 2 * back
            fresh = self._tokenizer.tokens(text)
            if not kept or self._are_neighbours(tokens[kept - 1], fresh[0]):
                break
        return kept, fresh

    def _are_neighbours(self, left: str, right: str) -> bool:
        """Say whether the encoding leaves two tokens as they are when they meet."""
        known = self._pairs.get((left, right))
        if known is None:
            if len(self._pairs) >= _REMEMBERED_PAIRS:
                self._pairs.clear()
            known = self._tokenizer.tokens(left + right) == [left, right]
            self._pairs[left, right] = known
        return known


def body_of(text: str) -> tuple[int, str] | None:
    """Return where the body begins in which a text ends, and the characters it may grow by.

    Args:
        text: A text that begins where a piece does, whatever comes before and after it.

    Returns:
        None when the text ends in no body, or in one that might be no longer than a token.
    """
    for members, start_of in _STARTS.items():
        end = len(text.rstrip(members))
        if end < len(text):
            start = start_of(text, end)
            long = len(text) - end > LONGEST_TOKEN_CHARS
            return (start, members) if long and start is not None else None
    return None


# each returns where the body begins whose class begins at the end of what is before it


def _start_of_word(text: str, end: int) -> int | None:
    before = text[max(end - 2, 0) : end]
    if not before or before[-1] in _DIGITS + "\r\n":
        return end
    if before[-1] == " ":
        return end - 1
    if len(before) == 1:
        return 0 if before in _MARKS else None
    if before[-1] not in _MARKS_LESS_SLASH:
        return None
    if before[-2] in _MARKS_LESS_SLASH + " ":
        return end
    return end - 1 if before[-2] in _LETTERS + _DIGITS + "\r\n" else None


def _start_of_small_letters(text: str, end: int) -> int | None:
    return _start_of_word(text, len(text[:end].rstrip(_CAPITALS)))


def _start_of_marks(text: str, end: int) -> int | None:
    before = text[end - 1 : end]
    if not before or before in _LETTERS + _DIGITS:
        return end
    if before == " ":
        return end - 1
    return end if before in "\r\n" and text[end] != "/" else None


def _start_of_line_feeds(text: str, end: int) -> int | None:
    unmarked = len(text[:end].rstrip(_MARKS))
    if unmarked < end:
        return _start_of_marks(text, unmarked)
    return end if not end or text[end - 1] in _LETTERS + _DIGITS else None


def _start_of_white_space(text: str, end: int) -> int | None:
    unbroken = len(text[:end].rstrip("\n"))
    black = _LETTERS + _DIGITS if unbroken < end else _LETTERS + _DIGITS + _MARKS + "'"
    return unbroken if not unbroken or text[unbroken - 1] in black else None


_STARTS = {
    _SMALL: _start_of_small_letters,
    _CAPITALS: _start_of_word,
    _MARKS: _start_of_marks,
    "\n": _start_of_line_feeds,
    " ": _start_of_white_space,
    "\t": _start_of_white_space,
}
