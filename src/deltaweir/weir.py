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

What 2 and 3 do to one choice is `deltaweir.control`; log probabilities and token ids that
leave with their characters are `deltaweir.entries`. A guard reads texts: with one, whatever
else may hold generated text is taken out, such as sounds (`deltaweir.schema.unread`).

The moves between states are the table ``Ending``: each ending names the state it leads to.
All are taken from OPEN; DONE, CUT and FAILED are final, and calls made later return nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from deltaweir.control import Control
from deltaweir.endings import Ending, State
from deltaweir.last_usage import LastUsage
from deltaweir.schema.chunk import Choice, Chunk, TextChoice, TextChunk, has_figures
from deltaweir.schema.ends import is_cut
from deltaweir.schema.forwarding import ForwardedChunk, ForwardedTextChunk
from deltaweir.schema.texts import only_text, says_something, take_out
from deltaweir.schema.unread import take_out_unread_of
from deltaweir.slots import BudgetSlot, GuardSlot, MeterSlot
from deltaweir.text_way import TextWay

__all__ = ["BudgetSlot", "Ending", "GuardSlot", "MeterSlot", "State", "TextWay", "Weir"]

ChunkT = TypeVar("ChunkT", bound=Chunk | TextChunk)


class Weir(Generic[ChunkT]):
    """Pass one stream through metering, budget and guard to an honest end.

    Args:
        kind: The stream's chunk type; None takes that of the first chunk with choices.
        meter: Counts; None counts nothing.
        budget: Limits; None has no limit.
        guard: Filters; None lets all text through at once.
        usage_asked: Whether the reader asked for a chunk with usage and no choices.
        usage_everywhere: Whether every chunk shall carry the usage so far, which needs a meter.
        keeps_usage: Whether a chunk without choices waits for the end, or goes nowhere when
            nobody asked for usage; else it passes at once.

    One weir belongs to one stream and is not shared between threads.
    """

    def __init__(
        self,
        kind: type[ChunkT] | None,
        *,
        meter: MeterSlot | None = None,
        budget: BudgetSlot | None = None,
        guard: GuardSlot | None = None,
        usage_asked: bool = False,
        usage_everywhere: bool = False,
        keeps_usage: bool = True,
    ) -> None:
        self.state = State.OPEN
        self.ending: Ending | None = None
        self._kind = kind
        self._meter = meter
        self._guard = guard
        self._control = None if budget is None and guard is None else Control(budget, guard)
        self.usage_asked = usage_asked
        self.usage_everywhere = usage_everywhere and meter is not None
        self._keeps_usage = keeps_usage
        self._last_usage: LastUsage[ChunkT] = LastUsage()
        self._last: ChunkT | None = None
        self._open: dict[int, bool] = {}
        self._said: dict[int, str] = {}  # finish reasons that wait for a classifier

    @property
    def complete(self) -> bool:
        """Whether the source itself said that all was sent."""
        return self.state is State.DONE

    @property
    def all_ended(self) -> bool:
        """Whether every choice that was opened has said its finish reason."""
        return bool(self._open) and not any(self._open.values())

    @property
    def controlled(self) -> bool:
        """Whether a budget or a guard may keep text from being shown."""
        return self._control is not None

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
        if self._guard is not None and chunk.__dict__ and take_out_unread_of(chunk):
            _rewritten(chunk)
        if not chunk.choices:
            return self._without_choices(chunk)
        self._last = chunk
        self._kind = self._kind or type(chunk)
        if self._control is not None:
            shown = self._controlled(chunk, self._control, now)
            return self._with_usage(shown) if self.usage_everywhere else shown
        for choice in chunk.choices:
            reason = choice.finish_reason = choice.finish_reason or None  # as in `_controlled`
            self._open[choice.index] = reason is None and self._open.get(choice.index, True)
        return self._with_usage((chunk,)) if self.usage_everywhere else (chunk,)

    def takes_texts(self, index: int) -> bool:
        """Tell whether texts of a choice may go its `text_way`, until `feed` is called again."""
        return (
            self.state is State.OPEN
            and self._open.get(index, False)
            and not (self.usage_everywhere or self._said or self._last_usage.kept)
            and (self._control is None or not self._control.travelling)
        )

    def text_way(self, index: int) -> TextWay[ChunkT]:
        """Return the way of a choice's content that comes without a chunk around it.

        It is ``feed`` for a chunk that brings content to this choice and says nothing else, step
        by step, for callers to whom a call counts; to be asked for again after each ``feed``.

        Args:
            index: The choice, one that `takes_texts`.
        """
        field = "text" if self._choice is TextChoice else "content"
        meter, control = self._meter, self._control
        return TextWay(
            take=None if meter is None else meter.taking(index),
            show=None if control is None else control.passing(index, field),
            end=self._end,
        )

    def clear(self, index: int, field: str, upto: int) -> Sequence[ChunkT]:
        """Release what a classifier found clean; write what is returned.

        Args:
            index: The choice.
            field: The field, as `deltaweir.schema.texts` names it.
            upto: How many characters of the generated text are cleared.
        """
        control = self._control
        if control is None or self.state is not State.OPEN or not self._open.get(index):
            return ()
        out = list(map(self._with, control.clear(self._choice, index, field, upto)))
        if control.verdict is not None:
            out += self._end(control.verdict)
        elif index in self._said and not control.waits(index):
            out += self._settled(index, control)
        return self._with_usage(out)

    def finish(self, ending: Ending = Ending.COMPLETE) -> Sequence[ChunkT]:
        """Take note that the source has ended; write what is returned.

        A source that ends in silence (``Ending.TRUNCATED``) is complete all the same when
        every choice it opened has said its finish reason.
        """
        if self.state is not State.OPEN:
            return ()
        silent = {index for index, is_open in self._open.items() if is_open} - self._said.keys()
        if ending is Ending.TRUNCATED and self._open and not silent:
            ending = Ending.COMPLETE
        return self._with_usage(self._end(ending))

    def abort(self, ending: Ending) -> Sequence[ChunkT]:
        """Stop the stream from this side; write what is returned and close the source."""
        return self._with_usage(self._end(ending)) if self.state is State.OPEN else ()

    def _without_choices(self, chunk: ChunkT) -> Sequence[ChunkT]:
        """Keep usage for the very end; whoever did not ask never sees empty choices."""
        if self._keeps_usage and not self.usage_asked:
            return ()
        if not self._keeps_usage or chunk.usage is None:
            return (chunk,)
        self._last_usage.keep(chunk, self._last)
        return ()

    def _with_usage(self, chunks: Sequence[ChunkT]) -> Sequence[ChunkT]:
        """Put the usage so far on chunks that tell none, where every chunk shall carry it."""
        if self.usage_everywhere and chunks and self._meter is not None:
            usage = self._meter.usage
            for chunk in chunks:
                if usage is not None and not has_figures(chunk):
                    chunk.usage = usage
                    _rewritten(chunk)
        return chunks

    def _controlled(self, chunk: ChunkT, control: Control, now: float) -> Sequence[ChunkT]:
        """Take the choices of a chunk one after the other, up to a cut."""
        choices: Sequence[Choice | TextChoice] = chunk.choices
        for choice in choices:
            self._open.setdefault(choice.index, True)
            choice.finish_reason = choice.finish_reason or None  # LocalAI and others say ""
        if len(choices) == 1 and not control.travelling and self._open[choices[0].index]:
            text = "" if self._said else only_text(choices[0])
            if text:
                return self._one_text(chunk, text, control, now)
        ending: Ending | None = None
        before: list[ChunkT] = []  # what leaves ahead of the chunk itself
        changed = False
        for choice in choices:
            if ending is not None or not self._open[choice.index] or choice.index in self._said:
                control.silence(choice)  # nothing follows a cut, nor a choice's own end
                changed = True
                continue
            ending, other = control.pass_choice(choice, now)
            changed = changed or other
            if ending is not None:
                choice.finish_reason = None  # the cut came first
            elif choice.finish_reason is not None:
                held, ending, other = self._finished(choice, control)
                changed = changed or other
                before += held
        if changed or before or ending is not None:
            _rewritten(chunk)
        out = before
        if not changed or chunk.usage is not None or any(map(says_something, choices)):
            out.append(chunk)
        return out if ending is None else [*out, *self._end(ending)]

    def _one_text(self, chunk: ChunkT, text: str, control: Control, now: float) -> Sequence[ChunkT]:
        """Take a chunk of the commonest kind, which brings one text and nothing else."""
        choice = chunk.choices[0]
        shown, ending = control.pass_only_text(choice, text, now)
        if shown == text and ending is None:
            return (chunk,)
        if isinstance(chunk, ForwardedChunk | ForwardedTextChunk):
            chunk.retold = True
        else:
            _rewritten(chunk)
        role = None if isinstance(choice, TextChoice) else choice.delta.role
        out = [chunk] if shown or role or chunk.usage is not None else []
        return out if ending is None else [*out, *self._end(ending)]

    def _finished(
        self, choice: Choice | TextChoice, control: Control
    ) -> tuple[Sequence[ChunkT], Ending | None, bool]:
        """End a choice as its source says, or as the guard does when it sees the whole text.

        Return what leaves ahead of it, an ending of the stream, and if the choice was changed.
        """
        self._open[choice.index] = False
        said = choice.finish_reason
        carriers, changed = control.finish(choice, cut=is_cut(choice))
        ending = control.verdict
        if said is not None and control.waits(choice.index):
            self._open[choice.index], self._said[choice.index] = True, said
            choice.finish_reason, changed = None, True
        elif ending is not None:
            choice.finish_reason = ending.finish_reason
        elif said == "length" and control.spent:
            ending = Ending.BUDGET  # the source was told of the limit
        if not carriers:
            return (), ending, changed
        # role, tool-call heads and text of the same chunk are older than what was held
        own = take_out(choice)
        ahead = [own, *carriers] if says_something(own) else carriers
        return list(map(self._with, ahead)), ending, changed

    def _settled(self, index: int, control: Control) -> list[ChunkT]:
        """End a choice, as its source said, whose last text a classifier has cleared."""
        self._open[index], said = False, self._said.pop(index)
        last = self._choice(index=index, finish_reason=said)
        control.settle(last, cut=is_cut(last))
        spent = said == "length" and control.spent
        return [self._with(last), *(self._end(Ending.BUDGET) if spent else ())]

    def _end(self, ending: Ending) -> list[ChunkT]:
        self.ending, self.state = ending, ending.state
        if ending is Ending.ABANDONED:
            return []
        out: list[ChunkT] = []
        for index in [index for index, is_open in self._open.items() if is_open]:
            last = self._choice(index=index, finish_reason=ending.finish_reason)
            if self._control is not None:
                out += map(self._with, self._control.finish(last, cut=True)[0])
            if ending.finish_reason is not None:
                out.append(self._with(last))
        if self.usage_asked and self.state is not State.FAILED:
            out += self._usage()
        return out

    def _usage(self) -> Sequence[ChunkT]:
        counted = None if self._meter is None else self._meter.usage
        chunks, changed = self._last_usage.chunks(self._last, counted, self._with)
        for chunk in chunks if changed else ():
            _rewritten(chunk)
        return chunks

    @property
    def _choice(self) -> type[Choice | TextChoice]:
        return TextChoice if issubclass(self._kind or Chunk, TextChunk) else Choice

    def _with(self, *choices: Any) -> ChunkT:
        """Return a chunk of this stream that brings these choices."""
        chunk: ChunkT = (self._kind or Chunk)(choices=list(choices))  # type: ignore[assignment]
        if (last := self._last) is not None:
            chunk.id, chunk.created, chunk.model = last.id, last.created, last.model
        return chunk


def _rewritten(chunk: Chunk | TextChunk) -> None:
    """Make a chunk that remembers its own bytes forget them: they say more than may be shown."""
    if "raw" in chunk.__struct_fields__:
        chunk.raw = None  # type: ignore[union-attr]  # of the records that remember
