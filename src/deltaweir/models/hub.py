"""The first source: the official model hub, through huggingface_hub."""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

from deltaweir.models import child
from deltaweir.models.catalogue import Entry, HubSource
from deltaweir.models.sources import SourceFailed

_PROGRAM = Path(__file__).with_name("hub_download.py")
_START_S = 10.0  # a firewall that drops packets costs no more than this
_STALL_S = 30.0

_SETTINGS = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_XET": "1",  # plain HTTP goes on where a partial file ends
    "PYTHONIOENCODING": "utf-8",
}
# The lines of a traceback that name an exception.
_EXCEPTION = r"^([\w.]+(?:Error|Exception|Timeout|Enabled))\b(.*)$"
_REASONS = (
    (r"No module named 'huggingface_hub'", "the package huggingface_hub is not installed"),
    (r"OfflineMode", "switched off by HF_HUB_OFFLINE"),
    (r"(Repository|Entry|Revision)NotFound|GatedRepo", "no such file"),
    (r"CERTIFICATE_VERIFY|SSL", "its certificate is not trusted"),
    (r"ProxyError", "the proxy refuses"),
    (r"Connect|Connection|Timeout|Protocol|NameResolution|ReadError|Consistency", "no connection"),
)


def reason_of(log: str) -> str:
    """Say in a few words why the download failed, given what it printed.

    Only words of our own and the name of an exception come out: the log may hold addresses.
    """
    found = re.findall(_EXCEPTION, log, re.MULTILINE)
    if not found:
        return "failed"
    name, text = found[-1]
    for pattern, reason in _REASONS:
        if re.search(pattern, name + text):
            return reason
    status = re.search(r"error '([45]\d\d) |\b([45]\d\d) (?:Client|Server) Error", text)
    if status is not None:
        return f"answers with status {status[1] or status[2]}"
    return f"failed ({name.rpartition('.')[2]})"


class Hub:
    """Get weights from the official hub; its partial file grows in the given folder."""

    name = "hub"

    def __init__(self, source: HubSource) -> None:
        """Name the file: ``source`` of the catalogue."""
        self._source = source

    def _target(self, entry: Entry, *, folder: Path) -> Path:
        return folder / f"{entry.sha256[:16]}.part"

    def needs(self, entry: Entry, *, folder: Path) -> int:
        """Return the bytes that are still missing."""
        return max(0, entry.bytes - _size(self._target(entry, folder=folder)))

    def fetch(self, entry: Entry, *, folder: Path, advance: Callable[[int], None]) -> Path:
        """Download the file, or the rest of it.

        Raises:
            SourceFailed: The hub does not answer within 10 seconds, stalls for 30, does not
                have the file, or has another one.
            OSError: The folder cannot be written, or the disk is full.
        """
        target = self._target(entry, folder=folder)
        advance(_size(target))
        ending = child.watch(
            [
                *(sys.executable, "-P", str(_PROGRAM), self._source.repo, self._source.file),
                *(str(target), str(entry.bytes), entry.sha256),
            ],
            environ=_SETTINGS,
            log=folder / "log",
            size=lambda: _size(target),
            advance=advance,
            start_s=_START_S,
            stall_s=_STALL_S,
        )
        if ending.code == 0:
            return target
        if child.is_disk_full(ending.log):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if ending.code == 3:  # noqa: PLR2004  as hub_download says
            raise SourceFailed(ending.log.strip().splitlines()[-1], corrupt=True)
        raise SourceFailed(reason_of(ending.log))


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
