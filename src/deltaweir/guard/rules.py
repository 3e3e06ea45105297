"""Rules: what must not leave, and what happens when it comes. Pure.

A rule says what to find (a pattern or literals), where to look, and what to do. What it leaves
open, the guard it is used in decides. Nothing here ever shows a pattern, a literal or an example:
what a rule looks for may be as secret as what it finds.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NoReturn, get_args

import msgspec

from deltaweir.errors import InvalidRule
from deltaweir.guard.folding import fold
from deltaweir.guard.pattern import PatternError, longest, parse, shortest

Action = Literal["flag", "redact", "truncate", "block"]
"""What happens to a match: it is reported, replaced, or ends the stream, with or without
``content_filter``."""

Scope = Literal["prompt", "content", "reasoning", "refusal", "tool_args"]
"""The kinds of text that rules look at."""

Validator = Literal["luhn", "iban", "ip"]
"""The names in `deltaweir.guard.validators.VALIDATORS`."""

Overflow = Literal["redact", "block", "release"]
"""What happens when a rule holds more than it may."""

LITERALS_FILE = "literals_file"
"""A key of rule files only: whoever reads the file puts the literals in its place."""

_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_LABEL = re.compile(r"[A-Za-z0-9_ .-]{1,40}")
_SHOWN_CHARACTERS = 40


class Rule(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """One rule; what is None, its guard decides.

    Two equal rules find the same, so a rule can be a key. `check` tells whether it can be used.

    Attributes:
        id: Its name in verdicts: 1 to 64 of ``A-Z a-z 0-9 _ . -``.
        regex: What to find, in the subset of `deltaweir.guard.pattern`; this or ``literals``.
        literals: What to find, as it is written.
        validator: What a match must be beside: ``luhn`` (a card number), ``iban``, ``ip``.
        fold: Whether look-alikes, accents, case and invisible characters are seen through;
            False unless the guard says so.
        scope: The kinds of text to look at; all but the prompt unless the guard says so.
        action: What to do with a match; ``redact`` unless the guard says so.
        label: What a replacement shows, 1 to 40 of ``A-Z a-z 0-9 _ . -`` and blanks; the id
            where there is none.
        severity: A word for reports of your own; it changes nothing.
        max_hold: Characters that one beginning of a match may hold back at most; None for as
            many as its language needs, which must have a bound then.
        on_overflow: What happens when ``max_hold`` is reached: ``redact`` covers what is held
            and all that follows while a match may go on, ``block`` ends the stream, ``release``
            lets it go, which leaks: the match that began there, however it goes on, and every
            match of this rule that began later, inside what was let go, and had come to the
            same place in the rule. With ``[xa]+b`` and two characters, the whole of ``xxxab``
            leaves, though ``ab`` alone is a match of two. A rule that flags lets go always.
        description: What it finds and what it lets pass, for people.
        examples: Texts in which it must match.
        counterexamples: Texts in which it must not.
    """

    id: str
    regex: str | None = None
    literals: tuple[str, ...] | None = None
    validator: Validator | None = None
    fold: bool | None = None
    scope: tuple[Scope, ...] | None = None
    action: Action | None = None
    label: str | None = None
    severity: str | None = None
    max_hold: int | None = None
    on_overflow: Overflow = "redact"
    description: str | None = None
    examples: tuple[str, ...] = ()
    counterexamples: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Rule(id={_shown(self.id)})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("id", self.id)]


def rules_of(table: Mapping[str, Any], *, source: str) -> tuple[Rule, ...]:
    """Return the rules of a parsed TOML table, in its order, each checked.

    Args:
        table: ``{"rules": [...]}``, each rule a table with the attributes of `Rule` as keys.
        source: Where the table comes from; messages begin with it.

    Raises:
        InvalidRule: There are no rules; a key is unknown or of another type; an id is there
            twice; a rule cannot be used.
    """
    for key in table:
        if key != "rules":
            reason = f"unknown key {_shown(key)}, expected [[rules]] only"
            raise InvalidRule(f"{source}: {reason}", reason=reason)
    tables = table.get("rules")
    if not isinstance(tables, list | tuple) or not tables:
        reason = "got no rules, expected at least one table [[rules]]"
        raise InvalidRule(f"{source}: {reason}", reason=reason)
    rules = dict[str, Rule]()
    for number, one in enumerate(tables, 1):
        rule = _rule_of(one, number, source)
        if rule.id in rules:
            _refuse(rule.id, f"{source}: rule {_shown(rule.id)}", "another rule has this id too")
        rules[rule.id] = rule
    return tuple(rules.values())


def name_of(table: Any, number: int) -> tuple[str | None, str]:
    """Return a rule's id, if it has one, and what messages call it.

    Args:
        table: The rule as a table, however wrong.
        number: Its place among the rules, from 1.
    """
    given = table.get("id") if isinstance(table, Mapping) else None
    if isinstance(given, str):
        return given, f"rule {_shown(given)}"
    return None, f"rule {number}"


def _rule_of(table: Any, number: int, source: str) -> Rule:
    name, called = name_of(table, number)
    where = f"{source}: {called}"
    if not isinstance(table, Mapping):
        _refuse(name, where, "expected a table")
    for key in table:
        if key not in Rule.__struct_fields__:
            _refuse(name, where, _unknown(key))
    try:
        rule = msgspec.convert(table, Rule)
    except msgspec.ValidationError as error:
        # its own message may quote a value that is none of the allowed ones
        _refuse(name, where, _mistyped(str(error)))
    try:
        check(rule)
    except InvalidRule as error:
        message = f"{source}: {error.message}"
        raise InvalidRule(
            message, rule=error.rule, position=error.position, reason=error.reason
        ) from error
    return rule


def checked_rule(rule: Rule) -> Rule:
    """Return a rule that a program has made, its options of the right types and checked.

    Lists may stand for tuples.

    Raises:
        InvalidRule: An option has another type or value, or the rule cannot be used.
    """
    return _rule_of(msgspec.structs.asdict(rule), 1, "rules")


def _unknown(key: Any) -> str:
    if key == LITERALS_FILE:
        return f"{LITERALS_FILE} stands in rule files only; give literals"
    known = (*Rule.__struct_fields__, LITERALS_FILE)
    near = difflib.get_close_matches(str(key), known, 1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
    return f"unknown key {_shown(key)}; {hint}"


def _mistyped(message: str) -> str:
    """Return what msgspec says, with a key for a path and the choices for a wrong choice."""
    said, _, path = message.partition(" - at `$.")
    key = path.rstrip("`").partition("[")[0]
    choices = _CHOICES.get(key)
    if said.startswith("Invalid enum value") and choices:
        said = f"expected one of {', '.join(choices)}"
    return f"{key}: {said}" if key else said


_CHOICES = {
    "validator": get_args(Validator),
    "scope": get_args(Scope),
    "action": get_args(Action),
    "on_overflow": get_args(Overflow),
}


def check(rule: Rule) -> None:
    """Refuse a rule that cannot be used, as far as one can tell without an automaton.

    Raises:
        InvalidRule: The id or the label is malformed; there is not exactly one of regex and
            literals; the pattern is outside the subset; the empty text matches; a validator
            has no bound; an option contradicts another.
    """
    where = f"rule {_shown(rule.id)}"
    for reason in _faults(rule):
        _refuse(rule.id, where, reason)
    if rule.regex is not None:
        _check_pattern(rule, rule.regex, where)


def _faults(rule: Rule) -> Iterator[str]:
    if not _ID.fullmatch(rule.id):
        yield "an id is 1 to 64 of A-Z a-z 0-9 _ . -"
    if rule.label is not None and not _LABEL.fullmatch(rule.label):
        yield "a label is 1 to 40 of A-Z a-z 0-9 _ . - and blanks"
    if (rule.regex is None) == (rule.literals is None):
        yield f"expected exactly one of regex, literals and, in files, {LITERALS_FILE}"
    if rule.literals is not None:
        yield from _literal_faults(rule.literals, folds=bool(rule.fold))
    if rule.scope == ():
        yield "scope is empty; leave it out for all that a model generates"
    if rule.max_hold is not None and rule.max_hold < 1:
        yield f"max_hold is {rule.max_hold}, expected at least 1 character"
    if rule.on_overflow != "redact" and rule.max_hold is None:
        yield "on_overflow says what happens at max_hold, which is not set"


def _literal_faults(literals: tuple[str, ...], *, folds: bool) -> Iterator[str]:
    if not literals:
        yield "the list of literals is empty"
    for number, literal in enumerate(literals, 1):
        if not literal:
            yield f"literal {number} is empty; it would match everywhere"
        elif folds and not any(map(fold, literal)):
            yield f"literal {number} is empty once folded; it would match everywhere"


def _check_pattern(rule: Rule, regex: str, where: str) -> None:
    try:
        branches = parse(regex)
    except PatternError as error:
        _refuse(rule.id, where, error.reason, error.position)
    if any(shortest(branch.body) == 0 for branch in branches):
        _refuse(rule.id, where, "the pattern matches the empty text, hence everywhere", 0)
    unbounded = any(longest(branch.body) is None for branch in branches)
    if rule.validator is not None and unbounded and rule.max_hold is None:
        reason = "a validator needs an end: bound the pattern's repeats, or set max_hold"
        _refuse(rule.id, where, reason)


def _refuse(rule: str | None, where: str, reason: str, position: int | None = None) -> NoReturn:
    place = "" if position is None else f" (character {position} of its pattern)"
    raise InvalidRule(f"{where}: {reason}{place}", rule=rule, position=position, reason=reason)


def _shown(value: Any) -> str:
    text = str(value)
    return repr(text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}...")
