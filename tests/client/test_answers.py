"""Every refusal becomes the error it stands for, and says when to try again."""

from __future__ import annotations

import datetime as dt
import json
import locale
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaweir import errors
from deltaweir.client.answers import (
    MAX_RETRY_AFTER_S,
    Refusal,
    parsed,
    pause_before_retry,
    refusal_of,
    status_error,
    stream_error,
    tells_error,
)
from deltaweir.schema.chunk import Chunk
from deltaweir.wire.http1 import Head

NOW = dt.datetime(2026, 11, 24, 12, 0, tzinfo=dt.UTC).timestamp()


def head(status: int, **headers: str) -> Head:
    """Return a head; underscores in a header's name stand for hyphens."""
    return Head(status, tuple((key.replace("_", "-"), value) for key, value in headers.items()))


def body(code: str | None = None, **more: Any) -> bytes:
    """Return an error body as OpenAI has it."""
    error = {"message": "why", "type": "some_error", "param": "model", "code": code, **more}
    return json.dumps({"error": error}).encode()


def pause(answer: Head | None, code: str | None = None, **more: Any) -> float | None:
    """Return the pause before the first retry, without chance."""
    return pause_before_retry(answer, code, **{"attempt": 0, "chance": 0.0, "now": NOW, **more})


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, None, errors.InvalidRequest),
        (400, "context_length_exceeded", errors.ContextLengthExceeded),
        (400, "content_filter", errors.GuardBlocked),
        (400, "budget_exceeded", errors.BudgetExceeded),
        (401, "invalid_api_key", errors.AuthenticationFailed),
        (401, "model_not_found", errors.AuthenticationFailed),
        (402, None, errors.APIStatusError),
        (403, "model_not_found", errors.PermissionDenied),
        (404, None, errors.NotFoundError),
        (404, "model_not_found", errors.ModelNotFound),
        (405, None, errors.APIStatusError),
        (408, None, errors.APIStatusError),
        (409, None, errors.APIStatusError),
        (413, None, errors.InvalidRequest),
        (413, "context_length_exceeded", errors.ContextLengthExceeded),
        (418, "no_such_code", errors.APIStatusError),
        (422, None, errors.InvalidRequest),
        (429, "insufficient_quota", errors.RateLimited),
        (429, "context_length_exceeded", errors.RateLimited),
        (500, None, errors.InternalServerError),
        (500, "model_not_found", errors.InternalServerError),
        (502, "upstream_failed", errors.InternalServerError),
        (503, None, errors.ServiceUnavailable),
        (529, None, errors.InternalServerError),
        (307, None, errors.APIStatusError),
    ],
)
def test_a_status_has_its_error(
    status: int, code: str | None, kind: type[errors.DeltaweirError]
) -> None:
    """Status and code choose the class; the server's fields and ids are kept."""
    error = status_error(head(status, x_request_id="req_1"), body(code))
    assert type(error) is kind
    assert (error.status, error.param, error.request_id) == (status, "model", "req_1")
    assert error.code == (code or kind.default_code)
    assert str(status) in error.message


@pytest.mark.parametrize(
    ("status", "words"),
    [(401, "api_key"), (403, "may not"), (404, "base_url"), (429, "wait"), (400, "why")],
)
def test_an_error_says_what_to_do(status: int, words: str) -> None:
    """The message has the server's words and the way out."""
    assert words in status_error(head(status), body()).message


def test_a_redirection_tells_where_but_no_secret() -> None:
    """A redirection is not followed; its target is named without query and credentials."""
    error = status_error(head(308, location="https://me:pw@other/v2?key=1#x"), b"")
    assert "a redirection to https://other/v2 (" in error.message
    assert "base_url" in error.message
    assert "nowhere" in status_error(head(302), b"").message


