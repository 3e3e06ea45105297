"""Records of a queue on disk: what was written is read, however the file ends."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.stores.ledgers import NOON, TOLD, closed, opened

from deltaweir.accounts import Entry, Tally
from deltaweir.stores.spool_records import (
    HEAD,
    Beginning,
    beginning_in,
    framed,
    portion,
    record,
    said_at,
)


def _bytes(told: list[Entry]) -> bytes:
    return b"".join(map(record, told))


@given(told=TOLD, most=st.integers(1, 20))
def test_entries_come_back(told: list[Entry], most: int) -> None:
    """In portions of any size, all entries come back in order."""
    data, found, ended = _bytes(told), list[Entry](), False
    while not ended:
        some, taken, ended = portion(data, last=True, most=most)
        assert len(some) <= most
        found, data = found + some, data[taken:]
    assert (found, data) == (told, b"")


@given(told=TOLD, data=st.data())
def test_a_file_that_was_cut_has_all_before_the_cut(told: list[Entry], data: st.DataObject) -> None:
    """Cut anywhere, the whole records before the cut are read, and the end is known."""
    whole = _bytes(told)
    cut = data.draw(st.integers(0, len(whole)))
    found, taken, ended = portion(whole[:cut], last=True, most=1000)
    assert found == told[: len(found)]
    assert whole[:taken] == _bytes(told[: len(found)])
    assert ended
    rest, _, ended = portion(whole[:cut], last=False, most=1000)
    assert (rest, ended) == (found, False)


@given(told=TOLD, data=st.data())
def test_a_changed_byte_ends_the_file(told: list[Entry], data: st.DataObject) -> None:
    """Nothing is read that was not written, whichever byte is another."""
    whole = bytearray(_bytes(told))
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    found, _, ended = portion(bytes(whole), last=True, most=1000)
    assert found == told[: len(found)]
    assert len(found) < len(told)
    assert ended


def test_a_lone_surrogate_is_replaced() -> None:
    """It loses itself, not the entry."""
    found, _, _ = portion(record(opened(user="a\ud800é")), last=True, most=1)
    assert found == [opened(user="a?é")]


def test_a_figure_beyond_64_bits_is_refused() -> None:
    """It could never be written."""
    with pytest.raises(OverflowError):
        record(closed(tally=Tally(completion_tokens=2**64)))


def test_fields_of_a_newer_version_are_left_out() -> None:
    """An entry with fields that are not known is still one; another kind of entry is none."""
    fields = {"stream_id": "s", "started": NOON, "model": "m", "more": 1}
    said = framed(msgspec.msgpack.encode(("opened", fields)))
    assert portion(said, last=True, most=1)[0] == [opened()]
    strange = framed(msgspec.msgpack.encode(("paused", fields)))
    assert portion(strange, last=True, most=1) == ([], 0, True)


def test_a_file_says_what_it_is() -> None:
    """Its first record tells version and writer; anything else is none of ours."""
    said = said_at(framed(msgspec.msgpack.encode(Beginning(spool=1, writer="w"))), 0)
    assert said is not None
    assert beginning_in(said) == Beginning(spool=1, writer="w")
    for other in (msgspec.msgpack.encode({"spool": 2, "writer": "w"}), b"", b"\xc1"):
        assert beginning_in(other) is None
    assert HEAD.size == 8
