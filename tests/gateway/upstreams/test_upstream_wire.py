"""Bytes between a client, the gateway and its upstream: however they are framed, cut or kept."""

from __future__ import annotations

import http.client
import itertools
import json
import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.gateway.conftest import CHAT, DEADLINE_S, events, until
from tests.gateway.fronts import Front, asked, fronted

from deltaweir.gateway.config.guards import GuardConfig
from deltaweir.testing import (
    BOM,
    Drop,
    HalfClose,
    Pause,
    Peer,
    Trickle,
    chat_events,
    crlf,
    json_answer,
    stream_answer,
)
from deltaweir.testing.faults import Framing, Step
from deltaweir.wire.sse import HEARTBEAT

EVENTS = chat_events("Hel", "l\u00f6 \U0001f600", ", you", usage=(3, 2))
REPLY = {
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
    ]
}
FRAMINGS: tuple[Framing, ...] = ("chunked", "length", "close")


@pytest.fixture(scope="module")
def front() -> Iterator[Front]:
    """A gateway that all tests here share."""
    with fronted(guards={"secret": GuardConfig(preset="secrets")}) as one:
        yield one


def joined(steps: Sequence[Step]) -> bytes:
    """Return steps as the bytes that they send."""
    return b"".join(one for one in steps if isinstance(one, bytes))


def told(front: Front, *answers: list[Step], **body: Any) -> str:
    """Return the text of a whole stream, of which all is checked but its text."""
    with Peer(*answers) as peer:
        front.before(peer)
        answer = front.ask(**body)
    assert (answer.status, answer.finish_reasons, answer.done) == (200, ["stop"], True)
    assert answer.chunks[-1]["deltaweir"]["source"] == "provider"
    return answer.text


WHOLE = "Hell\u00f6 \U0001f600, you"


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize(
    "parts",
    [
        EVENTS,
        [joined(EVENTS)],
        crlf(EVENTS),
        [BOM, *EVENTS],
        [b"retry: 5\n\n", HEARTBEAT, b": hi\n\n", *EVENTS[:2], HEARTBEAT, *EVENTS[2:]],
        [b"event: message\n" + one for one in EVENTS if isinstance(one, bytes)],
        [one.replace(b"data: ", b"data:") for one in EVENTS if isinstance(one, bytes)],
        [one.replace(b",", b",\ndata: ", 1) for one in EVENTS[:-1] if isinstance(one, bytes)]
        + EVENTS[-1:],
    ],
    ids=["events", "one", "crlf", "bom", "comments", "named", "no-blank", "lines"],
)
def test_a_stream_is_the_same_in_every_form(
    front: Front, parts: list[Step], framing: Framing
) -> None:
    """However events are written, and a body framed, the client gets the same stream."""
    assert told(front, stream_answer(parts, framing=framing)) == WHOLE


def sized(answer: list[Step], size: str) -> list[Step]:
    """Return an answer whose body's pieces give their sizes in another form."""
    head, *pieces = answer
    told = []
    for piece in pieces:
        assert isinstance(piece, bytes)
        digits, _, rest = piece.partition(b"\r\n")
        told.append(size.format(int(digits, 16)).encode() + b"\r\n" + rest)
    return [head, *told]


@pytest.mark.parametrize("size", ["{:X}", "{:06x}", "{:x};name=value", '{:x};a="b;c"'])
def test_sizes_of_pieces_in_every_form(front: Front, size: str) -> None:
    """Capitals, zeros and extensions (RFC 9112, section 7.1.1) change nothing, and stay here."""
    assert told(front, sized(stream_answer(EVENTS), size)) == WHOLE


