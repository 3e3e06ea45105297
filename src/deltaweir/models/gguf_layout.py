"""The layout of a GGUF file: numbers, texts and arrays taken from bytes, with every bound.

Little-endian, versions 2 and 3::

    "GGUF"  version u32  tensors u64  keys u64
    keys times:     key string, type u32, value
    tensors times:  name string, dimensions u32, size u64 each, type u32, offset u64
    padding to the alignment, then the tensors' data

A string is a u64 length and that many bytes; an array is a type u32, a count u64 and its
items. Every count is compared with the bytes that are left before anything is read, so that
a damaged file costs neither memory nor time.
"""

from __future__ import annotations

import mmap
import struct
from math import prod
from typing import Final, NoReturn, TypeAlias

import msgspec

from deltaweir.errors import ModelCorrupt

Value: TypeAlias = "str | int | float | bool | Array"

_MAGIC: Final = b"GGUF"
_VERSIONS: Final = (2, 3)
_STRING, _ARRAY = 8, 9
_SCALARS: Final = {
    number: struct.Struct(f"<{code}")
    for number, code in {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?"}.items()
} | {10: struct.Struct("<Q"), 11: struct.Struct("<q"), 12: struct.Struct("<d")}
_U32: Final = _SCALARS[4]
U64: Final = _SCALARS[10]
"""The layout of a length or a count."""

# Real files have some 50 keys, at most a few thousand tensors, 300,000 tokens and a chat
# template of 20 kB.
_MAX_KEYS = 10_000
_MAX_TENSORS = 100_000
_MAX_ITEMS = 16_000_000
_MAX_KEY_BYTES = 65_535  # the limit of the GGUF specification
_MAX_TEXT_BYTES = 16_000_000
_MAX_DIMENSIONS = 4  # GGML_MAX_DIMS

# Items and bytes of one block, by ggml_type. A type that is not here is newer than this
# table: only the start of such a tensor is checked.
_BLOCKS: Final = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34),
    9: (32, 36), 10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210),
    15: (256, 292), 16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18),
    21: (256, 110), 22: (256, 82), 23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4),
    27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54), 35: (256, 66),
    39: (32, 17), 40: (64, 36), 41: (128, 18),
}  # fmt: skip


class Array(msgspec.Struct, frozen=True):
    """Say where an array of the head lies; its items are left where they are.

    Attributes:
        texts: Whether the items are texts, not numbers.
        items: Number of items.
        start: Offset of the first item, in bytes from the start of the file.
        end: Offset behind the last item.
    """

    texts: bool
    items: int
    start: int
    end: int


class Reader:
    """Take values one after the other; whatever is not there raises ModelCorrupt."""

    def __init__(self, data: bytes | mmap.mmap, *, label: str) -> None:
        """Start at the first byte of ``data``, which errors call ``label``."""
        self.data = data
        self.size = len(data)
        self.label = label
        self.at = 0

    def fail(self, got: str, *, wanted: str) -> NoReturn:
        """Raise ModelCorrupt that says what was got and what was wanted."""
        message = f"{self.label} is not a usable GGUF file: got {got}, wanted {wanted}"
        raise ModelCorrupt(message)

    def need(self, count: int, *, what: str) -> None:
        """Raise ModelCorrupt unless ``count`` more bytes are there."""
        if count > self.size - self.at:
            self.fail(
                f"{what} of {count:,} bytes at byte {self.at:,} of a file of {self.size:,} bytes",
                wanted="the whole file (was a download cut off?)",
            )

    def count(self, layout: struct.Struct, *, what: str, limit: int) -> int:
        """Take an unsigned number of at most ``limit``."""
        self.need(layout.size, what=what)
        value: int = layout.unpack_from(self.data, self.at)[0]
        if value > limit:
            self.fail(f"{what} = {value:,} at byte {self.at:,}", wanted=f"at most {limit:,}")
        self.at += layout.size
        return value

    def text(self, *, what: str, limit: int) -> str:
        """Take a text of at most ``limit`` bytes."""
        length = self.count(U64, what=f"length of {what}", limit=limit)
        self.need(length, what=what)
        raw = self.data[self.at : self.at + length]
        self.at += length
        return raw.decode("utf-8", "replace")

    def value(self, key: str) -> Value:
        """Take a type and a value of that type; ``key`` is for errors."""
        kind = self.count(_U32, what="type of a value", limit=0xFFFFFFFF)
        if kind == _STRING:
            return self.text(what="a text", limit=_MAX_TEXT_BYTES)
        if kind == _ARRAY:
            return self.array()
        layout = _SCALARS.get(kind)
        if layout is None:
            self.fail(f"type {kind} for {key!r}", wanted="a type of 0 to 12")
        self.need(layout.size, what="a number")
        number: int | float | bool = layout.unpack_from(self.data, self.at)[0]
        self.at += layout.size
        return number

    def array(self) -> Array:
        """Walk over an array, behind its type, and say where it lies."""
        kind = self.count(_U32, what="type of an array", limit=0xFFFFFFFF)
        items = self.count(U64, what="number of items", limit=_MAX_ITEMS)
        start = self.at
        if kind == _STRING:
            self._skip_texts(items)
        elif (layout := _SCALARS.get(kind)) is not None:
            self.need(items * layout.size, what="an array")
            self.at += items * layout.size
        else:
            # The specification allows arrays of arrays; llama.cpp refuses them.
            self.fail(f"an array of type {kind}", wanted="numbers or texts")
        return Array(texts=kind == _STRING, items=items, start=start, end=self.at)

    def _skip_texts(self, items: int) -> None:
        """Walk over texts, whose lengths are known only one by one: 0.1 µs each."""
        self.need(items * U64.size, what="an array of texts")
        data, at, last, unpack = self.data, self.at, self.size - U64.size, U64.unpack_from
        for _ in range(items):
            if at > last:
                break
            at += U64.size + unpack(data, at)[0]
        else:
            self.need(at - self.at, what="an array of texts")
            self.at = at
            return
        self.need(at + U64.size - self.at, what="an array of texts")


