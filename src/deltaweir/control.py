"""What budget and guard do to a choice: which of its texts, names and entries may leave. Pure.

The budget finds the cut; what stands before it goes through the guard, field by field; log
probabilities and token ids leave with their characters (`deltaweir.entries`).
"""

from __future__ import annotations

import functools
import operator
import sys
from collections.abc import Sequence

from deltaweir.endings import Ending
from deltaweir.entries import Entries
from deltaweir.schema.calls import CallPlaces
from deltaweir.schema.chunk import Choice, TextChoice
from deltaweir.schema.scored import Scored, brings_entries, put_entries_on, take_entries_off
from deltaweir.schema.texts import Text, carrier, heads, identifiers, take_out, texts
from deltaweir.schema.unread import take_out_unread
from deltaweir.slots import BudgetSlot, GuardSlot, Pass

AnyChoice = Choice | TextChoice


class Control:
    """Let through what a budget and a guard allow of one stream's choices.

    Args:
        budget: Limits; None has no limit.
        guard: Filters; None lets all text through at once.
    """

    def __init__(self, budget: BudgetSlot | None, guard: GuardSlot | None) -> None:
        self._budget = budget
        self._guard = guard
        self.travelling: dict[int, Entries] = {}
        """The choices whose text a guard holds together with its entries."""
        self._calls: dict[int, CallPlaces] = {}
        self._reasoning = "reasoning_content"  # or as the stream calls it

    @property
    def verdict(self) -> Ending | None:
        """The ending that the guard has called for."""
        return None if self._guard is None else self._guard.verdict

    @property
    def spent(self) -> bool:
        """Whether the budget is used up to its last token."""
        return self._budget is not None and self._budget.spent

    def pass_text(self, index: int, field: str, text: str, now: float) -> tuple[str, Ending | None]:
        """Return what may leave now of a text that has just come, and the ending it brings."""
        ending: Ending | None = None
        if self._budget is not None:
            allowed = self._budget.allow(index, field, text)
            if allowed is not None:
                text, ending = text[:allowed], Ending.BUDGET
        if self._guard is not None and text:
            text = self._guard.feed(index, field, text, now)
            ending = self._guard.verdict or ending
        return text, ending

    def passing(self, index: int, field: str) -> Pass:
        """Return `pass_text` for one text; good until anything else is passed."""
        if self._budget is None and self._guard is not None:
            return self._guard.passing(index, field)
        return functools.partial(self.pass_text, index, field)

    def pass_only_text(self, choice: AnyChoice, text: str, now: float) -> tuple[str, Ending | None]:
        """Do as `pass_choice` where this is the choice's only text; return what is left of it."""
        if isinstance(choice, TextChoice):
            shown, ending = self.pass_text(choice.index, "text", text, now)
            choice.text = shown
        else:
            shown, ending = self.pass_text(choice.index, "content", text, now)
            choice.delta.content = shown or None
        return shown, ending

    def pass_choice(self, choice: AnyChoice, now: float) -> tuple[Ending | None, bool]:
        """Take out of a choice what may not leave, or not yet.

        Returns:
            The ending it brings, and whether anything was changed.
        """
        unread = self._guard is not None and self._prepared(choice)
        ending = self._pass_heads(choice)
        refused = ending is not None
        entries = self._entries_of(choice)
        brought = None if entries is None else entries.take(choice)
        passed: list[tuple[Text, str]] = []
        for text in texts(choice):
            shown = ""
            if ending is None:
                shown, ending = self.pass_text(choice.index, text.field, text.value, now)
            passed.append((text, shown))
            if text.field == "reasoning_content":
                self._reasoning = text.attribute
        replaced = [(text, shown) for text, shown in passed if shown != text.value]
        released = brought if entries is None else entries.release()
        if self._guard is None and (replaced or refused) and brings_entries(choice):
            released = _before_the_cut(choice, passed)
        if not _same(released, brought):
            take_entries_off(choice)
            put_entries_on(choice, released or {})
            unread = True
        for text, shown in replaced:
            text.replace(shown)
        return ending, unread or refused or bool(replaced)

    def _prepared(self, choice: AnyChoice) -> bool:
        """Make a choice one that a guard reads throughout; tell whether it was changed."""
        changed = take_out_unread(choice)
        if isinstance(choice, Choice) and choice.delta.tool_calls:
            places = self._calls.setdefault(choice.index, CallPlaces())
            changed = places.give(choice.delta) or changed
        return changed

    def silence(self, choice: AnyChoice) -> None:
        """Take all out of a choice that may say nothing more."""
        take_out(choice)
        choice.finish_reason = None
        if self._guard is not None:
            take_out_unread(choice)

    def clear(
        self, kind: type[AnyChoice], index: int, field: str, upto: int
    ) -> Sequence[AnyChoice]:
        """Return choices that bring what a classifier's word lets out."""
        if self._guard is None:
            return ()
        carriers = self._carriers(kind, index, [(field, self._guard.clear(index, field, upto))])
        entries = self.travelling.get(index)
        if entries is not None and carriers:
            put_entries_on(carriers[-1], entries.release())
        return carriers

    def finish(self, last: AnyChoice, *, cut: bool) -> tuple[Sequence[AnyChoice], bool]:
        """End a choice, once.

        Args:
            last: The choice that is to bring the finish reason.
            cut: Whether it ended otherwise than its source meant to.

        Returns:
            Choices to go ahead of it with what may still leave; and whether there were
            entries left which the last choice brings itself.
        """
        if self._guard is None:
            return (), False
        carriers = self._carriers(type(last), last.index, self._guard.finish(last.index, cut=cut))
        if self._guard.waits(last.index):  # what may leave with it is not yet known
            entries = self.travelling.get(last.index)
            if entries is not None and carriers:
                put_entries_on(carriers[-1], entries.release())
            return carriers, False
        return carriers, self.settle(carriers[-1] if carriers else last, cut=cut) and not carriers

    def waits(self, index: int) -> bool:
        """Tell whether text of a choice that has ended still waits for a classifier."""
        return self._guard is not None and self._guard.waits(index)

    def settle(self, last: AnyChoice, *, cut: bool) -> bool:
        """Put the entries that are left on a choice, once nothing waits; tell if there were any."""
        entries = self.travelling.pop(last.index, None)
        released = {} if entries is None else entries.release(ended=True, cut=cut)
        put_entries_on(last, released)
        return bool(released)

    def _carriers(
        self, kind: type[AnyChoice], index: int, held: Sequence[tuple[str, str]]
    ) -> list[AnyChoice]:
        """Return choices that bring held texts, under the names that the stream has for them."""
        names = {"reasoning_content": self._reasoning}
        return [carrier(kind, index, names.get(field, field), text) for field, text in held if text]

    def _pass_heads(self, choice: AnyChoice) -> Ending | None:
        """Pass the names of functions, each whole or not at all."""
        ending: Ending | None = None
        for name in heads(choice):
            if ending is None and self._budget is not None:
                allowed = self._budget.allow(choice.index, name.field, name.value)
                ending = None if allowed is None else Ending.BUDGET
            if ending is None and self._guard is not None:
                leaves = self._guard.whole(choice.index, name.field, name.value)
                ending = None if leaves else self._guard.verdict or Ending.BLOCKED
            if ending is not None:
                name.replace("")
        return ending if self._guard is None else self._pass_identifiers(choice, ending)

    def _pass_identifiers(self, choice: AnyChoice, ending: Ending | None) -> Ending | None:
        """Pass the ids of calls, as their names; a guard alone looks at them."""
        assert self._guard is not None
        for one in identifiers(choice):
            if ending is None and not self._guard.whole(choice.index, one.field, one.value):
                ending = self._guard.verdict or Ending.BLOCKED
            if ending is not None:
                one.replace("")
        return ending

    def _entries_of(self, choice: AnyChoice) -> Entries | None:
        """Return what waits of a choice, also when its first entries are here."""
        if self._guard is None:
            return None
        entries = self.travelling.get(choice.index)
        if entries is None and brings_entries(choice):
            entries = self.travelling[choice.index] = Entries(choice.index, self._guard)
        return entries


