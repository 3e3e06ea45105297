r"""Exact running count of a text's tokens, at the cost of its new characters. Pure.

**Why not just count each delta.** Tokens do not end where deltas end: ``"tok"`` and ``"en"``
are two tokens, ``"token"`` is one. Encoding the whole text again for every delta is exact and
quadratic. Here a prefix whose count no later text can change is counted once and forgotten::

    count(text) == counted + count(tail)            for the text so far and all it grows into

Where that may be is told by ``deltaweir.meter.cuts``.

**What has no cut** (a word of 100 kB, blanks, ideographs without a stop) is looked at once, and
encoded only when somebody asks; so is what is longer than ``LAZY_CHARS`` when its cut is found,
since ``feed`` must not stop a loop. Each total of a long piece without a cut encodes it all,
unless ``deltaweir.meter.seam`` knows its class and the tokenizer tells tokens apart.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import Protocol

from deltaweir.meter.cuts import CUTTABLE, LAST_CUT, UNDECIDED_CHARS
from deltaweir.meter.seam import LONG_PIECE_BYTES, Seam, Spelling

COMMIT_CHARS = 64
"""Characters that gather before a cut is looked for.

Fewer means more calls of the tokenizer, more means that each total encodes more. Settled by
``benchmarks/bench_token_counter.py``.
"""

LAZY_CHARS = 2048
"""Characters that ``feed`` encodes at most at a time; longer ones wait until they are asked for."""

LOOKAHEAD_CHARS = 16
"""Characters behind a cut of ``fitting`` that are tried too, since counts fall at times."""

_BYTES_PER_CHAR = 4  # the most that UTF-8 needs; a pair of surrogates is two characters here

_SURROGATE = re.compile("[\ud800-\udfff]")
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")


class Tokenizer(Protocol):
    """Counts the tokens of a text, all at once."""

    @property
    def name(self) -> str:
        """The encoding's name, such as ``o200k_base``."""

    def count(self, text: str) -> int:
        """Return the number of tokens of a text.

        The text of a special token counts as plain text. Each token stands for at least one
        byte of UTF-8. The text holds no surrogates.
        """


