"""Show a download, and say how it goes on when it is interrupted."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from deltaweir.cli.show import say
from deltaweir.models.terminal import TerminalProgress


@contextlib.contextmanager
def pulling() -> Iterator[TerminalProgress]:
    """Return what shows a download that is made inside the block.

    Raises:
        KeyboardInterrupt: The download was interrupted, and what can be done is said.
    """
    progress = TerminalProgress(lines=True)
    try:
        yield progress
    except KeyboardInterrupt:
        if progress.began:
            say("Interrupted; the same command goes on with the download where it was.")
        raise
