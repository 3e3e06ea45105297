"""One HTTP/1.1 exchange: the same response however its bytes are cut, and no other error."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaweir.errors import DeltaweirError, InvalidRequest, StreamFailed, StreamTruncated
from deltaweir.wire.http1 import ResponseReader, encode_request

CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Request-Id: r1\r\n\r\n"
    b"5\r\nhello\r\n6;x=1\r\n world\r\n0\r\nTrailer: t\r\n\r\n"
)
COUNTED = b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno"
BETWEEN = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + COUNTED
CLOSING = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno"
EMPTY = b"HTTP/1.1 204 No Content\r\n\r\n"
RESPONSES = {
    "chunked": (CHUNKED, 200, b"hello world", True),
    "counted": (COUNTED, 404, b"no", True),
    "after 1xx": (BETWEEN, 404, b"no", True),
    "closing": (CLOSING, 200, b"no", False),
    "empty": (EMPTY, 204, b"", True),
}


def cut(whole: bytes, places: list[int]) -> list[bytes]:
    """Cut bytes at these places."""
    marks = sorted({0, len(whole), *(place % (len(whole) + 1) for place in places)})
    return [whole[a:b] for a, b in itertools.pairwise(marks)]


@given(st.sampled_from(sorted(RESPONSES)), st.lists(st.integers(0, 200)))
def test_responses_however_cut(name: str, places: list[int]) -> None:
    """Status, body, end and reuse are the same in every cut."""
    whole, status, body, reusable = RESPONSES[name]
    reader = ResponseReader()
    found = b"".join(piece for part in cut(whole, places) for piece in reader.feed(part))
    assert reader.head is not None
    assert (reader.head.status, found, reader.complete) == (status, body, True)
    assert reader.reusable is reusable


def test_headers_are_found_by_lower_case_names() -> None:
    """A header's first value is found by its name in lower case."""
    reader = ResponseReader()
    reader.feed(CHUNKED)
    assert reader.head is not None
    assert reader.head.get("x-request-id") == "r1"
    assert reader.head.get("nothing", "else") == "else"


def test_a_body_without_length_ends_with_its_connection() -> None:
    """HTTP/1.0's bodies are whole when the peer closes, and the connection is spent."""
    reader = ResponseReader()
    assert reader.feed(b"HTTP/1.0 200 OK\r\n\r\nabc") == [b"abc"]
    assert not reader.complete
    reader.eof()
    assert reader.complete
    assert not reader.reusable


@pytest.mark.parametrize("part", [b"", CHUNKED[:10], CHUNKED[:90], COUNTED[:-1], BETWEEN[:30]])
def test_a_peer_that_closes_too_early_is_told(part: bytes) -> None:
    """A response that its head says is unfinished is no clean end."""
    reader = ResponseReader()
    reader.feed(part)
    with pytest.raises(StreamTruncated):
        reader.eof()


@pytest.mark.parametrize(
    "garbage",
    [
        b"<html>\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n\x00\x01",
    ],
)
def test_another_protocol_is_refused(garbage: bytes) -> None:
    """What is not HTTP/1.1 is a typed error."""
    reader = ResponseReader()
    reader_fed = itertools.chain([garbage], [b""])
    with pytest.raises(StreamFailed):
        list(map(reader.feed, reader_fed))


def test_a_body_that_came_before_a_fault_is_not_lost() -> None:
    """What was parsed in the same read as garbage is handed on first, then the fault is told."""
    reader = ResponseReader()
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert reader.feed(head + b"2\r\nab\r\nxyz\r\n") == [b"ab"]
    with pytest.raises(StreamFailed, match="does not speak"):
        reader.feed(b"")
    with pytest.raises(StreamFailed, match="does not speak"):
        reader.eof()


@given(st.binary(max_size=200), st.lists(st.integers(0, 200)))
def test_arbitrary_bytes_end_in_our_own_error_or_none(whole: bytes, places: list[int]) -> None:
    """Garbage from the peer ends in an error of ours, never another."""
    reader = ResponseReader()
    try:
        for part in cut(b"HTTP/1.1 200 OK\r\n" + whole, places):
            reader.feed(part)
        reader.eof()
    except DeltaweirError:
        pass


@pytest.mark.parametrize("step", [1, 7, 4096])
def test_a_head_without_end_is_refused(step: int) -> None:
    """A head larger than the limit is a typed error, however slowly it comes."""
    reader = ResponseReader(max_head_bytes=300)
    head = b"HTTP/1.1 200 OK\r\n" + b"X-Long: 0123456789\r\n" * 100
    pieces = [head[at : at + step] for at in range(0, len(head), step)]
    with pytest.raises(StreamFailed, match="larger than 300 bytes"):
        list(map(reader.feed, pieces))


