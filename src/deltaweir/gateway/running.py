"""What a gateway knows of all that is on its way through it."""

from __future__ import annotations

from typing import Protocol

from deltaweir.endings import Ending


class Running(Protocol):
    """A stream on its way, or another body that is passed on."""

    key_id: str | None
    """Whose key asked for it."""

    @property
    def held_chars(self) -> int:
        """How many characters a guard holds back at this moment."""

    def tidy(self) -> None:
        """Keep what waits in less memory."""

    def abort(self, ending: Ending) -> None:
        """End it from this side."""

    def stop(self) -> None:
        """End it since the server stops."""
