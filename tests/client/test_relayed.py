"""An answer handed on as it comes: the same body however it was cut, and whole or an error."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaweir.client.provider import outgoing, provider_of
from deltaweir.client.relayed import MAX_REFUSAL_BYTES, RelayExchange
from deltaweir.errors import ConnectionFailed, DeltaweirError, StreamFailed, StreamTruncated
from deltaweir.testing import error_answer, json_answer, stream_answer

KEY = "sk-upstream-secret"
BODY = [b"\0one", b"", b"two\r\n\r\n", b"three"]


def exchange(*, bodiless: bool = False) -> RelayExchange:
    """Return an exchange that has begun."""
    request = outgoing(provider_of("http://h/v1", api_key=KEY, retries=0), "/x", request_id="id1")
    made = RelayExchange(request, bodiless=bodiless, chance=lambda: 0.0, now=lambda: 0.0)
    made.start()
    return made


def raw(steps: Iterable[Any]) -> bytes:
    """Return the bytes of an answer."""
    return b"".join(step for step in steps if isinstance(step, bytes))


def outcome(one: RelayExchange, data: bytes, places: Iterable[int], *, ends: bool) -> Any:
    """Return the body and what it came to, with the bytes cut at these places."""
    marks = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    body: list[bytes] = []
    try:
        for a, b in itertools.pairwise(marks):
            body += one.feed(data[a:b])
        if ends:
            body += one.eof()
    except DeltaweirError as error:
        return b"".join(body), type(error), one.refusal
    return b"".join(body), one.ended, one.framed_end, one.reusable


ANSWERS = [
    *(raw(stream_answer(BODY, framing=framing)) for framing in ("chunked", "length", "close")),
    raw(stream_answer(BODY, end=False)),
    raw(error_answer(429, f"who is {KEY}?")),
    raw(error_answer(500, "no", framing="close")),
    raw(stream_answer(BODY, status=304, framing="length")),
    raw(json_answer({}, status=308)),
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"nonsense",
]


@pytest.mark.parametrize("answer", ANSWERS)
@given(places=st.lists(st.integers(min_value=0)), ends=st.booleans())
def test_an_answer_is_the_same_however_it_is_cut(
    answer: bytes, places: list[int], *, ends: bool
) -> None:
    """Body, end and refusal depend on the bytes alone."""
    whole = outcome(exchange(), answer, [], ends=ends)
    assert outcome(exchange(), answer, places, ends=ends) == whole
    assert outcome(exchange(), answer, range(len(answer)), ends=ends) == whole


@pytest.mark.parametrize("framing", ["chunked", "length", "close"])
def test_a_body_is_whole_when_its_head_says_so(framing: Any) -> None:
    """However it is framed; where the connection's end is its end, that one cannot serve again."""
    got = outcome(exchange(), raw(stream_answer(BODY, framing=framing)), [], ends=True)
    reusable = framing != "close"
    assert got == (b"".join(BODY), True, True, reusable and got[3])


def test_the_head_is_told_of_before_the_body() -> None:
    """The first pieces come with the head, though it has no byte of the body with it."""
    one = exchange()
    assert one.feed(b"HTTP/1.1 200 OK\r\ncontent-le") == []
    assert one.feed(b"ngth: 2\r\n\r\n") == [b""]
    assert one.feed(b"ok") == [b"ok"]
    assert (one.ended, one.reusable) == (True, True)


def test_the_answer_to_head_has_no_body() -> None:
    """Whatever length it tells; the connection is not used again, as something may follow."""
    one = exchange(bodiless=True)
    assert one.feed(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n") == [b""]
    assert (one.ended, one.framed_end, one.reusable) == (True, True, False)
    refused = exchange(bodiless=True)
    with pytest.raises(DeltaweirError):
        refused.feed(b"HTTP/1.1 404 No\r\ncontent-length: 9\r\n\r\n")
    assert refused.refusal == b""


@pytest.mark.parametrize("framing", ["chunked", "length"])
def test_a_body_that_breaks_off_is_never_whole(framing: Any) -> None:
    """Neither by the connection's end nor by its failure."""
    answer = raw(stream_answer(BODY, framing=framing))[:-7]
    assert outcome(exchange(), answer, [], ends=True)[1] is StreamTruncated
    one = exchange()
    one.feed(answer)
    with pytest.raises(ConnectionFailed):
        one.broke(ConnectionFailed("the connection broke"))


def test_a_connection_that_ends_without_an_answer_has_failed() -> None:
    """Nothing came, so somebody else may be asked."""
    with pytest.raises(ConnectionFailed, match="without an answer"):
        exchange().eof()


def test_garbage_behind_a_part_of_the_body_comes_after_it() -> None:
    """The part goes through, and then it fails, however it is cut."""
    answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\nnonsense"
    for cut in range(len(answer)):
        assert outcome(exchange(), answer, [cut], ends=True) == (b"ok", StreamFailed, None)


@pytest.mark.parametrize("framing", ["chunked", "length", "close"])
def test_a_refusal_is_kept_without_our_key(framing: Any) -> None:
    """As it was said, but for the key; an unknown byte is no matter."""
    said = b'\xff {"error": "%b is no key"}' % KEY.encode()
    one = exchange()
    answer = raw(stream_answer([said], status=400, framing=framing))
    outcome(one, answer, [], ends=framing == "close")
    assert one.refusal == said.replace(KEY.encode(), b"[key]")


@pytest.mark.parametrize(
    "answer",
    [
        raw(stream_answer([b"x" * (MAX_REFUSAL_BYTES + 1)], status=400, framing="length")),
        raw(stream_answer([b"x"], status=400, headers={"content-encoding": "gzip"})),
        raw(stream_answer([b"x"], status=400, end=False)),
    ],
)
def test_a_refusal_that_cannot_be_looked_through_is_not_kept(answer: bytes) -> None:
    """It is too large, compressed, or broken off; the error says what is known."""
    one = exchange()
    outcome(one, answer, [], ends=True)
    assert one.refusal is None
