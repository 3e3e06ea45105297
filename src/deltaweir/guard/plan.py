"""A guard's rules, made ready for one kind of text. Pure."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import msgspec

from deltaweir.errors import InvalidRule
from deltaweir.guard.automaton import Automaton
from deltaweir.guard.backward import Backward
from deltaweir.guard.bounds import limit, longest_match
from deltaweir.guard.rules import Action, Rule, check
from deltaweir.guard.validators import VALIDATORS

MOST_VALIDATED = 128
"""Characters of a match that a validator may have to look at, from each place it may start."""

_UNNAMED = ("[REDACTED]", "\u2588\u2588\u2588")
"""What stands for a match where a rule would find its name: no name, or a black bar."""


_Validator = Callable[[str, int, int, bool, str | None], int | None]


class Plan:
    """The rules that look at one kind of text, compiled; shared by all texts.

    Args:
        rules: The rules, whose open options count as their defaults.
        only_flags: Whether what they hide is shown all the same, so that nothing stands for it.

    Attributes:
        rules: The rules that hide or stop, by number.
        automaton: Finds their matches; None where there are none.
        flags: The plan of the rules that only flag, which see the text beside the others.
        actions: What each rule does.
        limits: How many characters a thread of a rule may hold, where it has a limit.
        least_limit: The least of these.
        history: How far back a validator may have to look, in characters.

    Raises:
        InvalidRule: A rule cannot be used.
    """

    def __init__(self, rules: Sequence[Rule], *, only_flags: bool = False) -> None:
        for rule in rules:
            check(rule)
        flagging = [rule for rule in rules if rule.action == "flag"]
        rest = [rule for rule in rules if rule.action != "flag"]
        self.flags = _flags(flagging) if flagging else None
        self._compile(rest, only_flags=only_flags)

    def _compile(self, rules: Sequence[Rule], *, only_flags: bool) -> None:
        limits = [limit(rule) for rule in rules]
        self.rules = [
            msgspec.structs.replace(
                rule,
                max_hold=most,
                # a flag holds nothing, so it has nothing to cover or to end at its limit
                on_overflow="release" if only_flags else rule.on_overflow,
            )
            for rule, most in zip(rules, limits, strict=True)
        ]
        self.automaton = Automaton(self.rules) if rules else None
        self.actions: list[Action] = [rule.action or "redact" for rule in rules]
        self.limits = limits
        self.least_limit = min((one for one in limits if one is not None), default=None)
        self.history = max((_looks_back(rule) for rule in self.rules), default=0)
        self._validators = [_validator(rule) for rule in self.rules]
        self._replacements: list[str] = []
        if self.automaton is not None and not only_flags:
            labels = [rule.label or rule.id for rule in rules]
            self._replacements = [self._replacement(self.automaton, label) for label in labels]

    def replacement(self, rule: int) -> str:
        """Return what stands for a run that is named after a rule."""
        return self._replacements[rule] if self._replacements else ""

    def valid(
        self, rule: int, text: str, start: int, end: int, *, whole: bool, after: str | None
    ) -> int | None:
        """Return where the longest valid match of a rule that ends at a place starts.

        Args:
            rule: The rule.
            text: A part of the text, with one character before the start if there is one.
            start: Where the oldest match that ends there starts, in this part.
            end: Where it ends.
            whole: Whether the part begins where the text does.
            after: The character behind, where the match has waited for it, "" for the text's
                end; None where it has not.

        Returns:
            A place not before ``start``; None when no match is valid.
        """
        validator = self._validators[rule]
        return start if validator is None else validator(text, start, end, whole, after)

    def _replacement(self, automaton: Automaton, label: str) -> str:
        """Return what names a run, or does not where a rule would find it in the very name.

        Raises:
            InvalidRule: A rule would find whatever stands in the place of what is redacted.
        """
        for shown in (f"[REDACTED:{label}]", *_UNNAMED):
            rule = _found(automaton, shown)
            if rule is None:
                return shown
        if "redact" not in self.actions:
            return ""  # nothing is ever replaced
        reason = (
            f"it would match {' and '.join(_UNNAMED)}, which could stand in the place of what is "
            "redacted; let all rules beside it block, or look for something else"
        )
        name = self.rules[rule or 0].id
        raise InvalidRule(f"rule {name!r}: {reason}", rule=name, reason=reason)


def _found(automaton: Automaton, text: str) -> int | None:
    """Return a rule that matches in a text."""
    state = automaton.root
    for character in text:
        state, _, _, early, late = automaton.move(state, character)
        for _, rule in (*early, *late):
            return rule
    return state.ends[0][1] if state.ends else None


def _flags(rules: Sequence[Rule]) -> Plan:
    """Return a plan by whose runs flags are found; what it would hide is shown all the same."""
    plan = Plan([msgspec.structs.replace(rule, action="redact") for rule in rules], only_flags=True)
    plan.actions = ["flag"] * len(rules)
    return plan


def _looks_back(rule: Rule) -> int:
    if rule.validator is None:
        return 0
    length = longest_match(rule) or rule.max_hold or 0
    if length > MOST_VALIDATED:
        reason = (
            f"a match may have {length:,} characters, and a validator looks at {MOST_VALIDATED} "
            "at most; use smaller repeats, or a smaller max_hold"
        )
        raise InvalidRule(f"rule {rule.id!r}: {reason}", rule=rule.id, reason=reason)
    return max(length, rule.max_hold or 0) + 1


def _validator(rule: Rule) -> _Validator | None:
    if rule.validator is None:
        return None
    holds, backward = VALIDATORS[rule.validator], Backward(rule)

    def longest(text: str, start: int, end: int, whole: bool, after: str | None) -> int | None:
        found: int | None = None
        for match in backward.ending(text, max(start, 0), end, whole=whole, after=after):
            if (found is None or match.start < found) and holds(match.text):
                found = match.start
        return found

    return longest


@functools.lru_cache(maxsize=256)
def plan_for(rules: tuple[Rule, ...]) -> Plan:
    """Return the plan of some rules, compiled once.

    Raises:
        InvalidRule: A rule cannot be used.
    """
    return Plan(rules)
