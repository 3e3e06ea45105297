"""A key as the row of a table, in whichever database its ledger is. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from deltaweir.allowances import KeyRecord, KeyTerms
from deltaweir.stores.failures import LedgerDamaged

_terms = msgspec.json.Decoder(KeyTerms)


def key_of(row: tuple[Any, ...], *, ledger: object) -> KeyRecord:
    """Return the key that a row holds.

    Args:
        row: Its id, digest, name, terms as JSON, and when it was made and revoked.
        ledger: How an error calls the ledger.

    Raises:
        LedgerDamaged: Its terms cannot be read.
    """
    key_id, digest, name, terms, created, revoked = row
    try:
        read = _terms.decode(terms)
    except msgspec.DecodeError as error:
        raise LedgerDamaged(
            f"the ledger {ledger} has terms of the key {key_id!r} that cannot be read"
        ) from error
    return KeyRecord(
        id=key_id, digest=digest, name=name, terms=read, created=created, revoked=revoked
    )
