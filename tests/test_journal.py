"""Frames by number: what is kept, what is given, and from where."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaweir.errors import InvalidRequest
from deltaweir.journal import Journal, numbered, position
from deltaweir.wire.sse import Decoder, encode

FRAMES = st.lists(st.binary(min_size=1, max_size=40), max_size=40)


def test_frames_count_from_one() -> None:
    """The first frame is 1, and nothing has come at 0."""
    journal = Journal()
    assert (journal.first, journal.last) == (1, 0)
    assert [journal.append(frame) for frame in (b"a", b"b")] == [1, 2]
    assert (journal.first, journal.last) == (1, 2)


@given(frames=FRAMES, after=st.integers(0, 50), most=st.integers(1, 100))
def test_whoever_reads_on_gets_all_that_follows(frames: list[bytes], after: int, most: int) -> None:
    """From any number, in batches of any size, the rest comes whole, and once."""
    journal = Journal()
    for frame in frames:
        journal.append(frame)
    got: list[bytes] = []
    while batch := journal.after(after + len(got), most):
        assert len(batch) == 1 or sum(map(len, batch)) <= most
        got += batch
    assert got == frames[after:]


@given(frames=FRAMES, most=st.integers(1, 200))
def test_a_journal_is_bounded(frames: list[bytes], most: int) -> None:
    """Old frames go, the newest stays, and no number ever changes its frame."""
    journal = Journal(most)
    for number, frame in enumerate(frames, 1):
        assert journal.append(frame) == number
        assert journal.bytes == sum(map(len, journal.frames))
        assert journal.bytes <= most or len(journal.frames) == 1
        assert journal.last == number
        assert journal.frames == frames[journal.first - 1 : number]
    assert journal.keeps(journal.last)
    assert journal.keeps(journal.first - 1)
    assert not journal.keeps(journal.first - 2)


def test_a_bound_may_be_lowered() -> None:
    """What is too much leaves at once."""
    journal = Journal()
    for _ in range(10):
        journal.append(b"x" * 10)
    journal.bound(40)
    assert (journal.first, journal.last, journal.bytes) == (8, 10, 30)


def test_a_journal_may_begin_later() -> None:
    """What was kept elsewhere keeps its numbers."""
    journal = Journal(first=7)
    assert (journal.last, journal.keeps(6), journal.keeps(5)) == (6, True, False)
    assert journal.append(b"x") == 7
    assert journal.after(6, 10) == [b"x"]


@given(data=st.binary(max_size=30), number=st.integers(1, 10**9))
def test_a_number_is_an_events_id(data: bytes, number: int) -> None:
    """The id is the event's, and changes nothing else of it."""
    plain = Decoder().feed(encode(data))
    told = Decoder().feed(numbered(b"stm_1", number, encode(data)))
    assert [(event.data, event.name) for event in told] == [
        (event.data, event.name) for event in plain
    ]
    assert [event.id for event in told] == [f"stm_1:{number}"]
    for said in (f"stm_1:{number}", str(number)):
        assert position("stm_1", last_event_id=said, starting_after="3") == number


def test_a_query_counts_where_no_id_was_sent() -> None:
    """Without both all is wanted."""
    assert position("s", last_event_id=None, starting_after="3") == 3
    assert position("s", last_event_id="", starting_after=None) == 0


@pytest.mark.parametrize("said", ["-1", "x", "1.5", "\u0661", "9" * 16, "s:", "s:-1", "t:4", ":4"])
def test_what_is_no_position_is_refused(said: str) -> None:
    """So is another stream's."""
    with pytest.raises(InvalidRequest, match="Last-Event-ID"):
        position("s", last_event_id=said, starting_after=None)
    if ":" not in said:
        with pytest.raises(InvalidRequest, match="starting_after"):
            position("s", last_event_id=None, starting_after=said)
