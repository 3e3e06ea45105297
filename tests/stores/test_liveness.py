"""Signs of life: only the dead are called dead, and at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deltaweir.stores import liveness as module
from deltaweir.stores.liveness import Life, dead, signs

FORKS = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")

LIVE = """
import sys, pathlib
from deltaweir.stores import liveness as module
from deltaweir.stores.liveness import Life
print(Life(pathlib.Path(sys.argv[1])).writer_id, flush=True)
sys.stdin.read()
"""

LIVE_WITH_CHILD = """
import os, sys, pathlib
from deltaweir.stores import liveness as module
from deltaweir.stores.liveness import Life
life = Life(pathlib.Path(sys.argv[1]))
ready, told = os.pipe()
if os.fork() == 0:
    os.write(told, b"x")
    sys.stdin.read()
    os._exit(0)
os.read(ready, 1)
print(life.writer_id, flush=True)
os.waitpid(-1, 0)
"""


def _is_dead(directory: Path, writer_id: str) -> bool:
    with dead(directory, writer_id) as gone:
        return gone


def test_the_living_are_not_dead(tmp_path: Path) -> None:
    """A writer lives for all, its own process too, until it ends; then nothing is left of it."""
    life = Life(tmp_path / "writers")
    assert not _is_dead(tmp_path / "writers", life.writer_id)
    assert signs(tmp_path / "writers") == {life.writer_id}
    life.end()
    assert signs(tmp_path / "writers") == set()
    assert _is_dead(tmp_path / "writers", life.writer_id)


def test_who_leaves_is_seen_to_be_dead(tmp_path: Path) -> None:
    """Its file stays for who takes over, which one at a time does."""
    life = Life(tmp_path)
    life.leave()
    assert signs(tmp_path) == {life.writer_id}
    with dead(tmp_path, life.writer_id) as gone:
        assert gone
        assert not _is_dead(tmp_path, life.writer_id)
    assert signs(tmp_path) == set()


def test_two_writers_have_two_lives(tmp_path: Path) -> None:
    """Ids are never the same, and each dies alone."""
    first, second = Life(tmp_path), Life(tmp_path)
    first.end()
    assert not _is_dead(tmp_path, second.writer_id)
    second.end()


def test_the_killed_are_dead_at_once(tmp_path: Path) -> None:
    """A killed process is found dead, and its file is removed."""
    command = [sys.executable, "-c", LIVE, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        writer_id = process.stdout.readline().strip()
        assert not _is_dead(tmp_path, writer_id)
        process.kill()
    assert signs(tmp_path) == {writer_id}
    assert _is_dead(tmp_path, writer_id)
    assert signs(tmp_path) == set()


@FORKS
def test_a_child_does_not_keep_its_parent_alive(tmp_path: Path) -> None:
    """A forked child that outlives its parent holds no share of the parent's lock."""
    command = [sys.executable, "-c", LIVE_WITH_CHILD, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        writer_id = process.stdout.readline().strip()
        assert not _is_dead(tmp_path, writer_id)
        process.send_signal(signal.SIGKILL)
        process.wait(20)
        assert _is_dead(tmp_path, writer_id)


@FORKS
def test_a_child_leaves_its_parent_s_life_alone(tmp_path: Path) -> None:
    """Neither its end nor its death ends the parent's life."""
    life = Life(tmp_path)
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    assert not _is_dead(tmp_path, life.writer_id)
    life.end()


def test_while_one_buries_no_other_does(tmp_path: Path) -> None:
    """Inside the block the dead seem alive to others; an error there leaves them to the next."""
    (tmp_path / "abc.lock").touch()

    def fail() -> None:
        with dead(tmp_path, "abc") as gone:
            assert gone
            assert not _is_dead(tmp_path, "abc")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert signs(tmp_path) == {"abc"}
    assert _is_dead(tmp_path, "abc")
    assert signs(tmp_path) == set()


def test_a_file_taken_away_before_it_was_locked_is_noticed(tmp_path: Path) -> None:
    """A lock on a file that no longer stands at its path is no sign of life."""
    path = tmp_path / "abc.lock"
    descriptor = module._locked(path, os.O_RDWR | os.O_CREAT)
    assert descriptor is not None
    assert module._stands(path, descriptor)
    path.unlink()
    assert not module._stands(path, descriptor)
    path.touch()
    assert not module._stands(path, descriptor)
    module._close(descriptor)


def test_a_lock_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    """Nobody is called dead because of a file that cannot be opened."""
    (tmp_path / "abc.lock").mkdir()
    with pytest.raises(OSError, match=r"abc\.lock"), dead(tmp_path, "abc"):
        pass
