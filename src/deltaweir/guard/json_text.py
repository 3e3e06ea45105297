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


class Decoder:
    """Decode a JSON text that comes in pieces; an escape may be cut anywhere.

    The decoder does not know which parts are strings: it tells of every quote that is not
    escaped. It holds back no more than an escape that is not whole yet, and before it a high
    surrogate whose other half may follow.
    """

    def __init__(self) -> None:
        self._escape = ""
        self._high = ""

    @property
    def torn(self) -> bool:
        """Whether the last piece ended within a character."""
        return bool(self._escape or self._high)

    def take(self, piece: str, start: int) -> Decoded:
        """Decode a piece from a character on, up to a quote or the end."""
        parts: list[str] = []
        at, size = start, len(piece)
        while at < size:
            if self._escape:
                at = self._go_on(piece, at, parts)
                continue
            found = _SPECIAL.search(piece, at)
            end = size if found is None else found.start()
            if end > at:
                self._put(piece[at:end], parts)
            if end == size:
                return Decoded("".join(parts), size, quote=False)
            at, character = end + 1, piece[end]
            if character == '"':
                self._put("", parts)
                return Decoded("".join(parts), at, quote=True)
            if character == "\\":
                self._escape = character
            else:
                self._put_surrogate(character, parts)
        return Decoded("".join(parts), size, quote=False)

    def rest(self) -> str:
        """Return, as characters like others, what was held back when the text has ended."""
        parts: list[str] = []
        self._give_up(parts)
        return "".join(parts)

    def _go_on(self, piece: str, at: int, parts: list[str]) -> int:
        """Add to the escape that has begun; return where it ended, or ceased to be one."""
        if self._escape == "\\":
            letter = piece[at]
            if letter == "u":
                self._escape += letter
                return at + 1
            meaning = _MEANINGS.get(letter)
            if meaning is None:
                self._give_up(parts)
                return at
            self._escape = ""
            self._put(meaning, parts)
            return at + 1
        found = _HEXADECIMAL.match(piece, at, at + _UNICODE_ESCAPE - len(self._escape))
        digits = "" if found is None else found.group()
        self._escape += digits
        end = at + len(digits)
        if len(self._escape) == _UNICODE_ESCAPE:
            character = chr(int(self._escape[_INTRODUCED:], 16))
            self._escape = ""
            if "\ud800" <= character <= "\udfff":
                self._put_surrogate(character, parts)
            else:
                self._put(character, parts)
        elif end < len(piece):
            self._give_up(parts)
        return end

    def _give_up(self, parts: list[str]) -> None:
        self._put(self._escape, parts)
        self._escape = ""

    def _put(self, text: str, parts: list[str]) -> None:
        if self._high:
            parts.append(self._high)
            self._high = ""
        parts.append(text)

    def _put_surrogate(self, half: str, parts: list[str]) -> None:
        if half <= "\udbff":
            self._put("", parts)
            self._high = half
        elif self._high:
            pair, self._high = self._high + half, ""
            parts.append(pair.encode("utf-16-le", "surrogatepass").decode("utf-16-le"))
        else:
            parts.append(half)


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
