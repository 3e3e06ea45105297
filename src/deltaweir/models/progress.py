"""How a pull tells what it is doing: calls on an object of the caller, who does the printing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Protocol


class Progress(Protocol):
    """Follow a pull; the calls come from the thread that pulls.

    Each ``start`` is followed by any number of ``advance`` and then one ``finish``, also
    when that part failed; ``note`` may come at any time.
    """

    def start(self, title: str, *, total_bytes: int, source: str, why: str) -> None:
        """Begin one long piece of work.

        Args:
            title: The model, for people to read.
            total_bytes: Bytes of the whole file.
            source: Where they come from: ``hub``, ``mirror``, or ``checksum`` while the
                file that is there is being verified.
            why: The reason for doing this, a few words in lower case.
        """

    def advance(self, done_bytes: int) -> None:
        """Say how many bytes are done, those of earlier attempts included."""

    def note(self, text: str) -> None:
        """Pass on one line of news, such as a source that failed."""

    def finish(self) -> None:
        """End what ``start`` began."""


class Silent:
    """A progress that shows nothing; it has no state and may be shared."""

    def start(self, title: str, *, total_bytes: int, source: str, why: str) -> None:
        """Show nothing."""

    def advance(self, done_bytes: int) -> None:
        """Show nothing."""

    def note(self, text: str) -> None:
        """Show nothing."""

    def finish(self) -> None:
        """Show nothing."""


@contextlib.contextmanager
def task(
    progress: Progress, *, title: str, total_bytes: int, source: str, why: str
) -> Iterator[None]:
    """Call ``start`` on entry and ``finish`` on exit, however the block ends."""
    progress.start(title, total_bytes=total_bytes, source=source, why=why)
    try:
        yield
    finally:
        progress.finish()
