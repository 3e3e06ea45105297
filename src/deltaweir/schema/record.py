"""The base of all wire types: a typed struct that keeps what it does not know.

A server may send fields that nobody has written down yet. Each record decodes its known
fields at the speed of a msgspec struct; only when that refuses something is the text read a
second time, and what is unknown is then kept on the instance, so it can be read as an
attribute and is dumped again. Null stands for "not there": such fields are neither dumped
nor found by ``in``, unless the protocol requires the key (``finish_reason``).
"""

from __future__ import annotations

import functools
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, NamedTuple, Self, TypeVar, Union

import msgspec

from deltaweir.errors import DeltaweirError, StreamFailed

T = TypeVar("T")


def always(factory: Callable[[], T]) -> T:
    """Declare a field that is dumped even when it holds its default.

    Args:
        factory: Makes the default, anew for each record: ``int``, ``list``, a record.
    """
    # msgspec leaves out a field that equals its default, but cannot know what a factory makes;
    # it does know `list` itself, so none is passed bare.
    return msgspec.field(default_factory=lambda: factory())  # noqa: PLW0108  # see above


def null() -> None:
    """Make the default of a required key that may hold null."""


class Record(msgspec.Struct, omit_defaults=True, dict=True, forbid_unknown_fields=True):
    """Allow attribute and item access to known and unknown fields alike.

    Records are plain mutable values: equal when of one class and of equal fields, to be
    pickled and copied, not hashable, and safe to share between threads while nobody writes.
    """

    invalid: ClassVar[type[DeltaweirError]] = StreamFailed
    """The error that malformed input raises."""

    @classmethod
    def model_validate(cls, value: Mapping[str, Any]) -> Self:
        """Build a record from plain data, keeping unknown fields.

        Raises:
            DeltaweirError: The class's ``invalid`` error; a known field has another type.
        """
        return _restore(cls, value)

    @classmethod
    def model_validate_json(cls, text: bytes | str) -> Self:
        """Build a record from JSON text, keeping unknown fields.

        Raises:
            DeltaweirError: The class's ``invalid`` error; the text is not JSON, not an
                object, or a known field has another type.
        """
        try:
            return typing.cast("Self", _decoder(cls).decode(text))
        except (msgspec.DecodeError, UnicodeError):  # an unknown field, or no JSON at all
            return _restore(cls, cls._parsed(text))

    @classmethod
    def _parsed(cls, text: bytes | str) -> Any:
        try:
            return msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeError) as error:
            raise cls.invalid(f"got {len(text)} bytes that are not JSON") from error

    def model_dump(self, *, exclude_none: bool = False) -> dict[str, Any]:
        """Return the record as plain dicts and lists, unknown fields last.

        Args:
            exclude_none: Also leave out required keys that hold null.
        """
        return {
            name: _plain(value, exclude_none=exclude_none)
            for name, value in self.items()
            if not (exclude_none and value is None)
        }

    def model_dump_json(self, *, indent: int | None = None) -> str:
        """Return the record as JSON text, compact unless an indent is given.

        Args:
            indent: Spaces per level; None writes one line.
        """
        text = msgspec.json.encode(self.model_dump())
        return (text if indent is None else msgspec.json.format(text, indent=indent)).decode()

    def keys(self) -> list[str]:
        """Return the names of the fields that are there, so that ``dict(record)`` works."""
        return [name for name, _ in self.items()]

    def items(self) -> Iterator[tuple[str, Any]]:
        """Yield the fields that are there with their values, unknown ones last."""
        for field in _fields(type(self)):
            value = getattr(self, field.name)
            if field.required or value != field.default:
                yield field.name, value
        yield from self.__dict__.items()

    def get(self, name: str, default: Any = None) -> Any:
        """Return a field's value, or the default where the field is not there."""
        return self[name] if name in self else default

    def __getitem__(self, name: str) -> Any:
        if name not in self:
            raise KeyError(name)
        return getattr(self, name)

    def __contains__(self, name: object) -> bool:
        return any(name == present for present, _ in self.items())

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self.items())

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(
            getattr(self, name) == getattr(other, name) for name in self.__struct_fields__
        ) and (self.__dict__ == other.__dict__)

    __hash__ = None  # type: ignore[assignment]  # mutable, as a dict is

    def __repr__(self) -> str:
        inside = ", ".join(f"{name}={value!r}" for name, value in self.items())
        return f"{type(self).__name__}({inside})"

    def __copy__(self) -> Self:
        copied = msgspec.structs.replace(self)
        copied.__dict__.update(self.__dict__)
        return copied

    def __reduce__(self) -> tuple[Any, ...]:
        return (_restore, (type(self), self.model_dump()))


