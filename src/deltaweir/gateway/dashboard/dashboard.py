"""One snapshot of a gateway for those who run it: what the dashboard shows. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from deltaweir.accounts import PICODOLLARS
from deltaweir.gateway.dashboard.live import Ended, Live, Pace, Rates
from deltaweir.gateway.metrics.families import FAMILIES, MILLI, SINCE
from deltaweir.gateway.upstreams.state import UpstreamState

Sums = Mapping[str, Mapping[tuple[str, ...], Sequence[int]]]
"""What `deltaweir.gateway.metrics.metrics.Metrics.sums` returns: cells by metric and labels."""

MOST_SHOWN = 500
"""Streams that a snapshot shows, the newest."""
_DIGITS = 9


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One stream as it is shown; see `deltaweir.gateway.dashboard.live.Live`."""

    id: str
    model: str
    upstream: str | None
    key: str | None
    key_name: str | None
    user: str | None
    tag: str | None
    started: float
    state: str
    prompt_tokens: int | None
    completion_tokens: int | None
    cost_usd: float | None
    tokens_per_s: float | None
    first_token_s: float | None
    readers: int | None
    here: bool
    stoppable: bool


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """What all streams come to that have ended.

    Attributes:
        streams: How many.
        prompt_tokens: Tokens of their prompts, as far as known.
        completion_tokens: What they generated, as far as known.
        cost_usd: What those with a known cost cost; None where no cost is known.
        unpriced: How many used tokens and have no known cost, so that the cost is not whole.
    """

    streams: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float | None
    unpriced: int


class Histogram(msgspec.Struct, frozen=True, kw_only=True):
    """How often a time fell into each bucket.

    Attributes:
        le: The buckets' upper bounds in seconds; None for the last, which has none.
        counts: How often, bucket by bucket.
    """

    le: tuple[float | None, ...]
    counts: tuple[int, ...]


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """What the metrics of all workers say, as a dashboard shows it."""

    workers: int
    since: float
    ended: Ended
    totals: Totals
    first_token: Histogram
    gaps: Histogram
    endings: dict[str, int]
    guard_rules: dict[str, int]
    requests: dict[str, int]
    failures: dict[str, int]
    active: dict[str, int]


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What was found at one moment.

    Attributes:
        now: When, in seconds since 1970.
        gateways: Processes whose streams are among those that run.
        live: The streams that run.
        hidden: How many more run than are known here.
        sums: What the metrics of all workers say.
        upstreams: How upstreams fare, as far as this process knows.
    """

    now: float
    gateways: int
    live: Sequence[Live]
    hidden: int
    sums: Counted
    upstreams: Sequence[UpstreamState]


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What the dashboard shows at one moment.

    Attributes:
        now: When, in seconds since 1970.
        since: From when on the sums count, likewise.
        gateways: Processes whose streams are among those that run.
        workers: Processes whose counts are in the sums: those of this machine.
        streams: The streams that run, the newest first, `MOST_SHOWN` at most.
        streams_total: How many run.
        now_rates: How fast all is.
        totals: What has ended.
        first_token: Times to the first content.
        gaps: Times between two contents.
        endings: How often streams ended how; by the ledger's names.
        guard_rules: How often each rule of a guard has found something.
        upstreams: How upstreams fare.
    """

    now: float
    since: float
    gateways: int
    workers: int
    streams: list[Item]
    streams_total: int
    now_rates: Pace
    totals: Totals
    first_token: Histogram
    gaps: Histogram
    endings: dict[str, int]
    guard_rules: dict[str, int]
    upstreams: list[UpstreamState]


def snapshot(reading: Reading, rates: Rates) -> Snapshot:
    """Return what is shown of a reading.

    Args:
        reading: What was found.
        rates: Has taken the readings before, and takes this one.
    """
    sums, live = reading.sums, newest_first(reading.live)
    pace = rates.take(reading.now, live, sums.ended, others=sums.workers > 1)
    return Snapshot(
        now=reading.now,
        since=sums.since,
        gateways=reading.gateways,
        workers=sums.workers,
        streams=[item(one, rates.of(one)) for one in live[:MOST_SHOWN]],
        streams_total=len(live) + reading.hidden,
        now_rates=pace,
        totals=sums.totals,
        first_token=sums.first_token,
        gaps=sums.gaps,
        endings=sums.endings,
        guard_rules=sums.guard_rules,
        upstreams=[_with_sums(one, sums) for one in reading.upstreams],
    )


