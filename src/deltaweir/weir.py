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

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from deltaweir.endings import Ending, State
from deltaweir.schema.chunk import Choice, Chunk, TextChoice, TextChunk
from deltaweir.schema.texts import carrier, heads, says_something, take_out, texts
from deltaweir.slots import BudgetSlot, GuardSlot, MeterSlot

__all__ = ["BudgetSlot", "Ending", "GuardSlot", "MeterSlot", "State", "Weir"]

ChunkT = TypeVar("ChunkT", bound=Chunk | TextChunk)

_FINAL_WORDS = frozenset({"stop", "tool_calls", "function_call"})


class Weir(Generic[ChunkT]):
    """Pass one stream through metering, budget and guard to an honest end.

    Args:
        kind: The stream's chunk type.
        meter: Counts; None counts nothing.
        budget: Limits; None has no limit.
        guard: Filters; None lets all text through at once.
        usage_asked: Whether the reader asked for a chunk with usage and no choices.
        usage_everywhere: Whether every chunk shall carry the usage so far, which needs a meter.

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
        usage_everywhere: bool = False,
    ) -> None:
        self.state = State.OPEN
        self.ending: Ending | None = None
        self._kind = kind
        self._choice: type[Choice | TextChoice] = (
            TextChoice if issubclass(kind, TextChunk) else Choice
        )
        self._meter = meter
        self._budget = budget
        self._guard = guard
        self._free = budget is None and guard is None
        self.usage_asked = usage_asked
        """Whether the reader asked for a chunk with usage and no choices."""
        self._usage_everywhere = usage_everywhere and meter is not None
        self._usage_chunk: ChunkT | None = None
        self._before_usage: ChunkT | None = None
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
        return self._guard.deadline if self._guard and self.state is State.OPEN else None

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
            if choice.finish_reason is not None and self._free:
                self._open[choice.index] = False
        if not self._free:
            return self._with_usage(self._controlled(chunk, now))
        return self._with_usage((chunk,)) if self._usage_everywhere else (chunk,)

    def clear(self, index: int, field: str, upto: int) -> Sequence[ChunkT]:
        """Release what a classifier found clean; write what is returned.

        Args:
            index: The choice.
            field: The field, as `deltaweir.schema.texts` names it.
            upto: How many characters of the generated text are cleared.
        """
        if self._guard is None or self.state is not State.OPEN or not self._open.get(index):
            return ()
        out = self._carried(index, [(field, self._guard.clear(index, field, upto))])
        if self._guard.verdict is not None:
            out += self._end(self._guard.verdict)
        return self._with_usage(out)

    def finish(self, ending: Ending = Ending.COMPLETE) -> Sequence[ChunkT]:
        """Take note that the source has ended; write what is returned.

        A source that ends in silence (``Ending.TRUNCATED``) is complete all the same when
        every choice it opened has said its finish reason.
        """
        if self.state is not State.OPEN:
            return ()
        if ending is Ending.TRUNCATED and self._open and not any(self._open.values()):
            ending = Ending.COMPLETE
        return self._with_usage(self._end(ending))

    def abort(self, ending: Ending) -> Sequence[ChunkT]:
        """Stop the stream from this side; write what is returned and close the source."""
        return self._with_usage(self._end(ending)) if self.state is State.OPEN else ()

    def _without_choices(self, chunk: ChunkT) -> Sequence[ChunkT]:
        """Keep usage for the very end; whoever did not ask never sees empty choices."""
        if not self.usage_asked:
            return ()
        if chunk.usage is None:
            return (chunk,)
        self._usage_chunk, self._before_usage = chunk, self._last
        return ()

    def _with_usage(self, chunks: Sequence[ChunkT]) -> Sequence[ChunkT]:
        """Put the usage so far on chunks that have none, where every chunk shall carry it."""
        if self._usage_everywhere and chunks and self._meter is not None:
            usage = self._meter.usage
            for chunk in chunks:
                if chunk.usage is None and usage is not None:
                    chunk.usage = usage
                    _rewritten(chunk)
        return chunks

    def _controlled(self, chunk: ChunkT, now: float) -> Sequence[ChunkT]:
        """Take the choices of a chunk one after the other, up to a cut."""
        ending: Ending | None = None
        before: list[ChunkT] = []  # what leaves ahead of the chunk itself
        changed = False
        choices: Sequence[Choice | TextChoice] = chunk.choices
        for choice in choices:
            if ending is not None or not self._open[choice.index]:
                take_out(choice)  # nothing follows a cut, nor a choice's own end
                choice.finish_reason = None
                changed = True
                continue
            ending, shorter = self._filter(choice, now)
            changed = changed or shorter
            if ending is not None:
                choice.finish_reason = None  # the cut came first
            elif choice.finish_reason is not None:
                held, ending = self._finished(choice)
                before += held
        if changed or before or ending is not None:
            _rewritten(chunk)
        out = before
        if not changed or chunk.usage is not None or any(map(says_something, choices)):
            out.append(chunk)
        return out if ending is None else [*out, *self._end(ending)]

    def _finished(self, choice: Choice | TextChoice) -> tuple[Sequence[ChunkT], Ending | None]:
        """End a choice as its source says, or as the guard does when it sees the whole text."""
        self._open[choice.index] = False
        verdict: Ending | None = None
        held: list[ChunkT] = []
        if self._guard is not None:
            held = self._held(choice.index, cut=choice.finish_reason not in _FINAL_WORDS)
            verdict = self._guard.verdict
        if verdict is not None:
            choice.finish_reason = verdict.finish_reason
        elif choice.finish_reason == "length" and self._budget is not None and self._budget.spent:
            verdict = Ending.BUDGET  # the source was told of the limit
        if not held:
            return (), verdict
        # role, tool-call heads and text of the same chunk are older than what was held
        own = self._with(take_out(choice))
        return [own, *held] if says_something(own.choices[0]) else held, verdict

    def _filter(self, choice: Choice | TextChoice, now: float) -> tuple[Ending | None, bool]:
        """Cut a choice's texts to budget and guard; tell the ending, and if any text changed."""
        ending = self._filter_heads(choice)
        changed = ending is not None
        for text in texts(choice):
            value = shown = text.value
            if ending is not None:
                shown = ""
            elif self._budget is not None:
                allowed = self._budget.allow(choice.index, text.field, value)
                if allowed is not None:
                    shown, ending = value[:allowed], Ending.BUDGET
            if self._guard is not None and shown:
                shown = self._guard.feed(choice.index, text.field, shown, now)
                ending = self._guard.verdict or ending
            if shown != value:
                text.replace(shown)
                changed = True
        if changed:
            choice.logprobs = None  # their tokens would tell what the text does not
        return ending, changed

    def _filter_heads(self, choice: Choice | TextChoice) -> Ending | None:
        """Take the names of functions off the budget; one that passes it goes whole."""
        if self._budget is None:
            return None
        ending: Ending | None = None
        for name in heads(choice):
            if ending is None:
                allowed = self._budget.allow(choice.index, name.field, name.value)
                ending = None if allowed is None else Ending.BUDGET
            if ending is not None:
                name.replace("")
        return ending

    def _end(self, ending: Ending) -> list[ChunkT]:
        self.ending, self.state = ending, ending.state
        out: list[ChunkT] = []
        if ending is Ending.ABANDONED:
            return out
        for index in [index for index, still_open in self._open.items() if still_open]:
            out += self._held(index, cut=True)
            if ending.finish_reason is not None:
                out.append(
                    self._with(self._choice(index=index, finish_reason=ending.finish_reason))
                )
        if self.usage_asked and self.state is not State.FAILED:
            out += self._usage()
        return out

    def _usage(self) -> Sequence[ChunkT]:
        """Return the source's usage chunk, or else one of our own count."""
        theirs = self._usage_chunk
        if theirs is not None and self._before_usage is self._last:
            return (theirs,)
        usage = None if self._meter is None else self._meter.usage
        if usage is None:
            return () if theirs is None else (theirs,)
        chunk = self._with() if theirs is None else theirs
        chunk.usage = usage  # more was generated since the source told of its own
        _rewritten(chunk)
        return (chunk,)

    def _held(self, index: int, *, cut: bool) -> list[ChunkT]:
        return self._carried(index, self._guard.finish(index, cut=cut)) if self._guard else []

    def _carried(self, index: int, held: Sequence[tuple[str, str]]) -> list[ChunkT]:
        return [
            self._with(carrier(self._choice, index, field, text)) for field, text in held if text
        ]

    def _with(self, *choices: Any) -> ChunkT:
        """Return a chunk of this stream that brings these choices."""
        chunk, last = self._kind(choices=list(choices)), self._last
        if last is not None:
            chunk.id, chunk.created, chunk.model = last.id, last.created, last.model
        return chunk


def _rewritten(chunk: Chunk | TextChunk) -> None:
    """Make a chunk that remembers its own bytes forget them: they say more than may be shown."""
    if "raw" in chunk.__struct_fields__:
        chunk.raw = None  # type: ignore[union-attr]  # of the records that remember
