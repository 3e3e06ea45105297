"""Clients hear what is wrong, and whoever runs the gateway what to do about it."""

from __future__ import annotations

import pytest

from deltaweir.client.answers import status_error
from deltaweir.client.clocks import Deadlines, Timeouts
from deltaweir.errors import DeltaweirError, StreamFailed
from deltaweir.gateway.log.hints import hint_of, plain, without_hint
from deltaweir.gateway.upstreams.asking import told
from deltaweir.wire.http1 import Head

REFUSED = b'{"error":{"message":"no (check the api_key)"}}'


def answered(status: int, location: str = "") -> DeltaweirError:
    """Return the error of an upstream that answered with a status."""
    headers = (("location", location),) if location else ()
    return status_error(Head(status, headers), REFUSED)


@pytest.mark.parametrize("status", [301, 401, 403, 404, 429])
def test_a_refusal_is_told_without_its_hint(status: int) -> None:
    """What the upstream said stays, also where it looks like a hint."""
    error = answered(status, "http://10.0.0.7/v1" if status < 400 else "")
    hint = hint_of(error.message)
    assert hint is not None
    shown = told(error, "u0")
    assert hint not in shown.message
    assert "10.0.0.7" not in shown.message
    assert str(shown) == shown.message


def test_a_clock_is_told_without_its_hint() -> None:
    """The client has no timeouts to raise; code and status are as they were."""
    error = Deadlines(Timeouts(headers=2.0), 0.0).error()
    assert hint_of(error.message) == "raise the timeout 'headers' to wait longer"
    shown = plain(error)
    assert (str(shown), shown.message) == ("no answer began within 2 s",) * 2
    assert (shown.status, shown.code) == (504, "stall_timeout")


def test_a_page_is_told_without_its_hint() -> None:
    """What came instead of a stream is told, not what to set."""
    message = "the server answered with text/html where an event stream was asked for"
    error = StreamFailed(f"{message}; check the base_url, or ask without stream")
    assert plain(error).message == message


@pytest.mark.parametrize(
    "message", ["got 9 bytes", "say (check the api_key) twice", "; raise the timeout 'A'"]
)
def test_other_words_are_no_hints(message: str) -> None:
    """Nothing is cut off that we did not write, and nothing of it is taken for ours."""
    assert hint_of(message) is None
    assert without_hint(message) == message