class _Cut:
    """What became of the characters of one chunk that a budget has cut."""

    def __init__(self, passed: Sequence[tuple[Text, str]]) -> None:
        self._shown: dict[str, int] = {}
        for text, shown in passed:
            self._shown[text.field] = self._shown.get(text.field, 0) + len(shown)

    def position(self, _index: int, _field: str) -> int:
        return 0

    def decided(self, _index: int, _field: str) -> int:
        return sys.maxsize

    def track(self, _index: int, _field: str) -> None:
        pass

    def touches(self, _index: int, field: str, _start: int, end: int) -> bool:
        return end > self._shown.get(field, 0)

    def began(self, _index: int) -> bool:
        return False

    def hides(self, _index: int) -> bool:
        return True


def _before_the_cut(choice: AnyChoice, passed: Sequence[tuple[Text, str]]) -> Scored:
    entries = Entries(choice.index, _Cut(passed))
    entries.take(choice)
    return entries.release()


def _same(released: Scored | None, brought: Scored | None) -> bool:
    """Tell whether the entries that leave are the very ones that came."""
    if released is brought:
        return True
    if released is None or brought is None or released.keys() != brought.keys():
        return False
    return all(
        len(values) == len(brought[name]) and all(map(operator.is_, values, brought[name]))
        for name, values in released.items()
    )
