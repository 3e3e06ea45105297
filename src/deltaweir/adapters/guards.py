"""Guards as programs name them: a preset, a rules file, or rules of their own."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self, get_args

from deltaweir.adapters.rule_files import rules_named
from deltaweir.errors import InvalidRule
from deltaweir.guard.filter import TextFilter
from deltaweir.guard.judging import Judge
from deltaweir.guard.policy import NOTHING, OnError, Policy, policy_of
from deltaweir.guard.rules import Action, Rule, Scope, checked_rule
from deltaweir.guard.verdicts import Verdict

Rules = str | os.PathLike[str] | Rule | Iterable[str | os.PathLike[str] | Rule]
"""Rules: the name of a preset, the path of a TOML file, rules themselves, or several of these."""


class Guard:
    """Let a text through without what its rules find, however it is cut into pieces.

    Args:
        rules: A preset ("standard", "secrets", "pii"), the path of a TOML file, or rules.
        action: What rules do that do not say so: "redact" puts ``[REDACTED:label]`` in the
            place of a match, "block" and "truncate" end the text before it, "flag" only tells.
        scope: What rules look at that do not say so: "prompt", "content", "reasoning",
            "refusal", "tool_args"; None for all but the prompt.
        fold: Whether rules see through look-alike letters, case, accents and invisible
            characters, unless they say so themselves.
        on_error: What a failure of the guard itself does, or of a classifier: "closed" ends
            the stream, "open" lets the text through.
        classifier: A `deltaweir.Classifier`, or several, that streams ask beside the rules.

    Raises:
        InvalidRule: There are no such rules, or one cannot be used; the message names it, and
            the place in its pattern.

    One guard is one text (its ``content``): feed it the pieces and show what it returns. Given
    to a client, to `deltaweir.watch` or to a request it is a template, and each choice and
    field gets a fresh one. Classifiers are asked there alone.
    """

    def __init__(
        self,
        rules: Rules = (),
        action: Action = "redact",
        *,
        scope: Sequence[Scope] | Scope | None = None,
        fold: bool = False,
        on_error: OnError = "closed",
        classifier: Judge | Sequence[Judge] = (),
    ) -> None:
        judges = tuple(classifier) if isinstance(classifier, Sequence) else (classifier,)
        for one in judges:
            if not hasattr(one, "judge_async"):
                raise _unusable(f"a classifier of type {type(one).__name__}", "a Classifier")
        self._begin(
            policy_of(
                () if judges and rules == () else _rules(rules),
                judges=judges,
                action=_one_of("action", action, ("flag", "redact", "truncate", "block")),
                scope=_scopes(scope),
                fold=_one_of("fold", fold, (True, False)),
                on_error=_one_of("on_error", on_error, ("closed", "open")),
            )
        )

    def _begin(self, policy: Policy) -> None:
        self.policy = policy
        """The rules with all options settled; they can be shared."""
        plan = policy.plan("content")
        self._filter = None if plan is None else TextFilter(plan)
        self._ended = False

    def __repr__(self) -> str:
        return f"Guard({len(self.policy.rules)} rules)"

    @property
    def verdicts(self) -> Sequence[Verdict]:
        """What was found so far; it is settled when the text has gone past it."""
        return () if self._filter is None else self._filter.verdicts

    @property
    def stopped(self) -> Action | None:
        """The action that has ended the text, "block" or "truncate"; None while none has."""
        return None if self._filter is None else self._filter.stopped

    def feed(self, text: str) -> str:
        """Take the next piece of the text, and return what may be shown now.

        Raises:
            InvalidRule: The piece is no text, or the text has ended; or the guard has a
                classifier, which only streams ask.
        """
        if not isinstance(text, str):
            raise _unusable(f"a text of type {type(text).__name__}", 'a str, such as content or ""')
        if self._ended:
            raise _unusable("text behind finish()", "another text to be fed to its own fresh()")
        if self.policy.judges:
            raise _unusable(
                "text for a guard with a classifier", "to be given to a client or to watch"
            )
        return text if self._filter is None else self._filter.feed(text)

    def finish(self, cut: bool = False) -> str:  # noqa: FBT002  # the public form of it
        """End the text, and return the last that may be shown; nothing from then on.

        Args:
            cut: Whether the text was cut by anybody but its writer: then what a rule could
                still cover, had it gone on, is dropped.
        """
        ended, self._ended = self._ended, True
        return "" if ended or self._filter is None else self._filter.finish(cut=cut)

    def fresh(self) -> Self:
        """Return a guard with the same rules for another text."""
        other = object.__new__(type(self))
        other._begin(self.policy)
        return other


AnyGuard = (
    Guard | str | os.PathLike[str] | Rule | Iterable[Guard | str | os.PathLike[str] | Rule] | None
)
"""What a ``guard`` option may be: a guard, what makes one, or several, which add up."""


def policy_from(value: Any) -> Policy:
    """Return the policy that an option ``guard`` means; one that looks at nothing for None.

    Raises:
        InvalidRule: It means none, or one of its rules cannot be used.
    """
    if value is None:
        return NOTHING
    if isinstance(value, Policy):
        return value
    if isinstance(value, Guard):
        return value.policy
    if isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping):
        parts = [*value]
        rules = [part for part in parts if not isinstance(part, Guard)]
        policy = Guard(rules).policy if rules or not parts else NOTHING
        for part in parts:
            if isinstance(part, Guard):
                policy = policy.joined(part.policy)
        return policy
    return Guard(value).policy


def _rules(value: Any) -> Sequence[Rule]:
    """Return the rules that a value names, each checked.

    Raises:
        InvalidRule: It names none, one of them cannot be used, or two have the same id.
    """
    if isinstance(value, str | os.PathLike):
        return rules_named(os.fspath(value))
    if isinstance(value, Rule):
        return (checked_rule(value),)
    if not isinstance(value, Iterable) or isinstance(value, bytes | Mapping):
        raise _unusable(f"rules of type {type(value).__name__}", _EXPECTED)
    rules: list[Rule] = []
    own = set[str]()
    for part in value:
        if isinstance(part, Rule):
            if part.id in own:
                raise _unusable(f"two rules with the id {str(part.id)[:64]!r}", "one")
            own.add(part.id)
            rules.append(checked_rule(part))
        elif isinstance(part, str | os.PathLike):
            rules += rules_named(os.fspath(part))
        else:
            raise _unusable(f"a rule of type {type(part).__name__}", _EXPECTED)
    if not rules:
        raise _unusable("no rules", _EXPECTED)
    return rules


def _unusable(got: str, wanted: str) -> InvalidRule:
    reason = f"got {got}, expected {wanted}"
    return InvalidRule(reason, reason=reason, param="guard")


_EXPECTED = (
    'the name of a preset such as "standard", the path of a TOML file, or deltaweir.Rule objects'
)


def _scopes(scope: Any) -> tuple[Scope, ...] | None:
    if scope is None:
        return None
    scopes = (scope,) if isinstance(scope, str) else tuple(scope)
    for one in scopes or ("",):
        _one_of("scope", one, get_args(Scope))
    return scopes


def _one_of(name: str, value: Any, known: Sequence[Any]) -> Any:
    if value not in known:
        reason = f"got {name}={str(value)[:40]!r}, expected one of {', '.join(map(str, known))}"
        raise InvalidRule(reason, reason=reason, param=name)
    return value
