"""The engine's own shapes: read leniently, and its failures given their names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaweir.errors import ContextLengthExceeded, InvalidRequest, StreamFailed
from deltaweir.sources.local.events import Failure, decode, error_of


def test_an_event_is_read_with_what_we_use_of_it() -> None:
    """Other fields are passed over."""
    event = decode(
        b'{"choices":[{"finish_reason":null,"index":0,"delta":{"content":"2"}}],"id":"x",'
        b'"timings":{"cache_n":0,"prompt_n":41,"prompt_ms":465.4,"predicted_n":1}}'
    )
    assert event is not None
    assert event.choices[0].delta is not None
    assert event.choices[0].delta.content == "2"
    assert event.timings is not None
    assert event.timings.predicted_n == 1


def test_null_is_a_sign_of_life() -> None:
    """The engine says it where a token made no text."""
    assert decode(b"null") is None


@pytest.mark.parametrize("raw", [b"", b"5", b"{", b'{"choices":5}', b'"\xff"', b"[" * 100_000])
def test_what_is_no_event_fails_the_stream(raw: bytes) -> None:
    """Nesting that exhausts the stack included; the bytes are not shown."""
    with pytest.raises(StreamFailed, match=f"got {len(raw)} bytes from the engine"):
        decode(raw)


@given(st.binary(max_size=40))
def test_garbage_ends_in_our_error_or_none(raw: bytes) -> None:
    """Never in another exception."""
    try:
        decode(raw)
    except StreamFailed:
        return


def test_a_prompt_too_long_has_both_numbers() -> None:
    """And the field that held it."""
    said = Failure(type="exceed_context_size_error", n_prompt_tokens=9000, n_ctx=4096)
    error = error_of(said, prompt="prompt")
    assert isinstance(error, ContextLengthExceeded)
    assert (error.prompt_tokens, error.context_tokens, error.param) == (9000, 4096, "prompt")
    assert "9000 tokens" in str(error)
    assert "holds 4096" in str(error)


def test_other_failures_are_the_callers_or_the_engines() -> None:
    """By the type that the engine gives them, and never longer than two lines."""
    refused = error_of(Failure(type="invalid_request_error", message="m" * 999), prompt="messages")
    assert isinstance(refused, InvalidRequest)
    assert len(str(refused)) < 240
    assert isinstance(error_of(Failure(type="server_error"), prompt="messages"), StreamFailed)
