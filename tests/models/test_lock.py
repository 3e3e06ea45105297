"""One holder at a time, and no dead holder blocks."""

from __future__ import annotations

import errno
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from deltaweir.models import lock as module
from deltaweir.models.lock import locked


def _never() -> None:
    pytest.fail("nobody holds the lock")


def test_a_free_lock_is_taken_at_once(tmp_path: Path) -> None:
    """Nothing waits for a lock that nobody holds, twice in a row."""
    for _ in range(2):
        with locked(tmp_path / "lock", waiting=_never):
            pass


def test_the_second_waits_for_the_first(tmp_path: Path) -> None:
    """A second holder says that it waits, and comes in when the first has left."""
    waits, order = threading.Event(), list[str]()

    def second() -> None:
        with locked(tmp_path / "lock", waiting=waits.set):
            order.append("second")

    with locked(tmp_path / "lock", waiting=_never):
        thread = threading.Thread(target=second)
        thread.start()
        assert waits.wait(10)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]


def test_a_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    """The file a dead process leaves behind does not block."""
    program = (
        "import sys, pathlib\n"
        "from deltaweir.models.lock import locked\n"
        "with locked(pathlib.Path(sys.argv[1]), waiting=print):\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    path = tmp_path / "lock"
    command = [sys.executable, "-c", program, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        process.kill()
    assert path.exists()
    with locked(path, waiting=_never):
        pass


def test_a_file_system_without_locks_is_used_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the system knows no locks, the pull goes on; its checksum still decides."""

    def refuse(descriptor: int) -> None:
        raise OSError(errno.ENOLCK, f"no locks for {descriptor}")

    monkeypatch.setattr(module, "_take", refuse)
    with locked(tmp_path / "lock", waiting=_never):
        pass
