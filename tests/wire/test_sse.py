"""The decoder of server-sent events gives the standard's events, however the bytes are cut."""

from __future__ import annotations

import base64
import functools
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaweir.errors import StreamFailed
from deltaweir.wire.sse import DONE, HEARTBEAT, Decoder, Event, encode

SHARED = Path(__file__).parents[3] / "shared" / "data" / "sse_cases.json"

# bytes, and the events that the WHATWG standard has dispatched for them
CASES: dict[str, tuple[bytes, list[Event]]] = {
    "the usual shape": (b'data: {"a":1}\n\n' + DONE, [Event(b'{"a":1}'), Event(b"[DONE]")]),
    "one leading BOM": (b"\xef\xbb\xbfdata: a\n\n\xef\xbb\xbfdata: b\n\n", [Event(b"a")]),
    "part of a BOM": (b"\xef\xbbdata: a\n\n", []),
    "CRLF": (b"data: a\r\ndata: b\r\n\r\n", [Event(b"a\nb")]),
    "CR": (b"data: a\rdata: b\r\r", [Event(b"a\nb")]),
    "mixed line ends": (
        b"data: a\r\n\ndata: b\r\r\ndata: c\n\r",
        [Event(b"a"), Event(b"b"), Event(b"c")],
    ),
    "no other line ends": (
        "data: a\u2028b\u0085c\x0bd\n\n".encode(),
        [Event("a\u2028b\u0085c\x0bd".encode())],
    ),
    "one space is dropped": (b"data:  a\n\ndata:b\n\n", [Event(b" a"), Event(b"b")]),
    "data alone is an empty line": (b"data\n\ndata\ndata\n\n", [Event(b""), Event(b"\n")]),
    "comments": (HEARTBEAT + b"data: a\n: more\n\n:\n\n", [Event(b"a")]),
    "no data, no event": (
        b"event: ping\n\nid: 7\n\nretry: 10\n\ndata: a\n\n",
        [Event(b"a", "message", "7")],
    ),
    "a name counts once": (b"event: x\ndata: a\n\ndata: b\n\n", [Event(b"a", "x"), Event(b"b")]),
    "an id persists": (
        b"id: 1\ndata: a\n\ndata: b\n\nid\ndata: c\n\n",
        [Event(b"a", "message", "1"), Event(b"b", "message", "1"), Event(b"c")],
    ),
    "the usual shape, numbered": (
        (
            b"id: s:1\ndata: a\n\nid:  s:2\ndata: b\n\n"
            b"id: s:3\ndata: c\ndata: d\n\nid: s:4\ndata:e\n\n"
        ),
        [
            Event(b"a", "message", "s:1"),
            Event(b"b", "message", " s:2"),
            Event(b"c\nd", "message", "s:3"),
            Event(b"e", "message", "s:4"),
        ],
    ),
    "an id with NUL is none": (b"id: 1\0\ndata: a\n\n", [Event(b"a")]),
    "fields are exact": (b"Data: a\n data: b\ndata : c\ndat: d\n\n", []),
    "unfinished": (b"data: a\n\ndata: b\n", [Event(b"a")]),
    "unfinished line": (b"data: a\n\ndata: b", [Event(b"a")]),
    "many blank lines": (b"\n\n\n\ndata: a\n\n\n\n\ndata: b\n\n", [Event(b"a"), Event(b"b")]),
}


def decoded(pieces: list[bytes]) -> list[Event]:
    """Return what a new decoder makes of these pieces."""
    decoder = Decoder()
    return [event for piece in pieces for event in decoder.feed(piece)]


def cut(whole: bytes, places: list[int]) -> list[bytes]:
    """Cut bytes at these places."""
    places = sorted({0, len(whole), *(place % (len(whole) + 1) for place in places)})
    return [whole[a:b] for a, b in itertools.pairwise(places)]


@pytest.mark.parametrize("name", CASES)
def test_cases_whole_and_byte_by_byte(name: str) -> None:
    """Each case gives its events, at once and in pieces of one byte."""
    whole, expected = CASES[name]
    assert decoded([whole]) == expected
    assert decoded([whole[at : at + 1] for at in range(len(whole))]) == expected


@given(st.sampled_from(sorted(CASES)), st.lists(st.integers(0, 200)))
def test_cases_however_cut(name: str, places: list[int]) -> None:
    """No cut changes the events of a case."""
    whole, expected = CASES[name]
    assert decoded(cut(whole, places)) == expected


@given(
    st.text("datevni: \r\n\x00\ufeff{}1é", max_size=60).map(str.encode),
    st.lists(st.integers(0, 200)),
)
def test_anything_however_cut(whole: bytes, places: list[int]) -> None:
    """No cut changes the events of any bytes."""
    assert decoded(cut(whole, places)) == decoded([whole])


