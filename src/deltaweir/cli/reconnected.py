"""Tell people that an answer goes on by another connection, and what to do where it cannot."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from deltaweir.cli.show import say

if TYPE_CHECKING:
    from deltaweir.client.streams import Stream
    from deltaweir.errors import DeltaweirError


class Reconnections:
    """Say on stderr when a stream was resumed, once for each time.

    Args:
        stream: The stream.
    """

    def __init__(self, stream: Stream[Any, Any]) -> None:
        self._stream = stream
        self._told = 0

    def tell(self, *, open_line: bool = False) -> None:
        """Say what is new.

        Args:
            open_line: Whether the answer's last line on stdout has not ended.
        """
        events = self._stream.resumed_at[self._told :]
        self._told += len(events)
        for number, event in enumerate(events):
            on_one_screen = sys.stdout.isatty() and sys.stderr.isatty()
            begin = "\n" if open_line and not number and on_one_screen else ""
            say(f"{begin}connection lost; resumed at event {event}")


def is_refused(error: DeltaweirError | None) -> bool:
    """Say whether a server refused a request because it cannot let its answer be resumed.

    Commands ask for that unasked, so they can do without.
    """
    return error is not None and error.code == "resume_needs_store"
