"""Log probabilities and token ids: they travel with the characters they stand for. Pure.

An entry says what its token says, so it may leave when its last character has left, and
never when one of its characters was hidden. Which characters are an entry's own is told by
comparing: where the tokens of a list make up one text of their chunk, each entry has its
piece of it. Else the list is a *unit*: its entries belong together to all texts of the
choice in this chunk, and in those that follow until a list fits its text again, since some
servers send a token ahead of its text, or the tokens of tool calls under ``content``. What
an entry of a unit says must stand in one of these texts: what no guard has read does not
leave. An empty token is a part of the character that comes next.

Token ids cannot be compared with a text. Those of a chunk are one unit over its texts, or
over those of the next chunk that has any.

Nothing here is asked, made or looked up for a choice that brings no entries.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

from deltaweir.schema.chunk import Choice, TextChoice
from deltaweir.schema.scored import TOKEN_IDS, Scored, Token, lists
from deltaweir.schema.texts import heads, texts

_ILLEGIBLE = "\ufffd"
"""What servers and decoders put in place of a part of a character."""

_WINDOW = 4096
"""Characters in which a unit's next token is looked for, so that odd lists cost little."""

_MOST_AHEAD = 256
"""Tokens that may wait for their text; a server is ahead by the length of a stop word."""


class Fate(Protocol):
    """Knows what became of each character of a text; a `deltaweir.slots.GuardSlot` does."""

    def position(self, index: int, field: str) -> int:
        """Return how many characters have come."""

    def decided(self, index: int, field: str) -> int:
        """Return how many of them have been shown or hidden."""

    def track(self, index: int, field: str) -> None:
        """Remember from here on which were hidden."""

    def touches(self, index: int, field: str, start: int, end: int) -> bool:
        """Tell whether any of these, all decided, was hidden."""


class _Place(NamedTuple):
    field: str
    start: int
    text: str


class _Span(NamedTuple):
    field: str
    start: int
    end: int


class _Entry(NamedTuple):
    value: Any
    spans: tuple[_Span, ...]


class _Unit:
    """Entries whose own characters are not known, and all those that may be theirs.

    Each token is looked for in the texts, behind the one before it. One that comes before
    its text waits for it; one that the text passes over is said nowhere, and is dropped.
    """

    def __init__(self) -> None:
        self._said: list[Any] = []
        self._ahead: deque[Token] = deque()
        self._rest = ""
        self._spans: dict[str, _Span] = {}

    def add(self, tokens: list[Token]) -> None:
        self._ahead.extend(tokens)

    def cover(self, place: _Place) -> None:
        field, start, text = place
        first = self._spans.get(field)
        self._spans[field] = _Span(field, first.start if first else start, start + len(text))
        self.say(text)

    def say(self, text: str) -> None:
        """Let the entries also say this, which may have no place: the name of a function."""
        self._rest += text

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
                at = end
                self._said.append(token.value)
        while len(ahead) > _MOST_AHEAD:
            ahead.popleft()
        self._rest = said[at:][-_WINDOW:]

    def ahead(self) -> str:
        """Return what its last tokens say that no text has said yet, or ever will."""
        return "".join(token.legible for token in self._ahead)[len(self._rest) :]

    def entries(self) -> Iterator[_Entry]:
        """Yield the entries that the texts say, with the characters of all."""
        spans = tuple(self._spans.values())
        parts = [token.value for token in self._ahead if _end_of(token.legible, "", 0) is not None]
        return (_Entry(value, spans) for value in (*self._said, *parts))


def _end_of(legible: str, text: str, at: int) -> int | None:
    """Return where in a text the legible pieces of a token end, None if they are not there."""
    for piece in filter(None, legible.split(_ILLEGIBLE)):
        start = text.find(piece, at, at + _WINDOW)
        if start < 0:
            return None
        at = start + len(piece)
    return at


