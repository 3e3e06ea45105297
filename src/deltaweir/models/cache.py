"""Where weights are kept, and whether those that are there are the right ones.

A model has a folder of its own: the weights, their licence, and a marker in the format of
``sha256sum`` that also records size and time of the file when it was last verified. As long
as both are the same, later starts need not read half a gigabyte again.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from deltaweir.errors import ModelUnavailable
from deltaweir.models.catalogue import Entry, licence_text
from deltaweir.models.progress import Progress, task

VARIABLE = "DELTAWEIR_CACHE"
"""The environment variable that names another cache folder."""

_BLOCK_BYTES = 1 << 20
_FULL = (errno.ENOSPC, errno.EDQUOT)


def cache_folder() -> Path:
    """Return the folder that weights are kept under; it need not exist.

    DELTAWEIR_CACHE names it; else it is ``deltaweir`` in XDG_CACHE_HOME or in the place
    where the system keeps caches.

    Raises:
        ModelUnavailable: The user has no home folder and no variable names another.
    """
    try:
        return _folder(os.environ, platform=sys.platform)
    except RuntimeError as error:  # what pathlib raises for a user without a home
        message = f"no home folder to keep weights in: set {VARIABLE} to a folder"
        raise ModelUnavailable(message) from error


def _folder(environ: Mapping[str, str], *, platform: str) -> Path:
    if chosen := environ.get(VARIABLE):
        return Path(chosen).expanduser().absolute()
    if platform == "win32":
        local = environ.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / "deltaweir" / "Cache"
    # The XDG rules: a relative path is to be ignored.
    if (xdg := environ.get("XDG_CACHE_HOME")) and Path(xdg).is_absolute():
        return Path(xdg) / "deltaweir"
    if platform == "darwin":
        return Path.home() / "Library" / "Caches" / "deltaweir"
    return Path.home() / ".cache" / "deltaweir"


def path_of(entry: Entry) -> Path:
    """Return where the weights of ``entry`` are, or will be once they are pulled."""
    return cache_folder() / "models" / entry.name / entry.file


def present(entry: Entry, *, verify: bool = False, progress: Progress | None = None) -> bool:
    """Say whether the right weights of ``entry`` are in the cache.

    Costs two file look-ups when they were verified before and have not been touched since;
    otherwise their checksum is computed, which takes about a second for half a gigabyte.

    Args:
        entry: The model.
        verify: Compute the checksum in any case.
        progress: Is told about a checksum that is being computed.

    Raises:
        ModelUnavailable: A file is there but cannot be read.
    """
    path = path_of(entry)
    with explained(path.parent):
        if not path.is_file() or path.stat().st_size != entry.bytes:
            return False
        if not verify and _marked(path, entry=entry):
            return True
        right = digest(path, entry=entry, why="not verified yet", progress=progress) == entry.sha256
        # A cache that may only be read is used as it is, and verified at each start.
        with contextlib.suppress(OSError):
            if right:
                mark(path, entry=entry)
            else:
                _marker(path).unlink(missing_ok=True)
        return right


def digest(path: Path, *, entry: Entry, why: str, progress: Progress | None) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits, telling ``progress`` about it."""
    found = hashlib.sha256()
    buffer = memoryview(bytearray(_BLOCK_BYTES))
    done = 0
    with contextlib.ExitStack() as stack:
        if progress is not None:
            shown = task(
                progress, title=entry.title, total_bytes=entry.bytes, source="checksum", why=why
            )
            stack.enter_context(shown)
        file = stack.enter_context(path.open("rb", buffering=0))
        while count := file.readinto(buffer):
            found.update(buffer[:count])
            done += count
            if progress is not None:
                progress.advance(done)
    return found.hexdigest()


def _marker(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _record(path: Path, *, entry: Entry) -> str:
    found = path.stat()
    return f"# {found.st_size} bytes, {found.st_mtime_ns} ns\n{entry.sha256}  {path.name}\n"


def _marked(path: Path, *, entry: Entry) -> bool:
    marker = _marker(path)
    return marker.is_file() and marker.read_text("utf-8", "replace") == _record(path, entry=entry)


def mark(path: Path, *, entry: Entry) -> None:
    """Record that ``path`` was just verified against the checksum of ``entry``."""
    _marker(path).write_text(_record(path, entry=entry), "utf-8")


def write_licence(entry: Entry) -> None:
    """Write the text of the licence beside the weights of ``entry``."""
    target = path_of(entry).parent / f"LICENCE-{entry.licence}.txt"
    target.write_text(licence_text(entry), "utf-8")


def full(folder: Path, *, needed: int | None = None) -> ModelUnavailable:
    """Return the error for a disk without room.

    Args:
        folder: The folder that was to be written.
        needed: Bytes that have to be free, None when not known.
    """
    free = _free(folder)
    wanted = "more bytes" if needed is None else f"{needed:,} bytes"
    return ModelUnavailable(
        f"the disk is full: {wanted} needed, {free:,} free in {folder}.\n"
        f"Make room, or set {VARIABLE} to a folder on another disk."
    )


def _free(folder: Path) -> int:
    import shutil  # a start that finds its weights does not need it

    return shutil.disk_usage(folder).free


def require_room(folder: Path, *, needed: int) -> None:
    """Raise ModelUnavailable unless ``needed`` bytes are free on the disk of ``folder``."""
    if _free(folder) < needed:
        raise full(folder, needed=needed)


@contextlib.contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Turn what the file system refuses inside the block into an error that says what to do.

    Raises:
        ModelUnavailable: The disk is full, or something under ``folder`` may not be read or
            written.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise full(folder) from error
        reason = error.strerror or type(error).__name__
        message = (
            f"the cache folder {folder} cannot be used: {reason}.\n"
            f"Set {VARIABLE} to a folder that can be written."
        )
        raise ModelUnavailable(message) from error
