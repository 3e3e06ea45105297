"""What a guard enforces: rules with all their options settled, by kind of text. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import msgspec

from deltaweir.guard.judging import Judge
from deltaweir.guard.plan import Plan, plan_for
from deltaweir.guard.rules import Action, Rule, Scope
from deltaweir.guard.verdicts import STRICTNESS

OnError = Literal["closed", "open"]

OUTPUT: tuple[Scope, ...] = ("content", "reasoning", "refusal", "tool_args")
"""What a rule looks at unless it says otherwise: all that a model generates."""

_SCOPES: dict[str, Scope] = {
    "content": "content",
    "text": "content",
    "reasoning_content": "reasoning",
    "refusal": "refusal",
}


def scope_of(field: str) -> Scope:
    """Return the kind of a field, as `deltaweir.schema.texts` names it."""
    return _SCOPES.get(field, "tool_args")


class Settled(NamedTuple):
    """A rule, and whether it says itself that tool arguments may be redacted."""

    rule: Rule
    redacts_arguments: bool


class Policy:
    """The rules of one guard, or of several that add up; shared by any number of streams.

    Args:
        settled: The rules.
        judges: The classifiers.
        on_error: What happens to a text that cannot be checked: "closed" ends the stream,
            "open" lets it through.
    """

    def __init__(
        self,
        settled: Iterable[Settled],
        *,
        judges: Iterable[Judge] = (),
        on_error: OnError = "closed",
    ) -> None:
        self._settled = tuple(dict.fromkeys(settled))
        self.judges = tuple(dict.fromkeys(judges))
        self.on_error: OnError = on_error
        self._plans: dict[Scope, Plan | None] = {}

    def __repr__(self) -> str:
        return f"Policy({len(self._settled)} rules, {len(self.judges)} classifiers)"

    def __bool__(self) -> bool:
        return bool(self._settled or self.judges)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules, with nothing left open."""
        return tuple(one.rule for one in self._settled)

    def joined(self, other: Policy) -> Policy:
        """Return both together: where both look, the stricter decides."""
        if other is self or not other:
            return self
        if not self:
            return other
        on_error: OnError = "open" if self.on_error == other.on_error == "open" else "closed"
        return Policy(
            [*self._settled, *other._settled],
            judges=[*self.judges, *other.judges],
            on_error=on_error,
        )

    @property
    def reads_answers(self) -> bool:
        """Whether anything looks at what a model generates, and not at prompts alone."""
        return bool(self.judges) or any(self.plan(scope) is not None for scope in OUTPUT)

    def plan(self, scope: Scope) -> Plan | None:
        """Return the rules that look at one kind of text, compiled; None where none does.

        Raises:
            InvalidRule: A rule cannot be used.
        """
        if scope not in self._plans:
            rules = [self._as_in(scope, one) for one in self._settled if _looks_at(one, scope)]
            self._plans[scope] = plan_for(tuple(_strictest(rules))) if rules else None
        return self._plans[scope]

    def prepare(self) -> None:
        """Compile everything now, so that a rule which cannot be used is known.

        Raises:
            InvalidRule: A rule cannot be used.
        """
        for scope in ("prompt", *OUTPUT):
            self.plan(scope)

    @staticmethod
    def _as_in(scope: Scope, one: Settled) -> Rule:
        """Return a rule as it acts on one kind of text, without what only people read."""
        action = one.rule.action
        if scope == "tool_args" and action == "redact" and not one.redacts_arguments:
            action = "block"  # a program may run what stands there
        return msgspec.structs.replace(
            one.rule,
            action=action,
            scope=None,
            severity=None,
            description=None,
            examples=(),
            counterexamples=(),
        )


NOTHING = Policy(())
"""The policy that looks at nothing."""


def policy_of(
    rules: Sequence[Rule],
    *,
    action: Action = "redact",
    scope: Sequence[Scope] | None = None,
    fold: bool = False,
    judges: Sequence[Judge] = (),
    on_error: OnError = "closed",
) -> Policy:
    """Return a policy of rules, with what they leave open.

    Args:
        rules: The rules.
        action: What rules do that do not say so.
        scope: What rules look at that do not say so; None for all that a model generates.
        fold: Whether rules fold that do not say so.
        judges: Classifiers beside them.
        on_error: What happens to a text that cannot be checked.
    """
    return Policy(
        (
            Settled(
                msgspec.structs.replace(
                    rule,
                    action=rule.action or action,
                    scope=rule.scope or tuple(scope or OUTPUT),
                    fold=fold if rule.fold is None else rule.fold,
                ),
                redacts_arguments=rule.action == "redact" and "tool_args" in (rule.scope or ()),
            )
            for rule in rules
        ),
        judges=judges,
        on_error=on_error,
    )


def _looks_at(one: Settled, scope: Scope) -> bool:
    return scope in (one.rule.scope or OUTPUT)


def _strictest(rules: Iterable[Rule]) -> list[Rule]:
    """Return each rule once, with the strictest action that it is there with."""
    found: dict[Rule, Rule] = {}
    for rule in rules:
        key = msgspec.structs.replace(rule, action=None)
        known = found.setdefault(key, rule)
        if STRICTNESS[rule.action or "redact"] > STRICTNESS[known.action or "redact"]:
            found[key] = rule
    return [*found.values()]
