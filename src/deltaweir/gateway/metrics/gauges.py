"""Where the metrics of a gateway look when somebody asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deltaweir.gateway.keys.access import Access
    from deltaweir.gateway.service import Gateway
    from deltaweir.gateway.streams.shared import Shared


def watch(gateway: Gateway) -> None:
    """Let a gateway's metrics see its streams, its upstreams, its ledger and its store."""
    metrics, runs = gateway.metrics, gateway.runs
    metrics.watch("streams_running", lambda: len(runs))
    metrics.watch("held_characters", lambda: sum(run.held_chars for run in runs))
    metrics.watch("ledger_rows_lost", lambda: gateway.book.rows[0])
    metrics.watch("ledger_rows_waiting", lambda: gateway.book.rows[1])
    if gateway.config.ledger.url:
        metrics.watch("ledger_up", lambda: _is_up(gateway))
    metrics.watch("stream_readers", lambda: len(gateway.readers))
    access, shared = gateway.access, gateway.shared
    metrics.watch("journal_bytes", lambda: _kept_bytes(gateway))
    if shared is not None:
        metrics.watch("store_up", lambda: _reaches(shared, access))
        metrics.watch("streams_unwritten", lambda: shared.unwritten)
    if access is not None and (shared is not None or gateway.config.ledger.remote):
        metrics.watch("unchecked_streams", lambda: access.unchecked)
    metrics.watch_pools(
        lambda: [(one.name, one.active, one.idle) for one in gateway.routing.upstreams.values()]
    )
    metrics.watch_failures(
        lambda: [(one.name, one.taken_failures()) for one in gateway.routing.upstreams.values()]
    )
    metrics.watch_breakers(
        lambda: [(one.name, one.breaker.open) for one in gateway.routing.upstreams.values()]
    )


def _kept_bytes(gateway: Gateway) -> int:
    """Return the bytes of all frames that are kept, of others' streams too."""
    shared = gateway.shared
    return gateway.streams.journals.bytes + (0 if shared is None else shared.following.bytes)


def _reaches(shared: Shared, access: Access | None) -> bool:
    """Tell whether the store was reached the last time, by all that need it."""
    return _has_keys(access) and shared.since is None


def _is_up(gateway: Gateway) -> bool:
    """Tell whether the ledger was reached the last time, also by who reads keys there."""
    ledger = gateway.book.opened
    written = ledger is not None and ledger.unavailable_since is None
    return written and (gateway.shared is not None or _has_keys(gateway.access))


def _has_keys(access: Access | None) -> bool:
    return access is None or (access.is_open and access.available)