def mended(text: str) -> str:
    """Return a text with its pairs of surrogates joined and lone ones made U+FFFD.

    A pair comes apart when JSON escapes both halves in different deltas. This is what tiktoken
    does to a text that UTF-8 cannot hold.
    """
    if text.isascii() or _SURROGATE.search(text) is None:
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class TokenCounter:
    """Counts the tokens of one growing text, exactly at every moment.

    Not to be shared between threads. The text is the counted part, which is forgotten, then
    ``_waiting``, which ends at a cut, then the tail: ``_stem``, where no cut was found, and
    ``_parts``, where none was looked for. Only ``_parts`` may hold surrogates.

    Args:
        tokenizer: Counts pieces of the text; its answers are trusted.
        cuttable: Whether its pattern allows the cuts of ``deltaweir.meter.cuts``, and with
            ``Spelling`` the seams; None goes by its name. Without, each total encodes all.
    """

    __slots__ = (
        "_counted",
        "_look_chars",
        "_part_chars",
        "_parts",
        "_seam",
        "_seam_bytes",
        "_stem",
        "_stem_bytes",
        "_tokenizer",
        "_total",
        "_waiting",
        "_waiting_bytes",
    )

    def __init__(self, tokenizer: Tokenizer, *, cuttable: bool | None = None) -> None:
        if cuttable is None:
            cuttable = tokenizer.name in CUTTABLE
        self._tokenizer = tokenizer
        self._look_chars = COMMIT_CHARS if cuttable else sys.maxsize
        self._seam: Seam | None = None
        self._seam_bytes = LONG_PIECE_BYTES if cuttable else sys.maxsize
        self._counted = 0
        self._waiting: list[str] = []
        self._waiting_bytes = 0
        self._stem: list[str] = []
        self._stem_bytes = 0
        self._parts: list[str] = []
        self._part_chars = 0
        self._total: int | None = 0

    def feed(self, text: str) -> None:
        """Append a text; encodes nothing most of the time, and 2,048 characters at the most."""
        if text:
            self._total = None
            self._parts.append(text)
            self._part_chars += len(text)
            if self._part_chars > self._look_chars:
                self._look()

    @property
    def total(self) -> int:
        """The number of tokens of the text so far, exactly as if all of it were encoded now.

        Half a pair of surrogates at its end counts as U+FFFD until the other half comes.
        """
        if self._total is None:
            self._total = self.total_with("")
        return self._total

    def total_with(self, text: str) -> int:
        """Return the total that there would be with this text appended; changes nothing."""
        if self._stem_bytes >= self._seam_bytes:
            total = self._total_by_seam(text)
            if total is not None:
                return total
        if self._waiting:
            self._count_waiting()
        tail = mended("".join((*self._stem, *self._parts, text)))
        return self._counted + (self._tokenizer.count(tail) if tail else 0)

    def fitting(self, text: str, limit: int) -> int | None:
        """Return how many characters of a text may be appended within a limit; None for all.

        The total stays as it is, and nothing is encoded while the number of bytes alone shows
        that all fits. Counts do not always grow with the text, so that a longer beginning may
        fit too, more than 16 characters on. A pair of surrogates in the text is never parted.

        Args:
            text: What is to be appended.
            limit: The most tokens that the text so far and what is appended may have.

        Returns:
            A number of characters with which the exact count is at most the limit, or 0 when
            the limit has been passed already; None when the whole text fits.
        """
        if self._surely_fits(text, limit):
            return None
        if self._waiting:  # its bytes say far less than its count
            self._count_waiting()
            if self._surely_fits(text, limit):
                return None
        if self.total_with(text) <= limit:
            return None
        if self.total > limit:
            return 0
        return _longest(self._copy(), text, limit)

    def _copy(self) -> TokenCounter:
        """Return a counter that goes on from here on its own, once nothing waits."""
        other = TokenCounter(self._tokenizer, cuttable=self._look_chars < sys.maxsize)
        other._counted = self._counted
        other._stem, other._stem_bytes = self._stem.copy(), self._stem_bytes
        other._parts, other._part_chars = self._parts.copy(), self._part_chars
        other._seam = self._seam and self._seam.copy()
        return other

    def _total_by_seam(self, text: str) -> int | None:
        """Return the total with this text where the tail is one long piece of a known class."""
        if self._seam is None:
            if not isinstance(self._tokenizer, Spelling):
                self._seam_bytes = sys.maxsize
                return None
            self._seam = Seam(self._tokenizer)
        tokens = self._seam.total(self._stem, "".join((*self._parts, text)))
        if tokens is not None:
            if self._waiting:
                self._count_waiting()
            return self._counted + tokens
        self._look()  # what left the class may hold a cut
        return None

    def _look(self) -> None:
        """Look for a cut in what has gathered; count or shelve what is before the last one."""
        window = "".join(self._parts)
        half = ""
        if not window.isascii():
            if "\ud800" <= window[-1] <= "\udbff":
                window, half = window[:-1], window[-1]
            window = mended(window)
        cut = LAST_CUT.match(window)
        if cut is None:
            end = max(len(window) - UNDECIDED_CHARS, 0)
            self._stem.append(window[:end])
            self._stem_bytes += len(window[:end].encode())
        else:
            end = cut.end()
            self._commit(window[:end])
        rest = window[end:] + half
        self._parts[:] = (rest,)
        self._part_chars = len(rest)

    def _commit(self, head: str) -> None:
        """Count or shelve the stem and what follows it, whose count no text can change."""
        if self._stem:
            head = "".join((*self._stem, head))
            self._stem.clear()
            self._stem_bytes = 0
            self._seam = None
        if len(head) > LAZY_CHARS:
            self._waiting.append(head)
            self._waiting_bytes += len(head.encode())
        else:
            self._counted += self._tokenizer.count(head)

    def _count_waiting(self) -> None:
        for part in self._waiting:
            self._counted += self._tokenizer.count(part)
        self._waiting.clear()
        self._waiting_bytes = 0

    def _surely_fits(self, text: str, limit: int) -> bool:
        """Say whether bytes alone show that the count with this text is within a limit."""
        spare = limit - self._counted - self._waiting_bytes - self._stem_bytes
        if (self._part_chars + len(text)) * _BYTES_PER_CHAR <= spare:
            return True
        return len(mended("".join((*self._parts, text))).encode()) <= spare


def _longest(probe: TokenCounter, text: str, limit: int) -> int:
    """Return where to cut a text of which the empty beginning fits and the whole does not.

    The probe takes in what is known to fit, so that all the counts together encode about twice
    the text, and the last ones a few characters each, unless the text has no cut.
    """
    places = _places(text)
    fits, passes = 0, len(places) - 1
    while passes - fits > 1:
        middle = (fits + passes) // 2
        more = text[places[fits] : places[middle]]
        if probe.total_with(more) <= limit:
            probe.feed(more)
            fits = middle
        else:
            passes = middle
    for place in reversed(places[passes + 1 : passes + 1 + LOOKAHEAD_CHARS]):
        if probe.total_with(text[places[fits] : place]) <= limit:
            return place
    return places[fits]


def _places(text: str) -> Sequence[int]:
    """Return where a text may be cut: anywhere but within a pair of surrogates."""
    within = {pair.start() + 1 for pair in _PAIR.finditer(text)}
    places = range(len(text) + 1)
    return [place for place in places if place not in within] if within else places
