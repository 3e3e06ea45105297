"""Log probabilities and token ids: they travel with the characters they stand for. Pure.

An entry says what its token says, so it may leave when its last character has left, and
never when one of its characters was hidden. Which characters are an entry's own is told by
comparing: where the tokens of a list make up one text of their chunk, each entry has its
piece of it. Else the list is a *unit*, since some servers send a token ahead of its text, or
the tokens of tool calls under ``content``: its entries belong together to all texts of the
choice in this chunk, and in those that follow until its tokens make up just these texts, or
a list fits its text again. An empty token is a part of the character that comes next.

Token ids cannot be compared with a text. They belong to the texts of their chunk, as long as
the source is in step: as long as every chunk with text brings ids and the other way round.

The entries of a unit that never made up its texts, and ids of a source out of step, are
*strays*: what they say may be text that is yet to come, or to be hidden. They leave at the
end, if nothing of their choice was hidden, and the tokens only where a text says them: what
no guard has read does not leave.

Nothing here is asked, made or looked up for a choice that brings no entries.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from deltaweir.schema.chunk import Choice, TextChoice
from deltaweir.schema.scored import TOKEN_IDS, Scored, Token, lists
from deltaweir.schema.spelled import Entry, Place, Span, Unit, pieces, placed
from deltaweir.schema.texts import heads, texts


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

    def began(self, index: int) -> bool:
        """Tell whether any text of a choice has come."""

    def hides(self, index: int) -> bool:
        """Tell whether any character of a choice was hidden so far."""


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
        self._waiting: dict[str, deque[Entry]] = {}
        self._units: dict[str, Unit] = {}
        self._in_step: dict[str, bool] = {}  # the lists of ids
        self._late = fate.began(index)

    def take(self, choice: Choice | TextChoice) -> Scored:
        """Take the entries of a choice, before its texts are fed; they stay on it as well.

        Returns:
            What was taken.
        """
        places = self._places(choice)
        brought = dict(lists(choice))
        for name in self._in_step:
            self._in_step[name] &= not places or name in brought
        for name, tokens in brought.items():
            if name in TOKEN_IDS:
                self._take_ids(name, tokens, places)
            else:
                self._take_tokens(name, tokens, _fitting(choice, name, tokens, places))
        self._cover(choice, places)
        return {name: [token.value for token in tokens] for name, tokens in brought.items()}

    def _take_ids(self, name: str, ids: list[Token], places: list[Place]) -> None:
        in_step = self._in_step.get(name, not self._late) and bool(places)
        self._in_step[name] = in_step
        spans = tuple(Span(field, start, start + len(text)) for field, start, text in places)
        entries = (Entry(one.value, spans, stray=not in_step) for one in ids)
        self._waiting.setdefault(name, deque()).extend(entries)

    def _take_tokens(self, name: str, tokens: list[Token], place: Place | None) -> None:
        """Take the tokens of a list, and the text of their chunk that they make up."""
        if place is None:
            self._units.setdefault(name, Unit()).add(tokens)
            return
        unit = self._units.get(name)
        if unit is not None:
            said = "".join(token.legible for token in tokens)
            ahead = unit.ahead()
            if ahead and f"{ahead}{said}".startswith(place.text):
                unit.add(tokens)  # it may fit by chance, since tokens are still ahead
                return
            # its last tokens may be a part of the next character
            parts = unit.before(place)
            unit.say(place.text[:1])
            self._close(name, parts)
        self._waiting.setdefault(name, deque()).extend(placed(tokens, place))

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
            while waiting and (whole or self._ready(waiting[0])):
                entry = waiting.popleft()
                if not self._hidden(entry, whole=whole):
                    out.setdefault(name, []).append(entry.value)
        if ended:
            self._waiting.clear()
            self._units.clear()
        return out

    def _places(self, choice: Choice | TextChoice) -> list[Place]:
        """Return the texts of a choice with the places they are about to have."""
        places: list[Place] = []
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
            places.append(Place(field, start, value))
        return places

    def _cover(self, choice: Choice | TextChoice, places: list[Place]) -> None:
        """Give the open units what this chunk says."""
        for list_name, unit in list(self._units.items()):
            for name in heads(choice):
                unit.say(name.value)
            for place in places:
                unit.cover(place)
            unit.compare()
            exact = unit.exact()
            if exact is not None:
                self._close(list_name, exact)

    def _close(self, name: str, known: list[Entry] | None = None) -> None:
        """End a unit, whose entries are strays unless their characters are known."""
        unit = self._units.pop(name)
        unit.compare()
        entries = unit.entries() if known is None else known
        self._waiting.setdefault(name, deque()).extend(entries)

    def _ready(self, entry: Entry) -> bool:
        """Tell whether the fate of an entry is settled, though its choice goes on."""
        if entry.stray:
            return self._fate.hides(self._index)
        decided = self._fate.decided
        return all(decided(self._index, span.field) >= span.end for span in entry.spans)

    def _hidden(self, entry: Entry, *, whole: bool) -> bool:
        if entry.stray:
            return self._fate.hides(self._index)
        for field, start, end in entry.spans:
            # an empty token at the very end waited for a character that never came
            there = min(end, self._fate.position(self._index, field)) if whole else end
            if start < there and self._fate.touches(self._index, field, start, there):
                return True
        return False


def _fitting(
    choice: Choice | TextChoice, name: str, tokens: list[Token], places: list[Place]
) -> Place | None:
    """Return the text that the tokens make up, the list's own field first; None for none."""
    field = "text" if isinstance(choice, TextChoice) else name
    fitting = [place for place in places if pieces(tokens, place.text) is not None]
    return min(fitting, key=lambda place: place.field != field, default=None)
