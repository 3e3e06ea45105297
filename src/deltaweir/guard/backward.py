"""The matches of a rule that end at a known place, found by reading the rule backwards. Pure.

A validator may refuse the match that starts first and accept one that starts later, so it must
see all that end at one place. Going back once from there finds them, a step for each character
up to where the oldest started; where rules fold, once for each symbol of the last character.

A rule that folds reads symbols, and a character may stand for several: a digit with a full stop
for two. A match may begin and end inside such a character. A validator sees the symbols of the
match, no more and no less, and what it accepts covers each character that gave one of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from deltaweir.guard.alphabet import Alphabet
from deltaweir.guard.folding import fold
from deltaweir.guard.folding_nodes import folded
from deltaweir.guard.nfa import Nfa
from deltaweir.guard.pattern import Branch, Chars, Either, Node, Repeat, Series, parse
from deltaweir.guard.rules import Rule

_MOST_REMEMBERED = 20_000
"""Characters, steps and places in the sets that steps lead to, which are remembered."""


class Match(NamedTuple):
    """A match: where its first character stands, and its text as the rule reads it."""

    start: int
    text: str


class _Signs(NamedTuple):
    """What a rule reads of a character: symbols, and the classes of each."""

    symbols: str
    classes: tuple[int, ...]


class _States:
    """A set of states: where reading goes on, and whether a match may begin there."""

    __slots__ = ("asked", "at_beginning", "begins", "members", "steps")

    def __init__(self, members: frozenset[int], nfa: Nfa) -> None:
        self.members = members
        self.steps: dict[int, _States] = {}
        finals = [final.after for one in members for final in nfa.finals.get(one, ())]
        self.begins = None in finals
        """Whatever stands before it."""
        conditions = [one for one in finals if one is not None]
        self.at_beginning = self.begins or any(one.at_end for one in conditions)
        self.asked = 0
        """The classes of which what stands before it must be in one."""
        for one in conditions:
            self.asked |= 1 << one.kind


class Backward:
    """Read a rule backwards.

    Args:
        rule: The rule, checked.
    """

    def __init__(self, rule: Rule) -> None:
        self._folds = bool(rule.fold)
        self._nfa = nfa = Nfa([])
        if rule.literals is not None:
            nfa = self._nfa = Nfa([_turned_literals(rule)])
        else:
            for branch in parse(rule.regex or ""):
                body = turned_node(folded(branch.body) if self._folds else branch.body)
                turned = Branch(branch.after, body, branch.before)
                nfa.add(0, turned, folds=self._folds)
        self._alphabet = Alphabet(nfa.kinds, folds=self._folds)
        self._signs: dict[str, _Signs] = {}
        self._sets: dict[frozenset[int], _States] = {}
        self._firsts: dict[tuple[int | None, bool], _States] = {}
        self._remembered = 0

    def ending(
        self, text: str, start: int, end: int, *, whole: bool, after: str | None
    ) -> Iterator[Match]:
        """Yield the matches that end with a character, or inside it, the longest first.

        Args:
            text: A part of the text.
            start: How far to go back.
            end: Behind the character they end with.
            whole: Whether the part begins where the text does.
            after: The character behind, which those that wait for it have seen, "" for the
                end of the text; None for those that wait for nothing behind the character.
        """
        self._forget()
        if after is not None:
            yield from self._from(self._ended(after), text, start, end, 0, whole=whole)
            return
        last = self._read(text[end - 1])
        for left in range(len(last.classes)):
            follows = last.classes[-left] if left else None
            first = self._first(follows, waits=False)
            yield from self._from(first, text, start, end, left, whole=whole)

    def _from(
        self, states: _States, text: str, start: int, end: int, left: int, *, whole: bool
    ) -> Iterator[Match]:
        """Yield matches, the longest first.

        Args:
            states: Where reading begins.
            text: A part of the text.
            start: How far to go back.
            end: Behind the last character.
            left: How many symbols of that character stand behind the matches.
            whole: Whether the part begins where the text does.
        """
        found: list[tuple[int, int]] = []
        read: list[str] = []
        for at in range(end - 1, start - 1, -1):
            signs = self._signs.get(text[at]) or self._read(text[at])
            for number in range(len(signs.classes) - 1 - left, -1, -1):
                classes = signs.classes[number]
                states = states.steps.get(classes) or self._stepped(states, classes)
                read.append(signs.symbols[number])
                if states.begins or (
                    states.asked
                    and self._begins(states, signs.classes[:number], text, at, whole=whole)
                ):
                    found.append((at, len(read)))
            if not states.members:
                break
            left = 0
        word = "".join(reversed(read))
        for at, length in reversed(found):
            yield Match(at, word[len(word) - length :])

    def _ended(self, after: str) -> _States:
        """Return where reading begins of matches that wait for what follows."""
        return self._first(self._read(after).classes[0] if after else None, waits=True)

    def _first(self, follows: int | None, *, waits: bool) -> _States:
        """Return where reading begins.

        Args:
            follows: The classes of the symbol that follows; None where there is none, or where
                nobody has seen it.
            waits: Whether the matches are those that have seen what follows, or the text's end.
        """
        known = self._firsts.get((follows, waits))
        if known is None:
            nfa, members = self._nfa, set[int]()
            for begin in nfa.starts:
                if begin.before is None:
                    holds = not waits
                elif follows is None:
                    holds = waits and begin.before.at_end
                else:
                    holds = bool(follows >> begin.before.kind & 1)
                if holds:
                    members.update(nfa.closure(begin.state))
            known = self._firsts[follows, waits] = self._set(frozenset(members))
            self._remembered += 1
        return known

    def _read(self, character: str) -> _Signs:
        known = self._signs.get(character)
        if known is None:
            atom = self._alphabet.atom(character)
            known = _Signs(character, (atom.plain,))
            if self._folds:
                known = _Signs(fold(character), atom.folded)
            self._signs[character] = known
            self._remembered += 1
        return known

    def _stepped(self, states: _States, classes: int) -> _States:
        nfa = self._nfa
        after = self._set(
            frozenset(
                end
                for one in states.members
                for kind, target in nfa.steps[one]
                if classes >> kind & 1
                for end in nfa.closure(target)
            )
        )
        self._remembered += 1
        states.steps[classes] = after
        return after

    def _set(self, members: frozenset[int]) -> _States:
        known = self._sets.get(members)
        if known is None:
            known = self._sets[members] = _States(members, self._nfa)
            self._remembered += len(members) + 1
        return known

    def _forget(self) -> None:
        if self._remembered > _MOST_REMEMBERED:
            self._signs, self._sets, self._firsts, self._remembered = {}, {}, {}, 0

    def _begins(
        self, states: _States, before: tuple[int, ...], text: str, at: int, *, whole: bool
    ) -> bool:
        """Tell whether a match that asks what stands before it begins at a place.

        Args:
            states: Where reading is.
            before: What stands before it in the same character.
            text: A part of the text.
            at: The character.
            whole: Whether the part begins where the text does.
        """
        while not before and at > 0:
            at -= 1
            before = self._read(text[at]).classes
        if before:
            return bool(before[-1] & states.asked)
        # what folding skips may go back beyond the part: then nobody knows, and what may be is
        return states.at_beginning if whole else self._folds


def turned_node(node: Node) -> Node:
    """Return a node whose words are those of another, backwards."""
    match node:
        case Chars():
            return node
        case Series(items):
            return Series(tuple(turned_node(item) for item in reversed(items)))
        case Either(options):
            return Either(tuple(map(turned_node, options)))
        case Repeat(item, least, most):
            return Repeat(turned_node(item), least, most)


def _turned_literals(rule: Rule) -> Rule:
    return Rule(
        id=rule.id,
        fold=rule.fold,
        literals=tuple(
            ("".join(map(fold, literal)) if rule.fold else literal)[::-1]
            for literal in rule.literals or ()
        ),
    )
