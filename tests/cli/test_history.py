"""Where prompts are kept: in a private file, elsewhere, or nowhere."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest
from prompt_toolkit.history import InMemoryHistory

from deltaweir.cli.history import VARIABLE, PrivateHistory, history, history_file

HOME = Path.home()


@pytest.mark.parametrize(
    ("environ", "platform", "file"),
    [
        ({}, "linux", HOME / ".local/state/deltaweir/history"),
        ({"XDG_STATE_HOME": "/state"}, "linux", Path("/state/deltaweir/history")),
        ({"XDG_STATE_HOME": "relative"}, "linux", HOME / ".local/state/deltaweir/history"),
        ({}, "darwin", HOME / "Library/Application Support/deltaweir/history"),
        ({"LOCALAPPDATA": "/local"}, "win32", Path("/local/deltaweir/history")),
        ({}, "win32", HOME / "AppData/Local/deltaweir/history"),
        ({VARIABLE: "~/mine"}, "linux", HOME / "mine"),
        ({VARIABLE: "Off"}, "linux", None),
        ({VARIABLE: ""}, "linux", None),
    ],
)
def test_the_file(environ: dict[str, str], platform: str, file: Path | None) -> None:
    """Each system has its place, and a variable names another or none."""
    assert history_file(environ, platform=platform) == (file and file.absolute())


def test_it_is_private(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Only the user can read it, also where it was there and open to all; lines come back."""
    path = tmp_path / "new" / "history"
    monkeypatch.setenv(VARIABLE, str(path))
    kept = history(kept=True)
    assert isinstance(kept, PrivateHistory)
    kept.store_string("one\ntwo")
    kept.store_string("no text: \udcff")
    if sys.platform != "win32":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        path.chmod(0o644)
        history(kept=True)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(history(kept=True).load_history_strings()) == ["no text: ?", "one\ntwo"]


def test_nothing_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where it is not wanted, or is off, there is no file."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "history"))
    assert isinstance(history(kept=False), InMemoryHistory)
    monkeypatch.setenv(VARIABLE, "off")
    assert isinstance(history(kept=True), InMemoryHistory)
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is said, with what would help, and lines are remembered until the end."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "file" / "history"))
    assert isinstance(history(kept=True), InMemoryHistory)
    assert f"{VARIABLE}=FILE" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="Windows asks another system for the home")
def test_no_home(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A user without a home folder is told so."""

    def no_home() -> Path:
        raise RuntimeError("no home")

    for name in (VARIABLE, "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    assert isinstance(history(kept=True), InMemoryHistory)
    assert "no home folder" in capsys.readouterr().err


def test_a_file_that_is_gone(tmp_path: Path) -> None:
    """A line that cannot be stored is no reason to end."""
    kept = PrivateHistory(os.fspath(tmp_path / "gone" / "history"))
    kept.store_string("line")


def test_an_old_past_is_forgotten(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A file that has become long keeps its newest entries, each whole, and stays private."""
    path = tmp_path / "history"
    monkeypatch.setenv(VARIABLE, str(path))
    entries = [f"question {number}\n# with a second line {'x' * 900}" for number in range(2_000)]
    writer = PrivateHistory(os.fspath(path))
    for entry in entries[:1_000]:
        writer.store_string(entry)
    kept = list(history(kept=True).load_history_strings())
    assert kept == entries[999::-1]
    for entry in entries[1_000:]:
        writer.store_string(entry)
    kept = list(history(kept=True).load_history_strings())
    assert 400 < len(kept) < 600
    assert kept == entries[: -len(kept) - 1 : -1]
    assert [one.name for one in tmp_path.iterdir()] == ["history"]
    if sys.platform != "win32":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    writer.store_string("newer")
    assert next(iter(history(kept=True).load_history_strings())) == "newer"
