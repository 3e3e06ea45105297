"""What keys are called, for a report that people read."""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deltaweir.gateway.config.ledger import LedgerConfig
    from deltaweir.gateway.config.store import StoreConfig


def names_of_keys(ledger: LedgerConfig, store: StoreConfig) -> dict[str, str]:
    """Return the names of keys by their ids; none where they cannot be read.

    Args:
        ledger: The ledger, with which keys are.
        store: The store, in which they are if there is one.
    """
    # heavy: only a report by keys pays for it
    from deltaweir.errors import DeltaweirError
    from deltaweir.gateway.keys.places import key_store

    try:
        with contextlib.closing(key_store(ledger.address, store, begin=False)) as keys:
            return {record.id: record.name for record in keys.records()}
    except DeltaweirError:  # a file that one may only read, say: the ids are enough
        return {}


def shown_names(names: Mapping[str, str]) -> dict[str, str]:
    """Return what to call each key by its id: its name, with the id where two have one name."""
    times = Counter(names.values())
    return {
        key_id: name if times[name] == 1 else f"{name} ({key_id})" for key_id, name in names.items()
    }
