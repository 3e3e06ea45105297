"""A request that is refused leaves a line, without a key, a path of its own or a flood."""

from __future__ import annotations

import io
import json
import logging

import pytest
from tests.gateway.conftest import request
from tests.gateway.fronts import fronted

from deltaweir.errors import AuthenticationFailed, InvalidRequest, RateLimited, StreamFailed
from deltaweir.gateway.log.refusals import (
    KEY,
    MODEL,
    MOST_LINES,
    Flood,
    code_of,
    refusal_of,
    route_of,
)
from deltaweir.gateway.log.streams import (
    LOGGER,
    StreamLog,
    json_left_out_line,
    json_refusal_line,
    left_out_line,
    refusal_line,
)

AT = 1_795_996_984.25
PASSED = ["/v1/embeddings", "/v1/audio/*"]


def scope(path: str, **known: str) -> dict[str, object]:
    """Return a request's scope."""
    return {"path": path, "headers": [(b"authorization", b"Bearer dw-secret")], **known}


REFUSED = refusal_of(
    scope("/v1/chat/completions", **{KEY: "3f2a", MODEL: "gpt 4o"}),
    RateLimited("too many"),
    request_id="req_ab12",
    passed=PASSED,
)


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/v1/chat/completions", "/v1/chat/completions"),
        ("/metrics", "/metrics"),
        ("/v1/models/dw-secret", "/v1/models/*"),
        ("/v1/embeddings", "/v1/embeddings"),
        ("/v1/audio/dw-secret", "/v1/audio/*"),
        ("/v1/embeddings/dw-secret", "other"),
        ("/dw-secret", "other"),
    ],
)
def test_a_route_is_one_of_the_servers(path: str, route: str) -> None:
    """A client's own path may hold anything, so it is not told."""
    assert route_of(path, PASSED) == route


def test_a_line_to_read() -> None:
    """It says what was refused, why, and to whom."""
    assert refusal_line(REFUSED, AT).partition(" ")[2] == (
        'refused 429 rate_limit_exceeded /v1/chat/completions model "gpt 4o" req_ab12 key 3f2a'
    )
    unknown = refusal_of(scope("/x"), AuthenticationFailed("no"), request_id=None, passed=[])
    assert refusal_line(unknown, AT).partition(" ")[2] == "refused 401 invalid_api_key other"


def test_a_line_to_parse() -> None:
    """It has the same as one object; what is not known is null."""
    assert json.loads(json_refusal_line(REFUSED._replace(key_id=None), AT)) == {
        "time": "2026-11-30T00:03:04.250+00:00",
        "level": "INFO",
        "logger": "deltaweir.stream",
        "message": "refused",
        "request_id": "req_ab12",
        "route": "/v1/chat/completions",
        "model": "gpt 4o",
        "key_id": None,
        "status": 429,
        "code": "rate_limit_exceeded",
    }


def test_what_was_left_out_is_told_by_status() -> None:
    """Both kinds of lines say how many and which."""
    left_out = {401: 900, 429: 30}
    said = left_out_line(left_out, AT).partition(" ")[2]
    assert said == "refused 930 more: 900 with 401, 30 with 429"
    told = json.loads(json_left_out_line(left_out, AT))
    assert (told["message"], told["left_out"]) == ("refused more", 930)
    assert told["by_status"] == {"401": 900, "429": 30}


def test_a_code_that_is_no_name_is_not_told() -> None:
    """An upstream may say anything there."""
    assert code_of(None) is None
    assert code_of(InvalidRequest("x")) == "invalid_request"
    assert code_of(StreamFailed("x", code="tell me a secret")) == "-"


def test_a_flood_is_counted() -> None:
    """Of each second a few lines are written; the others are told once it is over."""
    flood = Flood(2)
    assert [flood.admits(401, 5.0) for _ in range(3)] == [True, True, False]
    assert not flood.admits(429, 5.9)
    assert flood.left_out(5.9) == {}
    assert flood.left_out(6.0) == {401: 1, 429: 1}
    assert flood.left_out(9.0) == {}
    assert flood.admits(401, 6.0)


def test_a_log_is_not_flooded() -> None:
    """However many are refused at once, a few lines and their number are written."""
    written = io.StringIO()
    log = StreamLog("text", written)
    for _ in range(1000):
        log.refused(REFUSED)
    log.close()
    *lines, last = written.getvalue().splitlines()
    assert MOST_LINES <= len(lines) <= 2 * MOST_LINES + 1  # the clock may have moved on once
    assert "more: " in last


def test_no_log_has_no_lines(caplog: pytest.LogCaptureFixture) -> None:
    """The switch of the streams' lines is that of these too."""
    caplog.set_level(logging.INFO, LOGGER.name)
    log = StreamLog("none")
    log.refused(REFUSED)
    log.close()
    assert not caplog.records


def test_requests_that_are_refused_have_lines(caplog: pytest.LogCaptureFixture) -> None:
    """Those about the server, those that are passed on, and those of which there are no routes."""
    caplog.set_level(logging.INFO, LOGGER.name)
    with fronted(passthrough=("/v1/files/*",)) as front:
        front.running.server.gateway._log = StreamLog("text")
        ids = []
        for path, method in (
            ("/v1/models/nobody-has-it", "GET"),
            ("/nowhere/dw-secret", "GET"),
            ("/v1/files/1", "TRACE"),
        ):
            status, headers, _ = request(front.running, path, method=method)
            ids.append(headers["x-request-id"])
        shown = front.get("/metrics")
    assert status == 405
    assert b'deltaweir_responses_total{endpoint="passthrough",status="405"} 1.0' in shown
    assert [one.getMessage().partition(" ")[2] for one in caplog.records] == [
        f"refused 404 model_not_found /v1/models/* {ids[0]}",
        f"refused 404 not_found other {ids[1]}",
        f"refused 405 not_allowed /v1/files/* {ids[2]}",
    ]
