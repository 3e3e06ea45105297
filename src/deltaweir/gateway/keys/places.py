"""Where keys and their limits are kept: in the store, if there is one, else with the ledger.

With a ledger in PostgreSQL they are tables of its database, which machines share as well; what
`[store]` says of a store that is away then holds for it. Else they are in the ledger's file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from deltaweir.gateway.config.ledger import ledger_path
from deltaweir.gateway.config.store import StoreConfig
from deltaweir.stores.books import KeyStore, LeaseStore
from deltaweir.stores.failures import LedgerMisconfigured
from deltaweir.stores.postgres_address import is_postgres
from deltaweir.stores.sqlite_key_leases import SqliteLeases
from deltaweir.stores.sqlite_keys import SqliteKeys
from deltaweir.stores.valkey_keys import ValkeyKeys
from deltaweir.stores.valkey_leases import ValkeyLeases

if TYPE_CHECKING:
    from deltaweir.stores.postgres_line import PostgresLine


def are_shared(url: str, store: StoreConfig) -> bool:
    """Return whether several machines can share keys and limits.

    Args:
        url: The ledger's, as `deltaweir.gateway.config.ledger.LedgerConfig.address` has it.
        store: The store.
    """
    return store.shared or is_postgres(url)


def key_store(url: str, store: StoreConfig = StoreConfig(), *, begin: bool = True) -> KeyStore:
    """Return where keys are kept.

    Args:
        url: The ledger's, as `deltaweir.gateway.config.ledger.LedgerConfig.address` has it.
        store: The store.
        begin: Whether to make the tables in PostgreSQL where there are none.

    Raises:
        InvalidRequest: The URL names no file; or the store's extra is not installed.
        LedgerUnavailable: It cannot be opened, or is damaged or too new; or the driver that
            PostgreSQL needs is not installed.
    """
    if store.shared:
        return ValkeyKeys(store.line(), prefix=store.prefix)
    if not is_postgres(url):
        return SqliteKeys(ledger_path(url))
    line = _line(url, begin=begin)
    from deltaweir.stores.postgres_keys import PostgresKeys

    return PostgresKeys(line)


def lease_store(url: str, store: StoreConfig, *, holder: str) -> LeaseStore:
    """Return where leases, bookings and rates are kept.

    Args:
        url: As for `key_store`.
        store: The store.
        holder: A name that no other process, of any time, has.

    Raises:
        InvalidRequest: As by `key_store`.
        LedgerUnavailable: Likewise.
    """
    if store.shared:
        return ValkeyLeases(store.line(), prefix=store.prefix, holder=holder)
    if not is_postgres(url):
        return SqliteLeases(ledger_path(url), holder=holder)
    line = _line(url)
    from deltaweir.stores.postgres_leases import PostgresLeases

    return PostgresLeases(line, holder=holder)


def _line(url: str, *, begin: bool = True) -> PostgresLine:
    try:
        from deltaweir.stores.postgres_line import PostgresLine
    except ImportError as error:
        raise LedgerMisconfigured(
            "keys in PostgreSQL need a driver: pip install 'deltaweir[postgres]'"
        ) from error
    return PostgresLine(url, begin=begin)
