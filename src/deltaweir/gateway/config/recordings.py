"""The table ``[recordings]``: where streams are recorded that ask for it, and played from."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from deltaweir.adapters.recording_files import SUFFIX
from deltaweir.errors import InvalidRequest
from deltaweir.recording import Kept

_NAME = re.compile(r"[a-z0-9_-]{1,64}", re.ASCII)


class RecordingsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table ``[recordings]``.

    Attributes:
        dir: The folder, from where the configuration lies; made when it is first needed. Without
            one nothing is recorded.
        request: How much of a request is recorded with its stream: ``redacted`` keeps its
            options, ``full`` its prompt too, ``none`` nothing.
    """

    dir: str | None = None
    request: Kept = "redacted"

    def __post_init__(self) -> None:
        """Refuse a folder that is none."""
        if self.dir == "":
            raise InvalidRequest("dir: got an empty text; leave it out to record nothing")

    def path(self, name: str) -> Path | None:
        """Return the file of a recording, there or not; None without a folder or a good name."""
        if self.dir is None or not is_name(name):
            return None
        return Path(self.dir) / f"{name}{SUFFIX}"


def is_name(name: str) -> bool:
    """Tell whether a recording may be called so."""
    return _NAME.fullmatch(name) is not None
