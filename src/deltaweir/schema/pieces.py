"""The smallest parts of a reply that come in pieces: calls, lists, fields nobody knows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from deltaweir.schema.chunk import FunctionDelta, ToolCallDelta
from deltaweir.schema.reading import add_unknown
from deltaweir.schema.record import Record
from deltaweir.schema.reply import FunctionCall, ToolCall

_SINGLE = frozenset({"id", "index", "role", "type"})
"""Texts that are said again, never in pieces."""


class FunctionPieces:
    """A function call in pieces."""

    def __init__(self) -> None:
        self._name: list[str] = []
        self._arguments: list[str] = []
        self._unknown = UnknownPieces(FunctionCall)

    def add(self, piece: FunctionDelta) -> None:
        """Take the next piece."""
        # some servers repeat the whole name in every piece
        if piece.name and [piece.name] != self._name:
            self._name.append(piece.name)
        if piece.arguments:
            self._arguments.append(piece.arguments)
        self._unknown.add(piece)

    def build(self) -> FunctionCall:
        """Return the call so far."""
        built = FunctionCall(arguments="".join(self._arguments), name="".join(self._name))
        self._unknown.give(built)
        return built


class ToolPieces:
    """A tool call in pieces."""

    def __init__(self) -> None:
        self.id = ""
        self._type = "function"
        self._function: FunctionPieces | None = None
        self._unknown = UnknownPieces(ToolCall)

    def add(self, piece: ToolCallDelta) -> None:
        """Take the next piece."""
        self.id = piece.id or self.id
        self._type = piece.type or self._type
        if piece.function is not None:
            self._function = self._function or FunctionPieces()
            self._function.add(piece.function)
        self._unknown.add(piece)

    def build(self) -> ToolCall:
        """Return the call so far."""
        built = ToolCall(
            function=self._function.build() if self._function else None,
            id=self.id,
            type=self._type,
        )
        self._unknown.give(built)
        return built


class UnknownPieces:
    """The unknown fields of a record that comes in pieces.

    Some servers send the whole message so far beside each delta; what the built record knows
    itself is passed over, so that n chunks do not cost the square of n.
    """

    __slots__ = ("_known", "_pieces")

    def __init__(self, kind: type[Record]) -> None:
        self._known = frozenset(kind.__struct_fields__)
        self._pieces: list[dict[str, Any]] = []

    def add(self, record: Record) -> None:
        """Take the unknown fields of the next piece."""
        if record.__dict__:
            extra = record.model_extra.items()
            self._pieces.append({k: v for k, v in extra if k not in self._known})

    def give(self, record: Record) -> None:
        """Put all fields so far on the record that was built."""
        if self._pieces:
            add_unknown(record, fold(self._pieces))


def fold(pieces: list[dict[str, Any]]) -> dict[str, Any]:
    """Merge mappings: texts join, lists chain, mappings merge, of the rest the last counts."""
    columns: dict[str, list[Any]] = {}
    for piece in pieces:
        for name, value in piece.items():
            if value is not None:
                columns.setdefault(name, []).append(value)
            else:
                columns.setdefault(name, [])
    return {name: _merged(name, values) for name, values in columns.items()}


def _merged(name: str, values: list[Any]) -> Any:
    if not values:
        return None
    if name not in _SINGLE:
        if all(isinstance(value, str) for value in values):
            return "".join(values)
        if all(isinstance(value, list) for value in values):
            return [item for value in values for item in value]
        if all(isinstance(value, dict) for value in values):
            return fold(values)
    return values[-1]


def joined(pieces: list[str]) -> str | None:
    """Join texts; None when there are none."""
    return "".join(pieces) if pieces else None


def chained(pieces: Iterable[list[Any] | None]) -> list[Any] | None:
    """Chain lists; None when there are none."""
    present = [piece for piece in pieces if piece is not None]
    return [item for piece in present for item in piece] if present else None
