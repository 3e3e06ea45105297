"""Where the matches of a rule begin that end at a known place: the rule read backwards. Pure.

A validator may refuse the match that starts first and accept one that starts later. Going back
once from where they end finds all of them, in time linear in their length.
"""

from __future__ import annotations

from deltaweir.guard.alphabet import Alphabet, Atom
from deltaweir.guard.nfa import Nfa
from deltaweir.guard.pattern import Branch, Chars, Either, Node, Repeat, Series, parse
from deltaweir.guard.rules import Rule

_MOST_STEPS = 10_000
"""How many steps are remembered."""


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
                turned = Branch(None, turned_node(branch.body), branch.before)
                nfa.add(0, turned, folds=self._folds)
        self._alphabet = Alphabet(nfa.kinds, folds=self._folds)
        self._first = frozenset(one for start in nfa.starts for one in nfa.closure(start.state))
        self._steps: dict[tuple[frozenset[int], int], frozenset[int]] = {}

    def starts(self, text: str, start: int, end: int, *, whole: bool) -> list[int]:
        """Return where matches start that end at a place, the longest first.

        Args:
            text: A part of the text.
            start: How far to go back.
            end: Where they end.
            whole: Whether the part begins where the text does.
        """
        found: list[int] = []
        states = self._first
        for at in range(end - 1, start - 1, -1):
            atom = self._alphabet.atom(text[at])
            ends = False
            for classes in reversed(atom.folded) if self._folds else (atom.plain,):
                states = self._stepped(states, classes)
                ends = ends or self._begins(states, text, at, whole=whole)
            if ends:
                found.append(at)
            if not states:
                break
        found.reverse()
        return found

    def _stepped(self, states: frozenset[int], classes: int) -> frozenset[int]:
        known = self._steps.get((states, classes))
        if known is None:
            if len(self._steps) >= _MOST_STEPS:
                self._steps = {}
            known = self._steps[states, classes] = frozenset(
                end
                for one in states
                for kind, target in self._nfa.steps[one]
                if classes >> kind & 1
                for end in self._nfa.closure(target)
            )
        return known

    def _begins(self, states: frozenset[int], text: str, at: int, *, whole: bool) -> bool:
        """Tell whether a match may begin at a place, by what stands before it."""
        finals = [final for one in states for final in self._nfa.finals.get(one, ())]
        if any(final.after is None for final in finals):
            return True
        before = self._before(text, at) if finals else None
        if before is None:
            return whole and any(final.after and final.after.at_end for final in finals)
        return any(final.after and before >> final.after.kind & 1 for final in finals)

    def _before(self, text: str, at: int) -> int | None:
        """Return the classes of the character before a place; None where there is none."""
        for back in range(at - 1, -1, -1):
            atom: Atom = self._alphabet.atom(text[back])
            if not self._folds:
                return atom.plain
            if atom.folded:
                return atom.folded[-1]
        return None


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
        literals=tuple(literal[::-1] for literal in rule.literals or ()),
    )
