r"""What the characters of a JSON text stand for, and how to write them again. Pure.

A reader of JSON sees decoded characters, so a rule must see them too: ``\u0073ecret`` is
``secret``. What leaves is spelled anew from what the rules saw, so that no spelling, right or
wrong, means more to any reader than it meant to them.

Decoded are the escapes of RFC 8259, section 7, and ``\'``, which models write by mistake. Any
other backslash is a character like others, and leaves as ``\\``. Two surrogates in a row, high
and low, are one character, however they are spelled; a lone one stays, and leaves as its
escape, since UTF-8 has no bytes for it.
"""

from __future__ import annotations

import re
from collections import deque
from typing import NamedTuple

STAND_IN = "\uffff"
"""Outside strings, what leaves as a quote: a code point that is no character, taken out first."""

# these patterns are single classes: each character is looked at once
_SPECIAL = re.compile('["\\\\\ud800-\udfff]')
_HEXADECIMAL = re.compile("[0-9a-fA-F]*")
_TO_ESCAPE = re.compile('["\\\\\x00-\x1f\ud800-\udfff]')
_TO_ESCAPE_OUTSIDE = re.compile(f'["\\\\{STAND_IN}\ud800-\udfff]')

_INTRODUCED = len(r"\u")
_UNICODE_ESCAPE = len(r"\u0000")
_MEANINGS = {
    '"': '"',
    "'": "'",
    "\\": "\\",
    "/": "/",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
}
_SPELLINGS = {
    meaning: "\\" + letter for letter, meaning in _MEANINGS.items() if letter not in "'/"
} | {STAND_IN: '"'}


class Decoded(NamedTuple):
    """A part of a JSON text, up to a quote or to the end of what there is."""

    text: str
    """The characters it stands for."""
    end: int
    """Where the part ended, in characters of the piece: behind the quote if there was one."""
    quote: bool
    """Whether a quote that is not escaped ended it."""


class Places:
    """Know where decoded characters stand in the text as it came.

    Only escapes are remembered, for between them one character is one character, and only
    those behind the last question.
    """

    def __init__(self) -> None:
        self._decoded = self._raw = 0
        self._jumps: deque[tuple[int, int]] = deque()

    def note(self, decoded: int, raw: int) -> None:
        """Take note that the text up to here is so many characters, decoded and as it came."""
        self._jumps.append((decoded, raw))

    def of(self, decoded: int) -> int:
        """Return where a decoded character begins, which is where the one before it ends.

        Args:
            decoded: Its number from 0; no less than in any question before.
        """
        jumps = self._jumps
        while jumps and jumps[0][0] <= decoded:
            self._decoded, self._raw = jumps.popleft()
        return self._raw + decoded - self._decoded


class Decoder:
    """Decode a JSON text that comes in pieces; an escape may be cut anywhere.

    The decoder does not know which parts are strings: it tells of every quote that is not
    escaped. It holds back no more than an escape that is not whole yet, and before it a high
    surrogate whose other half may follow.

    Attributes:
        raw: Characters that came.
        decoded: Characters they stand for, with quotes, without what is held back.
        places: Where the decoded characters stand among those that came.
    """

    def __init__(self) -> None:
        self.raw = self.decoded = 0
        self.places = Places()
        self._escape = ""
        self._high = ""
        self._high_end = 0

    @property
    def torn(self) -> bool:
        """Whether the last piece ended within a character."""
        return bool(self._escape or self._high)

    @property
    def held(self) -> str:
        """What came of a character that is not whole, as JSON text."""
        return encode(self._high) + self._escape

    def take(self, piece: str, start: int) -> Decoded:
        """Decode a piece from a character on, up to a quote or the end."""
        parts: list[str] = []
        at, size, quote = start, len(piece), False
        while at < size and not quote:
            if self._escape:
                came = self._go_on(piece, at, parts)
                at += came
                self.raw += came
                continue
            found = _SPECIAL.search(piece, at)
            end = size if found is None else found.start()
            if end > at:
                self._put(piece[at:end], parts)
                self.raw += end - at
            at = end
            if found is not None:
                at += 1
                self.raw += 1
                quote = self._begin(found.group(), parts)
        return Decoded("".join(parts), at, quote)

    def rest(self) -> str:
        """Return, as characters like others, what was held back when the text has ended."""
        parts: list[str] = []
        self._give_up(parts)
        return "".join(parts)

    def _begin(self, special: str, parts: list[str]) -> bool:
        """Take a special character; tell whether it is a quote."""
        if special == "\\":
            self._escape = special
        elif special == '"':
            self._put("", parts)
            self.decoded += 1
            return True
        else:
            self._put_whole(special, self.raw, parts)
        return False

    def _go_on(self, piece: str, at: int, parts: list[str]) -> int:
        """Add to the escape that has begun; return how many characters belong to it."""
        if self._escape == "\\":
            letter = piece[at]
            meaning = _MEANINGS.get(letter)
            if letter == "u":
                self._escape += letter
            elif meaning is not None:
                self._put_whole(meaning, self.raw + 1, parts)
            else:
                self._give_up(parts)
                return 0
            return 1
        found = _HEXADECIMAL.match(piece, at, at + _UNICODE_ESCAPE - len(self._escape))
        digits = "" if found is None else found.group()
        self._escape += digits
        if len(self._escape) == _UNICODE_ESCAPE:
            character = chr(int(self._escape[_INTRODUCED:], 16))
            self._put_whole(character, self.raw + len(digits), parts)
        elif at + len(digits) < len(piece):
            self._give_up(parts)
        return len(digits)

    def _give_up(self, parts: list[str]) -> None:
        self._put(self._escape, parts)
        self._escape = ""

    def _put(self, text: str, parts: list[str]) -> None:
        if self._high:
            parts.append(self._high)
            self.decoded += 1
            self.places.note(self.decoded, self._high_end)
            self._high = ""
        parts.append(text)
        self.decoded += len(text)

    def _put_whole(self, character: str, end: int, parts: list[str]) -> None:
        """Take a character that may have come as several; a surrogate may be half of one."""
        self._escape = ""
        if "\ud800" <= character <= "\udbff":
            self._put("", parts)
            self._high, self._high_end = character, end
            return
        if self._high and "\udc00" <= character <= "\udfff":
            pair, self._high = self._high + character, ""
            character = pair.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
        self._put(character, parts)
        self.places.note(self.decoded, end)


def encode(text: str) -> str:
    """Write text as the content of a JSON string; only what must be escaped is."""
    return _TO_ESCAPE.sub(_spelled, text)


def encode_outside(text: str) -> str:
    """Write text that stands outside of strings, where blanks and line ends are no escapes.

    What was no quote in the text becomes none: it is escaped. The stand-in becomes a quote.
    """
    return _TO_ESCAPE_OUTSIDE.sub(_spelled, text)


def _spelled(found: re.Match[str]) -> str:
    character = found.group()
    return _SPELLINGS.get(character) or f"\\u{ord(character):04x}"
