"""Whoever runs the gateway reads what an upstream did, and nothing that it said."""

from __future__ import annotations

import errno

import pytest

from deltaweir.client.answers import status_error, stream_error
from deltaweir.client.clocks import Deadlines, Timeouts
from deltaweir.errors import (
    ConnectionFailed,
    DeltaweirError,
    ServiceUnavailable,
    StreamFailed,
    StreamTruncated,
)
from deltaweir.gateway.log.upstreams import failure_line
from deltaweir.wire.http1 import Head

OK = Head(200, ())


def line(error: DeltaweirError, head: Head | None = None) -> str:
    """Return what is said of an upstream between its name and the ids."""
    said = failure_line("u", error, head, attempt=2, request_id="req_1")
    begin, end = "upstream u: ", " (attempt 2, req_1)"
    assert said.startswith(begin)
    assert said.endswith(end)
    return said.removeprefix(begin).removesuffix(end)


def connecting(error: OSError) -> ConnectionFailed:
    """Return the error of a connection that could not be made."""
    failed = ConnectionFailed(f"no connection to 127.0.0.1:1: {error.strerror}")
    failed.__cause__ = error
    return failed


def test_a_server_that_does_not_listen() -> None:
    """The likeliest reason is asked for; other faults of the network speak for themselves."""
    told = "no connection to 127.0.0.1:1: connection refused; is it running?"
    for words in ("Connection refused", "Connect call failed ('127.0.0.1', 1)"):
        refused = ConnectionRefusedError(errno.ECONNREFUSED, words)
        assert line(connecting(refused)) == told
    gone = OSError(errno.EHOSTUNREACH, "No route to host")
    assert line(connecting(gone)) == "no connection to 127.0.0.1:1: No route to host"


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (503, b'{"error":{"message":"4711"}}', "answered 503"),
        (500, b'{"error":{"message":"4711","code":"overloaded"}}', "answered 500 overloaded"),
        (500, b'{"error":{"message":"4711","code":"it was 4711"}}', "answered 500"),
        (401, b"{}", "answered 401; check the api_key"),
        (302, b"", "answered 302; redirections are not followed; change the base_url"),
    ],
)
def test_a_refusal_is_its_status(status: int, body: bytes, told: str) -> None:
    """A code is told where the upstream gave one that is a name, its words never."""
    head = Head(status, ())
    assert line(status_error(head, body), head) == told


@pytest.mark.parametrize(
    ("error", "head", "told"),
    [
        (
            Deadlines(Timeouts(headers=2.0), 0.0).error(),
            None,
            "no answer began within 2 s; raise the timeout 'headers' to wait longer",
        ),
        (
            Deadlines(Timeouts(headers=2.0), 0.0).error(),
            OK,
            "took too long; raise the timeout 'headers' to wait longer",
        ),
        (ServiceUnavailable("4711"), None, "not asked, since other requests found that it does "),
        (StreamFailed("4711"), None, "sent what is no HTTP answer"),
        (StreamTruncated("4711"), OK, "ended its answer too early"),
        (StreamFailed("4711"), OK, "sent an error, or what is no answer"),
        (
            stream_error({"error": {"message": "4711", "code": "full"}}, request_id=None),
            OK,
            "sent an error, full",
        ),
    ],
)
def test_what_has_no_status(error: DeltaweirError, head: Head | None, told: str) -> None:
    """Clocks, ends and nonsense are told in words, without a status that nobody sent."""
    said = line(error, head)
    assert said.startswith(told)
    assert "4711" not in said


@pytest.mark.parametrize(("theirs", "told"), [("req_9", ", its id req_9)"), ("a 4711", "req_1)")])
def test_an_upstreams_own_id(theirs: str, told: str) -> None:
    """It is told where it is a name, for whoever asks the provider about it."""
    error = StreamFailed("it broke", request_id=theirs)
    said = failure_line("u", error, OK, attempt=1, request_id="req_1")
    assert said.endswith(told)
    assert "4711" not in said