def plain(value: Any) -> Any:
    """Return a value with every record, and every object like one, as plain data.

    Args:
        value: Anything a caller may pass for JSON: records, mappings, sequences, and objects
            that have ``model_dump`` (those of the openai package).
    """
    return _plain(value, exclude_none=False)


def _plain(value: Any, *, exclude_none: bool) -> Any:
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Record):
        return value.model_dump(exclude_none=exclude_none)
    if isinstance(value, Mapping):
        return {key: _plain(inner, exclude_none=exclude_none) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner, exclude_none=exclude_none) for inner in value]
    if hasattr(value, "model_dump"):
        return _plain(value.model_dump(exclude_unset=True), exclude_none=exclude_none)
    return value


class _Field(NamedTuple):
    """What reading and dumping need to know of one field."""

    name: str
    required: bool
    default: Any
    record: type[Record] | None
    nullable: bool


@functools.cache
def _fields(cls: type[Record]) -> tuple[_Field, ...]:
    hints = typing.get_type_hints(cls)
    return tuple(
        _Field(
            field.name,
            # `always` leaves a factory behind, and so is told from a plain default
            field.default is msgspec.NODEFAULT,
            field.default,
            _record_in(hints[field.name]),
            type(None) in typing.get_args(hints[field.name]),
        )
        for field in msgspec.structs.fields(cls)
    )


def _record_in(hint: Any) -> type[Record] | None:
    if typing.get_origin(hint) in (list, Union, types.UnionType):
        found = (_record_in(inner) for inner in typing.get_args(hint))
        return next((record for record in found if record), None)
    return hint if isinstance(hint, type) and issubclass(hint, Record) else None


@functools.cache
def _decoder(cls: type[Record]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(cls)


def _restore(cls: type[T], value: Any) -> T:
    unknown: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    record = typing.cast("type[Record]", cls)
    if not isinstance(value, Mapping):
        raise record.invalid(f"expected a JSON object, got {type(value).__name__}")
    known = _split(record, value, (), unknown)
    try:
        result = msgspec.convert(known, cls)
    except msgspec.ValidationError as error:
        raise record.invalid(str(error)) from error
    for path, fields in unknown:
        target: Any = result
        for step in path:
            target = getattr(target, step) if isinstance(step, str) else target[step]
        target.__dict__.update(fields)
    return result


def _split(
    cls: type[Record],
    value: Mapping[str, Any],
    path: tuple[Any, ...],
    unknown: list[tuple[tuple[Any, ...], dict[str, Any]]],
) -> dict[str, Any]:
    """Return the known part of a mapping, and note the rest with the way to it."""
    known: dict[str, Any] = {}
    fields = {field.name: field for field in _fields(cls)}
    rest = {name: inner for name, inner in value.items() if name not in fields}
    if rest:
        unknown.append((path, rest))
    for name, field in fields.items():
        inner = value.get(name)
        if inner is None and (name not in value or not field.nullable):
            continue  # null for a field that cannot be null means "not there"
        here = (*path, name)
        if field.record is None:
            known[name] = inner
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
