"""The weir: the state machine of one stream, and the file to read first.

Chunks go in, the chunks that may be shown come out. The weir meters what was generated,
finds where a budget cuts, lets a guard hold text back, and sees to it that every stream has
an honest end. It does no I/O, reads no clock and starts nothing: the caller hands in chunks
and times, writes what is returned, and closes the source as soon as ``state`` leaves OPEN.

::

    source ── Chunk ─→ feed ─→ chunks to show        one way through, in this order:
               │                                      1. meter   counts all, shown or not
               ├─ ended ─→ finish ─→ last chunks      2. budget  finds the cut
               └─ stopped ─→ abort ─→ last chunks     3. guard   holds and replaces
                                                      4. release text before finish,
                                                                 finish before usage

The moves between states are the table ``Ending``: each ending names the state it leads to.
All are taken from OPEN; DONE, CUT and FAILED are final, and calls made later return nothing.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from typing import Any, Generic, Protocol, TypeVar

from deltaweir.schema.chunk import AnyChunk, Choice, Chunk, TextChoice, TextChunk
from deltaweir.schema.texts import carrier, texts

ChunkT = TypeVar("ChunkT", bound=Chunk | TextChunk)

_FINAL_WORDS = frozenset({"stop", "tool_calls", "function_call"})


class State(enum.Enum):
    """Where a stream stands."""

    OPEN = "open"
    DONE = "done"
    CUT = "cut"
    FAILED = "failed"


class Ending(enum.Enum):
    """How a stream ends: the state it leads to, what readers see, and who stopped it.

    Attributes:
        state: The state this ending leads to.
        finish_reason: What every choice still open ends with; None where no such chunk goes
            out, since the source said it itself or the stream failed.
        stopped_by: Who cut the stream, None when nobody did.
        code: The code of the error that readers get, None when there is none.
    """

    state: State
    finish_reason: str | None
    stopped_by: str | None
    code: str | None

    COMPLETE = ("complete", State.DONE, None, None, None)
    BLOCKED = ("blocked", State.CUT, "content_filter", "guard", None)
    TRUNCATED_BY_GUARD = ("truncated_by_guard", State.CUT, "length", "guard", None)
    BUDGET = ("budget", State.CUT, "length", "budget", None)
    STOPPED = ("stopped", State.CUT, "length", "stop", None)
    REVOKED = ("revoked", State.CUT, "length", "revoked", None)
    ABANDONED = ("abandoned", State.CUT, None, "reader", None)
    TRUNCATED = ("truncated", State.FAILED, None, None, "upstream_truncated")
    FAILED = ("failed", State.FAILED, None, None, "upstream_failed")
    STALLED = ("stalled", State.FAILED, None, None, "stall_timeout")

    def __new__(
        cls,
        name: str,
        state: State,
        finish_reason: str | None,
        stopped_by: str | None,
        code: str | None,
    ) -> Ending:
        """Give each row of the table its columns as attributes."""
        member = object.__new__(cls)
        member._value_ = name
        member.state = state
        member.finish_reason = finish_reason
        member.stopped_by = stopped_by
        member.code = code
        return member


class MeterSlot(Protocol):
    """Counts what a stream generates."""

    def take(self, chunk: AnyChunk) -> None:
        """Take a chunk as the source sent it, before anything is held or cut."""


class BudgetSlot(Protocol):
    """Knows how much may still be generated."""

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

    def feed(self, index: int, field: str, text: str) -> str:
        """Take a piece of one field and return what may leave now."""

    def clear(self, index: int, field: str, upto: int) -> str:
        """Take a classifier's word that the text is clean up to a character; return it."""

    def finish(self, index: int, *, cut: bool) -> Sequence[tuple[str, str]]:
        """End a choice; return the field and text of all that may still leave.

        When the text was cut, what a rule could still cover is dropped, not returned.
        """


