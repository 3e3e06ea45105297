"""Tokens that spell a text: which characters each stands for, or that nobody can tell. Pure."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

from deltaweir.schema.scored import Token

_ILLEGIBLE = "\ufffd"
"""What servers and decoders put in place of a part of a character."""

_WINDOW = 4096
"""Characters in which a unit's next token is looked for, so that odd lists cost little."""

_MOST_AHEAD = 256
"""Tokens that may wait for their text; a server is ahead by the length of a stop word."""


class Place(NamedTuple):
    """A text of a chunk, and where in its field it begins."""

    field: str
    start: int
    text: str


class Span(NamedTuple):
    """Characters of a field, from the first to the one behind the last."""

    field: str
    start: int
    end: int


class Entry(NamedTuple):
    """An entry and its characters; of a stray nobody knows them."""

    value: Any
    spans: tuple[Span, ...]
    stray: bool = False


class Unit:
    """Entries whose own characters are not known, unless their tokens make up all texts.

    Each token is looked for in the texts, behind the one before it. One that comes before
    its text waits for it; one that the text passes over is said nowhere, and is dropped.
    """

    def __init__(self) -> None:
        self._said: list[Any] = []
        self._legible = False  # whether one of these can be read
        self._ahead: deque[Token] = deque()
        self._rest = ""
        self._all: list[Token] | None = []  # None once they cannot make up the texts
        self._places: list[Place] = []
        self._missing = 0  # bytes of the tokens that no text has said

    def add(self, tokens: list[Token]) -> None:
        """Take tokens, before the texts of their chunk."""
        self._ahead.extend(tokens)
        if self._all is not None:
            self._all += tokens
            self._missing += sum(len(_bytes(one.token, one.raw)) for one in tokens)

    def cover(self, place: Place) -> None:
        """Take a text of a chunk."""
        self._rest += place.text
        if self._all is not None and {place.field} >= {one.field for one in self._places[-1:]}:
            self._places.append(place)
            self._missing -= len(_bytes(place.text))
        else:
            self._all = None

    def say(self, text: str) -> None:
        """Let the entries also say this, which has no place: the name of a function."""
        self._rest += text
        self._all = None

    def exact(self) -> list[Entry] | None:
        """Return the entries with their own characters, if the tokens make up the text so far."""
        if self._all is None or self._missing or not self._places:
            return None
        whole = self._places[0]._replace(text="".join(place.text for place in self._places))
        tokens, self._all = self._all, None
        return None if pieces(tokens, whole.text) is None else list(placed(tokens, whole))

    def before(self, place: Place) -> list[Entry] | None:
        """Return the entries as parts of a text's first character, if none can be read."""
        if self._legible or any(_end_of(token.legible, "", 0) is None for token in self._ahead):
            return None
        span = Span(place.field, place.start, place.start + 1)
        return [Entry(one, (span,)) for one in (*self._said, *(one.value for one in self._ahead))]

    def compare(self) -> None:
        """Look for the tokens in what was said."""
        ahead, said, at = self._ahead, self._rest, 0
        while ahead:
            legible = ahead[0].legible
            end = _end_of(legible, said, at)
            if end is None and len(said) - at < len(legible) and legible.startswith(said[at:]):
                break  # it may have begun
            token = ahead.popleft()
            if end is not None:
                self._legible = self._legible or end > at
                at = end
                self._said.append(token.value)
        while len(ahead) > _MOST_AHEAD:
            ahead.popleft()
            self._all = None
        self._rest = said[at:][-_WINDOW:]

    def ahead(self) -> str:
        """Return what its last tokens say that no text has said yet, or ever will."""
        return "".join(token.legible for token in self._ahead)[len(self._rest) :]

    def entries(self) -> Iterator[Entry]:
        """Yield the entries that the texts say, as strays."""
        parts = [token.value for token in self._ahead if _end_of(token.legible, "", 0) is not None]
        return (Entry(value, (), stray=True) for value in (*self._said, *parts))


def _bytes(text: str, raw: bytes | None = None) -> bytes:
    return text.encode(errors="surrogatepass") if raw is None else raw


def _end_of(legible: str, text: str, at: int) -> int | None:
    """Return where in a text the legible pieces of a token end, None if they are not there."""
    for piece in filter(None, legible.split(_ILLEGIBLE)):
        start = text.find(piece, at, at + _WINDOW)
        if start < 0:
            return None
        at = start + len(piece)
    return at


def placed(tokens: list[Token], place: Place) -> Iterator[Entry]:
    """Yield the entries with a piece of the text each; an empty token has what comes next."""
    found = pieces(tokens, place.text) or []
    for token, (start, end) in zip(tokens, found, strict=True):
        after = max(end, start + 1)
        yield Entry(token.value, (Span(place.field, place.start + start, place.start + after),))


def pieces(tokens: list[Token], text: str) -> list[tuple[int, int]] | None:
    """Return where each token starts and ends in a text, in characters; None if they differ."""
    if "".join(token.token for token in tokens) == text:
        ends = list(itertools.accumulate(len(token.token) for token in tokens))
        return list(zip([0, *ends], ends, strict=False))
    raw = [token.raw for token in tokens if token.raw is not None]
    encoded = text.encode(errors="surrogatepass")
    if len(raw) < len(tokens) or b"".join(raw) != encoded:
        return None
    # how many characters have begun before each byte; a byte 10xxxxxx begins none (RFC 3629)
    begun = [0, *itertools.accumulate(byte & 0xC0 != 0x80 for byte in encoded)]  # noqa: PLR2004
    ends = list(itertools.accumulate(map(len, raw)))
    return [
        (begun[start + 1] - 1 if start < len(encoded) else len(text), begun[end])
        for start, end in zip([0, *ends], ends, strict=False)
    ]
