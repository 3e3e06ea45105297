"""How long a rule can hold text back. Pure.

A thread holds the characters from its start, or from the last one that a match of it has
covered. The longest wait is the longest way through the states of one thread on which nothing
matches; where such a way can go in a circle, the rule could hold a stream back for ever.
"""

from __future__ import annotations

from typing import NamedTuple

from deltaweir.errors import InvalidRule
from deltaweir.guard.alphabet import Alphabet
from deltaweir.guard.nfa import Nfa
from deltaweir.guard.pattern import longest, parse
from deltaweir.guard.rules import Rule

MOST_WORK = 400_000
"""How many states of a set are looked at, for each class of characters that they tell apart,
before a rule counts as too complex to bound: about a second at the worst."""

_FOLDED_FACTOR = 16
"""How many characters that folding skips may stand, on average, at each one of a match."""

States = frozenset[int]


class _Ways(NamedTuple):
    """What a thread can do: where it waits longer, and where it waits again from the start."""

    longer: dict[States, set[States]]
    begins: dict[States, int]


def longest_match(rule: Rule) -> int | None:
    """Return the characters of a rule's longest match; None where there is no longest."""
    if rule.literals is not None:
        return max(map(len, rule.literals))
    lengths = [longest(branch.body) for branch in parse(rule.regex or "")]
    known = [one for one in lengths if one is not None]
    return max(known) if len(known) == len(lengths) else None


def limit(rule: Rule) -> int | None:
    """Return how many characters one thread of a rule may hold; None where nothing need stop it.

    A rule that folds skips characters that have no width; so that nobody can hold a stream
    back with those alone, such a rule has a limit even if it names none.

    Raises:
        InvalidRule: The rule could hold a stream back for ever.
    """
    if rule.max_hold is not None:
        return rule.max_hold
    length = longest_match(rule)
    if length is None:
        length = _certain_wait(rule)
    return _FOLDED_FACTOR * (length + 1) if rule.fold else None


def _certain_wait(rule: Rule) -> int:
    """Return the longest wait of a rule whose matches have no longest.

    Raises:
        InvalidRule: There is none, or nobody can tell in reasonable time.
    """
    ways = None if rule.validator else _ways(Nfa([rule]))
    waits = None if ways is None else _longest_way(ways)
    if waits is not None:
        return waits
    if ways is None and not rule.validator:
        raise InvalidRule(
            f"rule {rule.id!r}: its matches have no longest, and it is too complex to tell how "
            "long it could wait; make it simpler, or set max_hold",
            rule=rule.id,
            reason="too complex",
        )
    raise InvalidRule(
        f"rule {rule.id!r}: its matches have no longest, and text that may be one could "
        "wait for ever; bound its repeats, let it match early (its head, then any "
        "tail), or set max_hold",
        rule=rule.id,
        reason="unbounded",
    )


def worst_hold(rule: Rule) -> int:
    """Return the most characters that a rule can hold back at one time.

    Raises:
        InvalidRule: The rule could hold a stream back for ever.
    """
    stopped = limit(rule)
    if stopped is not None:
        return stopped
    length = longest_match(rule)
    if rule.validator is not None and length is not None:
        return length  # no match is certain before the validator has seen it
    waits = _longest_wait(rule) if rule.literals is None else _longest_literal(rule.literals)
    if waits is None:
        waits = length  # too complex to tell exactly
    assert waits is not None
    return waits


def _longest_literal(literals: tuple[str, ...]) -> int:
    """Return the longest way through a trie on which no literal ends."""
    whole, waits = set(literals), 0
    for literal in literals:
        held = 0
        for at in range(1, len(literal)):
            held = 0 if literal[:at] in whole else held + 1
            waits = max(waits, held)
    return waits


def _longest_wait(rule: Rule) -> int | None:
    """Return the longest wait of a rule's thread; None if it has none, or it cannot be told."""
    ways = _ways(Nfa([rule]))
    return None if ways is None else _longest_way(ways)


def _ways(nfa: Nfa) -> _Ways | None:
    """Look at all that one thread can do; None where that is too much."""
    every = [atom.plain for atom in Alphabet(nfa.kinds, folds=False).atoms()]
    longer: dict[States, set[States]] = {}
    begins: dict[States, int] = {}
    work = 0
    first = frozenset(one for start in nfa.starts for one in nfa.closure(start.state))
    waiting = [first]
    longer[first] = set()
    while waiting:
        states = waiting.pop()
        asked = _asked(nfa, states)
        told_apart = {one & asked for one in every}  # mostly few: the others change nothing
        work += len(every) // 8 + len(states) * len(told_apart)
        if work > MOST_WORK:
            return None
        for classes in told_apart:
            after, held = _after(nfa, states, classes)
            if not after:
                continue
            if after not in longer:
                longer[after] = set()
                waiting.append(after)
            if held is None:
                longer[states].add(after)
            else:
                begins[after] = max(begins.get(after, 0), held)
    begins[first] = 0
    return _Ways(longer, begins)


def _asked(nfa: Nfa, states: States) -> int:
    """Return the classes that a thread in these states asks of a character."""
    asked = 0
    for one in states:
        for kind, _ in nfa.steps[one]:
            asked |= 1 << kind
        for final in nfa.finals.get(one, ()):
            asked |= 0 if final.after is None else 1 << final.after.kind
    return asked


def _after(nfa: Nfa, states: States, classes: int) -> tuple[States, int | None]:
    """Return where a thread is behind a character, and what it holds if something matched."""
    early = any(
        final.after is not None and classes >> final.after.kind & 1
        for one in states
        for final in nfa.finals.get(one, ())
    )
    reached = {
        end
        for one in states
        for kind, target in nfa.steps[one]
        if classes >> kind & 1
        for end in nfa.closure(target)
    }
    late = any(final.after is None for one in reached for final in nfa.finals.get(one, ()))
    rest = frozenset(one for one in reached if nfa.goes_on(one))
    return rest, 0 if late else 1 if early else None


def _longest_way(ways: _Ways) -> int | None:
    """Return the longest way from where waiting begins; None for a circle."""
    order: list[States] = []
    done: dict[States, bool] = {}  # False while its ways are being followed
    for begin in ways.begins:
        stack = [(begin, iter(ways.longer[begin]))] if begin not in done else []
        done.setdefault(begin, False)
        while stack:
            states, rest = stack[-1]
            target = next((one for one in rest if not done.get(one)), None)
            if target is None:
                done[states] = True
                order.append(states)
                stack.pop()
            elif target in done:
                return None
            else:
                done[target] = False
                stack.append((target, iter(ways.longer[target])))
    held = dict(ways.begins)
    for states in reversed(order):
        for target in ways.longer[states]:
            held[target] = max(held.get(target, 0), held[states] + 1)
    return max(held.values())
