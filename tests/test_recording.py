"""The format of recordings: what is written is read again, wherever the file breaks off."""

from __future__ import annotations

import contextlib
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaweir import errors
from deltaweir.endings import Ending
from deltaweir.errors import InvalidRecording, InvalidRequest, StallTimeout
from deltaweir.recording import (
    End,
    Event,
    Failure,
    Header,
    end_line,
    error_in,
    event_line,
    failure_of,
    frame_line,
    header_line,
    speed_of,
)
from deltaweir.recording_reader import RecordingReader
from deltaweir.wire.sse import encode

HEADER = header_line(Header(kind="chat", model="m", began="2026-01-31T12:00:00Z"))
DATA = [b'{"a": 1 , "b":[]}', b"[DONE]", b'{"a":"\xff"}', b'{"two":\n1}', b"{", b"", "{é}".encode()]


def lines(data: list[bytes]) -> list[bytes]:
    """Return the lines of a recording."""
    made = [HEADER, *(event_line(7 * at, one) for at, one in enumerate(data))]
    return [*made, end_line(End(at=99, end="complete"))]


def read(text: bytes) -> tuple[list[Event], RecordingReader]:
    """Read a recording to its end."""
    reader = RecordingReader("r")
    events = [reader.read(line) for line in io.BytesIO(text).readlines() or [b""]]
    return [event for event in events if event is not None], reader


def test_each_line_is_a_document() -> None:
    """A recording is JSON by the line, its data as they were, whatever they were."""
    text = b"".join(lines(DATA))
    first, *between, last = [json.loads(line) for line in text.decode().splitlines()]
    assert (first["format"], first["version"], first["kind"]) == ("deltaweir-recording", 1, "chat")
    assert between[0] == {"at": 0, "data": {"a": 1, "b": []}}
    assert [set(line) for line in between[1:]] == [{"at", "base64"}] * 6
    assert last == {"at": 99, "end": "complete"}
    events, reader = read(text)
    assert [event.data for event in events] == DATA
    assert reader.end is not None
    assert reader.end.ending is Ending.COMPLETE


@given(st.lists(st.binary() | st.sampled_from(DATA), max_size=5), st.integers(0, 10_000))
def test_a_file_that_breaks_off_gives_a_prefix(data: list[bytes], cut: int) -> None:
    """Wherever a crash ends the file, what is read is what was written until then."""
    text = b"".join(lines(data))
    whole = cut >= len(text)
    if cut < len(HEADER):
        with pytest.raises(InvalidRecording, match="line 1: this is no recording"):
            read(text[:cut])
        return
    events, reader = read(text[:cut])
    assert [event.data for event in events] == data[: len(events)]
    assert (reader.end is not None) is whole


@pytest.mark.parametrize("data", [*DATA[:4], b"[1]", '{"a":"é"}'.encode()])
def test_a_frame_has_the_line_of_its_data(data: bytes) -> None:
    """A frame of one line or of several has the data that went into it."""
    line = frame_line(1, encode(data))
    assert line == event_line(1, data)
    assert read(HEADER + line)[0] == [Event(1, data)]


@given(st.binary(max_size=80), st.integers(0, 3))
def test_anything_may_stand_in_a_file(garbage: bytes, at: int) -> None:
    """Garbage in the place of a line is refused with its number, or read as a line."""
    made = lines([b'{"a":1}', b'{"b":2}'])
    made[at] = garbage.replace(b"\n", b"") + b"\n"
    with contextlib.suppress(InvalidRecording):
        read(b"".join(made))
        return
    with pytest.raises(InvalidRecording, match=rf"^r: line {at + 1}: "):
        read(b"".join(made))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "line 1: this is no recording"),
        (b"root:x:0\n", "line 1: this is no recording"),
        (b"{}\n", "line 1: this is no recording"),
        (b"[" * 100_000 + b"\n", "line 1: this is no recording"),
        (HEADER[:-1], "line 1: this is no recording"),
        (HEADER.replace(b":1", b":2"), "versions up to 1 can be played here; update"),
        (HEADER.replace(b":1", b":0"), "its version is none"),
        (HEADER.replace(b"chat", b"talk"), "its first line is damaged"),
        (HEADER + b"{}\n", "line 2: the line is damaged; remove it"),
        (HEADER + b'{"at":1}\n', "line 2: the line is damaged"),
        (HEADER + b'{"at":-1,"data":{}}\n', "line 2: its time is none"),
        (HEADER + b'{"at":1,"base64":"?"}\n', "line 2: the line is damaged"),
        (HEADER + b'{"at":1,"end":"eaten"}\n', "line 2: its ending is unknown here; update"),
        (HEADER + b'{"at":1,"end":"budget","usage":3}\n', "line 2: the line is damaged"),
        (HEADER + b'{"at":1,"data":{"a":"\xff"}}\n', "line 2: the line is damaged"),
    ],
)
def test_what_cannot_be_played_says_why(text: bytes, says: str) -> None:
    """The error names the line, and what to do."""
    with pytest.raises(InvalidRecording, match=says):
        read(text)


def test_what_stands_behind_the_end_is_not_read() -> None:
    """A late line, written while another thread closed the stream, does no harm."""
    assert read(b"".join([*lines([]), b"garbage\n"]))[0] == []


def test_new_fields_do_no_harm() -> None:
    """A recording of a later release with more fields in its lines is played."""
    text = b"".join(lines([b'{"a":1}'])).replace(b'{"at"', b'{"new":[1],"at"')
    assert [event.data for event in read(text)[0]] == [b'{"a":1}']


def test_an_error_is_raised_again_as_it_was() -> None:
    """Class, message, status, code and parameter of an error survive."""
    for kind in (errors.StallTimeout, errors.RateLimited, errors.ContextLengthExceeded):
        error = kind("gone", status=418, code="c", param="p")
        again = error_in(End(at=1, end="failed", error=failure_of(error)))
        assert type(again) is kind
        assert (again.message, again.status, again.code, again.param) == ("gone", 418, "c", "p")


@pytest.mark.parametrize("kind", ["Exception", "Fault", "", "Any"])
def test_an_unknown_error_is_a_failed_stream(kind: str) -> None:
    """A name that means no error of ours makes no other object."""
    assert isinstance(
        error_in(End(at=1, end="failed", error=Failure(kind=kind))), errors.StreamFailed
    )


def test_an_ending_without_its_error_still_fails() -> None:
    """Where the error is missing, the ending says which one it was."""
    assert isinstance(error_in(End(at=1, end="stalled")), StallTimeout)


def test_a_speed_is_a_factor() -> None:
    """A speed is a number from 0, or max."""
    assert [speed_of(one) for one in (None, "max", 0, 2, 0.5)] == [1.0, 0.0, 0.0, 2.0, 0.5]
    wrongs: list[object] = [-1, float("nan"), float("inf"), "fast", True, []]
    for wrong in wrongs:
        with pytest.raises(InvalidRequest, match="as speed, expected a factor"):
            speed_of(wrong)


@pytest.mark.parametrize("usage", [b'{"prompt_tokens":"x"}', b'{"completion_tokens":1e30}'])
def test_a_usage_that_is_none_is_named(usage: bytes) -> None:
    """The error names the line, and what to do."""
    end = b'{"at":1,"end":"complete","usage":%b}\n' % usage
    with pytest.raises(InvalidRecording, match="r: line 2: its usage is none; remove it"):
        read(HEADER + end)
