"""A pull shown to a person: a bar on a terminal, lines elsewhere, or nothing."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest

from deltaweir.models.terminal import TerminalProgress


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def show(progress: TerminalProgress, *, source: str = "hub") -> None:
    """Show a whole pull of 100 MB."""
    progress.start("Tiny", total_bytes=100_000_000, source=source, why="not here")
    for done in (0, 4_000_000, 15_000_000, 16_000_000, 100_000_000):
        progress.advance(done)
    progress.note("news [b]of[/b] it")
    progress.finish()
    progress.finish()


def shown(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO | None, **options: Any) -> str:
    """Return what a pull writes to a stderr."""
    monkeypatch.setattr(sys, "stderr", stream)
    show(TerminalProgress(**options))
    return "" if stream is None else stream.getvalue()


def test_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command writes a line each tenth where nobody watches."""
    assert shown(monkeypatch, io.StringIO(), lines=True).splitlines() == [
        "Tiny: downloading from the hub, 100 MB (not here)",
        "  10 %",
        "  100 %",
        "news [b]of[/b] it",
    ]


def test_a_checksum(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checksum is said, but not followed."""
    monkeypatch.setattr(sys, "stderr", stream := io.StringIO())
    show(TerminalProgress(lines=True), source="checksum")
    assert stream.getvalue().splitlines() == [
        "Tiny: verifying, 100 MB (not here)",
        "news [b]of[/b] it",
    ]


@pytest.mark.parametrize("stream", [io.StringIO(), None], ids=["file", "none"])
def test_silence(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO | None) -> None:
    """A library writes nothing where nobody watches, and needs no stderr."""
    assert shown(monkeypatch, stream) == ""


@pytest.mark.parametrize("columns", ["40", "80"])
def test_a_bar(monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    """A terminal sees a bar that fits it, under its news, and gets its cursor back."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", columns)
    text = shown(monkeypatch, Screen())
    assert text.startswith("Tiny: downloading from the hub, 100 MB (not here)\n")
    assert "news [b]of[/b] it" in text
    assert "100.0/100.0 MB" in text
    assert text.rfind("\x1b[?25h") > text.rfind("\x1b[?25l")


def test_a_dumb_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal that cannot redraw gets lines without escape sequences."""
    monkeypatch.setenv("TERM", "dumb")
    text = shown(monkeypatch, Screen(), lines=True)
    assert "  100 %\n" in text
    assert "\x1b" not in text


def test_an_interrupted_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """A start that is interrupted gives the cursor back, and is known to have begun."""
    from rich.progress import Progress

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(Progress, "add_task", interrupted)
    monkeypatch.setattr(sys, "stderr", screen := Screen())
    progress = TerminalProgress()
    assert not progress.began
    with pytest.raises(KeyboardInterrupt):
        progress.start("Tiny", total_bytes=1, source="hub", why="not here")
    assert progress.began
    assert screen.getvalue().rstrip().endswith("\x1b[?25h")