class Entries:
    """The entries of one choice that wait for their characters.

    Args:
        index: The choice.
        fate: Knows what became of its characters.
    """

    def __init__(self, index: int, fate: Fate) -> None:
        self._index = index
        self._fate = fate
        self._tracked = set[str]()
        self._waiting: dict[str, deque[_Entry]] = {}
        self._units: dict[str, _Unit] = {}

    def take(self, choice: Choice | TextChoice) -> Scored:
        """Take the entries of a choice, before its texts are fed; they stay on it as well.

        Returns:
            What was taken.
        """
        places = self._places(choice)
        brought = dict(lists(choice))
        for name, tokens in brought.items():
            place = None if name in TOKEN_IDS else _fitting(choice, name, tokens, places)
            if place is None:
                self._units.setdefault(name, _Unit()).add(tokens)
                continue
            unit = self._units.get(name)
            if unit is not None:
                said = "".join(token.legible for token in tokens)
                ahead = unit.ahead()
                if ahead and f"{ahead}{said}".startswith(place.text):
                    unit.add(tokens)  # it may fit by chance, since tokens are still ahead
                    continue
                # its last tokens may be a part of the next character
                unit.cover(place._replace(text=place.text[:1]))
                self._close(name)
            self._waiting.setdefault(name, deque()).extend(_placed(tokens, place))
        self._cover(choice, places)
        return {name: [token.value for token in tokens] for name, tokens in brought.items()}

    def release(self, *, ended: bool = False, cut: bool = False) -> Scored:
        """Return the entries that may leave now.

        Args:
            ended: Whether the choice has ended, so that no more characters come.
            cut: Whether it ended otherwise than its source meant to: what then still waits
                for characters is dropped.
        """
        whole = ended and not cut
        for name in list(self._units) if whole else ():
            self._close(name)
        out: Scored = {}
        for name, waiting in self._waiting.items():
            while waiting and (whole or self._decided(waiting[0])):
                entry = waiting.popleft()
                if not self._hidden(entry, whole=whole):
                    out.setdefault(name, []).append(entry.value)
        if ended:
            self._waiting.clear()
            self._units.clear()
        return out

    def _places(self, choice: Choice | TextChoice) -> list[_Place]:
        """Return the texts of a choice with the places they are about to have."""
        places: list[_Place] = []
        ends: dict[str, int] = {}
        for text in texts(choice):
            field, value = text.field, text.value
            if field not in self._tracked:
                self._tracked.add(field)
                self._fate.track(self._index, field)
            start = ends.get(field)
            if start is None:
                start = self._fate.position(self._index, field)
            ends[field] = start + len(value)
            places.append(_Place(field, start, value))
        return places

    def _cover(self, choice: Choice | TextChoice, places: list[_Place]) -> None:
        """Give the open units what this chunk says."""
        for list_name, unit in list(self._units.items()):
            for name in heads(choice):
                unit.say(name.value)
            for place in places:
                unit.cover(place)
            unit.compare()
            if places and list_name in TOKEN_IDS:
                self._close(list_name)

    def _close(self, name: str) -> None:
        unit = self._units.pop(name)
        unit.compare()
        self._waiting.setdefault(name, deque()).extend(unit.entries())

    def _decided(self, entry: _Entry) -> bool:
        decided = self._fate.decided
        return all(decided(self._index, span.field) >= span.end for span in entry.spans)

    def _hidden(self, entry: _Entry, *, whole: bool) -> bool:
        for field, start, end in entry.spans:
            # an empty token at the very end waited for a character that never came
            there = min(end, self._fate.position(self._index, field)) if whole else end
            if start < there and self._fate.touches(self._index, field, start, there):
                return True
        return False


def _fitting(
    choice: Choice | TextChoice, name: str, tokens: list[Token], places: list[_Place]
) -> _Place | None:
    """Return the text that the tokens make up, the list's own field first; None for none."""
    field = "text" if isinstance(choice, TextChoice) else name
    fitting = [place for place in places if _pieces(tokens, place.text) is not None]
    return min(fitting, key=lambda place: place.field != field, default=None)


def _placed(tokens: list[Token], place: _Place) -> Iterator[_Entry]:
    """Yield the entries with a piece of the text each; an empty token has what comes next."""
    pieces = _pieces(tokens, place.text) or []
    for token, (start, end) in zip(tokens, pieces, strict=True):
        after = max(end, start + 1)
        yield _Entry(token.value, (_Span(place.field, place.start + start, place.start + after),))


def _pieces(tokens: list[Token], text: str) -> list[tuple[int, int]] | None:
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
