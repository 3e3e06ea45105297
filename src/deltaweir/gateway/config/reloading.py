"""What a configuration that is read again changes while the server runs, and what it cannot.

Sockets, processes, the ledger, the store, and what the application is built from stay until a
restart; everything else holds from the next request on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from msgspec.structs import replace

from deltaweir.gateway.config.file import Config

FIXED = ("host", "port", "workers", "auth", "cors_origins", "passthrough", "log")
"""Keys of ``[server]`` that hold until a restart."""


class Reloaded(NamedTuple):
    """A configuration that may take the place of the running one."""

    config: Config
    """What was read, with what needs a restart as it is."""
    waiting: tuple[str, ...]
    """The keys that differ and need a restart."""


def reloaded(running: Config, wanted: Config) -> Reloaded:
    """Return what of a configuration can hold at once.

    Args:
        running: The configuration that holds.
        wanted: The one that was read.

    Raises:
        InvalidRequest: What needs a restart and what does not cannot go together.
    """
    kept = {name: getattr(running.server, name) for name in FIXED}
    waiting = [
        f"server.{name}" for name, value in kept.items() if getattr(wanted.server, name) != value
    ]
    if wanted.ledger != running.ledger:
        waiting.append("ledger")
    if wanted.store != running.store:
        waiting.append("store")
    if not waiting:
        return Reloaded(wanted, ())
    server = replace(wanted.server, **kept)
    config = replace(wanted, server=server, ledger=running.ledger, store=running.store)
    return Reloaded(config, tuple(waiting))


def told(running: Config, after: Reloaded) -> str:
    """Return a line on what a reload changes.

    Args:
        running: The configuration before.
        after: What `reloaded` made of the new one.
    """
    now = after.config
    changes = [
        *_changes("model", _named(running.models), _named(now.models)),
        *_changes("upstream", _named(running.upstreams), _named(now.upstreams)),
        *_changes("guard", running.guards, now.guards),
    ]
    if now.server != running.server:
        changes.append("changed server")
    # rules are files of their own, and are read again in any case
    line = f"the configuration was reloaded: {', '.join(changes) or 'no table changed'}"
    return f"{line}; needs a restart: {', '.join(after.waiting)}" if after.waiting else line


def _named(tables: Iterable[Any]) -> dict[str, Any]:
    return {table.name: table for table in tables}


def _changes(kind: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    return [
        *(f"added {kind} {name}" for name in after if name not in before),
        *(f"removed {kind} {name}" for name in before if name not in after),
        *(
            f"changed {kind} {name}"
            for name in after
            if before.get(name, after[name]) != after[name]
        ),
    ]
