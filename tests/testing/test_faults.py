"""Faults as objects: a scripted server does exactly what its script says."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from deltaweir.testing.faults import (
    Drop,
    HalfClose,
    NeverRead,
    Pause,
    Reset,
    Step,
    Trickle,
    Tunnel,
    chat_events,
    crlf,
    error_answer,
    error_event,
    json_answer,
    stream_answer,
)
from deltaweir.testing.peer import Peer
from deltaweir.testing.ports import Unreachable, unused_port

ASK = b"POST /v1/x HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab"


@contextmanager
def connected(peer: Peer) -> Iterator[socket.socket]:
    """Connect to a peer."""
    with socket.create_connection(("127.0.0.1", peer.port), 5) as sock:
        yield sock


def rest(sock: socket.socket) -> bytes:
    """Read up to the end."""
    found = b""
    while data := sock.recv(4096):
        found += data
    return found


def test_a_stream_has_openais_order() -> None:
    """Role, contents, finish, usage and [DONE] follow each other, each as one event."""
    base = b'data: {"id":"i","object":"chat.completion.chunk","created":1,"model":"m","choices":'
    bodies = [
        b'[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]',
        b'[{"index":0,"delta":{"content":"a"},"finish_reason":null}]',
        b'[{"index":0,"delta":{},"finish_reason":"stop"}]',
        b'[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}',
    ]
    assert chat_events("a", usage=(1, 2), model="m", identity="i") == [
        *[b"%b%b}\n\n" % (base, body) for body in bodies],
        b"data: [DONE]\n\n",
    ]
    assert len(chat_events("a", finish=None, done=False)) == 2


def test_events_can_be_bent() -> None:
    """Errors are nested or flat, and lines may end in CRLF; other steps stay."""
    assert error_event("m", code="c") == (
        b'data: {"error":{"message":"m","type":"server_error","param":null,"code":"c"}}\n\n'
    )
    assert error_event("m", flat=True).startswith(b'event: error\ndata: {"message":"m"')
    assert crlf([b"a\n\n", Drop()]) == [b"a\r\n\r\n", Drop()]


def test_answers_are_framed_as_asked() -> None:
    """Each framing says in the head how the body ends, and ends it so."""
    events: list[Step] = [b"ab", Drop(), Trickle(b"c")]
    head = b"HTTP/1.1 201 Scripted\r\ncontent-type: text/event-stream; charset=utf-8\r\nx: 1\r\n"
    assert stream_answer(events, status=201, headers={"x": "1"}) == [
        head + b"transfer-encoding: chunked\r\n\r\n",
        b"2\r\nab\r\n",
        Drop(),
        Trickle(b"1\r\nc\r\n"),
        b"0\r\n\r\n",
    ]
    length = stream_answer(events, status=201, headers={"x": "1"}, framing="length")
    assert length[0] == head + b"content-length: 3\r\n\r\n"
    assert length[1:4] == events
    close = stream_answer(events, status=201, headers={"x": "1"}, framing="close")
    assert close[0] == head + b"connection: close\r\n\r\n"
    assert close[-1] == Drop()
    assert stream_answer([b"a"], end=False)[-1] == b"1\r\na\r\n"


def test_json_and_errors_are_answers() -> None:
    """A body of JSON has its length, and an error the form of OpenAI's."""
    (head, body, _) = json_answer({"a": 1}, headers={"x": "1"})
    assert head == (
        b"HTTP/1.1 200 Scripted\r\ncontent-type: application/json\r\nx: 1\r\n"
        b"content-length: 7\r\n\r\n"
    )
    assert body == b'{"a":1}'
    assert error_answer(429, "m", code="c", param="p")[1] == (
        b'{"error":{"message":"m","type":"some_error","param":"p","code":"c"}}'
    )


def test_requests_are_kept_and_connections_counted() -> None:
    """The peer records what came by which connection; the last answer is given again."""
    with Peer([b"1"], [b"2"]) as peer:
        with connected(peer) as first, connected(peer) as second:
            for sock, expected in ((first, b"1"), (second, b"2"), (first, b"2")):
                sock.sendall(ASK[:30])
                sock.sendall(ASK[30:])
                assert sock.recv(9) == expected
        assert peer.wait_requests(3)
        assert peer.wait_gone(0)
        assert peer.wait_gone(1)
    assert peer.connections == 2
    assert sorted(request.connection for request in peer.requests) == [0, 0, 1]
    request = peer.requests[0]
    assert (request.method, request.target, request.body) == ("POST", "/v1/x", b"ab")
    assert request.headers == {"host": "h", "content-length": "2"}
    assert request.raw == ASK
    assert peer.sent_bytes == 3


