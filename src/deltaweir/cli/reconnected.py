"""Tell people that an answer goes on by another connection, and what to do where it cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deltaweir.cli.show import say

if TYPE_CHECKING:
    from deltaweir.cli.answers import Answer
    from deltaweir.client.streams import Stream
    from deltaweir.errors import DeltaweirError


class Reconnections:
    """Say on stderr when a stream was resumed, once for each time.

    Args:
        stream: The stream.
        answer: What shows it.
    """

    def __init__(self, stream: Stream[Any, Any], answer: Answer) -> None:
        self._stream = stream
        self._answer = answer
        self._told = 0

    def tell(self) -> None:
        """Say what is new."""
        events = self._stream.resumed_at[self._told :]
        if events:
            self._told += len(events)
            with self._answer.aside():
                for event in events:
                    say(f"connection lost; resumed at event {event}")


def is_refused(error: DeltaweirError | None) -> bool:
    """Say whether a server refused a request because it cannot let its answer be resumed.

    Commands ask for that unasked, so they can do without.
    """
    return error is not None and error.code == "resume_needs_store"