class Weir(Generic[ChunkT]):
    """Pass one stream through metering, budget and guard to an honest end.

    Args:
        kind: The stream's chunk type.
        meter: Counts; None counts nothing.
        budget: Limits; None has no limit.
        guard: Filters; None lets all text through at once.
        usage_asked: Whether the reader asked for a chunk with usage and no choices.

    One weir belongs to one stream and is not shared between threads.
    """

    def __init__(
        self,
        kind: type[ChunkT],
        *,
        meter: MeterSlot | None = None,
        budget: BudgetSlot | None = None,
        guard: GuardSlot | None = None,
        usage_asked: bool = False,
    ) -> None:
        self.state = State.OPEN
        self.ending: Ending | None = None
        self._kind = kind
        self._choice: type[Choice | TextChoice] = TextChoice if kind is TextChunk else Choice
        self._meter = meter
        self._budget = budget
        self._guard = guard
        self._usage_asked = usage_asked
        self._usage_chunk: ChunkT | None = None
        self._last: ChunkT | None = None
        self._open: dict[int, bool] = {}

    @property
    def complete(self) -> bool:
        """Whether the source itself said that all was sent."""
        return self.state is State.DONE

    @property
    def stopped_by(self) -> str | None:
        """Who cut the stream: guard, budget, stop, revoked or reader; None when nobody did."""
        return self.ending.stopped_by if self.ending else None

    @property
    def deadline(self) -> float | None:
        """When `clear` is due though no chunk came, on the clock of ``feed``; None for never."""
        return self._guard.deadline if self._guard else None

    def feed(self, chunk: ChunkT, now: float) -> Sequence[ChunkT]:
        """Take the source's next chunk; write what is returned, then look at ``state``.

        Args:
            chunk: The chunk, which the weir may change and keep.
            now: The time of its arrival in seconds, on any monotonic clock.
        """
        if self.state is not State.OPEN:
            return ()
        if self._meter is not None:
            self._meter.take(chunk)
        if not chunk.choices:
            return self._without_choices(chunk)
        self._last = chunk
        for choice in chunk.choices:
            self._open.setdefault(choice.index, True)
        if self._budget is not None or self._guard is not None:
            return list(self._controlled(chunk))
        for choice in chunk.choices:
            if choice.finish_reason is not None:
                self._open[choice.index] = False
        return (chunk,)

    def clear(self, index: int, field: str, upto: int) -> Sequence[ChunkT]:
        """Release what a classifier found clean; write what is returned.

        Args:
            index: The choice.
            field: The field, as `deltaweir.schema.texts` names it.
            upto: How many characters of the generated text are cleared.
        """
        if self._guard is None or self.state is not State.OPEN:
            return ()
        return self._carried(index, [(field, self._guard.clear(index, field, upto))])

    def finish(self, ending: Ending = Ending.COMPLETE) -> Sequence[ChunkT]:
        """Take note that the source has ended; write what is returned.

        A source that ends in silence (``Ending.TRUNCATED``) is complete all the same when
        every choice it opened has said its finish reason.
        """
        if self.state is not State.OPEN:
            return ()
        if ending is Ending.TRUNCATED and self._open and not any(self._open.values()):
            ending = Ending.COMPLETE
        return self._end(ending)

    def abort(self, ending: Ending) -> Sequence[ChunkT]:
        """Stop the stream from this side; write what is returned and close the source."""
        return self._end(ending) if self.state is State.OPEN else ()

    def _without_choices(self, chunk: ChunkT) -> Sequence[ChunkT]:
        """Keep usage for the very end; whoever did not ask never sees empty choices."""
        if not self._usage_asked:
            return ()
        if chunk.usage is None:
            return (chunk,)
        self._usage_chunk = chunk
        return ()

    def _controlled(self, chunk: ChunkT) -> Iterator[ChunkT]:
        ending: Ending | None = None
        for choice in chunk.choices:
            ending = self._filter(choice, ending)
        if ending is not None:
            for choice in chunk.choices:
                choice.finish_reason = None  # the cut came first
        choices: Sequence[Choice | TextChoice] = chunk.choices
        for choice in choices:
            reason = choice.finish_reason
            if reason is not None:
                self._open[choice.index] = False
                held = self._held(choice.index, cut=reason not in _FINAL_WORDS)
                if held:
                    yield from self._taken_out(choice)
                    yield from held
        if _says_something(chunk):
            yield chunk
        if ending is not None:
            yield from self._end(ending)

    def _taken_out(self, choice: Choice | TextChoice) -> Sequence[ChunkT]:
        """Move a choice's texts to chunks of their own, which go before what was held."""
        own: list[tuple[str, str]] = []
        for text in texts(choice):
            own.append((text.field, text.value))
            text.replace("")
        return self._carried(choice.index, own)

    def _filter(self, choice: Choice | TextChoice, ending: Ending | None) -> Ending | None:
        """Cut a choice's texts to budget and guard; after an ending nothing more may leave."""
        for text in texts(choice):
            value = text.value
            if ending is not None:
                text.replace("")
                continue
            if self._budget is not None:
                allowed = self._budget.allow(choice.index, text.field, value)
                if allowed is not None:
                    value, ending = value[:allowed], Ending.BUDGET
            if self._guard is not None:
                value = self._guard.feed(choice.index, text.field, value)
                ending = self._guard.verdict or ending
            text.replace(value)
        return ending

    def _end(self, ending: Ending) -> Sequence[ChunkT]:
        self.ending, self.state = ending, ending.state
        if ending is Ending.ABANDONED:
            return ()
        out: list[ChunkT] = []
        for index, still_open in self._open.items():
            if still_open:
                out += self._held(index, cut=True)
                if ending.finish_reason is not None:
                    out.append(
                        self._with(self._choice(index=index, finish_reason=ending.finish_reason))
                    )
        if self._usage_chunk is not None and self.state is not State.FAILED:
            out.append(self._usage_chunk)
        return out

    def _held(self, index: int, *, cut: bool) -> Sequence[ChunkT]:
        return self._carried(index, self._guard.finish(index, cut=cut)) if self._guard else ()

    def _carried(self, index: int, held: Sequence[tuple[str, str]]) -> Sequence[ChunkT]:
        return [
            self._with(carrier(self._choice, index, field, text)) for field, text in held if text
        ]

    def _with(self, choice: Any) -> ChunkT:
        """Return a chunk of this stream that brings one choice."""
        last = self._last
        if last is None:
            return self._kind(choices=[choice])
        return self._kind(choices=[choice], id=last.id, created=last.created, model=last.model)


def _says_something(chunk: AnyChunk) -> bool:
    """Tell whether a chunk whose text was held back still brings anything."""
    if chunk.usage is not None:
        return True
    for choice in chunk.choices:
        if choice.finish_reason is not None:
            return True
        if isinstance(choice, TextChoice):
            if choice.text:
                return True
        elif any(True for _ in choice.delta):
            return True
    return False
