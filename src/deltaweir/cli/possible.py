"""What a configuration asks for though it cannot work, or though it gives money away."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import TYPE_CHECKING

from deltaweir.errors import InvalidRequest

if TYPE_CHECKING:
    from deltaweir.gateway.config.file import Config, LedgerConfig, ModelConfig
    from deltaweir.meter.prices import Price


def refuse_impossible(config: Config, file: Path | None = None) -> None:
    """Refuse what would fail with the first request, or when the ledger is opened.

    Args:
        config: The configuration.
        file: Where it stands, for the error.

    Raises:
        InvalidRequest: A ledger, or what waits for one, lies in a folder that does not exist, or
            a budget in money is on a model without a known price.
    """
    before = "" if file is None else f"{file}: "
    folder = _ledgers_folder(config.ledger)
    if folder is not None and not folder.is_dir():
        raise InvalidRequest(f"{before}ledger: the folder {folder} does not exist", param="url")
    for model in config.models:
        # a pattern's names may have prices that only a request tells
        in_money = model.limit.pico is not None and model.upstreams and not model.is_pattern
        if in_money and price_in(config, model) is None:
            raise InvalidRequest(
                f"{before}model {model.name!r}: budget in usd, but no price is known; set price = "
                "{ input = 0.15, output = 0.6 } in US dollars per million tokens, or a budget in "
                "tokens",
                param="budget",
            )


def check_embedded(name: str, *, hint: str = "") -> None:
    """Accept an embedded model that is there, or that can be pulled.

    Args:
        name: What it is called, or its file.
        hint: What else a name may have been meant for.

    Raises:
        InvalidRequest: It is neither in the catalogue nor a file that is there.
    """
    # heavy: the configuration of providers alone does not pay for it
    from deltaweir.errors import ModelNotFound
    from deltaweir.models.catalogue import catalogue, find
    from deltaweir.models.weights import is_embedded

    path = Path(os.path.expanduser(name))  # noqa: PTH111  never raises, unlike pathlib's
    if name in catalogue() or path.is_file():
        return
    if is_embedded(name):
        raise InvalidRequest(f"there is no weights file {path.absolute()}", param="model")
    try:
        find(name)
    except ModelNotFound as error:
        said = f"{error.message}\n{hint}" if hint else error.message
        raise InvalidRequest(said, param="model") from error


def _ledgers_folder(ledger: LedgerConfig) -> Path | None:
    """Return the folder that must be there for the ledger, None where none must."""
    if ledger.remote:
        return Path(ledger.spool).absolute().parent if ledger.spool else None
    return Path(ledger.shown).parent if ledger.shown else None


def ledger_notes(ledger: LedgerConfig, *, has_keys: bool = False) -> str | None:
    """Return a warning where a ledger in PostgreSQL is away; None where it is there.

    Args:
        ledger: The ledger.
        has_keys: Whether a server reads its keys there.

    Raises:
        InvalidRequest: It refuses what is configured, or a newer version wrote it.
    """
    # heavy: only a check pays for it
    from deltaweir.gateway.ledger.reading import in_postgres
    from deltaweir.stores.failures import (
        LedgerDamaged,
        LedgerMisconfigured,
        LedgerTooNew,
        LedgerUnavailable,
    )

    if not ledger.remote:
        return None
    try:
        in_postgres(ledger.address).prepare()
    except (LedgerDamaged, LedgerMisconfigured, LedgerTooNew) as error:
        raise InvalidRequest(error.message, param="ledger.url") from error
    except LedgerUnavailable as error:
        if has_keys:
            return f"WARNING: {error.message}; a server would not start, for want of its keys"
        return f"WARNING: {error.message}; a server would start, and keep its rows meanwhile"
    return None


def price_in(config: Config, model: ModelConfig) -> Price | None:
    """Return what a model's tokens cost: as it is set, else by the list, else None."""
    if model.own_price is not None or model.embedded is not None or model.is_pattern:
        return model.own_price
    # heavy: only who wants to know a price pays for it
    from deltaweir.adapters.prices import price_of

    addresses = {one.name: one.provider.base_url for one in config.upstreams}
    found = (
        price_of(model.sent_name(model.name, name), base_url=addresses[name])
        for name in model.upstreams
    )
    return next((price for price in found if price is not None), None)


def exposed(config: Config) -> str | None:
    """Return a warning where strangers may use the server; None where they may not."""
    server = config.server
    if server.auth == "keys" or is_here(server.host):
        return None
    shown = f"[{server.host}]" if ":" in server.host else server.host
    where = f"{shown}:{server.port}" if server.port else shown
    does = "spends your money" if config.upstreams else "may use your models"
    return f'WARNING: anybody who reaches {where} {does}: set auth = "keys" under [server]'


def is_here(host: str) -> bool:
    """Tell whether an address or a name means this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
