"""What one character does to the states of the rules, made when it is met. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet

from deltaweir.guard.alphabet import Atom
from deltaweir.guard.nfa import Condition, Nfa
from deltaweir.guard.states import NO_LEFT, NOWHERE, Left, Step, Symbol


class Steps:
    """Step through a nondeterministic automaton, state by state.

    Args:
        nfa: The automaton.

    What is made is remembered by the symbols that are passed in, and counted here.

    Attributes:
        remembered: How many places that is.
    """

    def __init__(self, nfa: Nfa) -> None:
        self.nfa = nfa
        self.remembered = 0
        self._arrivals: dict[int, tuple[frozenset[int], tuple[int, ...]]] = {}
        self._beginnings: dict[tuple[bool, int], frozenset[int]] = {}
        self._allowed: dict[tuple[bool, int], int] = {}

    def first(self) -> Left:
        """Return the starts that the beginning of a text allows."""
        return self._first(folds=False), self._first(folds=True)

    def step(self, one: int, symbol: Symbol) -> Step:
        """Return what a character does to one state of the rules, and remember it."""
        nfa, atom = self.nfa, symbol.atom
        finals = nfa.finals.get(one, ())
        early = tuple(
            final.rule
            for final in finals
            if final.after is not None and self._follows(final.after, one, atom)
        )
        if nfa.folds[one]:
            targets, late = self._stepped(frozenset((one,)), atom, None)
        else:
            targets, late = self._step((one,), atom.plain)
        step = NOWHERE
        if targets or late or early:
            step = Step(frozenset(targets), early, tuple(late), NO_LEFT)
            self.remembered += len(targets)
        self.remembered += 1
        symbol.steps[one] = step
        return step

    def begin(self, left: Left, symbol: Symbol) -> Step:
        """Return what a character does to the matches that begin with it, and remember it.

        Args:
            left: The starts that are allowed.
            symbol: The character.
        """
        targets, late = self._stepped(frozenset(), symbol.atom, left)
        step = Step(frozenset(targets), (), tuple(late), self._left(left, symbol.atom))
        self.remembered += len(targets) + 1
        symbol.steps[left] = step
        return step

    def _follows(self, after: Condition, state: int, atom: Atom) -> bool:
        """Tell whether a character fulfils the condition behind a match."""
        if not self.nfa.folds[state]:
            return bool(atom.plain >> after.kind & 1)
        return bool(atom.folded) and bool(atom.folded[0] >> after.kind & 1)

    def _stepped(
        self, group: AbstractSet[int], atom: Atom, fresh: Left | None
    ) -> tuple[AbstractSet[int], Sequence[int]]:
        """Return where a thread is behind a character, and the rules that match with it.

        Args:
            group: Where it is.
            atom: The character.
            fresh: The starts that are allowed, for a thread that begins here.
        """
        folds = self.nfa.folds
        plain = {one for one in group if not folds[one]}
        folded: AbstractSet[int] = group - plain
        if fresh is not None:
            plain |= self._beginning(fresh[0], folds=False)
        targets, first = self._step(plain, atom.plain)
        matched = [*first]
        before = None if fresh is None else fresh[1]
        for at, classes in enumerate(atom.folded):
            if before is not None:
                folded |= self._beginning(before, folds=True)
                before = self._allows(classes, folds=True)
            if at:
                matched += self._settled(folded, classes)
            folded, found = self._step(folded, classes)
            matched += found
        return targets | folded, matched

    def _step(self, states: Iterable[int], classes: int) -> tuple[AbstractSet[int], Sequence[int]]:
        """Return where threads go on over a character, and the rules that match with it."""
        arrivals = [
            self._arrivals.get(target) or self._arrival(target)
            for one in states
            for kind, target in self.nfa.steps[one]
            if classes >> kind & 1
        ]
        if len(arrivals) == 1:
            return arrivals[0]
        going: set[int] = set()
        matched: list[int] = []
        for more, rules in arrivals:
            going |= more
            matched += rules
        return going, matched

    def _arrival(self, target: int) -> tuple[frozenset[int], tuple[int, ...]]:
        """Return the states that a step leads to and that go on, and the rules that match there."""
        nfa = self.nfa
        reached = nfa.closure(target)
        known = self._arrivals[target] = (
            frozenset(one for one in reached if nfa.goes_on(one)),
            tuple(
                final.rule
                for one in reached
                for final in nfa.finals.get(one, ())
                if final.after is None
            ),
        )
        return known

    def _settled(self, states: AbstractSet[int], classes: int) -> list[int]:
        """Return the rules whose match what follows inside the same character completes."""
        return [
            final.rule
            for one in states
            for final in self.nfa.finals.get(one, ())
            if final.after is not None and classes >> final.after.kind & 1
        ]

    def _left(self, before: Left, atom: Atom) -> Left:
        folded = self._allows(atom.folded[-1], folds=True) if atom.folded else before[1]
        return self._allows(atom.plain, folds=False), folded

    def _first(self, *, folds: bool) -> int:
        """Return the starts that the beginning of a text allows, as bits of their numbers."""
        return sum(
            1 << number
            for number, start in enumerate(self.nfa.starts)
            if start.folds is folds and (start.before is None or start.before.at_end)
        )

    def _allows(self, classes: int, *, folds: bool) -> int:
        """Return the starts that a character before them allows."""
        known = self._allowed.get((folds, classes))
        if known is None:
            known = self._allowed[folds, classes] = sum(
                1 << number
                for number, start in enumerate(self.nfa.starts)
                if start.folds is folds
                and (start.before is None or classes >> start.before.kind & 1)
            )
        return known

    def _beginning(self, allowed: int, *, folds: bool) -> frozenset[int]:
        known = self._beginnings.get((folds, allowed))
        if known is None:
            known = self._beginnings[folds, allowed] = frozenset(
                state
                for number, start in enumerate(self.nfa.starts)
                if allowed >> number & 1
                for state in self.nfa.closure(start.state)
            )
        return known
