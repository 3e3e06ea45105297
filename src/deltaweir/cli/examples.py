"""Whether rules find what their own examples say, by the automaton that guards streams."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from msgspec.structs import replace

from deltaweir.guard.bounds import worst_hold
from deltaweir.guard.filter import TextFilter
from deltaweir.guard.plan import Plan
from deltaweir.guard.policy import policy_of
from deltaweir.guard.rules import Rule


class Wrong(NamedTuple):
    """An example that a rule does not keep; its text is not told, only its place."""

    rule: str
    kind: str
    """``example`` or ``counterexample``."""
    number: int
    """Its place among those, from 1."""

    def __str__(self) -> str:
        what = "is not found" if self.kind == "example" else "is found, and should not be"
        return f"rule {self.rule!r}: {self.kind} {self.number} {what}"


class Checked(NamedTuple):
    """A rule that can be used, and what is known of it."""

    rule: Rule
    holds: int
    """The most characters that it can hold back at one time."""
    wrong: list[Wrong]

    @property
    def examples(self) -> int:
        """How many examples it has, of both kinds."""
        return len(self.rule.examples) + len(self.rule.counterexamples)

    def as_dict(self) -> dict[str, Any]:
        """Return it as ``--json`` shows it."""
        rule = self.rule
        return {
            "id": rule.id,
            "action": rule.action or "redact",
            "scope": rule.scope,
            "holds": self.holds,
            "on_overflow": rule.on_overflow if rule.max_hold else None,
            "description": " ".join((rule.description or "").split()) or None,
            "examples": len(rule.examples),
            "counterexamples": len(rule.counterexamples),
            "wrong": [{"kind": one.kind, "number": one.number} for one in self.wrong],
        }


def checked(rules: Sequence[Rule]) -> list[Checked]:
    """Return what is known of rules that are used together.

    Raises:
        InvalidRule: One of them cannot be used.
    """
    policy_of(rules).prepare()
    return [Checked(rule, worst_hold(rule), _wrong(rule)) for rule in rules]


def _wrong(rule: Rule) -> list[Wrong]:
    plan = policy_of([replace(rule, scope=("content",), action="redact")]).plan("content")
    assert plan is not None
    wrong = [
        Wrong(rule.id, "example", number)
        for number, text in enumerate(rule.examples, 1)
        if not all(_finds(plan, text))
    ]
    return wrong + [
        Wrong(rule.id, "counterexample", number)
        for number, text in enumerate(rule.counterexamples, 1)
        if any(_finds(plan, text))
    ]


def _finds(plan: Plan, text: str) -> list[bool]:
    """Say whether a text is found when it comes as a whole, and a character at a time."""
    return [_finds_in(plan, pieces) for pieces in ([text], [*text])]


def _finds_in(plan: Plan, pieces: Sequence[str]) -> bool:
    one = TextFilter(plan)
    for piece in pieces:
        one.feed(piece)
    one.finish(cut=False)
    return bool(one.verdicts)
