"""Rules from files: TOML with one table for each rule, and the presets that come with Deltaweir.

A rule of a file may name a ``literals_file`` in place of ``literals``: UTF-8, one literal a line,
found from where the rule file is. Blank lines and lines that begin with ``#`` are skipped, blanks
around a literal are none of it, and a literal that is there twice counts once. A literal that
needs any of these goes into the rule file itself.
"""

from __future__ import annotations

import functools
import importlib.resources
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from deltaweir.errors import InvalidRule
from deltaweir.guard.rules import LITERALS_FILE, Rule, name_of, rules_of

MOST_FILE_BYTES = 4 * 1024 * 1024
"""Bytes of the largest rule file; larger ones were meant to be something else."""

MOST_LITERALS_BYTES = 16 * 1024 * 1024
"""Bytes of the largest file of literals, since all of it stays in memory."""

MOST_LITERALS = 250_000
"""Literals of one file; their automaton takes more room than the file."""

_PARTS = {
    "standard": ("pii", "secrets", "network"),
    "secrets": ("secrets",),
    "pii": ("pii",),
}

PRESETS = tuple(_PARTS)
"""The names that `preset` knows."""

_SHOWN_CHARACTERS = 80


def rules_named(value: str) -> tuple[Rule, ...]:
    """Return the rules of a preset, or of a file.

    Args:
        value: The name of a preset, or the path of a file whose name ends in ``.toml``.

    Raises:
        InvalidRule: It is neither; or the file, or one of its rules, cannot be used.
    """
    if value in _PARTS:
        return preset(value)
    if value.endswith(".toml"):
        return rules_from(value)
    raise _unknown(value, "or the path of a .toml file")


@functools.cache
def preset(name: str) -> tuple[Rule, ...]:
    """Return the rules of a preset; ``standard`` holds all of the others and more.

    Raises:
        InvalidRule: No preset has this name; the message names those that exist.
    """
    if name not in _PARTS:
        raise _unknown(name, "")
    return tuple(rule for part in _PARTS[name] for rule in _part(part))


def rules_from(path: str | Path) -> tuple[Rule, ...]:
    """Return the rules of a TOML file.

    Raises:
        InvalidRule: The file, or a file of literals that it names, is not there, too large, or
            not what it should be; or one of its rules cannot be used. The message names the
            file, and the rule where there is one.
    """
    file = Path(path)
    text = _read(file, MOST_FILE_BYTES, str(file), None)
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _invalid(f"{file}: is not TOML: {error}", "not TOML") from error
    except RecursionError:
        raise _invalid(f"{file}: is nested too deeply", "nested too deeply") from None
    return rules_of(_with_literals(table, file), source=str(file))


@functools.cache
def _part(name: str) -> tuple[Rule, ...]:
    file = importlib.resources.files(__package__).joinpath("presets", f"{name}.toml")
    return rules_of(tomllib.loads(file.read_text("utf-8")), source=f"preset {name}")


def _unknown(name: str, otherwise: str) -> InvalidRule:
    wanted = ", ".join((*PRESETS, otherwise) if otherwise else PRESETS)
    shown = name if len(name) <= _SHOWN_CHARACTERS else f"{name[:_SHOWN_CHARACTERS]}..."
    return _invalid(f"no preset is called {shown!r}; expected one of {wanted}", "unknown preset")


def _invalid(message: str, reason: str, rule: str | None = None) -> InvalidRule:
    return InvalidRule(message, rule=rule, position=None, reason=reason)


def _with_literals(table: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """Return a rule file's table with literals in place of the files that hold them."""
    tables = table.get("rules")
    if not isinstance(tables, list):
        return dict(table)
    return {**table, "rules": [_filled(one, at, file) for at, one in enumerate(tables, 1)]}


def _filled(table: Any, number: int, file: Path) -> Any:
    if not isinstance(table, Mapping) or LITERALS_FILE not in table:
        return table
    rule, called = name_of(table, number)
    where = f"{file}: {called}: {LITERALS_FILE}"
    name = table[LITERALS_FILE]
    if not isinstance(name, str) or not name:
        raise _invalid(f"{where}: expected the path of a file", "no path", rule)
    if "literals" in table or "regex" in table:
        reason = f"expected exactly one of regex, literals and {LITERALS_FILE}"
        raise _invalid(f"{where}: {reason}", reason, rule)
    path = file.parent / name
    text = _read(path, MOST_LITERALS_BYTES, f"{where}: {path}", rule)
    literals = tuple(dict.fromkeys(_literals(text)))
    if not literals:
        raise _invalid(f"{where}: {path}: has no literals", "no literals", rule)
    if len(literals) > MOST_LITERALS:
        reason = f"{len(literals)} literals, more than {MOST_LITERALS}"
        raise _invalid(f"{where}: {path}: {reason}", reason, rule)
    rest = {key: value for key, value in table.items() if key != LITERALS_FILE}
    return {**rest, "literals": literals}


def _literals(text: str) -> Iterator[str]:
    for line in text.split("\n"):  # never at the ends that Unicode knows: a literal may hold them
        literal = line.strip(" \t\r")
        if literal and not line.startswith("#"):
            yield literal


def _read(path: Path, most: int, where: str, rule: str | None) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL
        reason = getattr(error, "strerror", None) or "no path of a file"
        raise _invalid(f"{where}: cannot be read: {reason}", reason, rule) from error
    if len(content) > most:
        raise _invalid(f"{where}: larger than {most} bytes", "too large", rule)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        reason = f"not UTF-8 (byte {error.start})"
        # not from the error, which holds the whole content
        raise _invalid(f"{where}: {reason}", reason, rule) from None