@pytest.mark.parametrize("guarded", [False, True])
def test_content_in_parts(front: Front, guarded: bool) -> None:
    """Mistral's reasoning models answer so; clients get texts, counted and guarded as such."""
    event = EVENTS[1]
    assert isinstance(event, bytes)
    thinking = [{"type": "thinking", "thinking": [{"type": "text", "text": "I see."}]}]
    parts = [
        thinking,
        [{"type": "text", "text": LEAK[:9]}],
        LEAK[9:],
        [{"type": "text", "text": "."}],
    ]
    sent = [event.replace(b'"Hel"', json.dumps(one).encode()) for one in parts]
    with Peer(stream_answer([EVENTS[0], *sent, *EVENTS[-3:]])) as peer:
        front.before(peer, model={"guard": "secret"} if guarded else None)
        answer = front.ask()
    assert (answer.finish_reasons, answer.done) == (["stop"], True)
    deltas = [one["choices"][0]["delta"] for one in answer.chunks if one["choices"]]
    assert "".join(one.get("reasoning_content") or "" for one in deltas) == "I see."
    assert answer.text == ("[REDACTED:aws_key_id]." if guarded else f"{LEAK}.")


def test_trailers_of_a_body(front: Front) -> None:
    """They are read, and the connection serves again."""
    answer = [*stream_answer(EVENTS)[:-1], b"0\r\nx-checksum: 1\r\n\r\n"]
    with Peer(answer) as peer:
        front.before(peer)
        for _ in range(2):
            assert front.ask().text == WHOLE
            front.kept()
        assert peer.connections == 1


@pytest.mark.parametrize(
    "before", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"]
)
def test_answers_in_between(front: Front, before: bytes) -> None:
    """What a server says before its answer is no answer."""
    assert told(front, [before, *stream_answer(EVENTS)]) == WHOLE


def test_an_upstream_of_http_1_0(front: Front) -> None:
    """Its body ends with its connection, which is not used again."""
    head, *body = stream_answer(EVENTS, framing="close")
    assert isinstance(head, bytes)
    old = head.replace(b"HTTP/1.1", b"HTTP/1.0").replace(b"connection: close\r\n", b"")
    assert told(front, [old, *body]) == WHOLE


ESCAPED = [r"\"", r"\\", r"\n\t\/", r"\u00e9", r"\ud83d\ude00", r"\u2028", "\u2028", r"\u0000", " "]


def test_texts_with_escapes(front: Front) -> None:
    """They come out as they went in, by whichever way they go."""
    event = EVENTS[1]
    assert isinstance(event, bytes)
    odd = [event.replace(b"Hel", one.encode()) for one in ESCAPED]
    parts: list[Step] = [EVENTS[0], event, *odd, event, *EVENTS[-3:]]
    expected = "".join(json.loads(f'"{one}"') for one in ESCAPED)
    with Peer(stream_answer(parts)) as peer:
        front.before(peer)
        answer = front.ask()
    assert answer.text == f"Hel{expected}Hel"
    assert joined([event, *odd, event]) in answer.body


def test_a_stream_in_single_bytes(front: Front) -> None:
    """Each byte in a packet of its own, heads and framing too, gives the same stream."""
    answer: list[Step] = [
        Trickle(joined(stream_answer(chat_events("Hel", "l\u00f6", usage=(3, 2)))))
    ]
    assert told(front, answer) == "Hell\u00f6"


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(1, 1199), unique=True, max_size=6), pieces=st.booleans())
def test_a_stream_is_the_same_however_it_is_cut(
    front: Front, cuts: list[int], *, pieces: bool
) -> None:
    """Packets, or pieces of a chunked body, may end anywhere, in characters and frames too."""
    raw = joined(EVENTS) if pieces else joined(stream_answer(EVENTS))
    edges = [0, *sorted(cut for cut in cuts if cut < len(raw)), len(raw)]
    parts: list[Step] = [raw[a:b] for a, b in itertools.pairwise(edges)]
    steps = stream_answer(parts) if pieces else parts
    assert told(front, steps) == WHOLE


