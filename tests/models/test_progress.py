"""Whoever follows a pull hears the end of all that was begun."""

from __future__ import annotations

from typing import Any

import pytest

from deltaweir.models.progress import Silent, task


def test_a_task_is_finished_however_it_ends(build: Any) -> None:
    """An error in the middle still ends the bar."""
    progress = build.Recorder()
    with (
        pytest.raises(KeyError),
        task(progress, title="Tiny", total_bytes=1, source="hub", why="because"),
    ):
        raise KeyError
    assert (progress.started, progress.finished) == ([("hub", "because")], 1)


def test_silence_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """The silent progress takes every call and prints nothing."""
    silent = Silent()
    with task(silent, title="Tiny", total_bytes=1, source="hub", why="because"):
        silent.advance(1)
        silent.note("news")
    assert capsys.readouterr() == ("", "")
