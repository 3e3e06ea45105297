"""The metrics by name: what each one counts, and by what. Pure."""

from __future__ import annotations

from typing import Literal, NamedTuple

from deltaweir.accounts import PICODOLLARS
from deltaweir.guard.verdicts import MOST_VERDICTS

PREFIX = "deltaweir_"
"""What every metric's name begins with."""
NANO = 10**9
"""Nanoseconds in a second."""
MILLI = 1000
"""Milliseconds in a second."""
SINCE = "since"
"""Under this name each worker writes when it began to count; no metric that is shown."""


class Family(NamedTuple):
    """One metric.

    Attributes:
        kind: What Prometheus calls its type.
        help: What it says, in a sentence.
        labels: Its labels' names.
        scale: How many of what is counted make one of what is shown.
        bounds: Of a histogram: the upper bounds of its buckets, included, in nanoseconds.
    """

    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ("model", "upstream")
    scale: int = 1
    bounds: tuple[int, ...] = ()

    @property
    def width(self) -> int:
        """How many cells it has: one, or one a bucket, the last without bound, and the sum."""
        return len(self.bounds) + 2 if self.bounds else 1


def _times(help_text: str, *milliseconds: float) -> Family:
    bounds = tuple(round(one * 10**6) for one in milliseconds)
    return Family("histogram", help_text, scale=NANO, bounds=bounds)


FAMILIES: dict[str, Family] = {
    "streams": Family(
        "counter",
        "Requests that have ended, streamed or whole, by how they ended.",
        ("model", "upstream", "endpoint", "streamed", "ending"),
    ),
    "responses": Family(
        "counter", "The same requests by the HTTP status that was sent.", ("endpoint", "status")
    ),
    "attempts": Family("counter", "How often each upstream was asked, retries included."),
    "prompt_tokens": Family(
        "counter", "Tokens of prompts, as far as known.", ("model", "upstream", "source")
    ),
    "completion_tokens": Family(
        "counter", "Tokens of answers, as far as known.", ("model", "upstream", "source")
    ),
    "cost_usd": Family("counter", "Cost in US dollars, as far as known.", scale=PICODOLLARS),
    "unpriced_streams": Family(
        "counter", "Counted streams that used tokens and whose cost nobody knows."
    ),
    "withheld_characters": Family(
        "counter",
        "Characters of streams with a guard that were never shown, for a rule or behind any cut.",
    ),
    "guard_matches": Family(
        "counter",
        f"What rules of guards found in prompts and answers, {MOST_VERDICTS} of a stream at most, "
        "by the action of the rule.",
        ("rule", "action"),
    ),
    "upstream_failures": Family(
        "counter",
        "Failures of an upstream: attempts without an answer, and streams that broke; no refusals "
        "of requests that are at fault themselves.",
        ("upstream",),
    ),
    "first_content_seconds": _times(
        "Time from the request to the first content.",
        *(5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 120_000, 300_000),
    ),
    "content_gap_seconds": _times(
        "Time between a content and the next; the sum runs to the stream's end.",
        *(2**power for power in range(17)),
    ),
    "stream_seconds": _times(
        "Time from the request to the end of its answer.",
        *(50, 100, 250, 500, 1000, 2500, 5000, 10_000, 20_000, 30_000, 60_000, 120_000, 300_000),
        *(600_000, 1_800_000),
    ),
    "added_seconds": _times(
        "The gateway's own part of the time to the first content.",
        *(0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 20, 50, 100, 250, 500, 1000),
    ),
    "streams_running": Family("gauge", "Streams that run now.", ()),
    "held_characters": Family("gauge", "Characters that guards hold now.", ()),
    "upstream_connections": Family("gauge", "Connections to upstreams now.", ("upstream", "state")),
    "upstream_breakers_open": Family(
        "gauge", "Workers that leave an upstream alone after failures.", ("upstream",)
    ),
    "ledger_rows_waiting": Family("gauge", "Entries on their way to the ledger.", ()),
    "ledger_rows_lost": Family("counter", "Streams the ledger could not record.", ()),
    "ledger_up": Family("gauge", "Workers that can write the ledger.", ()),
    "stream_readers": Family(
        "gauge", "Who reads a stream again, or from elsewhere, beside its first reader.", ()
    ),
    "journal_bytes": Family("gauge", "Frames kept of streams that may be resumed.", ()),
    "streams_unwritten": Family("gauge", "Streams that the store does not have to their end.", ()),
    "store_up": Family("gauge", "Workers that reach the store.", ()),
    "unchecked_streams": Family(
        "counter", "Streams let in while their key's limits could not be checked.", ()
    ),
    "workers": Family("gauge", "Processes that live.", ()),
}
"""Every metric by its name, without the `PREFIX` that all have, and without the ``_total`` that a
counter's samples end with."""
