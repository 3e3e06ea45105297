"""A snapshot says what metrics and streams say, bucket by bucket, and nothing for unknown."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.gateway.dashboard.test_live import NOW, stream
from tests.gateway.metrics.test_metrics import ENDED, SUMMARIES

from deltaweir.accounts import PICODOLLARS
from deltaweir.gateway.dashboard.dashboard import (
    MOST_SHOWN,
    Reading,
    Snapshot,
    counted,
    snapshot,
)
from deltaweir.gateway.dashboard.live import Live, Rates
from deltaweir.gateway.metrics.metrics import Metrics
from deltaweir.gateway.metrics.summary import Summary
from deltaweir.gateway.upstreams.state import UpstreamState

NOBODY = counted({})


def reading(*live: Live, **more: Any) -> Reading:
    """Return what was found at one moment."""
    told: dict[str, Any] = {"gateways": 1, "hidden": 0, "sums": NOBODY, "upstreams": ()}
    return Reading(now=NOW, live=live, **(told | more))


def shown(one: Snapshot) -> Any:
    """Return a snapshot as a page reads it."""
    return msgspec.json.decode(msgspec.json.encode(one))


def summed(*summaries: Summary) -> Metrics:
    """Return metrics that have seen streams."""
    metrics = Metrics()
    for summary in summaries:
        metrics.ended(summary)
    return metrics


def test_nothing_is_shown_of_nothing() -> None:
    """What is not known is null, what was counted is zero."""
    found = shown(snapshot(reading(), Rates()))
    assert found["now_rates"] == dict.fromkeys(("tokens_per_s", "streams_per_s", "usd_per_hour"))
    assert found["totals"] == {
        "streams": 0,
        "prompt_tokens": 0,
        "completion_tokens": 0,
        "cost_usd": None,
        "unpriced": 0,
    }
    assert (found["streams"], found["streams_total"], found["workers"]) == ([], 0, 1)
    assert (found["endings"], found["guard_rules"], found["upstreams"]) == ({}, {}, [])
    assert set(found["gaps"]["counts"]) == {0}


def test_a_stream_has_all_that_is_known_of_it() -> None:
    """Its figures in their units, and null for each that is not known."""
    known = stream(
        "stm_1",
        60,
        started=NOW - 5,
        upstream="openai",
        key_id="k",
        key_name="alice",
        user="u",
        tag="t",
        prompt_tokens=12,
        cost_pico=PICODOLLARS // 1000,
        first_token_s=2.0,
        readers=2,
    )
    unknown = stream("stm_2", None, started=NOW - 9, state="waiting", stoppable=False, here=False)
    found = shown(snapshot(reading(unknown, known), Rates()))["streams"]
    assert found[0] == {
        "id": "stm_1",
        "model": "m",
        "upstream": "openai",
        "key": "k",
        "key_name": "alice",
        "user": "u",
        "tag": "t",
        "started": NOW - 5,
        "state": "streaming",
        "prompt_tokens": 12,
        "completion_tokens": 60,
        "cost_usd": 0.001,
        "tokens_per_s": 20.0,
        "first_token_s": 2.0,
        "readers": 2,
        "here": True,
        "stoppable": True,
    }
    told = {"id", "model", "started", "state", "here", "stoppable"}
    assert {name for name, value in found[1].items() if value is not None} == told
    assert (found[1]["here"], found[1]["stoppable"]) == (False, False)


def test_the_newest_are_shown_and_all_are_counted() -> None:
    """Not more than a page can show; the total has the others, also those the ledger left out."""
    live = [stream(str(number), started=NOW - number) for number in range(MOST_SHOWN + 20)]
    found = shown(snapshot(reading(*reversed(live), hidden=7), Rates()))
    assert [one["id"] for one in found["streams"]] == [str(number) for number in range(MOST_SHOWN)]
    assert found["streams_total"] == MOST_SHOWN + 27


def test_sums_are_those_of_the_metrics() -> None:
    """Totals, endings, guards' finds and times, whatever the model and the upstream."""
    cut = ENDED._replace(
        ending="blocked",
        upstream="azure",
        guard_matches=(("email", "block"), ("email", "redact"), ("iban", "flag")),
        cost_pico=None,
        first_content_s=1000.0,
    )
    sums = counted(summed(ENDED, ENDED, cut).sums())
    assert sums.totals.streams == 3
    assert (sums.totals.prompt_tokens, sums.totals.completion_tokens) == (3 * 39, 3 * 24)
    assert (sums.totals.cost_usd, sums.totals.unpriced) == (0.0024, 1)
    assert sums.endings == {"complete": 2, "blocked": 1}
    assert sums.guard_rules == {"email": 2, "iban": 1}
    assert sums.requests == {"openai": 2, "azure": 1}
    first = dict(zip(sums.first_token.le, sums.first_token.counts, strict=True))
    assert (first[0.25], first[None]) == (2, 1)
    gaps = dict(zip(sums.gaps.le, sums.gaps.counts, strict=True))
    assert (gaps[0.001], gaps[0.002], gaps[0.004]) == (3, 0, 9)


