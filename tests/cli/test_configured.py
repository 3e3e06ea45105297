"""All commands find the gateway's configuration alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from deltaweir.cli.configured import absolute, configuration, ledger_url


def test_the_file_beside_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is called deltaweir.toml; one that is named wins, and without any there is none."""
    monkeypatch.chdir(tmp_path)
    assert configuration(None) is None
    assert ledger_url(None) == "sqlite:///deltaweir.db"
    Path("deltaweir.toml").write_text('[ledger]\nurl = "sqlite:///mine.db"\n', encoding="utf-8")
    assert configuration(None) == Path("deltaweir.toml")
    assert ledger_url(None) == "sqlite:///mine.db"
    other = tmp_path / "other.toml"
    other.write_text('[ledger]\nurl = "sqlite:///other.db"\n', encoding="utf-8")
    assert configuration(other) == other
    assert ledger_url(other) == f"sqlite:///{tmp_path}/other.db"


def test_a_ledger_is_named_from_the_root_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commands run in several folders; none, and one in memory, stay what they are."""
    monkeypatch.chdir(tmp_path)
    assert absolute("sqlite:///a.db") == str(tmp_path / "a.db")
    assert absolute("sqlite:////srv/a.db") == "/srv/a.db"
    assert (absolute(""), absolute("sqlite:///:memory:")) == ("", ":memory:")