def read_start(reader: Reader) -> tuple[int, int]:
    """Take what stands before the keys.

    Returns:
        The number of tensors and the number of keys.

    Raises:
        ModelCorrupt: This is no GGUF file of version 2 or 3, or a number is absurd.
    """
    magic = reader.data[: len(_MAGIC)]
    if magic != _MAGIC:
        reader.fail(f"{magic!r} at the start", wanted=repr(_MAGIC))
    reader.at = len(_MAGIC)
    version = reader.count(_U32, what="version", limit=0xFFFFFFFF)
    if version not in _VERSIONS:
        reader.fail(f"version {version}", wanted="version 2 or 3, little-endian")
    tensors = reader.count(U64, what="number of tensors", limit=_MAX_TENSORS)
    return tensors, reader.count(U64, what="number of keys", limit=_MAX_KEYS)


def read_keys(reader: Reader, *, keys: int) -> dict[str, Value]:
    """Take this many keys and their values.

    Raises:
        ModelCorrupt: A key stands there twice, is cut off, or has a value of no known type.
    """
    found: dict[str, Value] = {}
    for _ in range(keys):
        key = reader.text(what="a key", limit=_MAX_KEY_BYTES)
        if key in found:
            reader.fail(f"the key {key[:80]!r} twice", wanted="each key once")
        found[key] = reader.value(key[:80])
    return found


def text_at(reader: Reader, array: Array, *, index: int) -> str:
    """Return one item of an array of texts, walking there from its start.

    Args:
        reader: What the array was taken from; its position is not changed.
        array: An array of texts.
        index: Number of the item, below ``array.items``.
    """
    data, at = reader.data, array.start
    for _ in range(index):
        at += U64.size + U64.unpack_from(data, at)[0]
    length = U64.unpack_from(data, at)[0]
    return data[at + U64.size : at + U64.size + length].decode("utf-8", "replace")


def all_texts(reader: Reader, array: Array) -> list[str]:
    """Return all items of an array of texts; 0.2 µs each.

    Args:
        reader: What the array was taken from; its position is not changed.
        array: An array of texts.
    """
    data, unpack, size = reader.data[array.start : array.end], U64.unpack_from, U64.size
    found: list[str] = []
    at = 0
    for _ in range(array.items):
        start = at + size
        at = start + unpack(data, at)[0]
        found.append(data[start:at].decode("utf-8", "replace"))
    return found


def all_numbers(reader: Reader, array: Array, *, code: str) -> tuple[int | float, ...]:
    """Return all items of an array of numbers of four bytes.

    Args:
        reader: What the array was taken from; its position is not changed.
        array: An array of numbers.
        code: The numbers' letter in the module ``struct``: ``i`` or ``f``.

    Raises:
        ModelCorrupt: The items are not of four bytes.
    """
    layout = struct.Struct(f"<{array.items}{code}")
    if array.texts or array.end - array.start != layout.size:
        reader.fail("an array of another type", wanted="numbers of four bytes")
    return layout.unpack_from(reader.data, array.start)


def check_tensors(reader: Reader, *, tensors: int, alignment: int) -> None:
    """Compare the file's length with where its tensors say they end.

    Raises:
        ModelCorrupt: The file is shorter, or the list of tensors is damaged.
    """
    furthest = 0
    for _ in range(tensors):
        name = reader.text(what="a tensor's name", limit=_MAX_KEY_BYTES)[:80]
        dimensions = reader.count(_U32, what="number of dimensions", limit=_MAX_DIMENSIONS)
        sizes = [reader.count(U64, what="a dimension", limit=1 << 62) for _ in range(dimensions)]
        kind = reader.count(_U32, what="type of a tensor", limit=0xFFFFFFFF)
        offset = reader.count(U64, what="offset of a tensor", limit=1 << 62)
        items, block = _BLOCKS.get(kind, (1, 0))
        if sizes and sizes[0] % items:
            reader.fail(f"{sizes[0]:,} items a row in {name!r}", wanted=f"a multiple of {items}")
        furthest = max(furthest, offset + prod(sizes) // items * block)
    start = -(-reader.at // alignment) * alignment
    if tensors and start + furthest > reader.size:
        reader.fail(
            f"{reader.size:,} bytes",
            wanted=f"at least {start + furthest:,} (was a download cut off?)",
        )