LEAK = "AKIAABCDEFGHIJKLMNOP"
TEXTS = st.lists(
    st.sampled_from(["AKIA", LEAK[:9], LEAK[9:], LEAK, ".", " \u00e9\n", '"\\', " the"])
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=4),
    min_size=1,
    max_size=14,
)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=TEXTS, guard=st.sampled_from([None, "secret"]), limit=st.integers(1, 30))
def test_all_ways_of_a_chunk_show_the_same(
    front: Front, texts: list[str], guard: str | None, limit: int
) -> None:
    """Straight or not, guarded and limited: text, ends and account do not depend on the way."""
    model = {"upstream_model": "gpt-4o", "guard": guard, "budget": {"tokens": limit}}
    parts = chat_events(*texts)
    shown = []
    for steps in (
        stream_answer(parts),  # each event alone in a piece: these go straight
        stream_answer(parts, framing="close"),
        stream_answer([joined(parts)]),
    ):
        with Peer(steps) as peer:
            front.before(peer, model=model)
            answer = front.ask()
        account = answer.chunks[-1]["deltaweir"]
        assert answer.done
        shown.append((answer.text, answer.finish_reasons, account))
    assert shown[0] == shown[1] == shown[2]


@pytest.mark.parametrize("framing", FRAMINGS)
def test_whole_replies_in_every_framing(front: Front, framing: Framing) -> None:
    """A reply is read by its length, its pieces, or to the connection's end."""
    with Peer(json_answer(REPLY, framing=framing)) as peer:
        front.before(peer)
        answer = front.ask(stream=False)
    assert answer.json["choices"][0]["message"]["content"] == "Hi"


def test_an_upstream_may_close_its_side_behind_its_last_word(front: Front) -> None:
    """A half-closed connection behind [DONE] is a clean end."""
    assert told(front, [*stream_answer(EVENTS, framing="close", end=False), HalfClose()]) == WHOLE


def test_a_stream_that_says_done_needs_no_end_of_its_body(front: Front) -> None:
    """[DONE] ends the client's stream though the upstream never ends its body."""
    with Peer(stream_answer(EVENTS, end=False)) as peer:
        front.before(peer)
        assert front.ask().done
        assert peer.wait_gone(timeout_s=2)


def test_connections_to_upstreams_are_used_again(front: Front) -> None:
    """Streams and whole replies after one another take one connection."""
    with Peer(stream_answer(EVENTS), json_answer(REPLY), stream_answer(EVENTS)) as peer:
        front.before(peer)
        for stream in (True, False, True):
            assert front.ask(stream=stream).status == 200
            front.kept()
    assert (peer.connections, len(peer.requests)) == (1, 3)


BYE = b"HTTP/1.1 408 Bye\r\ncontent-length: 0\r\n\r\n"


@pytest.mark.parametrize("end", [Drop(), BYE], ids=["closed", "408"])
def test_a_kept_connection_that_its_upstream_left_is_nobodys_fault(front: Front, end: Step) -> None:
    """The next request is sent on a new one, without another attempt in the ledger."""
    pause = Pause()
    with Peer([*stream_answer(EVENTS), pause, end], stream_answer(EVENTS)) as peer:
        front.before(peer)
        front.ask()
        front.kept()
        sent = peer.sent_bytes
        pause.release()
        until(lambda: peer.sent_bytes > sent if isinstance(end, bytes) else peer.wait_gone())
        answer = front.ask()
    assert answer.done
    assert front.attempts(answer) == [("u0", "complete")]


def test_a_kept_connection_that_ends_under_a_request(front: Front) -> None:
    """A request that meets its connection's end is sent again at once on a new one."""
    with Peer(stream_answer(EVENTS), [Drop()], stream_answer(EVENTS)) as peer:
        front.before(peer)
        front.ask()
        front.kept()
        answer = front.ask()
    assert (answer.done, peer.connections) == (True, 2)
    assert front.attempts(answer) == [("u0", "complete")]


