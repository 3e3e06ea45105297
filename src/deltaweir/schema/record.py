"""The base of all wire types: a typed struct that keeps what it does not know.

A server may send fields that nobody has written down yet. Each record decodes its known
fields at the speed of a msgspec struct; only when that refuses something is the text read a
second time, and what is unknown is then kept on the instance, so it can be read as an
attribute and is dumped again. For a known field null stands for "not there": it is neither
dumped nor found by ``in``, unless the protocol requires the key (``finish_reason``).

What a peer sends can never break a record: an unknown field whose name Python needs itself
(``items``, ``__class__``) is kept aside and reached by item access alone, and text nested
deeper than any protocol asks for is refused, since to dump or pickle it would overflow.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Self, TypeVar, cast

import msgspec

from deltaweir.errors import DeltaweirError, StreamFailed
from deltaweir.schema.reading import add_unknown, fields_of, read, restore

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
    __aside__: ClassVar[Mapping[str, Any]] = types.MappingProxyType({})
    """Unknown fields that must not be attributes."""

    @classmethod
    def model_validate(cls, value: Mapping[str, Any]) -> Self:
        """Build a record from plain data, keeping unknown fields.

        Raises:
            DeltaweirError: The class's ``invalid`` error; a known field has another type.
        """
        return restore(cls, value)

    @classmethod
    def model_validate_json(cls, text: bytes | str) -> Self:
        """Build a record from JSON text, keeping unknown fields.

        Raises:
            DeltaweirError: The class's ``invalid`` error; the text is not JSON, not an
                object, or a known field has another type.
        """
        return read(cls, text)

    @classmethod
    def adapted(cls, value: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return plain data in the form that is known here; records of odd peers have their own."""
        return value

    @property
    def model_extra(self) -> dict[str, Any]:
        """The unknown fields, by the name that pydantic gives them; change a record, not this."""
        own = dict(self.__dict__)
        own.update(own.pop("__aside__", {}))
        return own

    def model_dump(
        self,
        *,
        exclude_none: bool = False,
        exclude_unset: bool = True,  # noqa: ARG002  # as programs for pydantic give it
    ) -> dict[str, Any]:
        """Return the record as plain dicts and lists, unknown fields last.

        Args:
            exclude_none: Also leave out required keys that hold null.
            exclude_unset: Nothing: what is not there is never dumped.
        """
        return {
            name: _plain(value, exclude_none=exclude_none)
            for name, value in _items(self)
            if not (exclude_none and value is None)
        }

    def model_dump_json(
        self,
        *,
        indent: int | None = None,
        exclude_none: bool = False,
        exclude_unset: bool = True,  # noqa: ARG002  # as for `model_dump`
    ) -> str:
        """Return the record as JSON text, compact unless an indent is given.

        Args:
            indent: Spaces per level; None writes one line.
            exclude_none: Also leave out required keys that hold null.
            exclude_unset: Nothing: what is not there is never dumped.
        """
        text = msgspec.json.encode(self.model_dump(exclude_none=exclude_none))
        return (text if indent is None else msgspec.json.format(text, indent=indent)).decode()

    def keys(self) -> list[str]:
        """Return the names of the fields that are there, so that ``dict(record)`` works."""
        return [name for name, _ in _items(self)]

    def items(self) -> Iterator[tuple[str, Any]]:
        """Yield the fields that are there with their values, unknown ones last."""
        return _items(self)

    def get(self, name: str, default: Any = None) -> Any:
        """Return a field's value, or the default where the field is not there."""
        return next((value for present, value in _items(self) if present == name), default)

    def __getitem__(self, name: str) -> Any:
        for present, value in _items(self):
            if present == name:
                return value
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        return any(name == present for present, _ in _items(self))

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in _items(self))

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        names = type(self).__struct_fields__
        return all(getattr(self, name) == getattr(other, name) for name in names) and (
            self.__dict__ == other.__dict__
        )

    __hash__ = None  # type: ignore[assignment]  # mutable, as a dict is

    def __repr__(self) -> str:
        inside = ", ".join(f"{name}={value!r}" for name, value in _items(self))
        return f"{type(self).__name__}({inside})"

    def __copy__(self) -> Self:
        return cast("Self", _rebuilt(type(self), msgspec.structs.asdict(self), self.model_extra))

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuilt, (type(self), msgspec.structs.asdict(self), self.model_extra))


def _items(record: Record) -> Iterator[tuple[str, Any]]:
    for field in fields_of(type(record)):
        value = getattr(record, field.name)
        if field.required or value is not field.default:
            yield field.name, value
    if record.__dict__:
        yield from record.model_extra.items()


def _rebuilt(cls: type[Record], fields: dict[str, Any], unknown: dict[str, Any]) -> Any:
    """Put a pickled record together, also one from a release that knew other fields."""
    known = cls.__struct_fields__
    record = cls(**{name: value for name, value in fields.items() if name in known})
    gone = {name: value for name, value in fields.items() if name not in known}
    add_unknown(record, gone | unknown)
    return record


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
        return {
            # as json.dumps has it, so that logit_bias may have token ids for keys
            str(key) if type(key) is int else key: _plain(inner, exclude_none=exclude_none)
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [_plain(inner, exclude_none=exclude_none) for inner in value]
    if hasattr(value, "model_dump") and not isinstance(value, type):
        return _plain(value.model_dump(exclude_unset=True), exclude_none=exclude_none)
    return value
