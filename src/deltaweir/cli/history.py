"""Where a conversation's input lines are remembered: a file of the user's, that only they read."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from prompt_toolkit.history import FileHistory, History, InMemoryHistory

from deltaweir.cli.show import say

VARIABLE = "DELTAWEIR_HISTORY"
"""The environment variable that names another file, or is ``off``."""
_MOST_BYTES = 1_000_000
"""How long the file may be when a conversation begins; the older half is forgotten then."""
_ENTRY = b"\n# "
"""What an entry begins with: a line of its own with its time."""
_OFF = {"", "0", "off", "no", "none", "false"}


def history_file(environ: Mapping[str, str], *, platform: str = sys.platform) -> Path | None:
    """Return the file in which prompts are kept; None where none is to be.

    Args:
        environ: The environment.
        platform: As `sys.platform` says.

    Raises:
        RuntimeError: The user has no home folder, and no variable names another.
    """
    chosen = environ.get(VARIABLE)
    if chosen is not None:
        return None if chosen.lower() in _OFF else Path(chosen).expanduser().absolute()
    if platform == "win32":
        local = environ.get("LOCALAPPDATA")
        folder = Path(local) if local else Path.home() / "AppData" / "Local"
    elif (state := environ.get("XDG_STATE_HOME")) and Path(state).is_absolute():
        folder = Path(state)
    elif platform == "darwin":
        folder = Path.home() / "Library" / "Application Support"
    else:
        folder = Path.home() / ".local" / "state"
    return folder / "deltaweir" / "history"


def history(*, kept: bool) -> History:
    """Return what remembers input lines, in a file or until the conversation ends.

    Args:
        kept: Whether a file may be used.
    """
    if not kept:
        return InMemoryHistory()
    try:
        path = history_file(os.environ)
        if path is None:
            return InMemoryHistory()
        path.parent.mkdir(parents=True, exist_ok=True)
        _make_private(path)
        _trim(path)
        return PrivateHistory(str(path))
    except (OSError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "there is no home folder"
        say(f"What you type is not kept for next time: {reason}; {VARIABLE}=FILE names a file.")
        return InMemoryHistory()


class PrivateHistory(FileHistory):
    """A file of input lines; one that cannot be written any more is no reason to end."""

    def store_string(self, string: str) -> None:
        """Write a line to the file."""
        text = string.encode("utf-8", "replace").decode()  # a paste may be no text
        with contextlib.suppress(OSError):  # such as a full disk: the line is in memory
            super().store_string(text)


def _make_private(path: Path) -> None:
    """Make the file, or take from others the right to read it.

    Raises:
        OSError: It cannot be made, or is somebody else's.
    """
    number = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        if hasattr(os, "fchmod"):
            os.fchmod(number, 0o600)
    finally:
        os.close(number)


def _trim(path: Path) -> None:
    """Forget the oldest entries of a file that has become long; the newest stay as they are.

    Raises:
        OSError: It cannot be read.
    """
    if path.stat().st_size <= _MOST_BYTES:
        return
    path = path.resolve()  # a link stays one
    text = path.read_bytes()[-_MOST_BYTES // 2 :]
    begin = text.find(_ENTRY)
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    with contextlib.suppress(OSError):  # such as a full disk: it stays long
        try:
            _make_private(beside)
            beside.write_bytes(text[begin:] if begin >= 0 else b"")
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
