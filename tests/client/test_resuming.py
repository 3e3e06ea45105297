"""Streams that go on by another connection: the exchange alone, however the bytes are cut."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.client.resumable import OFFER, STREAM, numbered, offering

from deltaweir.client.provider import outgoing, provider_of
from deltaweir.client.resuming import RESUME_S, ResumingExchange
from deltaweir.client.resumption import Resumption
from deltaweir.errors import (
    ConnectionFailed,
    DeltaweirError,
    StallTimeout,
    StreamFailed,
    StreamTruncated,
)
from deltaweir.testing import (
    chat_events,
    error_answer,
    error_event,
    json_answer,
    stream_answer,
)
from deltaweir.testing.faults import Step
from deltaweir.types import Chunk

EVENTS = chat_events("Hel", "lo, ", "wörld", usage=(3, 4))
LAST = len(EVENTS)


class Clock:
    """Seconds that pass when a test says so."""

    now = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def exchange(clock: Callable[[], float] = Clock(), *, retries: int = 2) -> ResumingExchange[Chunk]:
    """Return an exchange that may resume, its first request sent."""
    provider = provider_of("http://127.0.0.1/v1", api_key="secret-key", retries=retries)
    request = outgoing(provider, "/chat/completions", request_id="id1", stream=True)
    resumption = Resumption(provider, {"x-mine": "1"}, {"api-version": "2"}, "id1", "0")
    made = ResumingExchange(
        request, Chunk, resumption, chance=lambda: 0.0, now=lambda: 0.0, clock=clock
    )
    assert made.start().startswith(b"POST /v1/chat/completions ")
    return made


def raw(steps: list[Step]) -> bytes:
    """Return the bytes of an answer."""
    return b"".join(step for step in steps if isinstance(step, bytes))


def rest(sent: bytes) -> bytes:
    """Return the whole answer to a request for what follows an event."""
    lines = sent.decode().split("\r\n")
    assert lines[0] == f"GET /v1/streams/{STREAM}?api-version=2 HTTP/1.1"
    given_id = next(line for line in lines if line.startswith("last-event-id: "))
    taken = int(given_id.rpartition(":")[2])
    return raw(offering(numbered(EVENTS)[taken:]))


def text(chunks: list[Any]) -> str:
    """Return what chunks say."""
    return "".join(one.delta.content or "" for chunk in chunks for one in chunk.choices)


WHOLE = raw(offering(numbered(EVENTS)))


def uncut() -> list[Chunk]:
    """Return the chunks of a stream that was not cut."""
    made = exchange()
    chunks = made.feed(WHOLE)
    assert made.ended
    return chunks


def broken(made: ResumingExchange[Chunk], *, events: int = 3) -> list[Chunk]:
    """Read so many events, and lose the connection."""
    chunks = made.feed(raw(offering(numbered(EVENTS)[:events], end=False)))
    return chunks + made.eof()


def test_every_cut_of_one_stream() -> None:
    """Wherever a connection ends, each chunk comes once, and the end is the stream's own."""
    expected = uncut()
    head = WHOLE.index(b"\r\n\r\n") + 4
    for cut in range(head, WHOLE.index(b"data: [DONE]\n\n") + len(b"data: [DONE]\n\n")):
        made = exchange()
        chunks = made.feed(WHOLE[:cut])
        chunks += made.eof()
        assert made.pause_s == 0.0
        chunks += made.feed(rest(made.start()))
        assert chunks == expected, cut
        assert made.ended
        assert made.said_done
        assert made.usage is not None
        assert made.resumed_at
        assert made.request_id == "req_server"


def strike(made: ResumingExchange[Chunk], fault: str) -> list[Chunk]:
    """Break a connection; return the chunks that come with that."""
    if made.pause_s is not None:  # it has ended by itself already
        return []
    if fault == "eof":
        return made.eof()
    if fault == "stalled":
        assert made.stalled(StallTimeout("quiet", param="stall"))
    elif fault == "garbage" and made.head is None:
        return made.feed(b"\0nothing of HTTP\r\n\r\n")
    else:
        made.broke(ConnectionFailed("reset"))
    return []


@given(st.data())
def test_several_faults_however_they_fall(data: st.DataObject) -> None:
    """Faults of all kinds, at any byte, with the bytes in any pieces, change nothing."""
    clock = Clock()
    made, chunks, answer = exchange(clock), [], WHOLE
    faults = st.tuples(
        st.sampled_from(["eof", "broke", "stalled", "garbage"]),
        st.floats(0, 1),
        st.integers(1, 200),
    )
    for number, (fault, share, piece) in enumerate(data.draw(st.lists(faults, max_size=6))):
        # a first answer without a head would offer nothing
        least = 0 if number else WHOLE.index(b"\r\n\r\n") + 4
        cut = least + int(share * (len(answer) - least))
        for at in range(0, cut, piece):
            if not made.ended and made.pause_s is None:
                chunks += made.feed(answer[at : min(at + piece, cut)])
        if made.ended:
            break
        chunks += strike(made, fault)
        clock.now += 1.0
        answer = rest(made.start())
    if not made.ended:
        chunks += made.feed(answer)
    assert chunks == uncut()
    assert made.said_done


