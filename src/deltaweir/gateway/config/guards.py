"""The guards that a configuration names, compiled, and what a request may add to them.

Guards add up: where a model has one and a request asks for another, both look at the stream,
and the stricter decides. A request can only name what is configured here, or a preset, so no
client's text is ever taken for the path of a file.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec

from deltaweir.adapters.guards import policy_from
from deltaweir.adapters.rule_files import PRESETS, preset, rules_from
from deltaweir.client.provider import provider_of
from deltaweir.errors import InvalidRequest, InvalidRule
from deltaweir.gateway.config.environment import resolved
from deltaweir.gateway.config.tables import hint
from deltaweir.guard.judging import Judge
from deltaweir.guard.policy import NOTHING, OnError, Policy, policy_of
from deltaweir.guard.rules import Action, Scope
from deltaweir.guard.windows import Mode

ClassifierAction = Literal["flag", "truncate", "block"]

MOST_JOINED = 64
"""How many combinations of guards are kept compiled, since requests choose among them."""


class ModerationConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table ``moderation`` of a guard: an OpenAI-compatible ``/moderations`` to ask.

    Attributes:
        base_url: The provider's address, such as ``https://api.openai.com/v1``.
        api_key: Its key; ``env:NAME`` takes it from the environment.
        model: The model; the provider's choice unless told.
        mode: ``hold`` shows what is cleared, ``follow`` shows at once and cuts on a verdict.
        action: What a flagged window does: ``block``, ``truncate``, ``flag``.
        scope: What it looks at, of ``content``, ``reasoning``, ``refusal``.
        timeout_s: Seconds for a verdict.
        thresholds: Scores from which on a category counts, instead of the model's own verdict.
    """

    base_url: str
    api_key: str | None = None
    model: str | None = None
    mode: Mode = "hold"
    action: ClassifierAction = "block"
    scope: tuple[Scope, ...] = ("content",)
    timeout_s: float = 2.0
    thresholds: dict[str, float] | None = None

    def __repr__(self) -> str:
        return f"ModerationConfig({self.base_url!r})"  # no key

    @property
    def host(self) -> str:
        """Whom answers are sent to."""
        return provider_of(self.base_url).origin.authority

    def classifier(self) -> Judge:
        """Return what asks the endpoint.

        Raises:
            InvalidRequest: A value is of no use, or the environment has no such key.
        """
        from deltaweir.adapters.classifiers import Classifier

        fields = msgspec.structs.asdict(self)
        if self.api_key is not None:
            fields["api_key"] = resolved(self.api_key, param="api_key")
        return Classifier(fields.pop("base_url"), name="moderation", **fields)


class GuardConfig(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    dict=True,
):
    """One of the tables ``[guards.NAME]``.

    Attributes:
        preset: A preset's name; this or ``rules``.
        rules: The path of a TOML file with rules, from where the configuration is.
        action: What rules do that do not say so: ``redact``, ``flag``, ``truncate``, ``block``.
        scope: What rules look at that do not say so, one or a list of ``prompt``, ``content``,
            ``reasoning``, ``refusal``, ``tool_args``; all but the prompt unless told.
        fold: Whether rules see through look-alike letters, case, accents and invisible
            characters, unless they say so themselves.
        on_error: What a failure of the guard itself does: ``closed`` ends the stream, ``open``
            lets the text through.
        moderation: A classifier to ask beside the rules, or without any.
    """

    preset: str | None = None
    rules: str | None = None
    action: Action = "redact"
    scope: Scope | tuple[Scope, ...] | None = None
    fold: bool = False
    on_error: OnError = "closed"
    moderation: ModerationConfig | None = None

    def __post_init__(self) -> None:
        """Refuse a table from which nobody could tell what to look for."""
        named = [one for one in (self.preset, self.rules) if one is not None]
        if len(named) != 1 and (named or self.moderation is None):
            raise InvalidRequest("expected exactly one of preset and rules", param="guards")
        if self.rules in PRESETS:
            raise InvalidRequest(
                f"rules is the path of a file; did you mean preset = {self.rules!r}?",
                param="guards",
            )
        if self.preset is not None and self.preset not in PRESETS:
            near = hint(self.preset, PRESETS)
            raise InvalidRequest(f"no preset is called {self.preset!r}; {near}", param="guards")
        if self.scope == ():
            raise InvalidRequest(
                "scope is empty; leave it out for all that a model generates", param="guards"
            )

    @functools.cached_property
    def policy(self) -> Policy:
        """The rules, read and compiled when they are first looked at.

        Raises:
            InvalidRule: There are no such rules, or one cannot be used.
            InvalidRequest: The moderation endpoint cannot be asked.
        """
        rules = () if self.preset is None else preset(self.preset)
        if self.rules is not None:
            rules = rules_from(self.rules)
        policy = policy_of(
            rules,
            action=self.action,
            scope=(self.scope,) if isinstance(self.scope, str) else self.scope,
            fold=self.fold,
            judges=() if self.moderation is None else (self.moderation.classifier(),),
            on_error=self.on_error,
        )
        try:
            policy.prepare()
        except InvalidRule as error:
            raise _within(self.rules or f"preset {self.preset}", error) from error
        return policy


