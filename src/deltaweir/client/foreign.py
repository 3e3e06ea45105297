"""Other people's chunks as our records, and our records as chunks of their kind. Pure.

What other packages call a chunk is a dict, a dict with attributes (openai before 1.0), a model
of pydantic (openai from 1.0 on, LiteLLM), or any object with attributes. All are read alike:
names with a value, into plain data, into our record. Nothing is dumped or encoded on the way.

"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import msgspec

from deltaweir.client.answers import refusal_of
from deltaweir.errors import StreamFailed
from deltaweir.schema.chunk import (
    AnyChunk,
    Choice,
    Chunk,
    Delta,
    FunctionDelta,
    TextChoice,
    TextChunk,
    ToolCallDelta,
    Usage,
)
from deltaweir.schema.record import Record

_DEEPEST = 100
"""Levels of nesting; a chunk has 7."""
_OBJECTS: dict[str, type[Chunk | TextChunk]] = {
    "chat.completion.chunk": Chunk,
    "text_completion": TextChunk,
}
_LEAVES = frozenset({str, int, float, bool, type(None)})
_WORDLESS = frozenset({int, float, bool, type(None), object})
_HOLDERS = frozenset({str, bytes, dict, list, tuple, set})
_READ = frozenset({"__dict__", "__weakref__", "__pydantic_extra__", "__pydantic_fields_set__"})
"""Slots that are read, or have no words."""
_NAMES = frozenset(
    name
    for kind in (Chunk, Choice, Delta, FunctionDelta, ToolCallDelta, TextChunk, TextChoice, Usage)
    for name in kind.__struct_fields__
)
"""What is asked of an object that does not say which attributes it has."""


def chunk_of(value: Any, *, kind: type[Chunk | TextChunk] = Chunk) -> AnyChunk:
    """Return somebody else's chunk as a record of ours that shares nothing with it.

    Args:
        value: A mapping, a model of pydantic, or an object with the attributes of a chunk.
        kind: What it is where it does not tell, as a chunk without choices may not.

    Raises:
        StreamFailed: It is no chunk, or a field has another type; the message tells its type.
    """
    try:
        read = _plain(value, _DEEPEST)
        told = _kind(read) or kind
        try:
            return msgspec.convert(read, told)
        except msgspec.ValidationError:  # an unknown field, which is kept, or a wrong type
            return told.model_validate(read)
    except StreamFailed as error:
        error.args = (f"got a {type(value).__name__} as a chunk: {error.message}",)
        error.message = error.args[0]
        raise
    except Exception as error:  # reading an attribute of a foreign object may run anything
        raise StreamFailed(
            f"got a {type(value).__name__} as a chunk: reading it raised {type(error).__name__}"
        ) from error


def likened(original: Any, chunk: AnyChunk) -> Any:
    """Return a chunk of ours as an object of the kind of somebody else's.

    Args:
        original: What its program gets otherwise.
        chunk: What it shall get now.

    Returns:
        A dict for a dict, a model of its class for a model; our own record, which has items
        and attributes, where there is no such object.
    """
    kind = type(original)
    if isinstance(original, Record):
        return chunk
    dumped = chunk.model_dump()
    if isinstance(original, dict):
        dumped = _ordered(original, dumped)
    if kind is dict:
        return dumped
    for name in ("construct_from", "model_validate", "model_construct"):
        make = getattr(kind, name, None)
        if make is None:
            continue
        try:
            made = make(**dumped) if name == "model_construct" else make(dumped)
        except Exception:  # noqa: BLE001, S112  # its class does not take this; the next may
            continue
        choices = getattr(made, "choices", (None,))
        if all(hasattr(choice, "finish_reason") for choice in choices):
            return made
    return chunk


def tells_all(value: Any) -> bool:
    """Tell whether an object is known to hold nothing that its record does not have.

    An object holds its attributes and slots: what `chunk_of` does not read of them must be
    empty. Of one that has none nobody can say where its words come from.

    Args:
        value: What was read.
    """
    kind = type(value)
    if kind in _LEAVES or isinstance(value, str):
        return True
    if kind is list or kind is tuple:
        return all(map(tells_all, value))
    if kind is not dict and not isinstance(value, Record):
        state = getattr(value, "__dict__", None)
        if state is None:
            return False
        read = not isinstance(value, Mapping)  # whose attributes are not
        aside = [inner for name, inner in state.items() if not read or name[0] == "_"]
        aside += [getattr(value, name, "unknown") for name in _slots(kind.__mro__)]
        if not all(map(_is_empty, aside)):
            return False
    return all(map(tells_all, (_fields(value) or {}).values()))


@functools.lru_cache(maxsize=256)
def _slots(kinds: tuple[type, ...]) -> frozenset[str]:
    """Return the slots of a class and its bases that are not read."""
    slots = {name for one in kinds for name in getattr(one, "__slots__", ())}
    return frozenset(slots - _READ)


def _is_empty(value: Any) -> bool:
    kind = type(value)
    return kind in _WORDLESS or (kind in _HOLDERS and not value)


def _plain(value: Any, levels: int) -> Any:
    """Return a value as fresh plain data without nulls in mappings: null is "not there"."""
    kind = type(value)
    if kind in _LEAVES:
        return value
    if levels == 0:
        raise StreamFailed(f"it is nested deeper than {_DEEPEST} levels")
    if isinstance(value, list | tuple):
        return [_plain(inner, levels - 1) for inner in value]
    if isinstance(value, str):  # as an enumeration of finish reasons is
        return str.__str__(value)
    fields = _fields(value)
    if fields is None:
        return msgspec.to_builtins(value)
    return {
        name: inner if type(inner) in _LEAVES else _plain(inner, levels - 1)
        for name, inner in fields.items()
        if inner is not None
    }


def _fields(value: Any) -> Mapping[str, Any] | None:
    """Return what an object has by name; None for a value that has nothing."""
    if isinstance(value, dict):
        return value
    if isinstance(value, Record):
        return msgspec.structs.asdict(value) | value.model_extra
    if isinstance(value, Mapping):
        return dict(value)
    own: Mapping[str, Any] | None = getattr(value, "__dict__", None)
    # attributes with an underscore are nobody's business; the extra fields are data
    public = {name: inner for name, inner in (own or {}).items() if name[0] != "_"}
    public |= getattr(value, "__pydantic_extra__", None) or {}
    if public:
        return public
    named = {name: getattr(value, name) for name in _NAMES if hasattr(value, name)}
    return None if own is None and not named else named


def _kind(read: Any) -> type[Chunk | TextChunk] | None:
    """Return the kind of chunk that was read, its fields named as ours; None if it tells none."""
    if not isinstance(read, dict):
        raise StreamFailed("expected an object with choices")
    if read.get("error"):
        refusal = refusal_of(read)
        raise StreamFailed(
            f"the stream broke off: {refusal.message or 'it did not say why'}",
            code=refusal.code,
            param=refusal.param,
        )
    if not read.get("usage"):
        read.pop("usage", None)
        if not read.keys() & {"choices", "id", "object"}:
            raise StreamFailed("expected choices or usage")
    found: type[Chunk | TextChunk] | None = _OBJECTS.get(read.get("object", ""))
    for choice in read.get("choices", ()):
        if "delta" in choice:
            found = Chunk
        elif "text" in choice:
            found = TextChunk
        elif "message" in choice:
            raise StreamFailed("it is a whole reply, expected chunks; call with stream=True")
    return found


def _ordered(original: Any, dumped: dict[str, Any]) -> dict[str, Any]:
    """Give a dict the order and the nulls that its stream has, since programs may read both."""
    likes = original.get("choices") or ()
    for at, (choice, like) in enumerate(zip(dumped["choices"], likes, strict=False)):
        dumped["choices"][at] = {key: choice.get(key) for key in like} | choice
    return {key: dumped.get(key) for key in original} | dumped
