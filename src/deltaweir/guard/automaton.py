"""Where matches begin, go on and end in a stream: a deterministic automaton, made as it runs.

A *thread* is a match that may have begun: where it started, and the states of the rules'
nondeterministic automaton that it can be in. The automaton's state is the list of these sets,
ordered by where their threads started, without the places themselves, so that there are few.
A state of the rules is kept with the oldest thread that is in it: whatever a younger thread
could match from there, the older one matches too, and covers more. A text is free to leave up
to where its oldest thread started, and no filter could let go of more.

States and moves are made when they are met and remembered: by character, and, where nothing
matches, for a whole piece of text at once. What is remembered is bounded: when it is too much,
all is forgotten and made anew, which costs the time but never the memory. Time is linear in
the text, with the number of states that are alive at once as its worst factor.

One automaton serves any number of streams and threads: what two threads make at once is equal.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from deltaweir.guard.alphabet import Alphabet, Atom
from deltaweir.guard.nfa import Condition, Nfa
from deltaweir.guard.rules import Rule
from deltaweir.guard.states import EVENTFUL, Crossing, Groups, Left, Move, State

MOST_REMEMBERED = 400_000
"""Places in sets of states, and moves, that one automaton remembers."""
MOST_TEXTS = 50_000
"""Pieces of text that one automaton remembers."""
LONGEST_TEXT = 24
"""Characters of a piece that is remembered; deltas are words and parts of words."""


class Automaton:
    """Find the matches of rules.

    Args:
        rules: The rules, checked; their numbers are their places here.

    Attributes:
        nfa: The rules' nondeterministic automaton.
        root: Where every text begins.
        limited: The rules whose threads have a limit.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.nfa = Nfa(rules)
        self.alphabet = Alphabet(self.nfa.kinds, folds=any(self.nfa.folds))
        self.limited = frozenset(
            number for number, rule in enumerate(rules) if rule.max_hold is not None
        )
        self._states: dict[tuple[Left, Groups], State] = {}
        self._moves: dict[tuple[State, Atom], Move] = {}
        self._atoms: dict[str, Atom] = {}
        self._begun: dict[tuple[bool, int], frozenset[int]] = {}
        self._allowed: dict[tuple[bool, int], int] = {}
        self._remembered = 0
        self._texts = 0
        self.root = self._state((self._first(folds=False), self._first(folds=True)), ())

    @property
    def remembered(self) -> int:
        """How much is remembered, of `MOST_REMEMBERED`."""
        return self._remembered

    def move(self, state: State, character: str) -> Move:
        """Return what a character does in a state."""
        known = state.by_character.get(character)
        if known is None:
            atom = self._atoms.get(character)
            if atom is None:
                atom = self._atoms[character] = self.alphabet.atom(character)
                self._remembered += 1
            known = self._moves.get((state, atom))
            if known is None:
                known = self._made(state, atom)
                self._moves[state, atom] = known
            state.by_character[character] = known
            self._remembered += 1
            if self._remembered > MOST_REMEMBERED:
                self.forget()
        return known

    def crossing(self, state: State, text: str) -> Crossing:
        """Return what a piece of text does in a state."""
        first, threads = state, list(range(state.count))  # one of this piece is below zero
        crossing = None
        for at, character in enumerate(text):
            known = state.by_character.get(character)
            state, keep, begins, early, late = known or self.move(state, character)
            if early or late:
                crossing = EVENTFUL
                break
            if keep is not None:
                threads = [threads[one] for one in keep]
            if begins:
                threads.append(-at - 1)
        if crossing is None:
            older = tuple(one for one in threads if one >= 0)
            younger = tuple(-one - 1 for one in threads if one < 0)
            crossing = Crossing(state, older or None, younger)
        if len(text) <= LONGEST_TEXT:
            if self._texts >= MOST_TEXTS:
                self._forget_texts()
            self._texts += 1
            first.by_text[text] = crossing
        return crossing

    def without(self, state: State, thread: int, rule: int) -> tuple[State, bool]:
        """Return a state whose one thread is no longer in a rule, and whether it lives."""
        groups = list(state.groups)
        rest = frozenset(one for one in groups[thread] if self.nfa.rule[one] != rule)
        groups[thread : thread + 1] = [rest] if rest else []
        return self._state(state.left, tuple(groups)), bool(rest)

    def limited_in(self, state: State) -> Iterable[tuple[int, int]]:
        """Return thread and rule of all that have a limit, the oldest first."""
        for number, group in enumerate(state.groups):
            for rule in sorted({self.nfa.rule[one] for one in group} & self.limited):
                yield number, rule

    def forget(self) -> None:
        """Forget all states and moves; streams that are in one go on from it."""
        states, self._states, self._moves, self._atoms = self._states, {}, {}, {}
        self._remembered = 0
        for state in [*states.values(), self.root]:
            state.by_character = {}
        self._forget(states)
        self._states[self.root.left, self.root.groups] = self.root

    def _forget_texts(self) -> None:
        self._forget(self._states)

    def _forget(self, states: dict[tuple[Left, Groups], State]) -> None:
        self._texts = 0
        for state in [*states.values(), self.root]:
            state.by_text = {}

    def _state(self, left: Left, groups: Groups) -> State:
        key = left, groups
        known = self._states.get(key)
        if known is None:
            ends = [
                (number, final.rule)
                for number, group in enumerate(groups)
                for one in sorted(group)
                for final in self.nfa.finals.get(one, ())
                if final.after is not None and final.after.at_end
            ]
            known = self._states[key] = State(left, groups, tuple(ends))
            self._remembered += sum(map(len, groups)) + 1
        return known

    def _made(self, state: State, atom: Atom) -> Move:
        """Make a move."""
        count = state.count
        left = self._left(state.left, atom)
        early = [
            (number, final.rule)
            for number, group in enumerate(state.groups)
            for one in sorted(group)
            for final in self.nfa.finals.get(one, ())
            if final.after is not None and self._follows(final.after, one, atom)
        ]
        late: dict[int, int] = {}
        seen: set[int] = set()
        groups: list[frozenset[int]] = []
        keep: list[int] = []
        for number in range(count + 1):
            group = state.groups[number] if number < count else frozenset[int]()
            targets, matched = self._stepped(group, atom, state.left if number == count else None)
            for rule in matched:
                late.setdefault(rule, number)  # the oldest covers most
            rest = frozenset(targets - seen)
            if rest:
                seen |= rest
                groups.append(rest)
                keep.append(number)
        begins = bool(keep) and keep[-1] == count
        kept = tuple(keep[:-1] if begins else keep)
        return Move(
            self._state(left, tuple(groups)),
            None if kept == tuple(range(count)) else kept,
            begins,
            tuple(early),
            tuple((number, rule) for rule, number in sorted(late.items())),
        )

    def _follows(self, after: Condition, state: int, atom: Atom) -> bool:
        """Tell whether a character fulfils the condition behind a match."""
        if not self.nfa.folds[state]:
            return bool(atom.plain >> after.kind & 1)
        return bool(atom.folded) and bool(atom.folded[0] >> after.kind & 1)

    def _stepped(
        self, group: frozenset[int], atom: Atom, fresh: Left | None
    ) -> tuple[set[int], list[int]]:
        """Return where a thread is behind a character, and the rules that match with it.

        Args:
            group: Where it is.
            atom: The character.
            fresh: The starts that are allowed, for a thread that begins here.
        """
        nfa = self.nfa
        plain = {one for one in group if not nfa.folds[one]}
        folded = set(group) - plain
        if fresh is not None:
            plain |= self._beginning(fresh[0], folds=False)
        targets, matched = self._step(plain, atom.plain)
        if not atom.folded:
            return targets | folded, matched
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

    def _step(self, states: set[int], classes: int) -> tuple[set[int], list[int]]:
        nfa = self.nfa
        reached: set[int] = set()
        for one in states:
            for kind, target in nfa.steps[one]:
                if classes >> kind & 1:
                    reached.update(nfa.closure(target))
        matched = [
            final.rule
            for one in reached
            for final in nfa.finals.get(one, ())
            if final.after is None
        ]
        return {one for one in reached if nfa.goes_on(one)}, matched

    def _settled(self, states: set[int], classes: int) -> list[int]:
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
        known = self._begun.get((folds, allowed))
        if known is None:
            known = self._begun[folds, allowed] = frozenset(
                state
                for number, start in enumerate(self.nfa.starts)
                if allowed >> number & 1
                for state in self.nfa.closure(start.state)
            )
        return known
