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

from collections.abc import Callable, Sequence

from deltaweir.guard.filter import TextFilter
from deltaweir.guard.json_text import STAND_IN, Decoder, encode, encode_outside
from deltaweir.guard.plan import Plan
from deltaweir.guard.rules import Action
from deltaweir.guard.runs import Covered
from deltaweir.guard.verdicts import MOST_VERDICTS, Verdict

_PLAIN = ("", "")
_QUOTES = (STAND_IN, STAND_IN)
_REPLACEMENT_CHARACTER = "\ufffd"


class ArgumentsFilter:
    """Filter the arguments of one tool call as they arrive, however they are cut.

    Args:
        plan: The rules.
        field: The field's name, for verdicts.
        choice: The choice's index, for verdicts; None in a prompt.
        make: Makes the filter of one text, called as `TextFilter` is.

    Two ways to count. ``position``, ``decided`` and `touches` are of the characters as they
    came, so that what travels with a piece can tell its place. Verdicts and ``withheld`` are
    of decoded characters: an escape is one, so are two that are halves of one, and a quote.

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
        make: Callable[..., TextFilter] = TextFilter,
    ) -> None:
        self.stopped: Action | None = None
        self._plan = plan
        self._field = field
        self._choice = choice
        self._make = make
        self._decoder = Decoder()
        self._in_string = False
        self._text: TextFilter | None = None
        self._finished = False
        # decoded characters
        self._start = 0  # of the text
        self._fed = 0
        self._decided = 0
        self._withheld = 0  # in texts that are finished, as are these verdicts
        self._verdicts: list[Verdict] = []
        # characters as they came
        self._hidden: Covered | None = None
        self._lost: int | None = None  # from here on no text's filter has seen anything

    @property
    def position(self) -> int:
        """Characters that came."""
        return self._decoder.raw

    @property
    def decided(self) -> int:
        """Characters from the beginning that have left, or will never."""
        if self._finished or self.stopped is not None:
            return self._decoder.raw
        return self._decoder.places.of(self._decided)

    @property
    def withheld(self) -> int:
        """How many were not shown as they were, decoded; after `finish`, of all."""
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
        return "".join(out)

    def finish(self, *, cut: bool, stops: Sequence[str] = ()) -> str:
        """End the arguments, once; return the last that may leave.

        Args:
            cut: Whether they are not whole: then all that a rule could still cover is dropped,
                and so is a character that is not whole.
            stops: Texts of which one may have come next; with any, they count as cut.
        """
        cut = cut or bool(stops)
        out = ""
        if not cut:
            rest = self._decoder.rest()
            out = self._filter(rest) if rest else ""
        if self._text is not None:
            out += self._close(self._text, cut=cut)
        if self._decoder.torn:
            self._withheld += 1
            self._lose()
        self._finished = True
        return out

    def surrender(self) -> str:
        """Return what is held, unchecked; for arguments that nobody can check any more."""
        if self.stopped is not None:
            return ""
        held = "" if self._text is None else self._spell(self._text.surrender())
        return held + self._decoder.held

    def track(self) -> None:
        """Remember from now on what is not shown, so that `touches` can be asked."""
        if self._hidden is None:
            self._hidden = Covered()
            if self._text is not None:
                self._text.track()

    def touches(self, start: int, end: int) -> bool:
        """Tell whether characters that are decided touch one that was not shown.

        A part of an escape touches what the escape stands for.

        Args:
            start: The first, as it came.
            end: The one behind the last.
        """
        if self._lost is not None and end > self._lost:
            return True
        return self._hidden is not None and self._hidden.touches(start, end)

    def _filter(self, decoded: str) -> str:
        """Take characters of the text that is open, or open one; after a stop count them."""
        self._fed += len(decoded)
        if self.stopped is not None:
            self._withheld += len(decoded)
            self._decoder.places.of(self._fed)  # nobody asks for those before
            return ""
        text = self._text
        if text is None:
            text = self._text = self._open(self._fed - len(decoded))
        if not self._in_string:
            decoded = decoded.replace(STAND_IN, _REPLACEMENT_CHARACTER)
        shown = self._spell(text.feed(decoded))
        self._settle(text)
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
        self._decided = self._fed
        return shown + '"'

    def _open(self, start: int) -> TextFilter:
        self._start = start
        text = self._make(
            self._plan,
            field=self._field,
            choice=self._choice,
            offset=start,
            wrap=_PLAIN if self._in_string else _QUOTES,
        )
        if self._hidden is not None:
            text.track()
        return text

    def _close(self, text: TextFilter, *, cut: bool) -> str:
        """Finish the text that is open and keep what was found in it."""
        shown = self._spell(text.finish(cut=cut))
        self._settle(text)
        self._text = None
        self._withheld += text.withheld
        self._verdicts += text.verdicts[: MOST_VERDICTS - len(self._verdicts)]
        if text.stopped is not None:
            self.stopped = text.stopped
            self._lose()
        return shown

    def _settle(self, text: TextFilter) -> None:
        """Take over what the text has decided since, and forget where that stands."""
        places, start = self._decoder.places, self._start
        before, self._decided = self._decided, start + text.decided
        if self._hidden is not None and text.withheld:
            for at in range(before, self._decided):
                if text.touches(at - start, at - start + 1):
                    self._hidden.add(places.of(at), places.of(at + 1))
        places.of(self._decided)

    def _lose(self) -> None:
        """Count all that came behind what is decided as hidden."""
        if self._lost is None:
            self._lost = self._decoder.places.of(self._decided)

    def _spell(self, shown: str) -> str:
        return encode(shown) if self._in_string else encode_outside(shown)
