"""The records of a queue on disk: entries as bytes, and as many of them as can be read. Pure.

A record is four bytes with the length of what is said, four with its CRC-32, both with the lowest
byte first, then MessagePack. The first record of a file says ``{"spool": 1, "writer": ...}``,
which version this is and who told the entries; each other one is a pair of an entry's kind and its
fields. A record that is cut short or does not fit its checksum ends the file: a process or a
machine died there, and what it wrote last was never acknowledged.
"""

from __future__ import annotations

import contextlib
import struct
import zlib
from typing import Any

import msgspec

from deltaweir.accounts import Attempt, Checkpoint, Closed, Entry, Opened
from deltaweir.stores.ledger_columns import legible

VERSION = 1
"""The version of the files' form."""

HEAD = struct.Struct("<II")
"""What stands before a record."""
_KINDS: dict[str, type[Entry]] = {
    "opened": Opened,
    "attempt": Attempt,
    "checkpoint": Checkpoint,
    "closed": Closed,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}
_pairs = msgspec.msgpack.Decoder(tuple[str, msgspec.Raw])


class Beginning(msgspec.Struct):
    """What a file says of itself."""

    spool: int
    writer: str


def record(entry: Entry) -> bytes:
    """Return an entry as a record.

    Raises:
        OverflowError: It has a figure beyond 64 bits.
    """
    pair = (_NAMES[type(entry)], entry)
    try:
        said = msgspec.msgpack.encode(pair)
    except UnicodeEncodeError:  # a lone surrogate of a client's JSON
        fields = {name: legible(getattr(entry, name)) for name in entry.__struct_fields__}
        said = msgspec.msgpack.encode((pair[0], type(entry)(**fields)))
    return framed(said)


def framed(said: bytes) -> bytes:
    """Return a record of what is said."""
    return HEAD.pack(len(said), zlib.crc32(said)) + said


def portion(data: bytes, *, last: bool, most: int) -> tuple[list[Entry], int, bool]:
    """Return the entries of some records.

    Args:
        data: Records, the last of which may be cut.
        last: Whether nothing comes after them.
        most: How many entries at most.

    Returns:
        The entries, how many bytes they took, and whether no more can come: after the last record
        and after one that cannot be read.
    """
    entries: list[Entry] = []
    offset = 0
    while len(entries) < most:
        said = said_at(data, offset)
        if said is None:
            return entries, offset, last
        entry = _entry(said)
        if entry is None:
            return entries, offset, True
        entries.append(entry)
        offset += HEAD.size + len(said)
    return entries, offset, last and offset == len(data)


def said_at(data: bytes, offset: int) -> bytes | None:
    """Return what a record says, empty where it does not fit its checksum; None where it is cut."""
    begin = offset + HEAD.size
    if begin > len(data):
        return None
    length, checksum = HEAD.unpack_from(data, offset)
    said = data[begin : begin + length]
    if len(said) < length:
        return None
    return said if zlib.crc32(said) == checksum else b""


def beginning_in(said: bytes) -> Beginning | None:
    """Return what a first record says; None where it is none, or of another version."""
    with contextlib.suppress(msgspec.DecodeError):
        found = msgspec.msgpack.decode(said, type=Beginning)
        return found if found.spool == VERSION else None
    return None


def _entry(said: bytes) -> Entry | None:
    with contextlib.suppress(msgspec.DecodeError, KeyError):
        kind, fields = _pairs.decode(said)
        entry: Any = msgspec.msgpack.decode(fields, type=_KINDS[kind])
        return entry  # type: ignore[no-any-return]  # of one of the kinds
    return None
