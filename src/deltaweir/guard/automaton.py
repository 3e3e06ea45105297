"""Where matches begin, go on and end in a stream: a deterministic automaton, made as it runs.

A *thread* is a match that may have begun: where it started, and the states of the rules'
nondeterministic automaton that it can be in. The automaton's state is the list of these sets,
ordered by where their threads started, without the places themselves, so that there are few.
A state of the rules is kept with the oldest thread that is in it: whatever a younger thread
could match from there, the older one matches too, and covers more. A text is free to leave up
to where its oldest thread started, and no filter could let go of more.

States and moves are made when they are met and remembered: by character, and, where nothing
matches, for a whole piece of text at once. What is remembered is bounded: when it is too much,
all is forgotten and made anew, which costs time. Time is linear in the text, with the number
of states that are alive at once as its worst factor, which `deltaweir.guard.nfa` bounds.

One automaton serves any number of streams and threads: what two threads make at once is equal.
"""

from __future__ import annotations

from collections.abc import Sequence

from deltaweir.guard.alphabet import Alphabet, Atom
from deltaweir.guard.nfa import Nfa
from deltaweir.guard.rules import Rule
from deltaweir.guard.states import (
    EVENTFUL,
    NOTHING,
    NOWHERE,
    Crossing,
    Groups,
    Left,
    Move,
    State,
    Symbol,
)
from deltaweir.guard.steps import Steps

