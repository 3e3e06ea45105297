"""Runs of hidden characters: matches that touch, taken together. Pure."""

from __future__ import annotations

import operator
from bisect import bisect_right
from collections.abc import Iterator, Sequence

from deltaweir.guard.rules import Action, Rule
from deltaweir.guard.verdicts import STRICTNESS, Verdict

MOST_RANGES = 1000
"""How many hidden ranges are remembered; of more the oldest count as one with all between."""

_END = operator.itemgetter(1)


class Run:
    """One run: where it begins and ends, and the rules that have matched in it.

    Args:
        start: Its first character, counted from the beginning of the text.
        end: The character behind its last.
        rule: The number of the rule that has matched there.
        action: What is done about it.
        known: How many characters had come when the match was certain.

    Attributes:
        action: The strictest action of all that matched.
        shown: Whether the replacement has left.
    """

    __slots__ = ("_extents", "_label", "action", "end", "shown", "start")

    def __init__(self, start: int, end: int, rule: int, action: Action, *, known: int) -> None:
        self.start = start
        self.end = end
        self.action = action
        self.shown = False
        self._label = start, known, end, rule
        self._extents = {rule: (start, end)}

    @property
    def label(self) -> int:
        """The rule that gives the run its name: that of the match which starts first.

        Among those that start together it is the one that is certain first, since the name may
        have left by the time of the next; then the one that ends first, then the first rule.
        """
        return self._label[3]

    @property
    def ends(self) -> bool:
        """Whether nothing of the text may follow."""
        return STRICTNESS[self.action] > STRICTNESS["redact"]

    def verdicts(
        self, rules: Sequence[Rule], choice: int | None, field: str, offset: int
    ) -> Iterator[Verdict]:
        """Yield what is told of the run, by rule.

        Args:
            rules: The rules, by number.
            choice: The choice of the text; None for a prompt.
            field: Its field.
            offset: Where it begins.
        """
        for rule, start, end in self.extents():
            yield Verdict(rules[rule].id, self.action, choice, field, offset + start, end - start)

    def extents(self) -> Iterator[tuple[int, int, int]]:
        """Yield each rule with the first and the last place of its own matches in the run."""
        ordered = sorted((start, rule, end) for rule, (start, end) in self._extents.items())
        for start, rule, end in ordered:
            yield rule, start, end

    def take(self, other: Run) -> None:
        """Take in a run that this one touches."""
        self.start = min(self.start, other.start)
        self.end = max(self.end, other.end)
        self.shown = self.shown or other.shown
        self.action = max(self.action, other.action, key=STRICTNESS.__getitem__)
        self._label = min(self._label, other._label)
        for rule, (start, end) in other._extents.items():
            mine = self._extents.get(rule, (start, end))
            self._extents[rule] = min(mine[0], start), max(mine[1], end)


def add(runs: list[Run], run: Run) -> None:
    """Add a match that ends no earlier than all before it."""
    while runs and runs[-1].end >= run.start:
        run.take(runs.pop())
    runs.append(run)


class Covered:
    """The characters of a text that were not shown.

    Several lists of entries ask, each from its own place on, so nothing is forgotten by a
    question; memory is bounded by `MOST_RANGES`.
    """

    def __init__(self) -> None:
        self._ranges: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return len(self._ranges)

    def add(self, start: int, end: int) -> None:
        """Add characters that end no earlier than all before; ranges that touch become one."""
        ranges = self._ranges
        while ranges and ranges[-1][1] >= start:
            start = min(start, ranges.pop()[0])
        ranges.append((start, end))
        if len(ranges) > MOST_RANGES:
            ranges[:2] = [(ranges[0][0], ranges[1][1])]

    def touches(self, start: int, end: int) -> bool:
        """Tell whether some characters touch one of these; in any order of questions."""
        ranges = self._ranges
        if not ranges or ranges[-1][1] <= start:
            return False
        return ranges[bisect_right(ranges, start, key=_END)][0] < end
