"""What all streams of a gateway add up to, in the form that Prometheus reads.

Everything is counted in whole numbers (picodollars, nanoseconds), so that sums are exact in any
order and the workers' numbers just add up; only the exposition divides. `docs/metrics.md` tells
what each metric means.

A label's value never holds a key, a user or a prompt, and there are only so many: whoever may
name any model (``openai/*``) could otherwise fill the memory of this process and of Prometheus.
"""

from __future__ import annotations

import os
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Literal

from prometheus_client.core import CollectorRegistry, Metric
from prometheus_client.exposition import choose_encoder

from deltaweir.gateway.metrics.cells import MOST, Cells, Counts, Name, SharedCells
from deltaweir.gateway.metrics.families import FAMILIES, MILLI, NANO, PREFIX, SINCE, Family
from deltaweir.gateway.metrics.summary import Endpoint, Summary

DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
"""The variable that names the directory in which workers find each other's numbers."""
MOST_PAIRS = 200
"""Pairs of a model and an upstream that are told apart, beside those of `Metrics.known`."""
OTHER = "other"
"""The model of all further ones."""
LONGEST_LABEL = 120
"""Characters of a label's value; the rest is cut off."""

Gauge = Literal[
    "streams_running",
    "held_characters",
    "ledger_rows_waiting",
    "ledger_rows_lost",
    "ledger_up",
    "journal_bytes",
    "store_up",
    "stream_readers",
    "streams_unwritten",
    "unchecked_streams",
]
"""What is not counted but read when somebody asks."""

_OPENMETRICS = "application/openmetrics-text"
_BEYOND = len(FAMILIES["content_gap_seconds"].bounds)


