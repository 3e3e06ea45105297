"""The guard of one stream: a filter for each choice and field. Pure.

It stands in the weir's guard slot. Filters are made when a field first brings text.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from deltaweir.endings import Ending
from deltaweir.guard.arguments import ArgumentsFilter
from deltaweir.guard.filter import TextFilter
from deltaweir.guard.findings import Finding
from deltaweir.guard.judging import Judging, Question
from deltaweir.guard.passing import Passing
from deltaweir.guard.plan import plan_for
from deltaweir.guard.policy import Policy, scope_of
from deltaweir.guard.rules import Action
from deltaweir.guard.verdicts import MOST_VERDICTS, Verdict
from deltaweir.slots import Pass

_ENDINGS: dict[Action, Ending] = {
    "block": Ending.BLOCKED,
    "truncate": Ending.TRUNCATED_BY_GUARD,
}

FAILURE = "guard_failure"
"""The rule that a verdict names when the guard itself could not go on."""

_LONGEST_NAME = 1000
"""Characters of a name that are kept for its next piece; OpenAI allows 64."""

_MOST_NAMES = 1000
"""Names, and ids, that are kept for their next piece; the oldest is forgotten first."""

AnyFilter = TextFilter | ArgumentsFilter


class StreamGuard:
    """Filter the texts of one stream.

    Args:
        policy: The rules.
        prompt: What was found in the prompt.
        stops: The texts at which the reader lets the source end; None where he can end it at
            places that nobody knows here, so that every end counts as a cut.

    Attributes:
        policy: The rules.
        verdict: The ending that a rule has called for; None while there is none.

    One guard belongs to one stream and is not shared between threads.
    """

    def __init__(
        self,
        policy: Policy,
        prompt: Sequence[Verdict] = (),
        *,
        stops: Sequence[str] | None = (),
    ) -> None:
        self._stops = stops
        self.policy = policy
        self.verdict: Ending | None = None
        self._filters: dict[tuple[int, str], AnyFilter | None] = {}
        self._found: list[Verdict] = [*prompt]
        self._heads: dict[tuple[int, str], str] = {}
        self._withheld = 0
        self._judging = Judging(policy.judges) if policy.judges else None
        self._now = 0.0
        self._answered: Question | None = None
        self._settled: dict[tuple[int, str], int] = {}
        self._last: tuple[int, str, AnyFilter | None] = (-1, "", None)

    @property
    def deadline(self) -> float | None:
        """When held text must be looked at again though nothing arrives; None for never."""
        return None if self._judging is None else self._judging.deadline

    @property
    def verdicts(self) -> list[Verdict]:
        """What was found so far, by choice and field; a find may still grow."""
        found = [*self._found]
        for one in [*self._filters.values()]:
            if one is not None:
                found += one.verdicts
        return found[:MOST_VERDICTS]

    @property
    def withheld(self) -> int:
        """How many generated characters were not shown."""
        known = (one.withheld for one in [*self._filters.values()] if one is not None)
        waiting = 0 if self._judging is None else self._judging.held
        return self._withheld + sum(known) + waiting

    @property
    def held(self) -> int:
        """How many generated characters the rules neither let through nor withheld so far."""
        known = [one for one in [*self._filters.values()] if one is not None]
        return sum(one.position - one.decided for one in known)

    def feed(self, index: int, field: str, text: str, now: float) -> str:
        """Take a piece of one field and return what may leave now."""
        known_index, known_field, one = self._last
        if index != known_index or field != known_field:
            one = self._filter(index, field)
            self._last = index, field, one
        if one is not None:
            try:
                text = one.feed(text)
            except Exception:  # noqa: BLE001  # whatever it is, no text may pass unchecked
                text = self._failed(index, field, one, text)
            if one.stopped is not None:
                self._stopped(one)
        if self._judging is None:
            return text
        self._now = now
        return self._judging.take(index, field, scope_of(field), text, now)

    def passing(self, index: int, field: str) -> Pass:
        """Return `feed` for the pieces of one text, with a look at the verdict, in one call."""
        one = self._filter(index, field)
        if self._judging is not None or not isinstance(one, TextFilter):
            return lambda text, now: (self.feed(index, field, text, now), self.verdict)

        def failed(one: TextFilter, text: str) -> tuple[str, Ending | None]:
            return self._failed(index, field, one, text), self.verdict

        return Passing(one, stopped=self._stopped, failed=failed).take

    def due(self, now: float) -> Question | None:
        """Return a window that a classifier must judge now; None while there is none.

        Have it judged, hand the answer to `answer`, and call the weir's ``clear``.
        """
        return None if self._judging is None or self.verdict else self._judging.due(now)

    def answer(self, question: Question, finding: Finding | None) -> None:
        """Take a classifier's answer; None when it gave none."""
        judging = self._judging
        assert judging is not None
        if finding is None:
            action: Action = "block" if self.policy.on_error == "closed" else "flag"
            self._note([question.verdict(action, FAILURE, judging.start(question))])
        elif finding.flagged:
            action = question.judge.action
            self._note([question.verdict(action, finding.category, judging.start(question))])
        else:
            action = "flag"
        self._answered = question
        if action in _ENDINGS:
            self.verdict = self.verdict or _ENDINGS[action]

    def whole(self, index: int, field: str, text: str) -> bool:
        """Tell whether a text that comes in one piece may leave, such as a function's name.

        Where a server sends it in pieces, what came before is looked at with each.
        """
        known = self._heads.get((index, field), "")
        name = text if text.startswith(known) else known + text  # some repeat all of it
        if name == known:
            return self.verdict is None
        self._heads[index, field] = name[-_LONGEST_NAME:]
        if len(self._heads) > _MOST_NAMES:
            del self._heads[next(iter(self._heads))]
        try:
            unchanged = self._is_free(index, field, name)
        except Exception:  # noqa: BLE001  # as above
            self._note([Verdict(FAILURE, "block", index, field, 0, 0)])
            unchanged = self.policy.on_error == "open"
        if not unchanged:
            self._withheld += len(text)
            self.verdict = self.verdict or Ending.BLOCKED
        return unchanged

    def _is_free(self, index: int, field: str, name: str) -> bool:
        plan = self.policy.plan(scope_of(field))
        if plan is None:
            return True
        one = TextFilter(plan, field=field, choice=index)
        unchanged = one.feed(name) + one.finish(cut=False) == name
        self._note([found for found in one.verdicts if found not in self._found])
        self._stopped(one)
        return unchanged

    def clear(self, index: int, field: str, upto: int) -> str:
        """Take a classifier's word that the text is clean up to a character; return it.

        The word is the last `answer`; after one that ends the stream nothing leaves.
        """
        question, self._answered = self._answered, None
        if question is None or self.verdict is not None or self._judging is None:
            return ""
        assert (question.choice, question.field, question.window.upto) == (index, field, upto)
        return self._judging.clear(question, self._now)

    def waits(self, index: int) -> bool:
        """Tell whether text of an ended choice still waits for a classifier."""
        return self._judging is not None and self.verdict is None and self._judging.waits(index)

    def finish(self, index: int, *, cut: bool) -> Sequence[tuple[str, str]]:
        """End a choice, once; return the field and text of all that may still leave.

        When the text was cut, what a rule could still cover is dropped, not returned.
        """
        out: list[tuple[str, str]] = []
        for (choice, field), one in self._filters.items():
            if choice != index or one is None:
                continue
            try:
                cut = cut or self.verdict is not None or self._stops is None
                text = one.finish(cut=cut, stops=self._stops or ())
            except Exception:  # noqa: BLE001  # as above
                text = self._failed(index, field, one, "")
            if text and self._judging is not None:
                text = self._judging.take(index, field, scope_of(field), text, self._now)
            if text:
                out.append((field, text))
            self._stopped(one)
        if self._judging is not None:
            self._judging.end(index)
        return out

    def position(self, index: int, field: str) -> int:
        """Return how many characters of a text have come."""
        one = self._filter(index, field)
        return 0 if one is None else one.position

    def decided(self, index: int, field: str) -> int:
        """Return how many of them have left or will never; any number where nothing looks."""
        one = self._filter(index, field)
        if self._judging is None:
            return sys.maxsize if one is None else one.decided
        key, waits = (index, field), self._judging.waits(index, field)
        if one is not None and not waits:
            self._settled[key] = one.decided
        elif one is not None and not one.withheld:  # places are the same before and behind rules
            self._settled[key] = min(one.decided, self._judging.shown(index, field))
        return self._settled.get(key, 0)

    def track(self, index: int, field: str) -> None:
        """Remember from now on which characters of a text are not shown."""
        one = self._filter(index, field)
        if one is not None:
            one.track()

    def touches(self, index: int, field: str, start: int, end: int) -> bool:
        """Tell whether decided characters of a text touch one that was not shown."""
        one = self._filter(index, field)
        return one is not None and one.touches(start, end)

    def began(self, index: int) -> bool:
        """Tell whether any text of a choice has come, whether a rule looks at it or not."""
        return any(choice == index for choice, _ in self._filters)

    def hides(self, index: int) -> bool:
        """Tell whether any character of a choice was not shown so far."""
        return any(
            one is not None and one.withheld > 0
            for (choice, _), one in self._filters.items()
            if choice == index
        )

    def _filter(self, index: int, field: str) -> AnyFilter | None:
        """Return the filter of a text; None where no rule looks at it."""
        key = index, field
        if key not in self._filters:
            scope = scope_of(field)
            plan = self.policy.plan(scope)
            if plan is None and self._judging is not None:
                plan = plan_for(())  # which counts, so that places are known
            kind = ArgumentsFilter if scope == "tool_args" else TextFilter
            self._filters[key] = None if plan is None else kind(plan, field=field, choice=index)
        return self._filters[key]

    def _stopped(self, one: AnyFilter) -> Ending | None:
        """Return the verdict, with what a filter has called for."""
        if one.stopped is not None and self.verdict is None:
            self.verdict = _ENDINGS[one.stopped]
        return self.verdict

    def _note(self, found: Sequence[Verdict]) -> None:
        """Keep verdicts, as many as are told."""
        self._found += found[: max(0, MOST_VERDICTS - len(self._found))]

    def _failed(self, index: int, field: str, one: AnyFilter, text: str) -> str:
        """Deal with a filter that cannot go on; return what may leave all the same."""
        closed = self.policy.on_error == "closed"
        action: Action = "block" if closed else "flag"
        self._note([Verdict(FAILURE, action, index, field, one.position, 0)])
        if closed:
            self.verdict = self.verdict or Ending.BLOCKED
            return ""
        self._note(one.verdicts)
        self._withheld += one.withheld
        self._filters[index, field] = None
        self._last = -1, "", None
        return one.surrender() + text