def test_the_request_for_the_rest() -> None:
    """It has the first one's credentials and headers, the place, and neither body nor wish."""
    made = exchange()
    assert text(broken(made)) == "Hello, "
    sent = made.start()
    for line in (b"authorization: Bearer secret-key", b"x-mine: 1", b"accept: text/event-stream"):
        assert b"\r\n%b\r\n" % line in sent
    assert b"\r\nlast-event-id: %b:3\r\n" % STREAM.encode() in sent
    assert b"x-deltaweir" not in sent
    assert b"content-type" not in sent
    assert sent.endswith(b"\r\n\r\n")


def test_an_offer_without_an_event() -> None:
    """All is asked for, and the generation is not begun a second time."""
    made = exchange()
    made.feed(raw(offering([], end=False)))
    made.broke(ConnectionFailed("reset"))
    sent = made.start()
    assert b"\r\nlast-event-id: %b:0\r\n" % STREAM.encode() in sent
    assert made.feed(rest(sent)) == uncut()
    assert made.resumed_at == (1,)


@pytest.mark.parametrize("offer", [{}, {"x-deltaweir-stream-id": "../admin"}])
def test_no_offer(offer: dict[str, str]) -> None:
    """Without one, or with an id that is none, all is as without resuming."""
    made = exchange()
    answer = stream_answer(chat_events("Hi", finish=None, done=False), headers=offer, end=False)
    assert text(made.feed(raw(answer))) == "Hi"
    made.eof()
    assert (made.ended, made.stream_id, made.stopping, made.pause_s) == (True, None, None, None)
    assert not made.stalled(StallTimeout("quiet"))
    made = exchange()
    made.broke(ConnectionFailed("refused"))
    assert made.pause_s == 0.5
    assert made.start().startswith(b"POST")
    made.eof()
    assert made.start().startswith(b"POST")
    with pytest.raises(StreamFailed, match=r"does not speak HTTP"):
        made.feed(b"\0\r\n\r\n")


@pytest.mark.parametrize(
    "answer",
    [b"\0\r\n\r\n", raw(error_answer(503)), raw(stream_answer([b"data: no JSON\n\n"]))],
)
def test_what_is_tried_again_without_an_offer(answer: bytes) -> None:
    """Until one has come, the retries are those of any request."""
    made = exchange()
    assert made.feed(answer) == []
    assert made.pause_s == 0.5
    assert made.start().startswith(b"POST")
    assert text(made.feed(raw(stream_answer(chat_events("Hi", done=False))))) == "Hi"
    assert made.ended


def test_pauses_and_the_end_of_patience() -> None:
    """At once, then ever later; after a minute without an event it is given up."""
    clock = Clock()
    made = exchange(clock)
    broken(made)
    pauses = []
    while not made.ended:
        assert made.pause_s is not None
        pauses.append(made.pause_s)
        clock.now += made.pause_s
        made.start()
        assert made.patience_s == pytest.approx(100 + RESUME_S - clock.now)
        made.broke(ConnectionFailed("no connection to the server"))
    assert pauses[:7] == [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0]
    assert sum(pauses) == RESUME_S
    assert str(made.gave_up) == "given up after 60 s, at last: no connection to the server"
    assert isinstance(made.gave_up, ConnectionFailed)


def test_an_event_begins_a_new_minute() -> None:
    """Progress starts everything anew; a connection without an event is none."""
    clock = Clock()
    made = exchange(clock)
    broken(made)
    clock.now += 59
    answer = rest(made.start())
    assert text(made.feed(answer[: answer.index(b"\n\n") + 2])) == "wörld"
    made.eof()
    assert made.pause_s == 0.0
    clock.now += 59
    made.start()
    made.feed(raw(offering([b": keep-alive\n"], end=False)))
    assert made.patience_s is None
    made.eof()
    assert made.pause_s == 0.5
    clock.now += 2
    made.start()
    made.eof()
    assert made.ended
    assert made.resumed_at == (4,)