def test_clients_keep_their_connections(front: Front) -> None:
    """Streams, replies and refusals after one another go by one connection of the client's."""
    connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=DEADLINE_S)
    with Peer(stream_answer(EVENTS)) as peer:
        front.before(peer)
        first = front.ask(by=connection)
        sock = connection.sock
        refused = front.ask(by=connection, model="other")
        second = front.ask(by=connection)
        assert connection.sock is sock
    connection.close()
    assert (first.text, refused.status, second.text) == (WHOLE, 404, WHOLE)


def test_streams_at_once_keep_their_texts_apart(front: Front) -> None:
    """Of twenty clients each gets one whole answer, and no two the same."""
    words = [[f" {number}-{word}" for word in range(30)] for number in range(20)]
    each = [chat_events(*one, identity=f"chatcmpl-{number}") for number, one in enumerate(words)]
    with Peer(*map(stream_answer, each)) as peer, ThreadPoolExecutor(20) as pool:
        front.before(peer)
        answers = [*pool.map(lambda _: front.ask(), range(20))]
    assert sorted(one.text for one in answers) == sorted("".join(one) for one in words)
    assert all(len({chunk["id"] for chunk in one.chunks}) == 1 and one.done for one in answers)


def test_pipelined_requests_are_answered_in_order(front: Front) -> None:
    """Two requests in one packet get two whole streams, one after the other."""
    with (
        Peer(stream_answer(chat_events("one")), stream_answer(chat_events("two"))) as peer,
        socket.create_connection(("127.0.0.1", front.port), timeout=DEADLINE_S) as client,
    ):
        front.before(peer)
        raw = json.dumps(asked()).encode()
        head = f"POST {CHAT} HTTP/1.1\r\nHost: h\r\nContent-Length: {len(raw)}\r\n"
        last = head + "Connection: close\r\n"
        client.sendall(b"%b\r\n%b%b\r\n%b" % (head.encode(), raw, last.encode(), raw))
        got = b"".join(iter(lambda: client.recv(65536), b""))
    assert got.count(b"HTTP/1.1 200") == got.count(b"[DONE]") == got.count(b"0\r\n\r\n") == 2
    assert got.index(b"one") < got.index(b"[DONE]") < got.index(b"two")


def test_a_client_of_http_1_0(front: Front) -> None:
    """It gets a body without frames, which ends with the connection."""
    with (
        Peer(stream_answer(EVENTS)) as peer,
        socket.create_connection(("127.0.0.1", front.port), timeout=DEADLINE_S) as client,
    ):
        front.before(peer)
        raw = json.dumps(asked()).encode()
        head = f"POST {CHAT} HTTP/1.0\r\nContent-Length: {len(raw)}\r\n\r\n"
        client.sendall(head.encode() + raw)
        head_got, _, body = b"".join(iter(lambda: client.recv(65536), b"")).partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head_got.lower()
    said = [one for one in events(body) if one != "[DONE]"]
    assert events(body)[-1] == "[DONE]"
    assert "".join(one["choices"][0]["delta"].get("content", "") for one in said) == WHOLE


def test_heartbeats_while_an_upstream_thinks() -> None:
    """Silence before the content is filled with comments; the role chunk comes with content."""
    pause, events_ = Pause(), chat_events("Hi")
    with (
        fronted(heartbeat_s=0.03) as front,
        Peer(stream_answer([events_[0], pause, *events_[1:]])) as peer,
        socket.create_connection(("127.0.0.1", front.port), timeout=DEADLINE_S) as client,
    ):
        front.before(peer)
        raw = json.dumps(asked()).encode()
        client.sendall(
            b"POST %b HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b"
            % (CHAT.encode(), len(raw), raw)
        )
        got = b""
        while got.count(HEARTBEAT) < 2:
            got += client.recv(65536)
        assert b"data:" not in got
        pause.release()
        got += b"".join(iter(lambda: client.recv(65536), b""))
    assert HEARTBEAT + b"\n" not in got
    assert got.index(b"assistant") < got.index(b"Hi") < got.index(b"[DONE]")
