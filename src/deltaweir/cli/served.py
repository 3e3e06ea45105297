"""What a configuration serves, in a few lines that a person can check. Never a key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from deltaweir.cli.possible import price_in
from deltaweir.cli.show import dollars
from deltaweir.meter.budget import NO_LIMIT, Limit

if TYPE_CHECKING:
    from deltaweir.gateway.config.file import Config, ModelConfig
    from deltaweir.gateway.config.guards import GuardConfig

_GAP = "  "
_MOST_COLUMNS = 28
_PICO = 10**12
_MICRO = 10**6
"""Picodollars a token, of a dollar for a million tokens."""


def address(host: str, port: int) -> str:
    """Return the base_url for clients."""
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}/v1"


def served(config: Config) -> str:
    """Return what would be served, with which guards, to whom, and where it is accounted for."""
    server = config.server
    where = address(server.host, server.port) if server.port else f"a free port of {server.host}"
    rows = [("at", where + (f", {server.workers} workers" if server.workers > 1 else ""))]
    hosts = {one.name: one.provider.origin.authority for one in config.upstreams}
    rows += [
        (model.name, _answered(model, hosts) + _price(config, model)) for model in config.models
    ]
    settings = [
        *((f"guard {name}", _guard(table)) for name, table in config.guards.items()),
        ("keys", "each client needs one" if server.auth == "keys" else "nobody needs one"),
        ("ledger", config.ledger.shown or "none is kept"),
    ]
    if config.recordings.dir is not None:
        settings.append(("recordings", f"where asked for, in {config.recordings.dir}"))
    if server.passthrough:
        settings.append(("passed on", f"{', '.join(server.passthrough)}, not counted"))
    return "\n".join([*_table(rows), "", *_table(settings)])


def _answered(model: ModelConfig, hosts: dict[str, str]) -> str:
    if model.embedded is not None:
        parts = [f"embedded {model.embedded}"]
    elif model.replay is not None:
        parts = [f"the recording {model.replay}"]
    else:
        parts = [", then ".join(f"{name} ({hosts[name]})" for name in model.upstreams)]
    if model.upstream_model is not None:
        parts.append(f"as {model.upstream_model}")
    if model.guards:
        parts.append(f"guard {' and '.join(model.guards)}")
    if model.limit != NO_LIMIT:
        parts.append(f"at most {_limit(model.limit)} a stream")
    return ", ".join(parts)


def _price(config: Config, model: ModelConfig) -> str:
    """Return what a million tokens cost, since a wrong price is seen nowhere else."""
    price = price_in(config, model)
    if price is None:
        return ", price not known" if model.upstreams and not model.is_pattern else ""
    given = (price.rates.input / _MICRO, price.rates.output / _MICRO)
    return ", {} in, {} out per million tokens".format(*map(dollars, given))


def _limit(limit: Limit) -> str:
    parts = [] if limit.tokens is None else [f"{limit.tokens:,} tokens"]
    if limit.pico is not None:
        parts.append(dollars(limit.pico / _PICO))
    return " and ".join(parts)


def _guard(table: GuardConfig) -> str:
    parts = []
    if table.preset is not None:
        parts.append(f"preset {table.preset}")
    if table.rules is not None:
        parts.append(f"rules of {table.rules}")
    if table.moderation is not None:
        parts.append(f"answers are read by {table.moderation.host}")
    return ", ".join([*parts, table.action])


def _table(rows: list[tuple[str, str]]) -> Iterator[str]:
    width = min(max(len(name) for name, _ in rows), _MOST_COLUMNS)
    for name, text in rows:
        yield f"{_GAP}{name:{width}}{_GAP}{text}"