@pytest.mark.parametrize(
    ("value", "refusal"),
    [
        ({"error": {"message": "m", "type": "t", "param": "p", "code": "c"}}, ("m", "t", "p", "c")),
        ({"message": "m", "code": 40401}, ("m", None, None, "40401")),
        ({"error": "m"}, ("m", None, None, None)),
        ({"error": None, "message": "m"}, ("m", None, None, None)),
        ({"detail": "Not Found"}, ("Not Found", None, None, None)),
        ({"detail": [{"msg": "a"}, {"msg": 1}, 2, {"msg": "b"}]}, ("a; b", None, None, None)),
        ({"error": {"message": {"a": 1}, "code": 1.5}}, (None, None, None, None)),
        ("m", ("m", None, None, None)),
        ([], (None, None, None, None)),
        (None, (None, None, None, None)),
        ({}, (None, None, None, None)),
    ],
)
def test_errors_are_found_however_they_are_nested(value: Any, refusal: tuple[Any, ...]) -> None:
    """OpenAI's form, flat forms, bare texts and FastAPI's details are all read."""
    assert refusal_of(value) == Refusal(*refusal)


@pytest.mark.parametrize("said", [b"", b"<html>", b"\xff", b"[" * 100_000, b"null"])
def test_a_body_that_says_nothing_is_counted(said: bytes) -> None:
    """A body without a message, or one that no reader can take, is an error all the same."""
    error = status_error(head(500), said)
    assert f"a body of {len(said)} bytes" in error.message
    assert error.code == "server_error"


def test_what_is_too_deep_or_no_json_is_none() -> None:
    """JSON nested beyond reading is no crash."""
    assert parsed(b"[" * 100_000 + b"]" * 100_000) is None
    assert parsed(b'{"a": 1}') == {"a": 1}


def test_a_long_message_is_shortened() -> None:
    """The server's words are cut, so that a page of HTML does not fill a terminal."""
    assert len(status_error(head(400), body(message="x" * 9999)).message) < 600


def test_a_key_that_the_server_repeats_is_hidden() -> None:
    """No field of an error tells what `hide` takes out."""

    def hide(text: str) -> str:
        return text.replace("sk-1", "[key]")

    said = body("sk-1", message="bad sk-1", param="sk-1", type="sk-1")
    for error in (
        status_error(head(401), said, hide=hide),
        stream_error(json.loads(said), request_id=None, hide=hide),
    ):
        assert "sk-1" not in f"{error.message} {error.code} {error.param}"
        assert "[key]" in error.message


def test_a_spent_quota_is_known_by_its_type_too() -> None:
    """Where the code is missing, the type stands in for it."""
    assert status_error(head(429), body(type="insufficient_quota")).code == "insufficient_quota"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (None, errors.StreamFailed),
        ("server_error", errors.StreamFailed),
        ("upstream_truncated", errors.StreamTruncated),
        ("stall_timeout", errors.StallTimeout),
        ("content_filter", errors.GuardBlocked),
    ],
)
def test_an_error_event_has_its_error(code: str | None, kind: type[errors.DeltaweirError]) -> None:
    """The code chooses the class; the server's words and the request's id are kept."""
    error = stream_error(json.loads(body(code)), request_id="req_2")
    assert type(error) is kind
    assert error.request_id == "req_2"
    assert error.message == "the stream broke off: why"
    assert "did not say why" in stream_error(None, request_id=None).message


def test_records_that_are_errors_are_told_from_others() -> None:
    """An error is nested or flat; a null error is none."""
    told = ['{"error": {"message": "m"}}', '{"object": "error", "message": "m"}', '{"error": "x"}']
    for text in told:
        assert tells_error(Chunk.model_validate_json(text))
    for text in ("{}", '{"error": null}', '{"object": "chunk", "x": 1}'):
        assert not tells_error(Chunk.model_validate_json(text))


@pytest.mark.parametrize("status", [200, 204, 301, 400, 401, 403, 404, 418, 422])
def test_what_would_fail_again_is_not_sent_again(status: int) -> None:
    """Statuses that tell of the request itself are final."""
    assert pause(head(status)) is None


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 529])
def test_what_may_pass_is_sent_again(status: int) -> None:
    """Statuses that tell of the moment are tried again, after half a second at first."""
    assert pause(head(status)) == 0.5


