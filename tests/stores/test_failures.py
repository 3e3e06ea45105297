"""Failures: SQLite's errors leave as ours, and each keeps its data."""

from __future__ import annotations

import copy
import pickle
import sqlite3
from typing import Any

import pytest

from deltaweir.errors import DeltaweirError
from deltaweir.stores.failures import (
    LedgerBusy,
    LedgerDamaged,
    LedgerTooNew,
    LedgerUnavailable,
    named,
)


def _failed(code: int) -> sqlite3.Error:
    error = sqlite3.OperationalError("why")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (sqlite3.SQLITE_BUSY, LedgerBusy),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, LedgerBusy),
        (sqlite3.SQLITE_NOTADB, LedgerDamaged),
        (sqlite3.SQLITE_CORRUPT_INDEX, LedgerDamaged),
        (sqlite3.SQLITE_FULL, LedgerUnavailable),
        (sqlite3.SQLITE_IOERR_WRITE, LedgerUnavailable),
    ],
)
def test_an_error_about_the_file_names_it(code: int, kind: type[DeltaweirError]) -> None:
    """What the file is at fault for is a typed error that names the file."""
    with pytest.raises(DeltaweirError, match="/some/where") as raised, named("/some/where"):
        raise _failed(code)
    assert type(raised.value) is kind
    assert raised.value.status == 503


def test_an_error_of_a_statement_stays_what_it_is() -> None:
    """A mistake of ours is not blamed on the file."""
    with pytest.raises(sqlite3.OperationalError), named("/some/where"):
        raise _failed(sqlite3.SQLITE_ERROR)
    with pytest.raises(sqlite3.ProgrammingError), named("/some/where"):
        raise sqlite3.ProgrammingError


@pytest.mark.parametrize("copied", [copy.copy, lambda one: pickle.loads(pickle.dumps(one))])  # noqa: S301  # our own bytes
def test_an_error_keeps_its_versions(copied: Any) -> None:
    """A copied error has the versions of the first."""
    twin = copied(LedgerTooNew("why", found=3, known=2))
    assert (twin.message, twin.found, twin.known) == ("why", 3, 2)
