"""What a weir asks of the meter, the budget and the guard that are put into it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from deltaweir.endings import Ending
from deltaweir.schema.chunk import AnyChunk, Usage

Pass = Callable[[str, float], tuple[str, Ending | None]]
"""Takes a piece of a text and the time; returns what may leave now, and an ending it brings."""


class MeterSlot(Protocol):
    """Counts what a stream generates."""

    @property
    def usage(self) -> Usage | None:
        """The count so far, for a usage chunk the source did not send; None for no chunk."""

    def take(self, chunk: AnyChunk) -> None:
        """Take a chunk as the source sent it, before anything is held or cut."""

    def taking(self, index: int) -> Callable[[str], None]:
        """Return what takes the contents of a choice that come in chunks which say nothing else.

        It is good until `take` is called.
        """


class BudgetSlot(Protocol):
    """Knows how much may still be generated."""

    @property
    def sent(self) -> int:
        """Tokens of the text that was let through."""

    @property
    def spent(self) -> bool:
        """Whether nothing more may be generated, so that an end by length is this limit's."""

    def allow(self, index: int, field: str, text: str) -> int | None:
        """Return how many characters of this text are within the limit; None for all.

        Any number means that the limit is passed here: the stream is cut.
        """


class GuardSlot(Protocol):
    """Holds text back until no rule can still cover it."""

    @property
    def verdict(self) -> Ending | None:
        """The ending a rule has called for; None while there is none."""

    @property
    def deadline(self) -> float | None:
        """When held text must be looked at again though nothing arrives; None for never."""

    def feed(self, index: int, field: str, text: str, now: float) -> str:
        """Take a piece of one field and return what may leave now."""

    def passing(self, index: int, field: str) -> Pass:
        """Return `feed` for the pieces of one text, with a look at the ``verdict``, in one call.

        It is good until the guard is fed otherwise.
        """

    def whole(self, index: int, field: str, text: str) -> bool:
        """Tell whether a text that comes in one piece may leave: the name of a function.

        After a no, ``verdict`` is the ending it calls for.
        """

    def clear(self, index: int, field: str, upto: int) -> str:
        """Take a classifier's word that the text is clean up to a character; return it."""

    def waits(self, index: int) -> bool:
        """Tell whether text of a choice that `finish` has ended still waits for a classifier.

        It leaves by ``clear``; until then the choice's end is not shown.
        """

    def finish(self, index: int, *, cut: bool) -> Sequence[tuple[str, str]]:
        """End a choice, once; return the field and text of all that may still leave.

        When the text was cut, what a rule could still cover is dropped, not returned. The four
        questions below are answered for an ended choice as well.
        """

    def position(self, index: int, field: str) -> int:
        """Return how many characters of a field were fed."""

    def decided(self, index: int, field: str) -> int:
        """Return how many of these were released, replaced or dropped; all before them were."""

    def track(self, index: int, field: str) -> None:
        """Remember which characters leave as they are, for `touches`, of those fed from now on."""

    def touches(self, index: int, field: str, start: int, end: int) -> bool:
        """Tell whether any of these decided characters was replaced or dropped."""

    def began(self, index: int) -> bool:
        """Tell whether any text of a choice has come."""

    def hides(self, index: int) -> bool:
        """Tell whether any character of a choice was replaced or dropped so far."""
