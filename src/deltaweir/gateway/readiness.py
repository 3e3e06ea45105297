"""Whether a gateway takes requests, and what it depends on; for ``GET /readyz``. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deltaweir.gateway.keys.access import Access
    from deltaweir.gateway.service import Gateway


def readiness(gateway: Gateway) -> tuple[dict[str, Any], int]:
    """Return what to say, and the HTTP status.

    A gateway that has lost what it depends on is ready as long as it lets anybody in: streams run
    on, and a balancer that takes all gateways out at once helps nobody.
    """
    if gateway.draining:
        return {"status": "stopping"}, 503
    access, states = gateway.access, dict[str, Any]()
    if access is not None and access.since is not None:
        states["store" if gateway.config.store.shared else "keys"] = _state(access)
    shared = gateway.shared
    if shared is not None:
        since = shared.since
        lost = {"status": "down", "since": None if since is None else round(since, 3)}
        states["store"] = states.get("store", {"status": "up"}) if since is None else lost
    ledger = gateway.book.opened
    if ledger is not None and ledger.unavailable_since is not None:
        states["ledger"] = {
            "status": "down",
            "since": round(ledger.unavailable_since, 3),
            "waiting": ledger.waiting,
        }
    elif gateway.config.ledger.remote:
        states["ledger"] = {"status": "up"}
    if ledger is not None and ledger.full:  # rows of new streams would be lost
        return {"status": "unavailable", **states}, 503
    if access is not None and access.stale:
        return {"status": "unavailable", **states}, 503
    return {"status": "ready", **states}, 200


def _state(access: Access) -> dict[str, Any]:
    assert access.since is not None
    return {"status": "up" if access.available else "down", "since": round(access.since, 3)}