class Guards:
    """Know a configuration's guards by name; any thread may ask.

    Args:
        tables: The tables ``[guards.NAME]``, by name.
    """

    def __init__(self, tables: Mapping[str, GuardConfig]) -> None:
        self._tables = tables
        self._kept = functools.lru_cache(MOST_JOINED)(self._joined)
        self._ready: set[frozenset[str]] = set()

    @property
    def names(self) -> list[str]:
        """The names that can be asked for: those of the tables, then the presets'."""
        return list(dict.fromkeys([*self._tables, *PRESETS]))

    def prepare(self) -> None:
        """Compile what the tables name, so that a rule which cannot be used is known.

        Raises:
            InvalidRule: A table's rules cannot be used; the message names table and rule.
        """
        for name in self._tables:
            self.named([name])

    def named(self, names: Iterable[str], *, param: str = "guard") -> Policy:
        """Return all guards of these names together, compiled; the first time that blocks.

        Args:
            names: What they are called; a name that is there twice counts once.
            param: The field that names them.

        Raises:
            InvalidRequest: No guard has one of the names; the message lists those there are.
            InvalidRule: A guard's rules cannot be used.
        """
        known, chosen = self.names, set(names)
        for name in chosen.difference(known):
            near = "".join(f"did you mean {x}? " for x in difflib.get_close_matches(name, known, 1))
            raise InvalidRequest(
                f"no guard is called {name[:80]!r}; {near}there are: {', '.join(known)}",
                param=param,
            )
        # in one order, so that nobody can have the same guards compiled twice
        policy = self._kept(tuple(name for name in known if name in chosen))
        if len(self._ready) < MOST_JOINED:
            self._ready.add(frozenset(chosen))
        return policy

    def ready(self, names: Iterable[str]) -> bool:
        """Tell whether `named` was asked for these before, so that it returns at once."""
        return frozenset(names) in self._ready

    def _joined(self, names: tuple[str, ...]) -> Policy:
        policy = NOTHING
        for name in names:
            policy = policy.joined(self._one(name))
        policy.prepare()
        return policy

    def _one(self, name: str) -> Policy:
        if name not in self._tables:
            return policy_from(name)
        try:
            return self._tables[name].policy
        except InvalidRule as error:
            raise _within(f"guard {name!r}", error) from error
        except InvalidRequest as error:
            raise InvalidRequest(f"guard {name!r}: {error.message}", param=error.param) from error


def guards_in(tables: Any, directory: Path) -> dict[str, GuardConfig]:
    """Return the guards of a configuration's ``guards``.

    Args:
        tables: A table of tables, by name.
        directory: Where the configuration is, from which paths of rules are taken.

    Raises:
        InvalidRequest: It is none, or one has a key that is unknown or of another type; the
            message names the guard, and the nearest known key.
    """
    if not isinstance(tables, Mapping):
        raise InvalidRequest(
            "guards: expected tables [guards.NAME], got "
            + ("a list, which [[guards]] makes" if isinstance(tables, list) else repr(tables)[:40]),
            param="guards",
        )
    return {name: _guard(name, table, directory) for name, table in tables.items()}


def _guard(name: str, table: Any, directory: Path) -> GuardConfig:
    where = f"guard {name!r}"
    if not isinstance(table, Mapping):
        raise InvalidRequest(
            f"{where}: got a {type(table).__name__}, expected a table", param="guards"
        )
    known = GuardConfig.__struct_fields__
    for key in table:
        if key not in known:
            near = hint(key, known)
            raise InvalidRequest(f"{where}: unknown key {key!r}; {near}", param="guards")
    try:
        guard = msgspec.convert(table, GuardConfig)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"{where}: {_mistyped(str(error))}", param="guards") from error
    except InvalidRequest as error:
        raise InvalidRequest(f"{where}: {error.message}", param="guards") from error
    if guard.rules is None:
        return guard
    return msgspec.structs.replace(guard, rules=str(directory / guard.rules))


_CHOICES = {
    "action": get_args(Action),
    "scope": get_args(Scope),
    "on_error": get_args(OnError),
    "moderation.action": get_args(ClassifierAction),
    "moderation.mode": get_args(Mode),
    "moderation.scope": get_args(Scope),
}


def _mistyped(message: str) -> str:
    """Return what msgspec says, with a key for a path and the choices for a wrong choice."""
    said, _, path = message.partition(" - at `$.")
    key = path.rstrip("`").partition("[")[0]
    if said.startswith("Invalid enum value"):
        got = said.removeprefix("Invalid enum value ")
        said = f"got {got}, expected one of {', '.join(_CHOICES[key])}"
    return f"{key}: {said}"


def _within(where: str, error: InvalidRule) -> InvalidRule:
    """Return a rule's error with where the rule is."""
    return InvalidRule(
        f"{where}: {error.message}",
        rule=error.rule,
        position=error.position,
        reason=error.reason,
        param="guards",
    )
