"""Weights lie where each system keeps caches, and are trusted only once verified."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from deltaweir.errors import ModelUnavailable
from deltaweir.models import cache as module
from deltaweir.models.cache import cache_folder, explained, mark, path_of, present, require_room

CONTENT = b"weights"


@pytest.mark.parametrize(
    ("environ", "platform", "wanted"),
    [
        ({"DELTAWEIR_CACHE": "/c", "XDG_CACHE_HOME": "/x"}, "linux", "/c"),
        ({"DELTAWEIR_CACHE": "", "XDG_CACHE_HOME": "/x"}, "linux", "/x/deltaweir"),
        ({"XDG_CACHE_HOME": "relative"}, "linux", "~/.cache/deltaweir"),
        ({}, "linux", "~/.cache/deltaweir"),
        ({}, "darwin", "~/Library/Caches/deltaweir"),
        ({"LOCALAPPDATA": "/l"}, "win32", "/l/deltaweir/Cache"),
        ({}, "win32", "~/AppData/Local/deltaweir/Cache"),
    ],
)
def test_the_folder_follows_the_rules_of_the_system(
    environ: dict[str, str], platform: str, wanted: str
) -> None:
    """Our variable comes first, then XDG, then what the system uses."""
    found = module._folder(environ, platform=platform)
    assert found == Path(wanted).expanduser().absolute()


def test_the_folder_is_read_from_the_environment(cache: Path) -> None:
    """DELTAWEIR_CACHE holds from the next call on."""
    assert cache_folder() == cache


def test_a_user_without_a_home_is_told_of_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """No home folder is an error that names the way out."""

    def nowhere() -> Path:
        message = "no home"
        raise RuntimeError(message)

    monkeypatch.delenv("DELTAWEIR_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("LOCALAPPDATA", raising=False)
    monkeypatch.setattr(Path, "home", nowhere)
    with pytest.raises(ModelUnavailable, match="set DELTAWEIR_CACHE"):
        cache_folder()


def _written(entry: Any, content: bytes) -> Path:
    path = path_of(entry)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.mark.usefixtures("cache")
def test_nothing_is_present_in_an_empty_cache(build: Any) -> None:
    """Asking creates nothing."""
    entry = build.entry(CONTENT)
    assert not present(entry)
    assert not path_of(entry).parent.exists()


@pytest.mark.usefixtures("cache")
def test_a_file_is_verified_once(build: Any) -> None:
    """The first look computes the checksum and says so; the second one does not."""
    entry, first, second = build.entry(CONTENT), build.Recorder(), build.Recorder()
    path = _written(entry, CONTENT)
    assert present(entry, progress=first)
    assert (first.started, first.finished) == ([("checksum", "not verified yet")], 1)
    assert present(entry, progress=second)
    assert second.started == []
    marker = path.with_name("tiny.gguf.sha256").read_text()
    assert marker.endswith(f"{entry.sha256}  tiny.gguf\n")


@pytest.mark.usefixtures("cache")
def test_a_wrong_size_is_not_present(build: Any) -> None:
    """A file cut short is not taken, marker or not."""
    entry = build.entry(CONTENT)
    path = _written(entry, CONTENT[:-1])
    mark(path, entry=entry)
    assert not present(entry)


@pytest.mark.usefixtures("cache")
def test_a_file_that_changed_is_verified_again(build: Any) -> None:
    """A file of the right size that was touched after its verification is not trusted."""
    entry = build.entry(CONTENT)
    path = _written(entry, CONTENT)
    assert present(entry)
    path.write_bytes(b"WEIGHTS")
    os.utime(path, ns=(1, 1))
    assert not present(entry)


@pytest.mark.usefixtures("cache")
def test_verify_sees_what_the_marker_hides(build: Any) -> None:
    """Damage that kept size and time is found on demand, and not forgotten afterwards."""
    entry = build.entry(CONTENT)
    path = _written(entry, CONTENT)
    assert present(entry)
    time = path.stat().st_mtime_ns
    path.write_bytes(b"WEIGHTS")
    os.utime(path, ns=(time, time))
    assert present(entry)
    assert not present(entry, verify=True)
    assert not present(entry)


@pytest.mark.usefixtures("cache")
def test_a_cache_that_cannot_be_written_still_serves(
    build: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a place for the marker the file is verified each time, and used."""

    def refuse(path: Path, *, entry: Any) -> None:
        raise OSError(errno.EROFS, f"read-only: {path} {entry.name}")

    entry = build.entry(CONTENT)
    _written(entry, CONTENT)
    monkeypatch.setattr(module, "mark", refuse)
    assert present(entry)
    assert present(entry)


def test_room_is_compared_with_what_is_needed(tmp_path: Path) -> None:
    """The error names bytes needed, bytes free and the folder."""
    require_room(tmp_path, needed=1)
    with pytest.raises(ModelUnavailable) as caught:
        require_room(tmp_path, needed=10**18)
    assert "1,000,000,000,000,000,000 bytes needed" in caught.value.message
    assert f"free in {tmp_path}" in caught.value.message


def test_a_full_disk_is_named_as_such(tmp_path: Path) -> None:
    """ENOSPC in the middle says the same."""
    wanted = r"the disk is full: more bytes needed, [\d,]+ free"
    with pytest.raises(ModelUnavailable, match=wanted), explained(tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_refusal_names_the_variable(tmp_path: Path) -> None:
    """Any other error of the file system names the reason, the folder and the way out."""
    with pytest.raises(ModelUnavailable) as caught, explained(tmp_path):
        raise PermissionError(errno.EACCES, "Permission denied")
    assert f"{tmp_path} cannot be used: Permission denied" in caught.value.message
    assert "DELTAWEIR_CACHE" in caught.value.message
