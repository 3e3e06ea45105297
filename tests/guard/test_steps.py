"""What one character does is made once for all characters that the rules do not tell apart."""

from __future__ import annotations

from deltaweir.guard.alphabet import Alphabet
from deltaweir.guard.nfa import Nfa
from deltaweir.guard.rules import Rule
from deltaweir.guard.states import NOWHERE, Symbol
from deltaweir.guard.steps import Steps


def made(*rules: Rule) -> tuple[Steps, Alphabet]:
    """Return the steps of some rules, and what tells characters apart."""
    nfa = Nfa(rules)
    return Steps(nfa), Alphabet(nfa.kinds, folds=any(nfa.folds))


def test_a_match_begins_where_what_stands_before_allows_it() -> None:
    """At the beginning of a text, or behind a character that the rule takes."""
    steps, alphabet = made(Rule(id="r", regex="(?<!a)bc"))
    first = steps.begin(steps.first(), Symbol(alphabet.atom("b")))
    assert len(first.targets) == 1
    behind_a = steps.begin(steps.first(), Symbol(alphabet.atom("a"))).left
    assert steps.begin(behind_a, Symbol(alphabet.atom("b"))).targets == frozenset()


def test_a_step_tells_what_it_completes() -> None:
    """With the character, or before it where the rule waits for what follows."""
    steps, alphabet = made(Rule(id="x", regex="ab"), Rule(id="y", regex="a(?!b)"))
    begun = steps.begin(steps.first(), Symbol(alphabet.atom("a")))
    b, c = Symbol(alphabet.atom("b")), Symbol(alphabet.atom("c"))
    over_b = [steps.step(one, b) for one in begun.targets]
    over_c = [steps.step(one, c) for one in begun.targets]
    assert [rule for step in over_b for rule in step.late] == [0]
    assert [rule for step in over_c for rule in step.early] == [1]
    assert NOWHERE in over_c


def test_steps_are_remembered_by_symbol_and_counted() -> None:
    """So that a move is put together from what is known."""
    steps, alphabet = made(Rule(id="r", literals=("ab",)))
    symbol = Symbol(alphabet.atom("a"))
    begun = steps.begin(steps.first(), symbol)
    assert symbol.steps[steps.first()] is begun
    (one,) = begun.targets
    before = steps.remembered
    assert steps.step(one, symbol) is symbol.steps[one] is NOWHERE
    assert steps.remembered == before + 1


def test_a_character_that_folding_skips_changes_nothing() -> None:
    """A thread of a folding rule stays where it is, and none begins."""
    steps, alphabet = made(Rule(id="r", literals=("ab",), fold=True))
    begun = steps.begin(steps.first(), Symbol(alphabet.atom("A")))
    (one,) = begun.targets
    skipped = Symbol(alphabet.atom("\u200b"))
    assert steps.step(one, skipped).targets == {one}
    assert steps.begin(begun.left, skipped).targets == frozenset()
    assert steps.begin(begun.left, skipped).left[1] == begun.left[1]