def test_each_upstream_has_what_it_was_asked() -> None:
    """Whoever took over has not the requests of those that failed."""
    failed_over = ENDED._replace(attempts=3, asked_before=("azure", "azure"))
    sums = counted(summed(ENDED, failed_over).sums())
    assert sums.requests == {"azure": 2, "openai": 2}


def test_sums_count_since_the_first_worker_began(tmp_path: Path) -> None:
    """Though it has died: what it counted is in them."""
    before = time.time()
    first = Metrics(tmp_path)
    first.ended(ENDED)
    began = time.time()
    first.close()
    time.sleep(0.005)
    found = shown(snapshot(reading(sums=counted(Metrics(tmp_path).sums())), Rates()))
    assert (found["totals"]["streams"], found["workers"]) == (1, 1)
    assert before - 0.001 <= found["since"] <= began + 0.001


def test_what_is_passed_on_is_no_stream() -> None:
    """A relayed body has no tokens, and the ledger does not know it either."""
    relayed = ENDED._replace(endpoint="passthrough", first_content_s=None, completion_tokens=None)
    sums = counted(summed(relayed, ENDED).sums())
    assert (sums.totals.streams, sums.endings) == (1, {"complete": 1})


def test_an_upstream_has_what_all_workers_count() -> None:
    """Connections, requests and failures are of all, the state is of this process."""
    metrics = summed(ENDED)
    metrics.watch_pools(lambda: [("openai", 4, 9)])
    metrics.watch_failures(lambda: [("openai", 2)])
    metrics.publish()
    down = UpstreamState(
        name="openai", state="down", active=1, last_failure="timeout", retry_at=NOW + 5
    )
    idle = UpstreamState(name="azure", state="up", active=0)
    sums = counted(metrics.sums())
    found = snapshot(reading(sums=sums, upstreams=[down, idle]), Rates()).upstreams
    assert found == [msgspec.structs.replace(down, active=4, requests=1, failures=2), idle]


@given(summaries=st.lists(SUMMARIES, max_size=4))
@settings(max_examples=50, deadline=None)
def test_every_stream_is_in_each_sum_once(summaries: list[Summary]) -> None:
    """Whatever ends, buckets, endings and totals come to the number of streams."""
    sums = counted(summed(*summaries).sums())
    streams = [one for one in summaries if one.endpoint != "passthrough"]
    assert sums.totals.streams == sum(sums.endings.values()) == len(streams)
    timed = [one for one in summaries if one.first_content_s is not None]
    assert sum(sums.first_token.counts) == len(timed)
    assert sum(sums.gaps.counts) == sum(sum(one.gaps) for one in summaries)
    assert len(sums.gaps.le) == len(sums.gaps.counts)
    costs = [one.cost_pico for one in summaries if one.cost_pico is not None]
    assert sums.ended.cost_pico == (sum(costs) if costs else None)
