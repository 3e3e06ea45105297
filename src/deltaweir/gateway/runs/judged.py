"""The classifiers of a run's guard, asked while its source waits."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

from deltaweir.client.judging import Asking
from deltaweir.guard.judging import Question


class Judged(Protocol):
    """The run whose text is judged."""

    @property
    def open(self) -> bool:
        """Whether it has not ended."""

    def wait(self) -> None:
        """Take nothing from the source for a while."""

    def heard(self, chunks: Sequence[Any]) -> None:
        """Take what a classifier's word lets out."""

    def judged(self, *, ended: bool) -> None:
        """Go on: nothing is to be asked now.

        Args:
            ended: Whether the source has ended, and all that waited was judged.
        """

    def fault(self, error: Exception) -> None:
        """End after a fault of our own."""


class Judges:
    """Ask what is due, one question after the other.

    Args:
        asking: The questions of the run's guard.
        run: The run.
    """

    __slots__ = ("_asking", "_run", "_task")

    def __init__(self, asking: Asking, run: Judged) -> None:
        self._asking = asking
        self._run = run
        self._task: asyncio.Task[None] | None = None

    @property
    def busy(self) -> bool:
        """Whether a question is on its way."""
        return self._task is not None

    def end(self) -> None:
        """Take note that the source has ended: what waits is judged, then the run ends."""
        self._asking.ended = True
        self.look()

    def look(self) -> None:
        """Ask what is due, unless a question is on its way."""
        if self._task is None and self._run.open:
            question = self._asking.due()  # it is told once
            if question is not None or self._asking.ended:
                self._run.wait()
                self._task = asyncio.get_running_loop().create_task(self._ask(question))

    def cancel(self) -> None:
        """Ask nothing any more."""
        if self._task is not None:
            self._task.cancel()

    async def _ask(self, question: Question | None) -> None:
        try:
            while self._run.open and question is not None:
                self._run.heard(await self._asking.ask_async(question))
                question = self._asking.due()
            self._task = None
            self._run.judged(ended=self._asking.ended)
        except Exception as error:  # noqa: BLE001  # a fault of ours must not look like an end
            self._run.fault(error)
