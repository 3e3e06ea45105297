"""The matches that may be under way in one text, and those that are complete. Pure."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from deltaweir.guard.automaton import Automaton
from deltaweir.guard.plan import Plan
from deltaweir.guard.runs import Run, add
from deltaweir.guard.states import State


class Threads:
    """Follow the rules of a plan through one text.

    Args:
        plan: The rules.

    Attributes:
        position: Characters that came.
    """

    __slots__ = (
        "_automaton", "_base", "_kept", "_limit", "_plan", "_runs", "_starts", "_state",
        "_swallowing", "position",
    )  # fmt: skip

    _automaton: Automaton
    _state: State

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._limit = plan.least_limit
        if plan.automaton is not None:
            self._automaton, self._state = plan.automaton, plan.automaton.root
        self._kept = ""
        """The text from `_base` on, as far as it is still needed."""
        self._base = 0
        self._starts: list[int] = []
        """Where the threads that are alive have started, the oldest first."""
        self._runs: list[Run] = []
        """The runs that may still grow."""
        self._swallowing: set[tuple[int, int]] = set()
        """Start and rule of the threads that are over their limit, and cover what comes."""
        self.position = 0

    @property
    def _hold(self) -> int:
        """Up to where no thread can cover a character."""
        return self._starts[0] if self._starts else self.position

    def _step(self, character: str) -> list[Run]:
        """Take one character, which is kept already; return what matches with it."""
        known = self._state.by_character.get(character)
        self._state, keep, begins, early, late = known or self._automaton.move(
            self._state, character
        )
        found = self._matched(early, late) if early or late else []
        starts = self._starts
        if keep is not None:
            starts = [starts[one] for one in keep]
        if begins:
            starts = [*starts, self.position]
        self._starts = starts
        self.position += 1
        return found

    def _matched(
        self, early: Sequence[tuple[int, int]], late: Sequence[tuple[int, int]]
    ) -> list[Run]:
        """Return the matches that end before the next character, and with it: the valid ones."""
        found = []
        starts, base, plan, kept = self._starts, self._base, self._plan, self._kept
        now = self.position
        follows = kept[now - base : now - base + 1]
        for end, events, after in ((now, early, follows), (now + 1, late, None)):
            for thread, rule in events:
                start = starts[thread] if thread < len(starts) else now
                valid = plan.valid(
                    rule, kept, start - base, end - base, whole=not base, after=after
                )
                if valid is not None:
                    found.append(Run(valid + base, end, rule, plan.actions[rule], known=now + 1))
        return found

    def _passed(self) -> list[Run]:
        """Deal with the threads that are over their limit; return what they cover."""
        found: list[Run] = []
        plan, gone, starts = self._plan, 0, self._starts
        if self._swallowing:
            alive = set(starts)
            self._swallowing = {one for one in self._swallowing if one[0] in alive}
        covered = self._runs[-1].end if self._runs else 0
        least = -1 if self._swallowing else self._limit or 0
        if self.position - max(starts[0], covered) <= least:
            return found
        for thread, rule in self._automaton.limited_in(self._state):
            start = starts[thread]
            swallows = (start, rule) in self._swallowing
            held = self.position - max(start, covered)
            if held <= least:
                break  # the younger ones hold less, and none of them swallows
            if not swallows and held <= (plan.limits[rule] or 0):
                continue
            overflow = plan.rules[rule].on_overflow
            if overflow == "release":
                gone += self._released(thread - gone, rule)
                continue
            self._swallowing.add((start, rule))
            action = "block" if overflow == "block" else plan.actions[rule]
            found.append(Run(start, self.position, rule, action, known=self.position))
        return found

    def _released(self, thread: int, rule: int) -> int:
        """Take a thread out of a rule; return how many threads have ended by that."""
        self._state, lives = self._automaton.without(self._state, thread, rule)
        if lives:
            return 0
        self._starts = [*self._starts[:thread], *self._starts[thread + 1 :]]
        return 1

    def _trim(self, decided: int) -> None:
        """Forget the text that nobody looks back at."""
        upto = decided
        if self._plan.history:
            upto = min(upto, self.position - self._plan.history)
            if upto - self._base < self._plan.history:
                return  # not yet worth the copy
        if upto > self._base:
            self._kept = self._kept[upto - self._base :]
            self._base = upto

    def _certain(self, stop: str) -> int:
        """Return up to where no character could be covered if a text came next."""
        ahead = copy.copy(self)  # its lists are never changed, only replaced
        ahead._kept += stop  # noqa: SLF001  # its own kind
        certain = self.position
        for character in stop:
            certain = min([certain, *(run.start for run in ahead._step(character))])  # noqa: SLF001
        return min(certain, ahead._hold)  # noqa: SLF001

    def _ended(self) -> list[Run]:
        """Return the matches that the end of the text completes."""
        return self._matched(self._state.ends, ())

    def _take(self, found: Sequence[Run]) -> None:
        for run in found:
            add(self._runs, run)
