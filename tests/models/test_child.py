"""A download program is watched, has limits, and never outlives its caller."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from deltaweir.models.child import Ending, is_disk_full, watch
from deltaweir.models.sources import SourceFailed


def _run(program: str, tmp_path: Path, *, start_s: float = 15, stall_s: float = 15) -> Ending:
    return watch(
        [sys.executable, "-c", program, str(tmp_path / "data")],
        environ={"DELTAWEIR_TEST": "set"},
        log=tmp_path / "log",
        size=lambda: _size(tmp_path / "data"),
        advance=lambda _: None,
        start_s=start_s,
        stall_s=stall_s,
    )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def test_the_exit_code_and_the_output_come_back(tmp_path: Path) -> None:
    """Both outputs land in the log; the environment is the caller's and the additions."""
    program = "import os, sys; print(os.environ['DELTAWEIR_TEST']); sys.exit('bad')"
    assert _run(program, tmp_path) == Ending(code=1, log="set\nbad\n")


def test_growth_is_told(tmp_path: Path) -> None:
    """The caller hears of bytes while the program still runs."""
    heard: list[int] = []
    program = (
        "import sys; open(sys.argv[1], 'wb').write(b'12345'); sys.stdout.close(); sys.stdin.read()"
    )
    with pytest.raises(KeyboardInterrupt):
        watch(
            [sys.executable, "-c", program, str(tmp_path / "data")],
            environ={},
            log=tmp_path / "log",
            size=lambda: _size(tmp_path / "data"),
            advance=_interrupt(heard),
            start_s=15,
            stall_s=15,
        )
    assert heard == [5]


def _interrupt(heard: list[int]) -> Callable[[int], None]:
    def advance(size: int) -> None:
        heard.append(size)
        raise KeyboardInterrupt

    return advance


@pytest.mark.parametrize(("start_s", "stall_s"), [(0.3, 15), (15, 0.3)])
def test_a_program_that_stalls_is_killed(tmp_path: Path, start_s: float, stall_s: float) -> None:
    """One that shows no sign of life in time, or no other after the first, is ended."""
    printed = "print('found', flush=True);" if start_s > stall_s else ""
    with pytest.raises(SourceFailed, match="no data for 0 s"):
        _run(f"import sys; {printed} sys.stdin.read()", tmp_path, start_s=start_s, stall_s=stall_s)


def test_a_program_that_is_not_there_is_a_failed_source(tmp_path: Path) -> None:
    """Without a Python to run, the next source is tried."""
    with pytest.raises(SourceFailed, match="no Python"):
        watch(
            [str(tmp_path / "absent")],
            environ={},
            log=tmp_path / "log",
            size=lambda: 0,
            advance=lambda _: None,
            start_s=1,
            stall_s=1,
        )


@pytest.mark.parametrize(
    ("log", "full"),
    [
        ("OSError: [Errno 28] No space left on device", True),
        ("[WinError 112] There is not enough space on the disk", True),
        ("[Errno 2] No such file or directory", False),
    ],
)
def test_a_full_disk_is_recognised(log: str, *, full: bool) -> None:
    """The numbers count, not the words, which a system translates."""
    assert is_disk_full(log) is full
