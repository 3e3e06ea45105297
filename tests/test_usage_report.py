"""A report adds up exactly, and says what it does not know."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaweir.errors import InvalidRequest
from deltaweir.usage_report import (
    GROUPS,
    Line,
    day_of,
    grouping,
    hour_of,
    minute_of,
    moment_of,
    report,
    total,
)

LINES = st.lists(
    st.builds(
        Line,
        streams=st.integers(0, 10**9),
        prompt_tokens=st.integers(0, 10**15),
        completion_tokens=st.integers(0, 10**15),
        cost_pico=st.none() | st.integers(0, 10**24),
        unpriced=st.integers(0, 10**9),
    )
)


@given(lines=LINES, where=st.integers(0, 20))
def test_a_total_of_totals_is_the_total(lines: list[Line], where: int) -> None:
    """Lines add up to the same sum, to the picodollar, however they are put together."""
    parts = total(lines[:where]), total(lines[where:])
    assert total(parts) == total(lines)


def test_an_unknown_cost_is_not_zero() -> None:
    """The sum of no known cost is unknown, and known costs are summed beside unknown ones."""
    unknown = Line(streams=1, unpriced=1)
    assert total([]).cost_usd is None
    assert total([unknown, unknown]).cost_usd is None
    assert total([unknown, Line(streams=1, cost_pico=0)]).cost_usd == 0
    assert total([unknown, Line(streams=1, cost_pico=2_500_000)]).cost_usd == 0.0000025
    assert total([unknown, Line(streams=1, cost_pico=1)]).unpriced == 1


def test_a_report_has_the_shape_of_the_api() -> None:
    """A report has a line's groups and figures, and a total without groups."""
    figures = {
        "streams": 2,
        "prompt_tokens": 7,
        "completion_tokens": 9,
        "cost_usd": 0.5,
        "unpriced": 1,
        "failed": 1,
    }
    line = Line(
        day="2026-11-24",
        model="m",
        key="k",
        user="u",
        tag=None,
        streams=2,
        prompt_tokens=7,
        completion_tokens=9,
        cost_pico=500_000_000_000,
        unpriced=1,
        failed=1,
    )
    named = {"day": "2026-11-24", "model": "m", "key": "k", "user": "u"}
    groups = dict.fromkeys(GROUPS) | named
    assert json.loads(json.dumps(report([line]))) == {"data": [groups | figures], "total": figures}
    assert list(report([line])["data"][0]) == [*GROUPS, *figures]


def test_a_report_names_keys_that_are_known() -> None:
    """With names given each line has one, which is null for no key and for one not known."""
    lines = [Line(key="k"), Line(key="other"), Line()]
    names = [line["key_name"] for line in report(lines, {"k": "alice"})["data"]]
    assert names == ["alice", None, None]
    assert "key_name" not in report(lines)["total"]


def test_a_report_of_nothing_is_empty() -> None:
    """Without lines there is no data, and a total of nothing."""
    nothing = {
        "streams": 0,
        "prompt_tokens": 0,
        "completion_tokens": 0,
        "cost_usd": None,
        "unpriced": 0,
        "failed": 0,
    }
    assert report([]) == {"data": [], "total": nothing}


def test_groups_have_one_order() -> None:
    """Groups come in the order of a line's fields, each once, in whatever order they are named."""
    assert grouping(["tag", "day", "tag", "key"]) == ("day", "key", "tag")
    assert grouping(["upstream", "model", "hour"]) == ("hour", "model", "upstream")
    assert grouping([]) == ()


def test_an_unknown_group_is_refused() -> None:
    """The error names the group and those that are known."""
    known = "day, hour, minute, model, upstream, key, user, tag"
    with pytest.raises(InvalidRequest, match=rf"'week'.*{known}") as refused:
        grouping(["day", "week"])
    assert refused.value.param == "group_by"


def test_a_day_is_one_of_utc() -> None:
    """A day begins and ends at midnight in UTC, to the last fraction of a second."""
    midnight = 1_795_478_400.0
    assert day_of(midnight) == "2026-11-24"
    assert day_of(midnight - 0.0001) == "2026-11-23"


def test_an_hour_is_one_of_utc() -> None:
    """So with an hour, which has two digits."""
    midnight = 1_795_478_400.0
    assert hour_of(midnight) == "2026-11-24T00"
    assert hour_of(midnight - 0.0001) == "2026-11-23T23"
    assert hour_of(midnight + 13 * 3600 + 1) == "2026-11-24T13"
    assert minute_of(midnight - 0.0001) == "2026-11-23T23:59"
    assert minute_of(midnight + 13 * 3600 + 301) == "2026-11-24T13:05"


NOW = 1_795_000_030.5
"""2026-11-18 11:07:10 UTC."""


@pytest.mark.parametrize(
    ("text", "begin"),
    [
        ("0d", "2026-11-18T00:00"),
        ("7d", "2026-11-11T00:00"),
        ("1w", "2026-11-11T00:00"),
        ("12h", "2026-11-17T23:00"),
        ("90m", "2026-11-18T09:37"),
        ("2026-11-11", "2026-11-11T00:00"),
    ],
)
def test_how_long_ago(text: str, begin: str) -> None:
    """It begins with a whole day, hour or minute; a date is a date all the same."""
    moment = moment_of(text, param="since", now=NOW)
    assert moment is not None
    assert minute_of(moment) == begin
    assert moment % 60 == 0


@pytest.mark.parametrize("text", ["7 d", "d", "-7d", "7y", "yesterday"])
def test_what_is_no_time(text: str) -> None:
    """It is refused with what would be one; without a clock there is no time ago."""
    with pytest.raises(InvalidRequest, match="a time ago such as 7d or 12h"):
        moment_of(text, param="since", now=NOW)
    with pytest.raises(InvalidRequest, match="such as 2026-11-24, or seconds"):
        moment_of("7d", param="since")
