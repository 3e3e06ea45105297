"""A pull shown to a person: a bar on a terminal, plain lines elsewhere where asked for."""

from __future__ import annotations

import sys
from typing import Any


class TerminalProgress:
    """Show a pull on stderr when somebody watches it.

    Args:
        lines: Whether to write plain lines where stderr is not a terminal: a command does, a
            library keeps silent.

    Not to be shared between threads.
    """

    def __init__(self, *, lines: bool = False) -> None:
        self._lines = lines
        self._bar: Any = None
        self._task: Any = None
        self._total = 0
        self._tenths = 0

    def start(self, title: str, *, total_bytes: int, source: str, why: str) -> None:
        """Say what is coming, from where and why, and begin a bar."""
        what = "verifying" if source == "checksum" else f"downloading from the {source}"
        self._total, self._tenths = total_bytes, 0
        self.note(f"{title}: {what}, {total_bytes / 1e6:.0f} MB ({why})")
        if sys.stderr.isatty():
            self._bar = _bar()
            self._bar.start()
            self._task = self._bar.add_task("", total=total_bytes)

    def advance(self, done_bytes: int) -> None:
        """Move the bar, or write a line each tenth."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done_bytes)
        elif self._lines and self._total and done_bytes * 10 // self._total > self._tenths:
            self._tenths = done_bytes * 10 // self._total
            self.note(f"  {self._tenths * 10} %")

    def note(self, text: str) -> None:
        """Show a line of news, above the bar where there is one."""
        if self._bar is not None:
            self._bar.console.print(text, highlight=False, markup=False)
        elif self._lines or sys.stderr.isatty():
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()

    def finish(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = self._task = None


def _bar() -> Any:
    from rich.console import Console  # heavy: only for those who see it
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    return Progress(
        TextColumn("  "),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