def test_a_failed_connection_is_tried_again() -> None:
    """Without any answer the pause is ours."""
    assert pause(None) == 0.5


def test_the_server_has_the_last_word() -> None:
    """``x-should-retry`` overrules statuses and codes, both ways."""
    assert pause(head(500, x_should_retry="false")) is None
    assert pause(head(400, x_should_retry="true")) == 0.5
    assert pause(head(429, x_should_retry="maybe")) == 0.5
    assert pause(head(429), "insufficient_quota") is None
    assert pause(head(429, x_should_retry="true"), "insufficient_quota") == 0.5


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"retry_after": "7"}, 7.0),
        ({"retry_after": "0"}, 0.0),
        ({"retry_after": "0.25"}, 0.25),
        ({"retry_after_ms": "1500"}, 1.5),
        ({"retry_after_ms": "1500", "retry_after": "9"}, 1.5),
        ({"retry_after_ms": "soon", "retry_after": "9"}, 9.0),
        ({"retry_after": "Tue, 24 Nov 2026 12:00:30 GMT"}, 30.0),
        ({"retry_after": "Tue, 24 Nov 2026 11:59:00 GMT"}, 0.5),
        ({"retry_after": "Tue, 24 Nov 2026 13:00:00 GMT"}, 0.5),
        ({"retry_after": "Tue, 99 Nov 2026 12:00:30 GMT"}, 0.5),
        ({"retry_after": "Tue, 24 Abc 2026 12:00:30 GMT"}, 0.5),
        ({"retry_after": "tomorrow"}, 0.5),
        ({"retry_after": "-1"}, 0.5),
        ({"retry_after": "nan"}, 0.5),
        ({"retry_after": "inf"}, 0.5),
        ({"retry_after": "60"}, MAX_RETRY_AFTER_S),
        ({"retry_after": "61"}, 0.5),
    ],
)
def test_the_server_says_how_long(headers: dict[str, str], expected: float) -> None:
    """Seconds, milliseconds and dates are honoured up to a minute; all else is ours."""
    assert pause(head(429, **headers)) == pytest.approx(expected)


def test_dates_do_not_depend_on_the_language_of_the_process() -> None:
    """The names of months are English wherever the program runs."""
    before = locale.setlocale(locale.LC_TIME)
    try:
        for name in ("de_DE.UTF-8", "fr_FR.UTF-8", "C.UTF-8"):
            try:
                locale.setlocale(locale.LC_TIME, name)
            except locale.Error:
                continue
            assert pause(head(503, retry_after="Tue, 24 Nov 2026 12:00:09 GMT")) == 9
    finally:
        locale.setlocale(locale.LC_TIME, before)


@given(st.integers(0, 100_000), st.floats(0, 1))
def test_pauses_double_up_to_a_limit_less_a_quarter_by_chance(attempt: int, chance: float) -> None:
    """However often it was tried, a pause stays within its bounds."""
    found = pause(None, attempt=attempt, chance=chance)
    whole = min(0.5 * 2 ** min(attempt, 9), 8.0)
    assert found is not None
    assert 0.75 * whole <= found <= whole


@given(st.text(), st.text())
def test_any_header_gives_a_pause_within_bounds(after: str, milliseconds: str) -> None:
    """Whatever a server writes, the pause is one that a reader can wait."""
    found = pause(head(429, retry_after=after, retry_after_ms=milliseconds))
    assert found is not None
    assert 0 <= found <= MAX_RETRY_AFTER_S


@given(
    st.integers(300, 599),
    st.binary(max_size=100)
    | st.builds(
        json.dumps,
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner)
                | st.dictionaries(
                    st.sampled_from(["error", "message", "code", "type", "param", "detail", "msg"]),
                    inner,
                )
            ),
        ),
    ).map(str.encode),
)
def test_any_refusal_is_an_error_of_ours(status: int, said: bytes) -> None:
    """Whatever a server says with a status, one of our errors comes of it."""
    error = status_error(head(status), said)
    assert isinstance(error, errors.APIStatusError | errors.StreamFailed | errors.APIError)
    assert error.status == status