@pytest.mark.parametrize("trailer", [b"X-Long: 0123456789\r\n" * 100, b"X: " + b"y" * 4000])
@pytest.mark.parametrize("step", [1, 50])
def test_trailers_without_end_are_refused(trailer: bytes, step: int) -> None:
    """What comes after a body is bounded too, and none of it is kept."""
    reader = ResponseReader(max_head_bytes=300)
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n"
    whole = head + trailer
    pieces = [whole[at : at + step] for at in range(0, len(whole), step)]
    with pytest.raises(StreamFailed, match="trailers are larger than 300 bytes"):
        list(map(reader.feed, pieces))


def test_a_connection_that_says_more_is_not_reused() -> None:
    """Bytes behind the response's end make the connection useless."""
    for pieces in ([COUNTED + b"HTTP"], [COUNTED, b"x"]):
        reader = ResponseReader()
        for piece in pieces:
            reader.feed(piece)
        assert reader.complete
        assert not reader.reusable


def test_a_second_response_unasked_changes_nothing() -> None:
    """Of two responses the first counts, also when both come in one read."""
    reader = ResponseReader()
    assert reader.feed(COUNTED + EMPTY + CHUNKED) == [b"no"]
    assert reader.head is not None
    assert (reader.head.status, reader.head.get("content-length")) == (404, "2")
    assert not reader.reusable


def test_a_request_is_encoded_with_its_length() -> None:
    """A POST always tells its length; a GET without body does not."""
    headers = [("host", "h"), ("x", " y ")]
    assert encode_request("POST", "/v1", headers, b"ab") == (
        b"POST /v1 HTTP/1.1\r\nhost: h\r\nx: y\r\ncontent-length: 2\r\n\r\nab"
    )
    assert encode_request("GET", "/", []) == b"GET / HTTP/1.1\r\n\r\n"


@pytest.mark.parametrize(
    ("name", "value"),
    [("x", "a\r\nb: c"), ("x", "a\0"), ("x y", "a"), ("", "a"), ("x", "\u20ac"), ("\u00e9", "a")],
)
def test_a_header_that_cannot_be_sent_is_refused(name: str, value: str) -> None:
    """A header that would break the request is a typed error, which hides its value."""
    with pytest.raises(InvalidRequest) as caught:
        encode_request("GET", "/", [(name, f"secret{value}")])
    assert "secret" not in str(caught.value)


PIECES = st.sampled_from(
    [b"data: a\n\n", b"data: a\n", b"\n\n\r\n", b"x", b"\n\n", b"5\r\n\n\n\r\n", b"data: b\n\n" * 3]
)
SIZES = st.sampled_from(["%x", "%X", "00%x", '%x;a="b"'])


@given(
    st.lists(st.tuples(PIECES, SIZES), max_size=5),
    st.sampled_from([b"\r\n", b"X-Trailer: t\r\n\r\n"]),
    st.lists(st.integers(0, 300), max_size=6),
    st.sets(st.integers(0, 5)),
)
def test_it_stands_between_chunks_only_where_one_has_ended(
    chunks: list[tuple[bytes, str]], trailer: bytes, places: list[int], exact: set[int]
) -> None:
    """However a body is cut, it is told where the next byte begins a chunk, and nowhere else."""
    whole = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    ends = list[int]()
    for piece, size in chunks:
        whole += (size % len(piece)).encode() + b"\r\n" + piece + b"\r\n"
        ends.append(len(whole))
    whole += b"0\r\n" + trailer
    reader, fed = ResponseReader(), 0
    marks = [end for at, end in enumerate(ends) if at in exact]
    for part in cut(whole, [*places, *marks]):
        reader.feed(part)
        fed += len(part)
        assert reader.between_chunks(part) is (fed in ends and part.endswith(b"\n\n\r\n"))
    assert reader.complete


@pytest.mark.parametrize(
    "head",
    [b"HTTP/1.1 200 OK\r\nContent-Length: 99", b"HTTP/1.0 200 OK", b"HTTP/1.1 200 OK"],
)
def test_a_body_without_chunks_is_never_between_them(head: bytes) -> None:
    """Whatever its bytes look like."""
    reader = ResponseReader()
    for part in (head + b"\r\n\r\n", b"a\r\ndata: a\n\n\r\n", b"\n\n\r\n"):
        reader.feed(part)
        assert not reader.between_chunks(part)