def test_requests_may_come_together() -> None:
    """Two requests in one write get two answers."""
    with Peer([b"1"], [b"2", Drop()]) as peer, connected(peer) as sock:
        sock.sendall(ASK + ASK)
        assert rest(sock) == b"12"


def test_a_pause_lasts_until_it_is_released() -> None:
    """The test tells the server when to go on, and hears when it waits."""
    hold = Pause()
    with Peer([b"1", hold, b"2", Drop()]) as peer, connected(peer) as sock:
        sock.sendall(ASK)
        assert hold.reached.wait(5)
        assert sock.recv(9) == b"1"
        hold.release()
        assert rest(sock) == b"2"


def test_a_pause_ends_with_the_other_side_or_the_peer() -> None:
    """A peer in a pause sees a close at once, and can itself be ended."""
    with Peer([Pause()]) as peer:
        with connected(peer) as sock:
            sock.sendall(ASK)
            assert peer.wait_requests(1)
            assert not peer.wait_gone(timeout_s=0)
        assert peer.wait_gone(timeout_s=4)
        with connected(peer) as kept:
            kept.sendall(ASK)
            assert peer.wait_requests(2)
            began = time.monotonic()
            peer.__exit__(None, None, None)
            assert time.monotonic() - began < 4
            assert rest(kept) == b""


def test_connections_end_as_the_script_says() -> None:
    """Drop is an end, Reset an error, HalfClose an end that still listens."""
    with Peer([b"1", Drop()], [b"1", Reset()], [b"1", HalfClose()]) as peer:
        with connected(peer) as sock:
            sock.sendall(ASK)
            assert rest(sock) == b"1"
        with connected(peer) as sock:
            sock.sendall(ASK)
            with pytest.raises(ConnectionResetError):
                rest(sock)
        with connected(peer) as sock:
            sock.sendall(ASK)
            assert rest(sock) == b"1"
            assert not peer.wait_gone(2, timeout_s=0.02)
        assert peer.wait_gone(2)


def test_a_peer_that_never_reads_leaves_bytes_where_they_are() -> None:
    """Nothing is read, not even when the connection is closed; steps behind it are done."""
    with Peer([NeverRead(), b"early"]) as peer:
        with connected(peer) as sock:
            assert sock.recv(9) == b"early"
            sock.sendall(ASK)
        assert peer.wait_gone()
        assert peer.requests == []


def test_a_trickle_sends_every_byte() -> None:
    """Single bytes add up to the whole."""
    with Peer([Trickle(b"abc"), Drop()]) as peer, connected(peer) as sock:
        sock.sendall(ASK)
        assert rest(sock) == b"abc"


def test_a_peer_waits_for_slow_readers_and_counts() -> None:
    """What nobody takes is not sent; the peer can be ended in the middle."""
    with Peer([b"x" * 50_000_000]) as peer, connected(peer) as sock:
        sock.sendall(ASK)
        assert sock.recv(1) == b"x"
        before = -1
        while peer.sent_bytes != before:
            before = peer.sent_bytes
            time.sleep(0.05)
        assert 0 < before < 50_000_000


def test_a_tunnel_passes_bytes_both_ways() -> None:
    """CONNECT makes the peer a proxy, until either side leaves."""
    with Peer([b"1", Drop()]) as far, Peer([Tunnel()]) as proxy, connected(proxy) as sock:
        sock.sendall(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\n\r\n" % far.port)
        assert sock.recv(99).startswith(b"HTTP/1.1 200")
        sock.sendall(ASK)
        assert rest(sock) == b"1"
        assert proxy.wait_gone()
    assert far.requests[0].raw == ASK


def test_waiting_has_an_end() -> None:
    """What never happens is told in time."""
    with Peer([b"1"]) as peer:
        assert not peer.wait_gone(timeout_s=0.01)
        assert not peer.wait_requests(1, timeout_s=0.01)


def test_addresses_are_ready_to_be_used() -> None:
    """IPv6 stands in brackets."""
    with Peer([b"1"], host="::1") as peer:
        assert peer.base_url == f"http://[::1]:{peer.port}/v1"


def test_ports_give_no_connection() -> None:
    """One refuses, the other never answers."""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", unused_port()), 1)
    with Unreachable() as nowhere, pytest.raises(TimeoutError):
        socket.create_connection(("127.0.0.1", nowhere.port), 0.1)
