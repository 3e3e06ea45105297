"""What the classic surface returns: dicts with attributes, in the server's own key order. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Self

from deltaweir.schema.chunk import Chunk, TextChunk
from deltaweir.schema.record import Record
from deltaweir.schema.reply import Reply, TextReply


class ClassicObject(dict[str, Any]):
    """A dict whose items are attributes too, printed as indented JSON.

    A missing attribute raises AttributeError, a missing key KeyError. It is a dict to
    ``json.dumps``, pickle and copy.
    """

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        try:
            del self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __str__(self) -> str:
        return json.dumps(self, indent=2)

    @classmethod
    def construct_from(cls, values: Mapping[str, Any]) -> Self:
        """Return an object of these items, whose mappings have attributes likewise."""
        made: Self = _attributed(values)
        return made

    def to_dict(self) -> dict[str, Any]:
        """Return the object as a dict; what is inside keeps its attributes."""
        return dict(self)

    def to_dict_recursive(self) -> dict[str, Any]:
        """Return the object as plain dicts and lists."""
        plain: dict[str, Any] = json.loads(json.dumps(self))
        return plain


class _Wire:
    """Remember the text a record was read from, which has the server's keys and their order."""

    raw: Any

    @classmethod
    def model_validate_json(cls, text: bytes | str) -> Self:
        """Build a record from JSON text, and remember the text."""
        record: Self = super().model_validate_json(text)  # type: ignore[misc]  # of the record
        record.raw = text
        return record


class WireChunk(_Wire, Chunk):
    """A chunk with the text it was read from."""

    raw: Any = None


class WireTextChunk(_Wire, TextChunk):
    """A chunk of a text completion with the text it was read from."""

    raw: Any = None


class WireReply(_Wire, Reply):
    """A whole reply with the text it was read from."""

    raw: Any = None


class WireTextReply(_Wire, TextReply):
    """A whole text completion with the text it was read from."""

    raw: Any = None


def classic_object(record: Record) -> ClassicObject:
    """Return a record as the classic surface has it; what was read keeps its keys and order."""
    raw = getattr(record, "raw", None)
    if raw is not None:
        read: ClassicObject = _attributed(json.loads(raw))
        return read
    plain = record.model_dump()
    plain.pop("raw", None)
    made: ClassicObject = _attributed(plain)
    return made


def _attributed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return ClassicObject({name: _attributed(inner) for name, inner in value.items()})
    if isinstance(value, list):
        return [_attributed(inner) for inner in value]
    return value
