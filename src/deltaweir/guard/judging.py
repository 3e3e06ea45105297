"""The classifiers of one stream, and the texts that wait for their word. Pure.

A text goes through the rules first, so that no classifier is told what they hide, and then
through one classifier after the other. Whoever runs the stream asks for the question that is
due, has it answered, and hands the answer back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from deltaweir.guard.findings import Finding
from deltaweir.guard.rules import Action, Scope
from deltaweir.guard.verdicts import Verdict
from deltaweir.guard.windows import Window, Windows, WindowTerms


class Judge(Protocol):
    """A classifier, as `deltaweir.adapters.classifiers` makes them."""

    @property
    def name(self) -> str:
        """What verdicts call it."""

    @property
    def action(self) -> Action:
        """What a flagged window does."""

    @property
    def scope(self) -> tuple[Scope, ...]:
        """The kinds of text it looks at."""

    @property
    def terms(self) -> WindowTerms:
        """How a text is cut into windows for it."""

    def judge(self, text: str) -> Finding:
        """Return what it says of a text; blocks."""

    async def judge_async(self, text: str) -> Finding:
        """Return what it says of a text."""


class Question(NamedTuple):
    """A window, and who is to judge it.

    Attributes:
        choice: The choice.
        field: The field.
        number: The classifier's place among those of the text.
        judge: The classifier.
        window: The window.
    """

    choice: int
    field: str
    number: int
    judge: Judge
    window: Window

    def verdict(self, action: Action, category: str, start: int) -> Verdict:
        """Return what is told of the window, whose new text starts at a place."""
        name = f"{self.judge.name}:{category}"
        return Verdict(name, action, self.choice, self.field, start, self.window.upto - start)


class _Text:
    """One text on its way through the classifiers that look at it."""

    def __init__(self, judges: Sequence[Judge]) -> None:
        self.judges = judges
        self.windows = [Windows(judge.terms) for judge in judges]
        self._ended = False

    @property
    def waiting(self) -> bool:
        return any(one.waiting for one in self.windows)

    def take(self, text: str, now: float, number: int = 0) -> str:
        """Take text that has passed the classifiers before a number; return what may be shown."""
        for one in self.windows[number:]:
            text = one.take(text, now)
        return text

    def clear(self, number: int, upto: int, now: float) -> str:
        shown = self.take(self.windows[number].clear(upto), now, number + 1)
        if self._ended:
            self.end()
        return shown

    def end(self) -> None:
        """Take note that no more text comes; each classifier is told once the last is done."""
        self._ended = True
        for one in self.windows:
            one.end()
            if one.waiting:
                break


class Judging:
    """The texts of a stream that classifiers look at.

    Args:
        judges: The classifiers.
    """

    def __init__(self, judges: Sequence[Judge]) -> None:
        self._judges = judges
        self._texts: dict[tuple[int, str], _Text | None] = {}

    @property
    def deadline(self) -> float | None:
        """When a question is due at the latest; None when nothing waits."""
        known = [
            one.deadline
            for text in self._texts.values()
            if text is not None
            for one in text.windows
            if one.deadline is not None
        ]
        return min(known, default=None)

    @property
    def held(self) -> int:
        """How many characters, as rules let them through, were not shown so far."""
        return sum(
            one.windows[0].taken - one.windows[-1].shown
            for one in [*self._texts.values()]
            if one is not None
        )

    def take(self, index: int, field: str, scope: Scope, text: str, now: float) -> str:
        """Take a piece of a text that the rules let through; return what may be shown now."""
        one = self._text(index, field, scope)
        return text if one is None else one.take(text, now)

    def due(self, now: float) -> Question | None:
        """Return the next question; None while none is due."""
        for (index, field), text in self._texts.items():
            for number, one in enumerate(text.windows if text is not None else ()):
                window = one.due(now)
                if window is not None and text is not None:
                    return Question(index, field, number, text.judges[number], window)
        return None

    def start(self, question: Question) -> int:
        """Return where the new text of a question's window starts."""
        text = self._texts[question.choice, question.field]
        return 0 if text is None else text.windows[question.number].judged

    def clear(self, question: Question, now: float) -> str:
        """Take a classifier's word that a window may be shown; return what may be now."""
        text = self._texts[question.choice, question.field]
        return "" if text is None else text.clear(question.number, question.window.upto, now)

    def shown(self, index: int, field: str) -> int:
        """Return how many characters of a text, as rules let it through, may have been shown."""
        text = self._texts.get((index, field))
        return 0 if text is None else text.windows[-1].shown

    def end(self, index: int) -> None:
        """Take note that a choice has ended: what waits of it is due at once."""
        for (choice, _), text in self._texts.items():
            if choice == index and text is not None:
                text.end()

    def waits(self, index: int, field: str | None = None) -> bool:
        """Tell whether text of a choice, or of one field, waits for a classifier."""
        return any(
            text is not None and text.waiting
            for (choice, name), text in self._texts.items()
            if choice == index and field in {None, name}
        )

    def _text(self, index: int, field: str, scope: Scope) -> _Text | None:
        key = index, field
        if key not in self._texts:
            judges = [one for one in self._judges if scope in one.scope]
            self._texts[key] = _Text(judges) if judges else None
        return self._texts[key]
