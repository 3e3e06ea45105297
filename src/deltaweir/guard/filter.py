"""One text on its way through a guard: each character leaves once no rule can cover it. Pure.

What is hidden depends on the text alone, never on how it was cut (DESIGN, "The guard"): the
characters covered by any match of a rule that redacts, truncates or blocks. Each run of them
is replaced once, by ``[REDACTED:label]``. A piece in which nothing matches costs one look-up;
any other is gone through by character.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from deltaweir.guard.plan import Plan
from deltaweir.guard.rules import Action
from deltaweir.guard.runs import Covered, Run
from deltaweir.guard.threads import Threads
from deltaweir.guard.verdicts import MOST_VERDICTS, Verdict


class TextFilter(Threads):
    """Pass one text through the rules of a plan.

    Args:
        plan: The rules.
        field: What the text's verdicts name.
        choice: Likewise.
        offset: Likewise: where the text begins.
        wrap: What stands around each replacement.

    Attributes:
        decided: Characters from the text's beginning that have left, or will never.
        withheld: How many of those were not shown.
        stopped: The action of the rule that has ended the text; None while none has.

    One filter belongs to one text and is not shared between threads.
    """

    __slots__ = (
        "_beside", "_choice", "_covered", "_field", "_flags", "_found", "_looks_back", "_offset",
        "_over", "_room", "_wrap", "decided", "stopped", "withheld",
    )  # fmt: skip

    def __init__(
        self,
        plan: Plan,
        *,
        field: str = "content",
        choice: int | None = 0,
        offset: int = 0,
        wrap: tuple[str, str] = ("", ""),
    ) -> None:
        super().__init__(plan)
        self._field, self._choice, self._offset, self._wrap = field, choice, offset, wrap
        self._flags = (
            None
            if plan.flags is None
            else TextFilter(plan.flags, field=field, choice=choice, offset=offset)
        )
        self._found: list[Verdict] = []
        self._covered: Covered | None = None
        self.decided = 0
        self.withheld = 0
        self.stopped: Action | None = None
        self._over = 0
        self._beside = self._flags is not None or plan.automaton is None
        self._looks_back = plan.history > 0
        self._room = 4 * plan.history

    @property
    def verdicts(self) -> Sequence[Verdict]:
        """What was found so far; a find may still grow until the text has gone past it."""
        found = [*self._found]
        found += [one for run in self._runs for one in self._told(run)]
        if self._flags is not None:
            found += self._flags.verdicts
        return found[:MOST_VERDICTS]

    def feed(self, text: str) -> str:
        """Take the next piece of the text, and return what may leave now."""
        if self._beside:
            return self._feed_beside(text)
        state, starts, before, limit = self._state, self._starts, self.position, self._limit
        after, keep, begins = state.by_text.get(text) or self._automaton.crossing(state, text)
        end = before + len(text)
        over = limit is not None and end - (starts[0] if starts else before) > limit
        if after is None or over or self._swallowing:  # or a thread may go over its limit
            return self._walk(text)
        self._state = after
        self.position = end
        if keep is None and not begins:
            self._starts = []
            hold = end
        else:
            if keep is None:
                starts = []
            elif len(keep) < len(starts):
                starts = [starts[one] for one in keep]
            for at in begins:
                starts.append(before + at)
            self._starts = starts
            hold = starts[0]
        if self._runs:
            self._kept += text
            return self._release(hold)
        return self._pass(text, hold) if self._looks_back else self._leave(text, hold)

    def _feed_beside(self, text: str) -> str:
        """Take a piece of a text that is over, or that flags look at beside other rules."""
        if self.stopped is not None:
            self._drop(len(text))
            return ""
        before, out = self.position, text
        if self._plan.automaton is None:
            self.position = self.decided = before + len(text)
        else:
            self._beside = False
            out = self.feed(text)
            self._beside = True
        if self._flags is not None:
            # they end where the text does, which may be inside the piece
            over = self._over - before if self._over else None
            self._flags.feed(text[:over])
        return out

    def finish(self, *, cut: bool, stops: Sequence[str] = ()) -> str:
        """End the text, once, and return the last that may leave.

        Args:
            cut: Whether it was cut, and not ended by its source: then nothing is returned that
                a rule could still cover, had the text gone on.
            stops: Texts of which one may have come next and was cut off, as a reader may ask
                for: then nothing is returned that a rule could cover with one of them behind.
        """
        if self._flags is not None:
            self._flags.finish(cut=cut or self.stopped is not None)
        if self._plan.automaton is None or self.stopped is not None:
            return ""
        out: list[str] = []
        if not cut and not self._took(self._ended(), self._hold, out):
            certain = min((self._certain(stop) for stop in stops), default=self.position)
            self._starts = []
            out.append(self._release(certain))
        self._close(len(self._runs))
        self._drop(0)
        return "".join(out)

    def track(self) -> None:
        """Remember from now on what is covered, so that `touches` can be asked."""
        if self._covered is None:
            self._covered = Covered()

    def touches(self, start: int, end: int) -> bool:
        """Tell whether characters that are decided touch one that was not shown.

        Args:
            start: The first.
            end: The one behind the last.
        """
        return self._covered is not None and self._covered.touches(start, end)

    def surrender(self) -> str:
        """Return what is held, unchecked; for a text that nobody can check any more."""
        return self._kept[self.decided - self._base :]

    def _walk(self, text: str) -> str:
        """Go through a piece by character, since something happens in it."""
        held, decided = self._kept[self.decided - self._base :], self.decided
        try:
            return self._walked(text)
        except Exception:  # what nobody has seen yet can still be surrendered
            self._kept, self._base, self.decided = held, decided, decided
            raise

    def _walked(self, text: str) -> str:
        self._kept += text
        out: list[str] = []
        for at, character in enumerate(text, start=1):
            before = self._hold
            found = self._step(character)
            over = bool(found) and self._took(found, before, out)
            if not over and self._limit is not None and self._starts:
                over = self._took(self._passed(), before, out)
            if over:
                self._drop(len(text) - at)
                return "".join(out)
        out.append(self._release(self._hold))
        return "".join(out)

    def _took(self, found: Sequence[Run], before: int, out: list[str]) -> bool:
        """Take matches, and tell whether one of them has ended the text.

        Args:
            found: The matches.
            before: Up to where text was free before they were known.
            out: What leaves.
        """
        if not any(run.ends for run in found):
            self._take(found)
            return False
        # what had left before, had the text come by character; then what is free ahead of the run
        out.append(self._release(before))
        self._take(found)
        last = self._runs.pop()
        out.append(self._release(min(self._hold, last.start)))
        self._runs.append(last)
        self.stopped = last.action
        self._over = self.position
        self._beside = True
        self._close(len(self._runs))
        self._starts = []
        return True

    def _leave(self, text: str, hold: int) -> str:
        """Release up to a place, where nothing is hidden and nobody looks back."""
        kept = self._kept
        if hold == self.position:
            self.decided = self._base = hold
            if kept:
                self._kept = ""
                return kept + text
            return text
        if kept:
            text = kept + text
        free = hold - self._base
        if free:
            self.decided = self._base = hold
            self._kept = text[free:]
            return text[:free]
        self._kept = text
        return ""

    def _pass(self, text: str, hold: int) -> str:
        """Release up to a place, where nothing is hidden and validators may look back."""
        kept = self._kept = self._kept + text
        decided, base = self.decided, self._base
        if hold <= decided:
            return ""
        self.decided = hold
        if len(kept) > self._room:
            self._trim(hold)
        return kept[decided - base : hold - base]

    def _release(self, hold: int) -> str:
        """Release up to a place, with what stands for the runs before it."""
        out: list[str] = []
        runs = self._runs
        closed = 0
        for run in runs:
            self._show(min(run.start, hold), out)
            if self.decided < run.start:
                break
            if not run.shown:
                run.shown = True
                out.append(f"{self._wrap[0]}{self._plan.replacement(run.label)}{self._wrap[1]}")
            self._hide(run.end, run.start)
            if hold <= run.end:
                break
            closed += 1
        else:
            self._show(hold, out)
        if closed:
            self._close(closed)
        self._trim(self.decided)
        return "".join(out)

    def _show(self, upto: int, out: list[str]) -> None:
        if upto > self.decided:
            base = self._base
            out.append(self._kept[self.decided - base : upto - base])
            self.decided = upto

    def _hide(self, upto: int, start: int) -> None:
        """Decide that characters are not shown.

        Args:
            upto: The one behind the last.
            start: The first of all that one replacement stands for.
        """
        if upto > self.decided:
            self.withheld += upto - self.decided
            self.decided = upto
            if self._covered is not None:
                self._covered.add(start, upto)

    def _drop(self, more: int) -> None:
        """Let nothing leave of what is kept, nor of so many further characters."""
        self.position += more
        self._hide(self.position, self.decided)
        self._kept, self._base, self._starts = "", self.position, []

    def _told(self, run: Run) -> Iterator[Verdict]:
        return run.verdicts(self._plan.rules, self._choice, self._field, self._offset)

    def _close(self, count: int) -> None:
        """Settle the verdicts of the first runs, which nothing can change any more."""
        for run in self._runs[:count]:
            if len(self._found) < MOST_VERDICTS:
                self._found += self._told(run)
        del self._runs[:count]
