"""What operators and clients are told, from end to end; to be put beside its neighbours."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
from tests.gateway.conftest import request, until
from tests.gateway.fronts import QUICK, Front, fronted, refusing

from deltaweir.gateway.log.streams import LOGGER, StreamLog
from deltaweir.testing import Pause, Peer, chat_events, error_event, stream_answer


@pytest.fixture(name="front")
def front_fixture(caplog: pytest.LogCaptureFixture) -> Iterator[Front]:
    """Return a gateway with a log."""
    caplog.set_level(logging.INFO, LOGGER.name)
    with fronted() as front:
        front.running.server.gateway._log = StreamLog("text")
        yield front


def lines(caplog: pytest.LogCaptureFixture, count: int) -> list[str]:
    """Wait for so many lines on streams and refusals, and return them."""
    until(lambda: sum(one.name == LOGGER.name for one in caplog.records) >= count)
    return [one.getMessage() for one in caplog.records if one.name == LOGGER.name]


def test_a_refused_request_has_a_line(front: Front, caplog: pytest.LogCaptureFixture) -> None:
    """With status, code, route, model and the answer's id."""
    answer = front.ask(model="nobody-has-it")
    assert answer.status == 404
    (line,) = lines(caplog, 1)
    assert line.partition(" ")[2] == (
        "refused 404 model_not_found /v1/chat/completions model nobody-has-it "
        + answer.headers["x-request-id"]
    )


def test_every_refused_request_has_its_answers_id(
    front: Front, caplog: pytest.LogCaptureFixture
) -> None:
    """Also of routes that answer no completions, and of those that are not there."""
    ids = []
    for path in ("/v1/models/nobody-has-it", "/v1/usage?since=never", "/v1/nowhere"):
        status, headers, _ = request(front.running, path, method="GET")
        assert status >= 400
        ids.append(headers["x-request-id"])
    assert [line.split()[-1] for line in lines(caplog, 3)] == ids


def test_a_failed_streams_line_has_its_code(front: Front, caplog: pytest.LogCaptureFixture) -> None:
    """It is the one that the client saw, before and after the first content."""
    late = [*chat_events("Hi")[:2], error_event("no", code="overloaded")]
    with Peer(stream_answer(late)) as peer:
        front.before(peer)
        seen = front.ask().events[-1]["error"]["code"]
    assert seen == "overloaded"
    assert " u0 failed overloaded " in lines(caplog, 1)[0]


def test_a_stream_with_a_tag_has_it_in_its_object(
    front: Front, caplog: pytest.LogCaptureFixture
) -> None:
    """As its row in the ledger has, beside the key and the user."""
    front.running.server.gateway._log = StreamLog("json")
    with Peer(stream_answer(chat_events("Hi"))) as peer:
        front.before(peer)
        answer = front.ask()
    assert json.loads(lines(caplog, 1)[0])["tag"] == answer.tag


def test_an_upstream_that_is_not_there_is_told_in_words(
    front: Front, caplog: pytest.LogCaptureFixture
) -> None:
    """Each attempt has a line with its number, and without a status that nobody sent."""
    front.before(refusing())
    request_id = front.ask().headers["x-request-id"]
    told = [one.getMessage() for one in caplog.records if one.name == "deltaweir.gateway"]
    assert [line.partition(": connection refused; ")[2] for line in told] == [
        f"is it running? (attempt {attempt}, {request_id})" for attempt in (1, 2, 3)
    ]


def test_a_stall_after_content_has_no_hint(front: Front) -> None:
    """A client has no timeouts to raise."""
    pause = Pause()
    with Peer([*stream_answer(chat_events("Hi")[:2], end=False), pause]) as peer:
        front.before(peer, quick=True)
        error = front.ask().events[-1]["error"]
        pause.release()
    assert error["code"] == "stall_timeout"
    assert "raise" not in error["message"]
    assert f"within {QUICK['stall']:g} s" in error["message"]
