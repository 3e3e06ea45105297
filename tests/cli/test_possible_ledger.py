"""A ledger in PostgreSQL before a server starts: what is away is noted, what is wrong refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from deltaweir.cli.possible import ledger_notes, refuse_impossible
from deltaweir.errors import InvalidRequest
from deltaweir.gateway.config.file import Config, LedgerConfig
from deltaweir.testing import unused_port


def test_a_queue_needs_a_folder_around_it(tmp_path: Path) -> None:
    """One that does not exist is refused; without a queue nothing is needed."""
    for spool, there in ((tmp_path / "spool", True), (tmp_path / "no" / "spool", False)):
        config = Config(ledger=LedgerConfig(url="postgresql://host/ledger", spool=str(spool)))
        if there:
            refuse_impossible(config)
        else:
            with pytest.raises(InvalidRequest, match="does not exist"):
                refuse_impossible(config)
    refuse_impossible(Config(ledger=LedgerConfig(url="postgresql://host/ledger", spool="")))


def test_a_database_that_is_away_is_noted() -> None:
    """It is no mistake, though a server that has keys there would end; a file is not asked."""
    pytest.importorskip("psycopg", reason="needs the package's extra postgres")
    url = f"postgresql://ann:secret@127.0.0.1:{unused_port()}/ledger"
    note = ledger_notes(LedgerConfig(url=url))
    assert note is not None
    assert "Connection refused" in note
    assert "would start" in note
    assert "secret" not in note
    keys = ledger_notes(LedgerConfig(url=url), has_keys=True)
    assert keys is not None
    assert "would not start" in keys
    assert ledger_notes(LedgerConfig()) is None


def test_a_host_that_nobody_knows_is_refused() -> None:
    """Waiting does not mend it."""
    pytest.importorskip("psycopg", reason="needs the package's extra postgres")
    with pytest.raises(InvalidRequest, match="resolve host"):
        ledger_notes(LedgerConfig(url="postgresql://no.such.host.invalid/ledger"))