class Metrics:
    """Count what streams come to, and show it; no two share anything, even in one process.

    `ended` and `publish` are for the loop's thread, `exposition` may be called in any. It is a
    collector as well, for a host that has a registry of its own.

    Args:
        directory: Where all workers of a machine find each other's numbers; None for one worker.

    Attributes:
        known: Models that always go by their own name: those of the configuration.

    Raises:
        OSError: The directory cannot be written, or its file system has no locks.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self.known: Collection[str] = ()
        self._cells = Cells() if directory is None else SharedCells(directory)
        self._cells.made((SINCE,), 1)[0] = round(time.time() * MILLI)
        self._pairs = set[tuple[str, str]]()
        self._gauges: dict[Gauge, Callable[[], int]] = {}
        self._pools: Callable[[], Iterable[tuple[str, int, int]]] = tuple
        self._breakers: Callable[[], Iterable[tuple[str, bool]]] = tuple
        self._failures: Callable[[], Iterable[tuple[str, int]]] = tuple
        self._upstreams = set[str]()
        self._registry = CollectorRegistry()
        self._registry.register(self)

    @classmethod
    def of_environment(cls) -> Metrics:
        """Return one that shares its numbers if `PROMETHEUS_MULTIPROC_DIR` says where.

        Raises:
            OSError: As for the class.
        """
        directory = os.environ.get(DIRECTORY)
        return cls(Path(directory) if directory else None)

    def watch(self, gauge: Gauge, read: Callable[[], int]) -> None:
        """Show what a function returns, each time somebody asks."""
        self._gauges[gauge] = read

    def watch_pools(self, read: Callable[[], Iterable[tuple[str, int, int]]]) -> None:
        """Show the connections of each upstream: its name, how many are active, how many idle."""
        self._pools = read

    def watch_breakers(self, read: Callable[[], Iterable[tuple[str, bool]]]) -> None:
        """Show which upstreams are left alone: the name of each, and whether it is."""
        self._breakers = read

    def watch_failures(self, take: Callable[[], Iterable[tuple[str, int]]]) -> None:
        """Count failures of upstreams: the name of each, and how many are new."""
        self._failures = take

    def ended(self, summary: Summary) -> None:
        """Count a stream that has ended."""
        pair = self._pair(summary.model, summary.upstream)
        streamed = "true" if summary.streamed else "false"
        self._count("streams", (*pair, summary.endpoint, streamed, _label(summary.ending)), 1)
        self._count("responses", (summary.endpoint, str(summary.status)), 1)
        self._count_attempts(summary, pair)
        self._count("withheld_characters", pair, summary.withheld_chars)
        for (rule, action), found in Counter(summary.guard_matches).items():
            self._count("guard_matches", (_label(rule), action), found)
        self._count_usage(summary, pair)
        self._observe("stream_seconds", pair, summary.total_s)
        self._observe("first_content_seconds", pair, summary.first_content_s)
        self._observe("added_seconds", pair, summary.added_s)
        if any(summary.gaps):
            self._count_gaps(summary, pair)

    def refused(self, endpoint: Endpoint, status: int) -> None:
        """Count a request that was refused before it was a stream: no key, no such model.

        Args:
            endpoint: What was asked for.
            status: The HTTP status of the answer.
        """
        self._count("responses", (endpoint, str(status)), 1)

    def publish(self) -> None:
        """Read what is watched; with several workers, about once a second, for the others."""
        for gauge, read in self._gauges.items():
            self._set(gauge, (), read())
        for name, failures in self._failures():
            self._count("upstream_failures", (_label(name),), failures)
        pools = {_label(name): (active, idle) for name, active, idle in self._pools()}
        left_alone = {_label(name): is_open for name, is_open in self._breakers()}
        self._upstreams |= pools.keys() | left_alone.keys()
        for name in self._upstreams:  # one that is gone has no connections
            self._set("upstream_breakers_open", (name,), left_alone.get(name, False))
            active, idle = pools.get(name, (0, 0))
            self._set("upstream_connections", (name, "active"), active)
            self._set("upstream_connections", (name, "idle"), idle)

    def text(self) -> bytes:
        """Return all metrics, up to date, as Prometheus's text; on the loop's thread only."""
        self.publish()
        return self.exposition()[1]

    def exposition(self, accept: str = "") -> tuple[str, bytes]:
        """Return the content type and the text of all metrics, as of the last `publish`.

        Args:
            accept: The request's ``accept``: who takes OpenMetrics gets it.
        """
        encode, kind = choose_encoder(_OPENMETRICS if _OPENMETRICS in accept else "")
        return kind, encode(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of all workers together."""
        sums = self.sums()
        for name, family in FAMILIES.items():
            metric = Metric(PREFIX + name, family.help, family.kind)
            for labels, cells in sorted(sums[name].items()):
                _show(metric, family, dict(zip(family.labels, labels, strict=True)), cells)
            yield metric

    def close(self) -> None:
        """Take this worker's gauges away from the others; what it counted stays."""
        self._cells.close()

    def sums(self) -> dict[str, dict[Name, list[int]]]:
        """Return what stands in the cells of all workers together, by metric and labels.

        Under `SINCE` is from when on that counts, in milliseconds since 1970: since the first of
        them began, though it may have died.

        It may be called in any thread, and reads files where there are other workers.
        """
        sums: dict[str, dict[Name, list[int]]] = {name: {} for name in FAMILIES}
        workers, begun = 0, list[int]()
        for lives, named in [(True, self._cells.own()), *self._cells.others()]:
            workers += lives
            for (name, *labels), cells in named:
                if name == SINCE:
                    begun += [one for one in cells if one]  # another may write it just now
                family = FAMILIES.get(name)
                if family is None or family.width != len(cells):
                    continue  # left by another version
                if lives or family.kind != "gauge":
                    before = sums[name].setdefault(tuple(labels), [0] * len(cells))
                    before[:] = map(int.__add__, before, cells)
        sums["workers"][()] = [workers]
        sums[SINCE] = {(): [min(begun, default=0)]}
        return sums

    def _pair(self, model: str, upstream: str) -> tuple[str, str]:
        pair = _label(model), _label(upstream)
        if pair not in self._pairs and model not in self.known:
            if len(self._pairs) >= MOST_PAIRS:
                return OTHER, pair[1]
            self._pairs.add(pair)
        return pair

    def _cells_of(self, name: str, labels: tuple[str, ...]) -> Counts:
        key = (name, *labels)
        return self._cells.found(key) or self._cells.made(key, FAMILIES[name].width)

    def _count(self, name: str, labels: tuple[str, ...], amount: int) -> None:
        _add(self._cells_of(name, labels), 0, amount)

    def _set(self, name: str, labels: tuple[str, ...], value: int) -> None:
        self._cells_of(name, labels)[0] = min(max(value, 0), MOST)

    def _count_attempts(self, summary: Summary, pair: tuple[str, str]) -> None:
        """Count who was asked, each upstream for itself."""
        for upstream, asked in Counter(summary.asked_before).items():
            self._count("attempts", self._pair(summary.model, upstream), asked)
        last = summary.attempts - len(summary.asked_before)
        if last > 0:
            self._count("attempts", pair, last)

    def _count_usage(self, summary: Summary, pair: tuple[str, str]) -> None:
        prompt, completion = summary.prompt_tokens, summary.completion_tokens
        source = (*pair, _label(summary.source or "unknown"))
        if prompt is not None:
            self._count("prompt_tokens", source, prompt)
        if completion is not None:
            self._count("completion_tokens", source, completion)
        if summary.cost_pico is not None:
            self._count("cost_usd", pair, summary.cost_pico)
        elif prompt or completion:
            self._count("unpriced_streams", pair, 1)

    def _observe(self, name: str, pair: tuple[str, str], seconds: float | None) -> None:
        if seconds is not None:
            nanoseconds = round(seconds * NANO)
            cells = self._cells_of(name, pair)
            _add(cells, bisect_left(FAMILIES[name].bounds, nanoseconds), 1)
            _add(cells, -1, nanoseconds)

    def _count_gaps(self, summary: Summary, pair: tuple[str, str]) -> None:
        cells = self._cells_of("content_gap_seconds", pair)
        for power, gaps in enumerate(summary.gaps):
            if gaps:
                _add(cells, min(power, _BEYOND), gaps)
        _add(cells, -1, round((summary.total_s - (summary.first_content_s or 0.0)) * NANO))


def _add(cells: Counts, index: int, amount: int) -> None:
    if amount > 0:  # a count never falls, whatever an upstream claims
        cells[index] = min(cells[index] + amount, MOST)


def _label(value: str) -> str:
    """Return a text as a label's value: not long, and with nothing that no encoder takes."""
    value = value[:LONGEST_LABEL]
    if value.isprintable():
        return value
    return "".join(one if one.isprintable() else "?" for one in value)


def _show(metric: Metric, family: Family, labels: dict[str, str], cells: list[int]) -> None:
    """Add one set of labels to a metric."""
    if family.kind == "histogram":
        *buckets, total = cells
        so_far = 0
        bounds = [*(str(bound / family.scale) for bound in family.bounds), "+Inf"]
        for bound, count in zip(bounds, buckets, strict=True):
            so_far += count
            metric.add_sample(f"{metric.name}_bucket", {**labels, "le": bound}, so_far)
        metric.add_sample(f"{metric.name}_count", labels, so_far)
        metric.add_sample(f"{metric.name}_sum", labels, total / family.scale)
    else:
        suffix = "_total" if family.kind == "counter" else ""
        metric.add_sample(metric.name + suffix, labels, cells[0] / family.scale)
