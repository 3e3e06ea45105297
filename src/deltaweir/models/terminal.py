"""A pull shown to a person: a bar on a terminal, plain lines elsewhere where asked for."""

from __future__ import annotations

import os
import sys
from typing import Any

_WIDE_COLUMNS = 60


class TerminalProgress:
    """Show a pull on stderr when somebody watches it.

    Args:
        lines: Whether to write plain lines where stderr is not a terminal: a command does, a
            library keeps silent.

    Attributes:
        began: Whether a pull has begun.

    Not to be shared between threads.
    """

    def __init__(self, *, lines: bool = False) -> None:
        self.began = False
        self._lines = lines
        self._bar: Any = None
        self._task: Any = None
        self._total = 0
        self._tenths = 0

    def start(self, title: str, *, total_bytes: int, source: str, why: str) -> None:
        """Say what is coming, from where and why, and begin a bar."""
        is_download = source != "checksum"
        what = f"downloading from the {source}" if is_download else "verifying"
        self.note(f"{title}: {what}, {total_bytes / 1e6:.0f} MB ({why})")
        self.began = True
        # a checksum takes a second: nothing to keep a log of
        self._total, self._tenths = total_bytes if is_download else 0, 0
        if _can_redraw():
            self._bar = _bar()
            try:
                self._bar.start()
                self._task = self._bar.add_task("", total=total_bytes)
            except BaseException:  # interrupted: whoever calls does not know that it began
                self.finish()
                raise

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
            self._bar.console.print(text, highlight=False, markup=False, soft_wrap=True)
        elif sys.stderr is not None and (self._lines or sys.stderr.isatty()):
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()

    def finish(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar.console.show_cursor()  # also when starting or stopping was interrupted
            self._bar = self._task = None


def _can_redraw() -> bool:
    # a program without a console, as on Windows, has no stderr
    is_terminal = sys.stderr is not None and sys.stderr.isatty()
    return is_terminal and os.environ.get("TERM") != "dumb"


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

    console = Console(stderr=True)
    columns: list[Any] = [BarColumn(bar_width=None), DownloadColumn(), TimeRemainingColumn()]
    if console.width >= _WIDE_COLUMNS:
        columns.insert(2, TransferSpeedColumn())
    return Progress(TextColumn("  "), *columns, console=console, transient=True)
