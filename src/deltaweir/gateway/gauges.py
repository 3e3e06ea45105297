"""Where the metrics of a gateway look when somebody asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deltaweir.gateway.service import Gateway


def watch(gateway: Gateway) -> None:
    """Let a gateway's metrics see its streams, its upstreams and its ledger."""
    metrics, runs = gateway.metrics, gateway.runs
    metrics.watch("streams_running", lambda: len(runs))
    metrics.watch("held_characters", lambda: sum(run.held_chars for run in runs))
    metrics.watch("ledger_rows_lost", lambda: gateway.rows[0])
    metrics.watch("ledger_rows_waiting", lambda: gateway.rows[1])
    metrics.watch_pools(
        lambda: [(one.name, one.active, one.idle) for one in gateway.routing.upstreams.values()]
    )
    metrics.watch_breakers(
        lambda: [(one.name, one.breaker.open) for one in gateway.routing.upstreams.values()]
    )
