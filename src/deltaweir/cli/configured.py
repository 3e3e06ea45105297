"""The gateway's configuration file, as all commands find it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deltaweir.gateway.config.ledger import LedgerConfig
    from deltaweir.gateway.config.store import StoreConfig

DEFAULT = "deltaweir.toml"


def configuration(given: Path | None) -> Path | None:
    """Return the file that is named, or else the one in the working directory, if it is there."""
    if given is not None:
        return given
    default = Path(DEFAULT)
    return default if default.is_file() else None


def ledger_of(given: Path | None) -> LedgerConfig:
    """Return the ledger; nobody needs for it what a server needs.

    Raises:
        InvalidRequest: The file is not there, or names no ledger.
    """
    # heavy: only these commands pay for it
    from deltaweir.gateway.config.file import LedgerConfig, ledger_in

    path = configuration(given)
    return LedgerConfig() if path is None else ledger_in(path)


def store_of(given: Path | None) -> StoreConfig:
    """Return the store, in which machines share keys and limits; nobody needs more for it.

    Raises:
        InvalidRequest: The file is not there, or its store is none.
    """
    # heavy: only these commands pay for it
    from deltaweir.gateway.config.file import StoreConfig, store_in

    path = configuration(given)
    return StoreConfig() if path is None else store_in(path)