def test_a_busy_server_is_asked_again() -> None:
    """Its Retry-After is obeyed, up to the end of patience."""
    made = exchange()
    broken(made)
    for status, wish, pause in [
        (503, "3", 3.0),
        (429, None, 1.0),
        (502, "0", 0.0),
        (504, "60", 60),
    ]:
        made.start()
        headers = {} if wish is None else {"retry-after": wish}
        made.feed(raw(error_answer(status, "busy", headers=headers)))
        assert made.pause_s == pause
    assert made.feed(rest(made.start()))
    assert made.ended


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (404, r"asked for what follows event 3, the server answered 404: gone \(what came is kept"),
        (410, r"the server answered 410: gone \(what came is kept; ask again"),
        (401, r"the server answered 401: gone \(check the api_key\)"),
        (403, r"the server answered 403: gone"),
        (400, r"the server answered 400: gone"),
        (302, r"the server answered 302: a redirection to nowhere"),
    ],
)
def test_a_refusal(status: int, message: str) -> None:
    """What says that nothing more can be had ends it, and is told."""
    made = exchange()
    broken(made)
    made.start()
    assert made.feed(raw(error_answer(status, "gone"))) == []
    assert made.ended
    assert made.gave_up is not None
    assert made.gave_up.status == status
    with pytest.raises(DeltaweirError, match=message):
        raise made.gave_up
    assert made.generating is (status != 404)


def test_a_refusal_that_is_cut_short() -> None:
    """Its status tells enough."""
    made = exchange()
    broken(made)
    made.start()
    made.feed(raw(error_answer(410, "gone"))[:-5])
    made.eof()
    assert made.ended
    assert made.gave_up is not None
    assert made.gave_up.status == 410


@pytest.mark.parametrize("fault", ["stalled", "garbage", "early"])
def test_the_first_error_is_raised(fault: str) -> None:
    """With what resuming said as its cause."""
    made = exchange()
    if fault == "early":
        made.feed(raw(offering(numbered(EVENTS)[:1], end=False)))
        made.broke(ConnectionFailed("the connection broke"))
    elif fault == "stalled":
        made.feed(raw(offering(numbered(EVENTS)[:2], end=False)))
        assert made.stalled(StallTimeout("nothing came", param="stall"))
    else:
        made.feed(raw(offering(numbered(EVENTS)[:2], end=False)) + b"\0\r\n")
        made.feed(b"\0\r\n")
    kinds = {"stalled": StallTimeout, "garbage": StreamFailed, "early": ConnectionFailed}
    assert made.pause_s == 0.0
    made.start()
    with pytest.raises(kinds[fault], match="could not be resumed: asked for what") as caught:
        made.feed(raw(error_answer(410, "gone")))
    assert caught.value.__cause__ is made.gave_up
    assert made.generating


