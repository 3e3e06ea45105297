"""Each stream leaves one line, to read or to parse, that nothing in it can break."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deltaweir.endings import Ending, State
from deltaweir.gateway.log.streams import (
    LOGGER,
    LONGEST_FIELD,
    Kind,
    StreamLog,
    json_line,
    text_line,
)
from deltaweir.gateway.metrics.summary import Summary

AT = 1_795_996_984.25
ENDED = Summary(
    stream_id="stm_9f",
    request_id="req_ab12",
    model="gpt-4o-mini",
    upstream="openai",
    attempts=1,
    key_id="3f2a",
    user=None,
    endpoint="chat",
    streamed=True,
    ending="complete",
    status=200,
    stopped_by=None,
    finish_reason="stop",
    prompt_tokens=39,
    completion_tokens=24,
    cost_pico=1_200_000_000,
    source="provider",
    first_content_s=0.3125,
    total_s=1.92,
    added_s=0.0004,
    gaps=(1, 0, 3, 0),
    withheld_chars=0,
)
TEXTS = st.text(st.characters(categories=["L", "Z", "C", "P"]), max_size=200)


@pytest.fixture
def log() -> Iterator[Callable[[Kind], tuple[StreamLog, io.StringIO]]]:
    """Return a maker of logs and what they write, closed after the test."""
    logs = []

    def made(kind: Kind) -> tuple[StreamLog, io.StringIO]:
        written = io.StringIO()
        logs.append(StreamLog(kind, written))
        return logs[-1], written

    yield made
    for one in logs:
        one.close()


def clock(line: str) -> str:
    """Return a line without the time at its head, which depends on where it is written."""
    time, _, rest = line.partition(" ")
    assert re.fullmatch(r"\d\d:\d\d:\d\d", time)
    return rest


def test_a_line_to_read() -> None:
    """It says which model at which upstream, how it ended, and what that took."""
    assert clock(text_line(ENDED, AT)) == (
        "gpt-4o-mini openai complete 39+24 tok $0.0012 first 0.31s whole 1.92s req_ab12 key 3f2a"
    )


def test_a_line_tells_what_is_unusual() -> None:
    """An error's status, other endpoints, retries, withheld characters and users are told."""
    unusual = ENDED._replace(
        endpoint="text",
        ending="stalled",
        status=504,
        attempts=3,
        withheld_chars=12,
        first_content_s=None,
        prompt_tokens=None,
        cost_pico=None,
        key_id=None,
        user="ann",
    )
    failed = unusual._replace(code="stall_timeout")
    assert " openai stalled 504 stall_timeout ?+24 tok " in text_line(failed, AT)
    assert " openai failed overloaded 39+24 tok " in text_line(
        ENDED._replace(ending="failed", code="overloaded"), AT
    )
    assert json.loads(json_line(failed, AT))["code"] == "stall_timeout"
    assert clock(text_line(unusual, AT)) == (
        "text gpt-4o-mini openai stalled 504 ?+24 tok $? whole 1.92s attempts 3 withheld 12 "
        "req_ab12 user ann"
    )


@pytest.mark.parametrize(
    ("pico", "shown"),
    [
        (0, "$0"),
        (1, "$0.000000000001"),
        (24_500_000, "$0.000024"),
        (37_256_000_000, "$0.037"),
        (900_000_000_000, "$0.90"),
        (123_456_000_000_000, "$123.46"),
    ],
)
def test_money_has_two_digits_that_matter(pico: int, shown: str) -> None:
    """However small a cost is, it is not shown as nothing."""
    assert f" tok {shown} first" in text_line(ENDED._replace(cost_pico=pico), AT)


def test_a_line_to_parse() -> None:
    """It has each field under its name, with its unit, in one object."""
    fields = json.loads(json_line(ENDED, AT))
    assert fields.pop("time") == "2026-11-30T00:03:04.250+00:00"
    said = [fields.pop(name) for name in ("level", "logger", "message")]
    assert said == ["INFO", "deltaweir.stream", "stream"]
    kept = {name: value for name, value in ENDED._asdict().items() if name in fields}
    assert fields == {**kept, "cost_usd": 0.0012, "longest_gap_below_ms": 4}
    assert set(ENDED._fields) - set(kept) == {
        "asked_before",
        "cost_pico",
        "gaps",
        "guard_matches",
    }


def test_a_failed_stream_has_the_level_of_a_warning() -> None:
    """The object says what the record says."""
    assert json.loads(json_line(ENDED._replace(ending="stalled"), AT))["level"] == "WARNING"
    assert json.loads(json_line(ENDED._replace(ending="budget"), AT))["level"] == "INFO"


def test_seconds_have_six_digits() -> None:
    """What a clock says beyond microseconds is noise; what was not measured stays null."""
    measured = ENDED._replace(first_content_s=0.31249999999, total_s=1.9200000001, added_s=None)
    fields = json.loads(json_line(measured, AT))
    assert [fields[name] for name in ("first_content_s", "total_s", "added_s")] == [
        0.3125,
        1.92,
        None,
    ]