def _with_sums(upstream: UpstreamState, sums: Counted) -> UpstreamState:
    """Return how an upstream fares, with what all workers have counted of it."""
    name = upstream.name
    return msgspec.structs.replace(
        upstream,
        active=sums.active.get(name, upstream.active),
        requests=sums.requests.get(name, 0),
        failures=sums.failures.get(name, 0),
    )


def item(live: Live, tokens_per_s: float | None) -> Item:
    """Return a stream as it is shown.

    Args:
        live: The stream.
        tokens_per_s: Its speed; None for unknown.
    """
    return Item(
        id=live.stream_id,
        model=live.model,
        upstream=live.upstream,
        key=live.key_id,
        key_name=live.key_name,
        user=live.user,
        tag=live.tag,
        started=live.started,
        state=live.state,
        prompt_tokens=live.prompt_tokens,
        completion_tokens=live.completion_tokens,
        cost_usd=_usd(live.cost_pico),
        tokens_per_s=tokens_per_s,
        first_token_s=None if live.first_token_s is None else round(live.first_token_s, _DIGITS),
        readers=live.readers,
        here=live.here,
        stoppable=live.stoppable,
    )


def newest_first(live: Sequence[Live]) -> list[Live]:
    """Return streams in the order in which they are shown."""
    return sorted(live, key=lambda one: (-one.started, one.stream_id))


def counted(sums: Sums) -> Counted:
    """Return what metrics say; requests that are passed on as they are, are no streams."""
    at = FAMILIES["streams"].labels.index("endpoint")
    streams = sums.get("streams") or {}
    kept = {labels: cells for labels, cells in streams.items() if labels[at] != "passthrough"}
    sums = {**sums, "streams": kept}
    priced = sums.get("cost_usd") or {}
    ended = Ended(
        streams=_all(sums, "streams"),
        completion_tokens=_all(sums, "completion_tokens"),
        cost_pico=sum(cells[0] for cells in priced.values()) if priced else None,
    )
    return Counted(
        workers=max(1, _all(sums, "workers")),
        since=_all(sums, SINCE) / MILLI,
        ended=ended,
        totals=Totals(
            streams=ended.streams,
            prompt_tokens=_all(sums, "prompt_tokens"),
            completion_tokens=ended.completion_tokens,
            cost_usd=_usd(ended.cost_pico),
            unpriced=_all(sums, "unpriced_streams"),
        ),
        first_token=_histogram(sums, "first_content_seconds"),
        gaps=_histogram(sums, "content_gap_seconds"),
        endings=_by(sums, "streams", "ending"),
        guard_rules=_by(sums, "guard_matches", "rule"),
        requests=_by(sums, "attempts", "upstream"),
        failures=_by(sums, "upstream_failures", "upstream"),
        active=_by(sums, "upstream_connections", "upstream", state="active"),
    )


def _all(sums: Sums, name: str) -> int:
    return sum(cells[0] for cells in (sums.get(name) or {}).values())


def _by(sums: Sums, name: str, label: str, **chosen: str) -> dict[str, int]:
    """Return a metric's sums by one of its labels, without zeros, of those with some others."""
    found: dict[str, int] = {}
    for values, cells in sorted((sums.get(name) or {}).items()):
        labels: dict[str, Any] = dict(zip(FAMILIES[name].labels, values, strict=True))
        if cells[0] and all(labels[one] == value for one, value in chosen.items()):
            found[labels[label]] = found.get(labels[label], 0) + cells[0]
    return found


def _histogram(sums: Sums, name: str) -> Histogram:
    family = FAMILIES[name]
    counts = [0] * (len(family.bounds) + 1)
    for cells in (sums.get(name) or {}).values():
        counts[:] = map(int.__add__, counts, cells[:-1])
    bounds: list[float | None] = [bound / family.scale for bound in family.bounds]
    return Histogram(le=(*bounds, None), counts=tuple(counts))


def _usd(pico: int | None) -> float | None:
    return None if pico is None else pico / PICODOLLARS
