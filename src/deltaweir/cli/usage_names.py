"""What keys are called, for a report that people read."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def names_of_keys(path: Path | str) -> dict[str, str]:
    """Return the names of the keys in a ledger's file by their ids; none where they cannot be read.

    Args:
        path: The file.
    """
    # heavy: only a report by keys pays for it
    from deltaweir.errors import DeltaweirError
    from deltaweir.stores.sqlite_keys import SqliteKeys

    try:
        with SqliteKeys(path) as store:
            return {record.id: record.name for record in store.records()}
    except DeltaweirError:  # a file that one may only read, say: the ids are enough
        return {}


def shown_names(names: Mapping[str, str]) -> dict[str, str]:
    """Return what to call each key by its id: its name, with the id where two have one name."""
    times = Counter(names.values())
    return {
        key_id: name if times[name] == 1 else f"{name} ({key_id})" for key_id, name in names.items()
    }