def test_what_is_unknown_is_null() -> None:
    """A cost that nobody knows is not zero; without gaps there is no longest."""
    fields = json.loads(json_line(ENDED._replace(cost_pico=None, gaps=(0, 0)), AT))
    assert fields["cost_usd"] is None
    assert fields["longest_gap_below_ms"] is None


@given(TEXTS, TEXTS, TEXTS)
@settings(max_examples=200, deadline=None)
def test_no_name_breaks_a_line(model: str, user: str, request_id: str) -> None:
    """Whatever clients call things, a line stays one line, and no name looks like two fields."""
    named = ENDED._replace(model=model, user=user, request_id=request_id)
    line = text_line(named, AT)
    assert len(line.splitlines()) == 1
    assert line.isprintable()
    if " " in model:
        assert json.dumps(model[:LONGEST_FIELD]) in line
    parsed = json_line(named, AT)
    assert parsed.isascii()
    assert len(parsed.splitlines()) == 1
    assert json.loads(parsed)["user"] == user[:LONGEST_FIELD]


@pytest.mark.parametrize("kind", ["text", "json"])
def test_a_stream_leaves_one_line(
    log: Callable[[Kind], tuple[StreamLog, io.StringIO]], kind: Kind
) -> None:
    """Exactly the line is written, also where a name has a percent sign."""
    one, written = log(kind)
    one.ended(ENDED._replace(model="50%s"))
    (line,) = written.getvalue().splitlines()
    assert "50%s" in line
    assert line.startswith("{") == (kind == "json")


def test_no_line_where_none_is_wanted(
    log: Callable[[Kind], tuple[StreamLog, io.StringIO]], caplog: pytest.LogCaptureFixture
) -> None:
    """Then nobody gets one."""
    one, written = log("none")
    one.ended(ENDED)
    assert written.getvalue() == ""
    assert caplog.records == []


@pytest.mark.parametrize("ending", [*(one.value for one in Ending), "first_content_timeout"])
def test_failures_are_warnings(
    log: Callable[[Kind], tuple[StreamLog, io.StringIO]],
    caplog: pytest.LogCaptureFixture,
    ending: str,
) -> None:
    """A stream that was whole or was cut is told at INFO, any other ending at WARNING."""
    log("text")[0].ended(ENDED._replace(ending=ending))
    (record,) = caplog.records
    well = {one.value for one in Ending if one.state is not State.FAILED}
    assert record.name == "deltaweir.stream"
    assert record.levelno == (logging.INFO if ending in well else logging.WARNING)


def test_a_level_is_kept(log: Callable[[Kind], tuple[StreamLog, io.StringIO]]) -> None:
    """Whoever wants warnings only sets the logger's level, as with any logger."""
    one, written = log("text")
    LOGGER.setLevel(logging.WARNING)
    try:
        again, more = log("text")
        for each in (one, again):
            each.ended(ENDED)
            each.ended(ENDED._replace(ending="failed"))
    finally:
        LOGGER.setLevel(logging.NOTSET)
    assert len(written.getvalue().splitlines()) == len(more.getvalue().splitlines()) == 1


def test_two_logs_do_not_mix(log: Callable[[Kind], tuple[StreamLog, io.StringIO]]) -> None:
    """Two gateways of one process share the logger, and each line goes to its own only."""
    (first, texts), (second, objects) = log("text"), log("json")
    first.ended(ENDED)
    second.ended(ENDED)
    first.close()
    first.close()
    first.ended(ENDED)
    assert clock(texts.getvalue()).startswith("gpt-4o-mini")
    assert json.loads(objects.getvalue())["model"] == "gpt-4o-mini"


def test_standard_error_where_nobody_configured_logging(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a stream lines go to standard error; with handlers of a host, to those alone."""
    StreamLog("text").ended(ENDED)  # pytest has handlers
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(LOGGER, "propagate", False)
    one = StreamLog("text")
    one.ended(ENDED)
    one.close()
    assert clock(capsys.readouterr().err).startswith("gpt-4o-mini openai complete")


def test_a_broken_log_breaks_no_stream(
    log: Callable[[Kind], tuple[StreamLog, io.StringIO]], capsys: pytest.CaptureFixture[str]
) -> None:
    """A stream that is closed, or a host's filter that raises, is none of a client's business."""
    one, written = log("text")
    written.close()
    one.ended(ENDED)

    def refuse(_record: logging.LogRecord) -> bool:
        raise RuntimeError("a filter of the host")

    LOGGER.addFilter(refuse)
    try:
        one.ended(ENDED)
    finally:
        LOGGER.removeFilter(refuse)
    assert "I/O operation on closed file" in capsys.readouterr().err
