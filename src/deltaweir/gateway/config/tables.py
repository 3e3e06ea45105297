"""From a parsed TOML table to its struct, and a mistake in words that say where it stands."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from deltaweir.errors import InvalidRequest

StructT = TypeVar("StructT", bound=msgspec.Struct)

_PATH = re.compile(r"(?P<said>.*?)(?: - at `\$\.?(?P<path>.*)`)?", re.DOTALL)
_EXAMPLES = {
    "budget": "{ tokens = 500, usd = 0.02 }",
    "cors_origins": '["https://example.com"]',
    "headers": '{ x-team = "blue" }',
    "passthrough": '["/v1/embeddings"]',
    "price": "{ input = 0.15, output = 0.6 }",
    "query": '{ api-version = "2024-10-21" }',
    "timeouts": "{ connect = 5, stall = 60 }",
    "upstreams": '["openai"]',
}
"""Values that are lists or tables, which people write otherwise."""
_MISTYPED = re.compile(r"Expected `.*`, got `(?P<got>.*)`")
_MISSING = re.compile(r"Object missing required field `(?P<name>.*)`")


def struct_of(kind: type[StructT], table: Any, *, where: str, param: str, **given: Any) -> StructT:
    """Return a table as its struct.

    Args:
        kind: The struct.
        table: What stands in the file.
        where: What errors call the table, such as ``upstream 'openai'``.
        param: The ``param`` of errors.
        **given: Values that take the place of the table's.

    Raises:
        InvalidRequest: It is no table, lacks a key, or has one that is unknown or has a value
            of no use; the message names the table, the key, and what was wanted.
    """
    known = kind.__struct_fields__
    if not isinstance(table, Mapping):
        raise InvalidRequest(f"{where}: got {_named(table)}, expected a table", param=param)
    for key in table:
        if key not in known:
            raise InvalidRequest(f"unknown key {key!r} in {where}; {hint(key, known)}", param=param)
    try:
        return msgspec.convert({**table, **given}, kind)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"{where}: {_told(kind, str(error))}", param=param) from error
    except InvalidRequest as error:
        raise InvalidRequest(f"{where}: {error.message}", param=param) from error


def rows_of(rows: Any, *, of: str) -> list[Any]:
    """Return the tables of an array of tables.

    Args:
        rows: What stands in the file.
        of: The array's key.

    Raises:
        InvalidRequest: It is no array.
    """
    if not isinstance(rows, list):
        raise InvalidRequest(
            f"{of}: got {_named(rows)}, expected tables that begin with [[{of}]]", param=of
        )
    return rows


def label_of(row: Any, kind: str, number: int) -> str:
    """Return what errors call a table of an array: by its name, else by its number."""
    name = row.get("name") if isinstance(row, Mapping) else None
    return f"{kind} {name!r}" if name and isinstance(name, str) else f"{kind} {number}"


def hint(word: str, known: Iterable[str]) -> str:
    """Return the nearest known word as a question, or all that are known."""
    names = [*known]
    near = difflib.get_close_matches(word, names, 1)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(names)}"


def within(name: str, value: float, low: float, high: float, *, more: bool = False) -> None:
    """Refuse a number outside of its bounds, and one that is none (NaN).

    Args:
        name: The key.
        value: Its value.
        low: The least, or what it must be more than.
        high: The most.
        more: Whether it must be more than ``low``.

    Raises:
        InvalidRequest: It is outside.
    """
    if not (low < value <= high or (value == low and not more)):
        bounds = f"above {low:g}" if more else f"from {low:g}"
        raise InvalidRequest(
            f"{name}: got {value}, expected a number {bounds} up to {high:,.12g}", param=name
        )


def refuse_twice(names: Iterable[str], what: str, *, param: str) -> None:
    """Refuse a name that is there twice.

    Raises:
        InvalidRequest: One is; the message names it.
    """
    seen = set[str]()
    for name in names:
        if name in seen:
            raise InvalidRequest(
                f"two {what} are called {name!r}; names tell them apart", param=param
            )
        seen.add(name)


def _told(kind: type[msgspec.Struct], message: str) -> str:
    """Return what msgspec says with the key before it, and the choices for a wrong choice."""
    found = _PATH.fullmatch(message)
    assert found is not None
    said, path = found["said"], found["path"] or ""
    missing = _MISSING.fullmatch(said)
    if missing is not None:
        return f"it has no {missing['name']}"
    key = re.split(r"[.\[]", path, maxsplit=1)[0]
    if said.startswith("Invalid enum value"):
        wanted = get_type_hints(kind)[key]
        choices = get_args(wanted) if get_origin(wanted) is Literal else ()
        said = (
            f"got {said.removeprefix('Invalid enum value ')}, expected one of {', '.join(choices)}"
        )
    mistyped = _MISTYPED.fullmatch(said)
    if mistyped is not None and path in _EXAMPLES:
        got = "a text" if mistyped["got"] == "str" else f"`{mistyped['got']}`"
        said = f"got {got}; write {path} = {_EXAMPLES[path]}"
    return f"{path}: {said}" if path else said


def _named(value: Any) -> str:
    if isinstance(value, Mapping):
        return "a table"
    return "an array" if isinstance(value, list) else f"a {type(value).__name__}"