def test_an_ended_stream() -> None:
    """204 says that nothing comes after; what came before is judged as ever."""
    made = exchange()
    made.feed(raw(offering(numbered(EVENTS)[:1], end=False)))
    assert made.stalled(StallTimeout("nothing came", param="stall"))
    assert made.stalled(StallTimeout("nothing came", param="stall"))  # in the pause: nothing
    made.start()
    role = made.feed(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert len(role) == 1
    assert (made.ended, made.said_done, made.failure, made.generating) == (True, False, None, False)
    assert str(made.gave_up) == "the server has nothing after event 1"


def test_an_error_event_is_the_end() -> None:
    """The server's own word, before and after a loss, is never resumed."""
    said = numbered([error_event("it died", code="upstream_failed")], first=4)
    for lost in (False, True):
        made = exchange()
        first = raw(offering(numbered(EVENTS)[:3], end=False))
        if lost:
            made.feed(first)
            made.eof()
            made.start()
            with pytest.raises(StreamFailed, match="it died"):
                made.feed(raw(offering(said)))
        else:
            made.feed(first + raw(offering(said, end=False))[len(raw(offering([], end=False))) :])
            assert isinstance(made.failure, StreamFailed)
        assert made.pause_s is None
        assert not made.generating


@pytest.mark.parametrize("end", ["given up", "failed", "done"])
def test_a_clock_that_runs_out_at_the_end(end: str) -> None:
    """What has ended is not lost: whoever waits asks once more, and gets the end itself."""
    clock = Clock()
    made = exchange(clock)
    if end == "given up":
        broken(made, events=5)
        clock.now += RESUME_S
        made.start()
        made.eof()
    elif end == "failed":
        said = numbered([error_event("it died")], first=4)
        made.feed(raw(offering([*numbered(EVENTS)[:3], *said], end=False)))
    else:
        made.feed(WHOLE)
    before = (made.ended, made.failure, made.gave_up)
    assert made.stalled(StallTimeout("nothing came", param="stall"))
    assert (made.ended, made.failure, made.gave_up) == before
    assert made.ended or made.failure
    assert made.pause_s is None


@pytest.mark.parametrize("event_id", [None, f"{STREAM}:2", f"{STREAM}:3", f"{STREAM}:9", "x:4"])
@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("piece", [1, 10_000])
def test_an_error_may_have_any_number(event_id: str | None, named: bool, piece: int) -> None:
    """Who finds a stream dead may not know how far it was; its word is told as it is."""
    made = exchange()
    broken(made)
    made.start()
    name = b"event: error\n" if named else b""
    number = b"" if event_id is None else b"id: %b\n" % event_id.encode()
    event = name + number + error_event("its gateway died", code="failed")
    answer = raw(offering([event]))
    pieces = [answer[at : at + piece] for at in range(0, len(answer), piece)]
    with pytest.raises(StreamFailed, match="its gateway died") as caught:
        list(map(made.feed, pieces))
    assert caught.value.code == "failed"
    assert "resumed" not in str(caught.value)
    assert (made.gave_up, made.pause_s, made.generating) == (None, None, False)
    assert made.resumed_at == ()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (offering(numbered(EVENTS)), "asked to go on with event .*:4, the server sent .*:1"),
        (stream_answer(EVENTS[3:]), "the server sent one without an id"),
        (offering(numbered(EVENTS[3:], first=5)), "event .*:4, the server sent .*:5"),
        (offering(numbered([b'data: {"error": null}\n\n'])), "the server sent .*:1"),
        (offering(numbered([b"data: [DONE]\n\n"], first=3)), "the server sent .*:3"),
        (offering(numbered([b"event: error\ndata: [DONE]\n\n"])), "the server sent .*:1"),
        (stream_answer([b"<html>"], headers={"content-type": "text/html"}), "text/html"),
        (json_answer({"ok": True}), "application/json where an event stream"),
        (stream_answer(EVENTS[3:], headers={"content-encoding": "gzip"}), "compressed"),
    ],
)
def test_an_answer_that_is_not_the_rest(answer: list[Step], message: str) -> None:
    """Nothing is doubled or lost: it is given up."""
    made = exchange()
    broken(made)
    made.start()
    assert made.feed(raw(answer)) == []
    assert made.ended
    with pytest.raises(StreamFailed, match=message):
        raise made.gave_up or AssertionError


def test_a_page_that_is_cut_short() -> None:
    """What cannot be the stream is given up as well."""
    made = exchange()
    broken(made)
    made.start()
    made.feed(raw(stream_answer([b"<html>"], headers={"content-type": "text/html"}, end=False)))
    made.eof()
    assert made.ended
    assert isinstance(made.gave_up, StreamFailed)


def test_events_without_numbers() -> None:
    """Nobody knows where to go on, so it ends as it does without resuming."""
    made = exchange()
    made.feed(raw(stream_answer(EVENTS[:3], headers=OFFER, end=False)))
    made.eof()
    assert made.ended
    assert "numbers no events" in str(made.gave_up)


def test_garbage_events_are_no_fault_of_the_network() -> None:
    """They would come again, so they are told as they are."""
    made = exchange()
    bad = numbered([b"data: nothing\n\n"], first=4)
    chunks = made.feed(raw(offering([*numbered(EVENTS)[:3], *bad], end=False)))
    assert text(chunks) == "Hello, "
    assert isinstance(made.failure, DeltaweirError)
    assert made.pause_s is None


def test_the_end_of_an_answer_is_not_that_of_the_stream() -> None:
    """An intermediary may end an answer in good order; without [DONE] it is read on."""
    made = exchange()
    made.feed(raw(offering(numbered(EVENTS)[:3])))
    assert (made.ended, made.pause_s) == (False, 0.0)
    made.start()
    answer = raw(offering(numbered(EVENTS)[3:5]))
    chunks = made.feed(answer)
    assert text(chunks) == "wörld"
    assert made.pause_s == 0.0
    assert b":5\r\n" in made.start()


@pytest.mark.parametrize("ended", [False, True])
def test_nothing_but_a_role(ended: bool) -> None:
    """A stream that was lost before content, and cannot be resumed, is truncated."""
    made = exchange()
    made.feed(raw(offering(numbered(EVENTS)[:1], end=ended)))
    if not ended:
        made.eof()
    made.start()
    with pytest.raises(StreamTruncated, match=r"before .*; it could not be resumed: asked"):
        made.feed(raw(error_answer(404, "gone")))


def test_the_repr_tells_no_key() -> None:
    """What is kept to resume by may be logged."""
    provider = provider_of("http://127.0.0.1/v1", api_key="secret-key")
    shown = repr(Resumption(provider, {"x-api-key": "hidden"}, None, "id1", "0"))
    assert "secret" not in shown
    assert "hidden" not in shown
