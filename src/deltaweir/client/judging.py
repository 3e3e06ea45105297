"""How a client's stream asks the classifiers of its guard, between two looks at its source.

The stream waits for an answer before it reads on: so in the mode "follow" no more is seen of a
bad text than its window, and what came together with that.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from deltaweir.client.guarding import GuardedWeir
from deltaweir.errors import ClassifierFailed
from deltaweir.guard.findings import Finding
from deltaweir.guard.guard import StreamGuard
from deltaweir.guard.judging import Question
from deltaweir.weir import State, Weir

_log = logging.getLogger("deltaweir.guard")


class Asking:
    """Ask the classifiers of one stream's guard.

    Args:
        weir: The stream's weir.
        guard: Its guard.
        clock: Returns seconds on the clock of the weir.

    Attributes:
        ended: Whether the source has ended, and its end waits for an answer.
    """

    def __init__(self, weir: Weir[Any], guard: StreamGuard, clock: Callable[[], float]) -> None:
        self._weir = weir
        self._guard = guard
        self._clock = clock
        self.ended = False

    def wait(self, limit: float | None) -> float | None:
        """Return how long the source may be waited for; None where nothing but its clock counts.

        Args:
            limit: What its clock allows, None for any time.
        """
        deadline = self._weir.deadline
        if deadline is None:
            return None
        left = max(0.0, deadline - self._clock())
        return left if limit is None or left < limit else None

    def due(self) -> Question | None:
        """Return what a classifier must be asked now; None while there is nothing."""
        return self._guard.due(self._clock()) if self._weir.state is State.OPEN else None

    def ask(self, question: Question) -> Sequence[Any]:
        """Ask, and return the chunks that may leave; blocks."""
        try:
            finding = question.judge.judge(question.window.text)
        except ClassifierFailed as error:
            return self._failed(question, error)
        return self._answered(question, finding)

    async def ask_async(self, question: Question) -> Sequence[Any]:
        """Ask, and return the chunks that may leave."""
        try:
            finding = await question.judge.judge_async(question.window.text)
        except ClassifierFailed as error:
            return self._failed(question, error)
        return self._answered(question, finding)

    def _failed(self, question: Question, error: ClassifierFailed) -> Sequence[Any]:
        """Go on as the guard's policy says; only the log can tell why, and it holds no text."""
        _log.warning("%s", error)
        return self._answered(question, None)

    def _answered(self, question: Question, finding: Finding | None) -> Sequence[Any]:
        self._guard.answer(question, finding)
        return self._weir.clear(question.choice, question.field, question.window.upto)


def asking(weir: Weir[Any], clock: Callable[[], float]) -> Asking | None:
    """Return what asks the classifiers of a stream; None where it has none."""
    if not isinstance(weir, GuardedWeir) or not weir.guard.policy.judges:
        return None
    return Asking(weir, weir.guard, clock)