MOST_REMEMBERED = 400_000
"""Places in sets of states, and moves, that one automaton remembers."""
MOST_TEXTS = 250_000
"""Places that remembered pieces of text take, one for each and one for each of its threads."""
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
        self._steps = Steps(self.nfa)
        self.alphabet = Alphabet(self.nfa.kinds, folds=any(self.nfa.folds))
        self.limited = frozenset(
            number for number, rule in enumerate(rules) if rule.max_hold is not None
        )
        self._last = frozenset(
            one
            for one, finals in self.nfa.finals.items()
            if any(final.after is not None and final.after.at_end for final in finals)
        )
        self._states: dict[tuple[Left, Groups], State] = {}
        self._symbols: dict[Atom, Symbol] = {}
        self._characters: dict[str, Symbol] = {}
        self._remembered = 0
        self._texts = 0
        self.root = self._state(self._steps.first(), ())

    @property
    def remembered(self) -> int:
        """How much is remembered, of `MOST_REMEMBERED`."""
        return self._remembered + self._steps.remembered

    def move(self, state: State, character: str) -> Move:
        """Return what a character does in a state."""
        known = state.by_character.get(character)
        if known is None:
            symbol = self._characters.get(character) or self._symbol(character)
            known = symbol.moves.get(state)
            if known is None:
                known = symbol.moves[state] = self._made(state, symbol)
                self._remembered += len(known.keep or ())
            state.by_character[character] = known
            self._remembered += 1
            if self.remembered > MOST_REMEMBERED:
                self.forget()
        return known

    def _symbol(self, character: str) -> Symbol:
        atom = self.alphabet.atom(character)
        symbol = self._symbols.get(atom)
        if symbol is None:
            symbol = self._symbols[atom] = Symbol(atom)
        self._characters[character] = symbol
        self._remembered += 1
        return symbol

    def crossing(self, state: State, text: str) -> Crossing:
        """Return what a piece of text does in a state."""
        if len(text) > 1:
            after, keep, begins, early, late = self.move(state, text[0])
            if keep == () and not early and not late:
                # no thread from before is left: the rest is met in few states, as " the" is
                rest = text[1:]
                known = after.by_text.get(rest) or self._crossed(after, rest)
                return self._keep(state, text, _behind(begins, known))
        return self._crossed(state, text)

    def _keep(self, state: State, text: str, crossing: Crossing) -> Crossing:
        if len(text) <= LONGEST_TEXT:
            _, keep, begins = crossing
            self._texts += 1 + len(keep or ()) + len(begins)
            if self._texts > MOST_TEXTS:
                self._forget_texts()
            state.by_text[text] = crossing
        return crossing

    def _crossed(self, first: State, text: str) -> Crossing:
        """Go through a piece of text from a state, and remember what it does."""
        state = first
        threads = [*range(state.count)]  # one of this piece is below zero
        for at, character in enumerate(text):
            known = state.by_character.get(character)
            state, keep, begins, early, late = known or self.move(state, character)
            if early or late:
                return self._keep(first, text, EVENTFUL)
            if keep is not None:
                threads = [threads[one] for one in keep]
            if begins:
                threads.append(-at - 1)
        older = tuple([one for one in threads if one >= 0])
        younger = tuple([-one - 1 for one in threads[len(older) :]])
        return self._keep(first, text, Crossing(state, older or None, younger))

    def without(self, state: State, thread: int, rule: int) -> tuple[State, bool]:
        """Return a state whose one thread is no longer in a rule, and whether it lives."""
        groups = list(state.groups)
        rest = frozenset(one for one in groups[thread] if self.nfa.rule[one] != rule)
        groups[thread : thread + 1] = [rest] if rest else []
        return self._state(state.left, tuple(groups)), bool(rest)

    def limited_in(self, state: State) -> Sequence[tuple[int, int]]:
        """Return thread and rule of all that have a limit, the oldest first."""
        if state.limited is None:
            state.limited = tuple(
                (number, rule)
                for number, group in enumerate(state.groups)
                for rule in sorted({self.nfa.rule[one] for one in group} & self.limited)
            )
            self._remembered += len(state.limited)
        return state.limited

    def forget(self) -> None:
        """Forget all states and moves; streams that are in one go on from it."""
        states, self._states, self._symbols, self._characters = self._states, {}, {}, {}
        self._remembered = self._steps.remembered = 0
        for state in [*states.values(), self.root]:
            state.by_character, state.limited = {}, None
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
            known = self._states[key] = State(left, groups, self._ends(groups))
            self._remembered += sum(map(len, groups)) + 1
        return known

    def _ends(self, groups: Groups) -> tuple[tuple[int, int], ...]:
        """Return thread and rule of each match that the end of the text completes."""
        ends: dict[int, int] = {}
        for number, group in enumerate(groups):
            if not group.isdisjoint(self._last):
                for one in group & self._last:
                    for final in self.nfa.finals[one]:
                        if final.after is not None and final.after.at_end:
                            ends.setdefault(final.rule, number)
        return tuple(sorted((number, rule) for rule, number in ends.items()))

    def _made(self, state: State, symbol: Symbol) -> Move:
        """Make a move."""
        steps, count = symbol.steps, state.count
        early: dict[int, int] = {}
        late: dict[int, int] = {}
        seen = NOTHING
        groups: list[frozenset[int]] = []
        keep: list[int] = []
        for number, group in enumerate(state.groups):
            targets = NOTHING
            for one in group:
                step = steps.get(one) or self._steps.step(one, symbol)
                if step is NOWHERE:
                    continue
                targets = targets | step.targets if targets else step.targets
                for rule in step.late:
                    late.setdefault(rule, number)  # the oldest covers most
                for rule in step.early:
                    early.setdefault(rule, number)
            targets = _without(targets, seen)
            if targets:
                seen = seen | targets if seen else targets
                groups.append(targets)
                keep.append(number)
        begin = steps.get(state.left) or self._steps.begin(state.left, symbol)
        for rule in begin.late:
            late.setdefault(rule, count)
        targets = _without(begin.targets, seen)
        if targets:
            groups.append(targets)
        return Move(
            self._state(begin.left, tuple(groups)),
            None if len(keep) == count else tuple(keep),
            bool(targets),
            tuple(sorted((early[rule], rule) for rule in early)),
            tuple([(late[rule], rule) for rule in sorted(late)]),
        )


def _without(states: frozenset[int], others: frozenset[int]) -> frozenset[int]:
    """Return states less others: the same set, whose hash is known, where none is in both."""
    return states if states.isdisjoint(others) else states - others


def _behind(begins: bool, rest: Crossing) -> Crossing:
    """Return a crossing with a character before it that ends all threads.

    Args:
        begins: Whether a thread starts with that character.
        rest: What the text behind it does.
    """
    if rest.state is None:
        return rest
    older = (0,) if begins and rest.keep else ()
    return Crossing(rest.state, None, older + tuple([at + 1 for at in rest.begins]))
