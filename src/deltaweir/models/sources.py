"""A place to get weights from: what the pull asks of it, and how it says that it has none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from deltaweir.errors import ModelUnavailable
from deltaweir.models.catalogue import Entry


class SourceFailed(ModelUnavailable):
    """One source could not deliver; the next one is tried.

    Args:
        reason: A few words for the user, without addresses.
        corrupt: Whether it delivered something that is not the pinned file.
    """

    def __init__(self, reason: str, *, corrupt: bool = False) -> None:
        super().__init__(reason)
        self.corrupt = corrupt


class Source(Protocol):
    """A place to get weights from.

    Attributes:
        name: What users read: ``hub`` or ``mirror``.
    """

    @property
    def name(self) -> str:
        """What users read: ``hub`` or ``mirror``."""

    def needs(self, entry: Entry, *, folder: Path) -> int:
        """Return how many bytes more have to be free on the disk, given what is there."""

    def fetch(self, entry: Entry, *, folder: Path, advance: Callable[[int], None]) -> Path:
        """Get the file and return its path inside ``folder``.

        What an interrupted call leaves in ``folder`` is used by the next one.

        Args:
            entry: The model.
            folder: An existing folder that only this source uses, one call at a time.
            advance: To be called with the number of bytes done so far.

        Raises:
            SourceFailed: It cannot be had here.
            OSError: The folder cannot be written.
        """
