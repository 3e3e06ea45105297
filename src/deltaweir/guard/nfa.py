r"""Rules as one nondeterministic automaton (Thompson's construction). Pure.

A state has steps, each over a class of characters, and empty moves. States of different rules
are apart, but for literals, which share one trie. A match may ask for a neighbour before it
(a condition of its start) or after it (a condition of its final state); ``\\b`` is taken apart
into such conditions by the character that it stands beside.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from deltaweir.errors import InvalidRule
from deltaweir.guard.classes import WORD, Ranges, complement, intersection
from deltaweir.guard.folding import fold
from deltaweir.guard.folding_nodes import folded
from deltaweir.guard.pattern import Branch, Chars, Edge, Either, Node, Repeat, Series, parse
from deltaweir.guard.rules import Rule

MOST_STATES = 2_000_000
"""How many states the rules of one guard may need together."""

MOST_RULE_STATES = 40_000
"""How many states one pattern may need, two or three for a character with repeats multiplied out.

A character costs time for each state that is alive, a microsecond or so where it was not met
in them before.
"""

MOST_CLOSURES = 1_000_000
"""How many states the steps of one pattern may lead to, each with all that can be left out."""

SHARED = -1
"""The rule of a state that several rules share."""

_OUTSIDE = complement(WORD)


class Condition(NamedTuple):
    """What must stand beside a match: a character of a class, or the end of the text."""

    kind: int
    at_end: bool


class Final(NamedTuple):
    """A match of a rule, once what follows fulfils the condition."""

    rule: int
    after: Condition | None


class Start(NamedTuple):
    """Where matches begin, if what precedes fulfils the condition."""

    state: int
    before: Condition | None
    folds: bool


class Nfa:
    """The automaton of some rules.

    Attributes:
        kinds: The classes of characters, by number.
        steps: For each state the steps: number of a class, next state.
        rule: For each state its rule's number, or `SHARED`.
        folds: For each state whether it reads what characters fold to.
        finals: What has matched in a state.
        starts: Where matches begin.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.kinds: list[Ranges] = []
        self.steps: list[tuple[tuple[int, int], ...]] = []
        self.rule: list[int] = []
        self.folds: list[bool] = []
        self.finals: dict[int, list[Final]] = {}
        self.starts: list[Start] = []
        self._empty: dict[int, list[int]] = {}
        self._numbers: dict[Ranges, int] = {}
        self._closures: dict[int, tuple[int, ...]] = {}
        self._tries: dict[tuple[bool, int], _Trie] = {}
        self._now = SHARED, False
        for number, rule in enumerate(rules):
            folds = bool(rule.fold)
            if rule.literals is not None:
                self._add_literals(number, rule.literals, folds=folds, apart=bool(rule.max_hold))
                continue
            before = len(self.steps)
            for branch in parse(rule.regex or ""):
                self.add(number, branch, folds=folds)
            if len(self.steps) - before > MOST_RULE_STATES:
                reason = (
                    f"it needs {len(self.steps) - before:,} states, and more than "
                    f"{MOST_RULE_STATES:,} take too long; use smaller repeats, or one without "
                    "bound and max_hold"
                )
                raise InvalidRule(f"rule {rule.id!r}: {reason}", rule=rule.id, reason=reason)
            self._close(rule, before)
        self._tries.clear()

    def closure(self, state: int) -> tuple[int, ...]:
        """Return the states reached by empty moves that can step or have matched."""
        known = self._closures.get(state)
        if known is None:
            reached = self._reached(state)
            known = tuple(one for one in reached if self.steps[one] or one in self.finals)
            self._closures[state] = known
        return known

    def _close(self, rule: Rule, first: int) -> None:
        """Find all closures of a pattern's states, before a text makes somebody wait for them."""
        found = 0
        for steps in self.steps[first:]:
            for _, target in steps:
                found += 0 if target in self._closures else len(self.closure(target)) + 1
            if found > MOST_CLOSURES:
                reason = (
                    "too many of its parts that can be left out stand behind each other; use "
                    "smaller repeats around them"
                )
                raise InvalidRule(f"rule {rule.id!r}: {reason}", rule=rule.id, reason=reason)

    def goes_on(self, state: int) -> bool:
        """Tell whether a state can still lead to a match."""
        return bool(self.steps[state]) or any(one.after for one in self.finals.get(state, ()))

    def _reached(self, state: int) -> list[int]:
        seen, waiting = {state: None}, [state]
        while waiting:
            for target in self._empty.get(waiting.pop(), ()):
                if target not in seen:
                    seen[target] = None
                    waiting.append(target)
        return [*seen]

    def _new(self) -> int:
        if len(self.steps) >= MOST_STATES:
            raise InvalidRule(
                f"the rules need more than {MOST_STATES} states together; use fewer or shorter",
                reason="too large",
            )
        rule, folds = self._now
        self.steps.append(())
        self.rule.append(rule)
        self.folds.append(folds)
        return len(self.steps) - 1

    def _move(self, state: int, target: int) -> None:
        self._empty.setdefault(state, []).append(target)

    def _kind(self, ranges: Ranges) -> int:
        number = self._numbers.get(ranges)
        if number is None:
            number = self._numbers[ranges] = len(self.kinds)
            self.kinds.append(ranges)
        return number

    def _condition(self, ranges: Ranges, *, at_end: bool) -> Condition:
        return Condition(self._kind(ranges), at_end)

    def _add_literals(
        self, number: int, literals: Sequence[str], *, folds: bool, apart: bool
    ) -> None:
        """Put a rule's literals into a trie, shared unless its threads have a limit."""
        key = folds, number if apart else SHARED
        self._now = key[1], folds
        trie = self._tries.get(key)
        if trie is None:
            trie = self._tries[key] = _Trie(self._new())
            self.starts.append(Start(trie.root, None, folds))
        for literal in literals:
            state = trie.root
            for symbol in "".join(map(fold, literal)) if folds else literal:
                target = trie.next.get((state, symbol))
                if target is None:
                    target = trie.next[state, symbol] = self._new()
                    self.steps[state] += ((self._kind(((ord(symbol),) * 2,)), target),)
                state = target
            self.finals.setdefault(state, []).append(Final(number, None))

    def add(self, number: int, branch: Branch, *, folds: bool) -> None:
        """Add one alternative of a rule."""
        self._now = number, folds
        first = self._new()
        last = self._built(folded(branch.body) if folds else branch.body, first)
        for state, before in self._begun(first, branch.before):
            self.starts.append(Start(state, before, folds))
        for state, after in self._ended(first, last, branch.after):
            self.finals.setdefault(state, []).append(Final(number, after))

    def _built(self, node: Node, state: int) -> int:
        """Add a node behind a state, and return the state behind it."""
        match node:
            case Chars(ranges):
                between, target = self._new(), self._new()
                self._move(state, between)
                self.steps[between] += ((self._kind(ranges), target),)
                return target
            case Series(items):
                for item in items:
                    state = self._built(item, state)
                return state
            case Either(options):
                end = self._new()
                for option in options:
                    begin = self._new()
                    self._move(state, begin)
                    self._move(self._built(option, begin), end)
                return end
            case Repeat(item, least, most):
                return self._repeated(item, least, most, state)

    def _repeated(self, item: Node, least: int, most: int | None, state: int) -> int:
        for _ in range(least):
            state = self._built(item, state)
        if most is None:
            loop = self._new()
            self._move(state, loop)
            self._move(self._built(item, loop), loop)
            return loop
        end = self._new()
        self._move(state, end)
        for _ in range(most - least):
            state = self._built(item, state)
            self._move(state, end)
        return end

    def _begun(self, first: int, edge: Edge | None) -> list[tuple[int, Condition | None]]:
        """Return where a branch starts, by what must stand before it."""
        if edge is None:
            return [(first, None)]
        if edge.kind == "look":
            return [(first, self._condition(edge.ranges, at_end=edge.at_end))]
        word, other = self._new(), self._new()
        for state in self._reached(first):
            for kind, target in self.steps[state]:
                self._split(self.kinds[kind], target, word, other)
        return self._beside(word, other, edge)

    def _ended(
        self, first: int, last: int, edge: Edge | None
    ) -> list[tuple[int, Condition | None]]:
        """Return where a branch has matched, by what must follow it."""
        if edge is None:
            return [(last, None)]
        if edge.kind == "look":
            return [(last, self._condition(edge.ranges, at_end=edge.at_end))]
        leading = self._leading(first, last)
        word, other = self._new(), self._new()
        for state in range(first, word):
            for kind, target in self.steps[state]:
                if target in leading:
                    inside = intersection(self.kinds[kind], WORD)
                    outside = intersection(self.kinds[kind], _OUTSIDE)
                    self.steps[state] += ((self._kind(inside), word),) if inside else ()
                    self.steps[state] += ((self._kind(outside), other),) if outside else ()
        return self._beside(word, other, edge)

    def _leading(self, first: int, last: int) -> set[int]:
        """Return the states of a branch that empty moves take to its last one."""
        behind: dict[int, list[int]] = {}
        for state in range(first, len(self.steps)):
            for target in self._empty.get(state, ()):
                behind.setdefault(target, []).append(state)
        seen, waiting = {last}, [last]
        while waiting:
            for state in behind.get(waiting.pop(), ()):
                if state not in seen:
                    seen.add(state)
                    waiting.append(state)
        return seen

    def _split(self, ranges: Ranges, target: int, word: int, other: int) -> None:
        """Let two states step to a target, one over word characters, one over the others."""
        for state, side in ((word, WORD), (other, _OUTSIDE)):
            part = intersection(ranges, side)
            if part:
                self.steps[state] += ((self._kind(part), target),)

    def _beside(self, word: int, other: int, edge: Edge) -> list[tuple[int, Condition | None]]:
        """Return the neighbours that a word character and another one need at an edge."""
        no_word = self._condition(_OUTSIDE, at_end=True)
        a_word = self._condition(WORD, at_end=False)
        if edge.kind == "boundary":
            return [(word, no_word), (other, a_word)]
        return [(word, a_word), (other, no_word)]


class _Trie:
    """Literals by their beginnings."""

    def __init__(self, root: int) -> None:
        self.root = root
        self.next: dict[tuple[int, str], int] = {}
