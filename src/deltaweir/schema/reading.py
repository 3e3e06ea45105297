"""Read records from JSON text and from plain data, keeping what they do not know."""

from __future__ import annotations

import functools
import re
import types
import typing
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar, Union

import msgspec

if typing.TYPE_CHECKING:
    from deltaweir.schema.record import Record

RecordT = TypeVar("RecordT", bound="Record")

_DEEPEST = 100
"""Levels of nesting; a chunk has 7, a JSON schema of a tool rarely 20."""

_PLACE = re.compile(r" - at `(?:key in )?\$\.?([^`]+)`$")
"""Where msgspec says which field has the wrong type."""

_EXACT = 2.0**53
"""The largest number below which a float tells each whole one; NaN is not below it."""

_SHORT = 400
"""Bytes of text too few to nest so deeply that it could do harm."""


def add_unknown(record: Record, fields: Mapping[str, Any]) -> None:
    """Give a record unknown fields; those of the same name are replaced."""
    aside: dict[str, Any] = {}
    for name, value in fields.items():
        (aside if hasattr(type(record), name) else record.__dict__)[name] = value
    if aside:
        record.__dict__["__aside__"] = {**record.__dict__.get("__aside__", {}), **aside}


class Field(NamedTuple):
    """What reading and dumping need to know of one field."""

    name: str
    required: bool
    default: Any
    record: type[Record] | None
    nullable: bool
    whole: bool


@functools.cache
def fields_of(cls: type[Record]) -> tuple[Field, ...]:
    """Return the known fields of a class of records, in order.

    What has another name in JSON is the class's own, and is neither read nor dumped.
    """
    hints = typing.get_type_hints(cls)
    return tuple(
        Field(
            field.name,
            # `always` leaves a factory behind, and so is told from a plain default
            field.default is msgspec.NODEFAULT,
            field.default,
            _record_in(hints[field.name]),
            type(None) in typing.get_args(hints[field.name]),
            int in (hints[field.name], *typing.get_args(hints[field.name])),
        )
        for field in msgspec.structs.fields(cls)
        if field.encode_name == field.name
    )


def _record_in(hint: Any) -> type[Record] | None:
    if typing.get_origin(hint) in (list, Union, types.UnionType):
        found = (_record_in(inner) for inner in typing.get_args(hint))
        return next((record for record in found if record), None)
    is_record = isinstance(hint, type) and issubclass(hint, msgspec.Struct)
    return typing.cast("type[Record]", hint) if is_record else None


@functools.cache
def _decoder(cls: type[Record]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(cls)


def read(cls: type[RecordT], text: bytes | str) -> RecordT:
    """Return a record from JSON text.

    Raises:
        DeltaweirError: The class's ``invalid`` error; the text is not JSON, not an object,
            nested too deeply, or a known field has another type.
    """
    if not _may_be_deep(text):
        try:
            return typing.cast("RecordT", _decoder(cls).decode(text))
        except (msgspec.DecodeError, UnicodeError):  # an unknown field, or no JSON at all
            pass
    return restore(cls, _parsed(cls, text))


def _may_be_deep(text: bytes | str) -> bool:
    """Tell whether a text has brackets enough to be nested too deeply; most texts have few."""
    if len(text) <= _SHORT:
        return False
    if isinstance(text, str):
        return text.count("{") + text.count("[") > _DEEPEST
    return text.count(b"{") + text.count(b"[") > _DEEPEST


def _is_deep(value: Any, levels: int = _DEEPEST) -> bool:
    inner = value.values() if isinstance(value, Mapping) else value
    if not isinstance(value, Mapping | list | tuple):
        return False
    return levels == 0 or any(_is_deep(one, levels - 1) for one in inner)


def _parsed(cls: type[Record], text: bytes | str) -> Any:
    try:
        return msgspec.json.decode(text)
    except RecursionError:
        raise cls.invalid(_too_deep()) from None
    except (msgspec.DecodeError, UnicodeError) as error:
        raise cls.invalid(f"got {len(text)} bytes that are not JSON") from error


def _too_deep() -> str:
    return f"got JSON nested deeper than {_DEEPEST} levels"


def restore(cls: type[RecordT], value: Any) -> RecordT:
    """Return a record from plain data.

    Raises:
        DeltaweirError: The class's ``invalid`` error; the value is not a mapping, is nested
            too deeply, or a known field has another type.
    """
    unknown: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    if not isinstance(value, Mapping):
        raise cls.invalid(f"expected a JSON object, got {type(value).__name__}")
    if _is_deep(value):
        raise cls.invalid(_too_deep())
    known = _split(cls, value, (), unknown)
    try:
        result = msgspec.convert(known, cls)
    except msgspec.ValidationError as error:
        place = _PLACE.search(str(error))
        raise cls.invalid(str(error), param=place[1] if place else None) from error
    for path, fields in unknown:
        target: Any = result
        for step in path:
            target = getattr(target, step) if isinstance(step, str) else target[step]
        add_unknown(target, fields)
    return result


def _split(
    cls: type[Record],
    value: Mapping[str, Any],
    path: tuple[Any, ...],
    unknown: list[tuple[tuple[Any, ...], dict[str, Any]]],
) -> dict[str, Any]:
    """Return the known part of a mapping, and note the rest with the way to it."""
    known: dict[str, Any] = {}
    value = cls.adapted(value)
    fields = {field.name: field for field in fields_of(cls)}
    rest = {name: inner for name, inner in value.items() if name not in fields}
    if any(not isinstance(name, str) for name in rest):
        raise cls.invalid("expected names of fields to be texts")
    if rest:
        unknown.append((path, rest))
    for name, field in fields.items():
        inner = value.get(name)
        if inner is None and (name not in value or not field.nullable):
            continue  # null for a field that cannot be null means "not there"
        here = (*path, name)
        if field.record is None:
            peers = field.whole and cls.invalid.fault == "peer"
            known[name] = _whole(inner) if peers else inner
        elif isinstance(inner, Mapping):
            known[name] = _split(field.record, inner, here, unknown)
        elif isinstance(inner, list | tuple):
            known[name] = [
                _split(field.record, one, (*here, at), unknown) if isinstance(one, Mapping) else one
                for at, one in enumerate(inner)
            ]
        else:
            known[name] = inner
    return known


def _whole(value: Any) -> Any:
    """Return a number without its fraction: SambaNova tells ``created`` as its clock does."""
    return int(value) if isinstance(value, float) and abs(value) <= _EXACT else value
