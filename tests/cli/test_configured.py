"""All commands find the gateway's configuration alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from deltaweir.cli.configured import configuration, ledger_of


def test_the_file_beside_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is called deltaweir.toml; one that is named wins, and without any there is none."""
    monkeypatch.chdir(tmp_path)
    assert configuration(None) is None
    assert ledger_of(None).address == "sqlite:///deltaweir.db"
    Path("deltaweir.toml").write_text('[ledger]\nurl = "sqlite:///mine.db"\n', encoding="utf-8")
    assert configuration(None) == Path("deltaweir.toml")
    assert ledger_of(None).address == "sqlite:///mine.db"
    other = tmp_path / "other.toml"
    other.write_text('[ledger]\nurl = "sqlite:///other.db"\n', encoding="utf-8")
    assert configuration(other) == other
    assert ledger_of(other).address == f"sqlite:///{tmp_path}/other.db"