@given(st.binary(max_size=80), st.lists(st.integers(0, 100)))
def test_arbitrary_bytes_end_in_events(whole: bytes, places: list[int]) -> None:
    """Arbitrary bytes give events or none, never an exception."""
    assert decoded(cut(whole, places)) == decoded([whole])


@given(st.lists(st.binary(max_size=30)), st.none() | st.text("abc123", min_size=1))
def test_what_is_encoded_is_decoded(datas: list[bytes], event_id: str | None) -> None:
    """Frames dispatch the data they were made of, line ends told as LF."""
    frames = b"".join(encode(data, event_id=event_id) for data in datas)
    expected = [data.replace(b"\r\n", b"\n").replace(b"\r", b"\n") for data in datas]
    found = decoded([frames])
    assert [event.data for event in found] == expected
    assert {event.id for event in found} <= {event_id or ""}


def test_retry_counts_only_when_all_digits() -> None:
    """A retry of digits is kept in milliseconds, any other is passed over."""
    decoder = Decoder()
    decoder.feed(b"retry: 1500\n")
    decoder.feed(b"retry: 1s\nretry:\nretry: -3\nretry: " + b"9" * 5000 + b"\n")
    assert decoder.retry_ms == 1500


def test_a_heartbeat_dispatches_nothing_and_ends_no_block() -> None:
    """A heartbeat within a block is as if it were not there."""
    assert decoded([b"data: a\n", HEARTBEAT, b"data: b\n\n"]) == [Event(b"a\nb")]


@pytest.mark.parametrize(
    "pieces",
    [
        [b"data: " + b"x" * 40 + b"\n\n"],
        [b"data: ", b"x" * 20, b"x" * 20],
        [b"x" * 40],
        [b"data: x\n"] * 40,
        [b"data: x\r"] * 40,
    ],
)
def test_an_event_without_end_is_refused(pieces: list[bytes]) -> None:
    """More bytes than the limit without the end of an event are a typed error."""
    decoder = Decoder(max_event_bytes=32)
    with pytest.raises(StreamFailed, match="more than 32 bytes"):
        list(map(decoder.feed, pieces))


@functools.cache
def _shared_cases() -> list[dict[str, Any]]:
    return json.loads(SHARED.read_text())["cases"] if SHARED.exists() else []


@pytest.mark.skipif(not SHARED.exists(), reason="the shared cases lie beside the project only")
@given(st.lists(st.integers(0, 10_000), max_size=6))
def test_shared_cases_however_cut(places: list[int]) -> None:
    """The 70 known cases of other projects give their events in every cut."""
    for case in _shared_cases():
        pieces = [base64.b64decode(piece) for piece in case["chunks_b64"]]
        whole = b"".join(pieces)
        bytewise = [whole[at : at + 1] for at in range(len(whole))]
        for cut_up in (pieces, [whole], bytewise, cut(whole, places)):
            found = [
                {"event": event.name, "data": event.data.decode(errors="replace"), "id": event.id}
                for event in decoded(cut_up)
            ]
            assert found == case["expected"], case["name"]


@given(st.sampled_from(sorted(CASES)), st.integers(0, 200))
def test_an_idle_decoder_remembers_nothing_but_an_id(name: str, place: int) -> None:
    """What comes next is read as if it were the first, so that another may read it."""
    whole = CASES[name][0]
    place %= len(whole) + 1
    decoder, other = Decoder(), Decoder()
    assert not decoder.idle
    decoder.feed(whole[:place])
    other.feed(b"\n")  # behind it no mark of a beginning is dropped
    other.last_id = decoder.last_id
    if decoder.idle:
        assert decoder.feed(whole[place:]) == other.feed(whole[place:])
    else:
        assert place < 3 or not whole[:place].endswith(b"\n\n")


@given(st.lists(st.sampled_from(["a", "b c", "{}", "\u00e9"]), min_size=1, max_size=4), st.data())
def test_a_decoder_is_idle_between_the_usual_events_alone(
    texts: list[str], data: st.DataObject
) -> None:
    """Inside of one it never is."""
    blocks = [encode(text.encode()) for text in texts]
    ends = {*itertools.accumulate(map(len, blocks))}
    whole = b"".join(blocks)
    decoder, fed = Decoder(), 0
    for part in cut(whole, data.draw(st.lists(st.integers(1, len(whole)), max_size=6))):
        decoder.feed(part)
        fed += len(part)
        assert decoder.idle is (fed in ends)
