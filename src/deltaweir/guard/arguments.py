"""The filter of a tool call's arguments: JSON whose escapes cannot hide a match. Pure.

Each string, a key too, is one text of decoded characters; each stretch between two strings is
one text as well. So a number is checked like a word, and arguments that are no JSON (single
quotes, a Python dict, plain words) are checked throughout. Whatever leaves is spelled anew
from what the rules saw (`deltaweir.guard.json_text`).

A match does not go on over a quote: there one text ends for good, and all of it is decided.

A replacement is plain text within a string. Outside it is put in quotes, so that the number of
``{"card": 4111111111111111}`` becomes a string. Where a rule covers half a number, or brackets
and commas too, what leaves may be no JSON any more, which a reader finds out; the rules see
values, not grammar.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from deltaweir.guard.filter import TextFilter
from deltaweir.guard.json_text import STAND_IN, Decoder, encode, encode_outside
from deltaweir.guard.plan import Plan
from deltaweir.guard.rules import Action
from deltaweir.guard.verdicts import MOST_VERDICTS, Verdict

_PLAIN = ("", "")
_QUOTES = (STAND_IN, STAND_IN)
_REPLACEMENT_CHARACTER = "\ufffd"
MOST_REMEMBERED = 256
"""How many texts with something hidden, and torn characters, `touches` knows exactly."""


class Filter(Protocol):
    """What is asked of the filter of one text."""

    @property
    def stopped(self) -> Action | None:
        """The action that ends the stream; None while there is none."""

    @property
    def verdicts(self) -> Sequence[Verdict]:
        """What was found so far."""

    @property
    def position(self) -> int:
        """Characters fed."""

    @property
    def decided(self) -> int:
        """Characters of them that have left, were replaced or were dropped."""

    @property
    def withheld(self) -> int:
        """Characters of those decided that were not shown as they were."""

    def feed(self, text: str) -> str:
        """Take a piece and return what may leave."""

    def finish(self, *, cut: bool) -> str:
        """End the text and return the rest that may leave."""

    def track(self) -> None:
        """Remember from now on what was hidden."""

    def touches(self, start: int, end: int) -> bool:
        """Tell whether any of these characters was hidden."""


class _Hidden(NamedTuple):
    """A text of which something was hidden, and where it stands in the arguments."""

    start: int
    end: int
    text: Filter


class ArgumentsFilter:
    """Filter the arguments of one tool call as they arrive, however they are cut.

    Args:
        plan: The rules.
        field: The field's name, for verdicts.
        choice: The choice's index, for verdicts; None in a prompt.
        make: Makes the filter of one text, called as `TextFilter` is.

    Positions and offsets count decoded characters: an escape is one, and so are two escapes of
    surrogates in a row, and a quote. A character counts as fed from its first piece on, and is
    decided only when it is whole.

    One filter belongs to one tool call and is not shared between threads.

    Attributes:
        stopped: "block" or "truncate" once such a rule has matched: nothing leaves any more.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        field: str,
        choice: int | None = 0,
        make: Callable[..., Filter] = TextFilter,
    ) -> None:
        self.stopped: Action | None = None
        self._plan = plan
        self._field = field
        self._choice = choice
        self._make = make
        self._decoder = Decoder()
        self._in_string = False
        self._text: Filter | None = None
        self._start = 0  # of the text
        self._fed = 0
        self._finished = False
        self._withheld = 0  # in texts that are finished, as are these verdicts
        self._verdicts: list[Verdict] = []
        self._tracks = False
        self._hidden: deque[_Hidden] = deque()
        self._torn: deque[int] = deque()
        self._forgotten = 0
        self._lost: int | None = None  # from here on all is dropped, seen by no text's filter

    @property
    def position(self) -> int:
        """Characters fed, with one that is not whole yet."""
        return self._fed + self._decoder.torn

    @property
    def decided(self) -> int:
        """Characters from the beginning that have left, or will never."""
        if self._finished or self.stopped is not None:
            return self.position
        text = self._text
        return self._fed if text is None else self._start + text.decided

    @property
    def withheld(self) -> int:
        """How many of those were not shown as they were; after `finish`, of all."""
        return self._withheld + (0 if self._text is None else self._text.withheld)

    @property
    def verdicts(self) -> Sequence[Verdict]:
        """What was found so far, the first thousand; final after `finish`."""
        if self._text is None:
            return self._verdicts
        return [*self._verdicts, *self._text.verdicts][:MOST_VERDICTS]

    def feed(self, text: str) -> str:
        """Take the next piece; return what may leave now, as JSON text."""
        out: list[str] = []
        at = 0
        while at < len(text):
            part = self._decoder.take(text, at)
            at = part.end
            if part.text:
                out.append(self._filter(part.text))
            if part.quote:
                out.append(self._cross())
        if self._tracks:
            self._mark()
        return "".join(out)

    def finish(self, *, cut: bool) -> str:
        """End the arguments, once; return the last that may leave.

        Args:
            cut: Whether they are not whole: then all that a rule could still cover is dropped,
                and so is a character that is not whole.
        """
        out = ""
        if not cut:
            rest = self._decoder.rest()
            out = self._filter(rest) if rest else ""
        elif self._decoder.torn:
            self._withheld += 1
            self._lost = self._fed if self._lost is None else self._lost
        if self._text is not None:
            out += self._close(self._text, cut=cut)
        self._finished = True
        return out

    def track(self) -> None:
        """Remember from now on what is not shown, so that `touches` can be asked."""
        self._tracks = True
        if self._text is not None:
            self._text.track()

    def touches(self, start: int, end: int) -> bool:
        """Tell whether characters that are decided touch one that was not shown.

        A character whose spelling is torn belongs to all the pieces that have a part of it.
        Where too much was hidden since the last question, the answer is yes.

        Args:
            start: What ``position`` was before a piece; no less than in any question before.
            end: What it was behind the piece or a later one.
        """
        if start < self._forgotten:
            return True
        while self._torn and self._torn[0] < start:
            self._torn.popleft()
        # behind half a pair of surrogates the next character may have begun as well
        end += end in self._torn
        # a piece that brought no further character is the inside or the end of an escape
        start -= start == end or start in self._torn
        if self._lost is not None and end > self._lost:
            return True
        while self._hidden and self._hidden[0].end <= start:
            self._hidden.popleft()
        known = [*self._hidden]
        if self._text is not None:
            known.append(_Hidden(self._start, self._fed, self._text))
        return any(
            text.touches(max(start, first) - first, min(end, last) - first)
            for first, last, text in known
            if first < end and start < last
        )

    def _filter(self, decoded: str) -> str:
        """Take characters of the text that is open, or open one; after a stop count them."""
        self._fed += len(decoded)
        if self.stopped is not None:
            self._withheld += len(decoded)
            return ""
        text = self._text
        if text is None:
            text = self._text = self._open(self._fed - len(decoded))
        if not self._in_string:
            decoded = decoded.replace(STAND_IN, _REPLACEMENT_CHARACTER)
        shown = self._spell(text.feed(decoded))
        if text.stopped is not None:
            self._close(text, cut=True)
        return shown

    def _cross(self) -> str:
        """Go over a quote: the text before it is finished."""
        shown = ""
        if self._text is not None:
            shown = self._close(self._text, cut=False)
        if self.stopped is not None:
            return shown + self._filter('"')
        self._in_string = not self._in_string
        self._fed += 1
        return shown + '"'

    def _mark(self) -> None:
        """Remember whether the last piece ended within a character."""
        place, torn = self.position, self._torn
        if torn and torn[-1] == place:
            torn.pop()  # what has ended since is not torn any more
        if self._decoder.torn:
            torn.append(place)
            if len(torn) > MOST_REMEMBERED:
                self._forgotten = max(self._forgotten, torn.popleft() + 1)

    def _open(self, start: int) -> Filter:
        self._start = start
        text = self._make(
            self._plan,
            field=self._field,
            choice=self._choice,
            offset=start,
            wrap=_PLAIN if self._in_string else _QUOTES,
        )
        if self._tracks:
            text.track()
        return text

    def _close(self, text: Filter, *, cut: bool) -> str:
        """Finish the text that is open and keep what was found in it."""
        shown = self._spell(text.finish(cut=cut))
        self._text = None
        self._withheld += text.withheld
        self._verdicts += text.verdicts[: MOST_VERDICTS - len(self._verdicts)]
        if self._tracks and text.withheld:
            self._hidden.append(_Hidden(self._start, self._fed, text))
            if len(self._hidden) > MOST_REMEMBERED:
                self._forgotten = max(self._forgotten, self._hidden.popleft().end)
        if text.stopped is not None:
            self.stopped, self._lost = text.stopped, self._fed
        return shown

    def _spell(self, shown: str) -> str:
        return encode(shown) if self._in_string else encode_outside(shown)
