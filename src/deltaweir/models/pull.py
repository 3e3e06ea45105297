"""Get the weights of a catalogue model into the cache, whole or not at all.

The sources are tried in order, and the pinned size and SHA-256 decide what is taken. Work in
progress lies in ``partial-<source>`` folders beside the final name and survives an
interruption; the final name appears by one rename, after the check.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from deltaweir.errors import ModelCorrupt, ModelUnavailable
from deltaweir.models.cache import (
    digest,
    explained,
    mark,
    path_of,
    present,
    require_room,
    write_licence,
)
from deltaweir.models.catalogue import Entry, HubSource, catalogue
from deltaweir.models.lock import locked
from deltaweir.models.progress import Progress, Silent, task
from deltaweir.models.sources import Source, SourceFailed


def sources_of(entry: Entry) -> list[Source]:
    """Return the sources of a catalogue model, in the order to try."""
    from deltaweir.models.hub import Hub
    from deltaweir.models.mirror import Mirror

    return [
        Hub(source) if isinstance(source, HubSource) else Mirror(source) for source in entry.sources
    ]


def pull(
    entry: Entry,
    *,
    progress: Progress | None = None,
    sources: Sequence[Source] | None = None,
    verify: bool = False,
) -> Path:
    """Return the path of the weights of ``entry``, downloading them when they are not there.

    Another process that pulls the same model is waited for. An interrupted pull goes on
    where it was.

    Args:
        entry: The model.
        progress: Told what happens; None for silence.
        sources: Where to look, instead of the places the catalogue names.
        verify: Compute the checksum of weights that are already there, even if nothing has
            touched them since they were verified.

    Raises:
        ModelUnavailable: No source could be reached, the disk is full, or the cache folder
            cannot be written. The message names the ways out.
        ModelCorrupt: What a source delivered is not the file the catalogue pins, and no
            other source helped.
    """
    shown = Silent() if progress is None else progress
    path = path_of(entry)
    if present(entry, verify=verify, progress=progress):
        return path
    why = "the copy here is damaged" if path.exists() else "not on this machine yet"

    def waiting() -> None:
        shown.note(f"another process is downloading {entry.name}; waiting for it")

    with explained(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path.parent / "lock", waiting=waiting):
            if not present(entry, progress=progress):
                chosen = sources_of(entry) if sources is None else sources
                _from_first(chosen, entry=entry, why=why, progress=shown)
    return path


def _from_first(sources: Sequence[Source], *, entry: Entry, why: str, progress: Progress) -> None:
    """Take the weights from the first source that has them."""
    failures: list[str] = []
    corrupt = False
    for source in sources:
        try:
            _take(source, entry=entry, why=failures[-1] if failures else why, progress=progress)
        except SourceFailed as failure:
            failures.append(f"{source.name}: {failure.message}")
            corrupt = corrupt or failure.corrupt
            progress.note(failures[-1])
        else:
            return
    raise (ModelCorrupt if corrupt else ModelUnavailable)(_nothing_worked(entry, failures=failures))


def _take(source: Source, *, entry: Entry, why: str, progress: Progress) -> None:
    """Take the weights from one source, and give them their final name when they are right."""
    path = path_of(entry)
    partial = path.parent / f"partial-{source.name}"
    partial.mkdir(exist_ok=True)
    require_room(path.parent, needed=source.needs(entry, folder=partial))
    with task(progress, title=entry.title, total_bytes=entry.bytes, source=source.name, why=why):
        got = source.fetch(entry, folder=partial, advance=progress.advance)
    _check(got, entry=entry, progress=progress)
    write_licence(entry)
    with got.open("rb+") as file:
        os.fsync(file.fileno())  # the name must not reach the disk before the data
    got.replace(path)
    mark(path, entry=entry)
    for leftover in path.parent.glob("partial-*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _check(got: Path, *, entry: Entry, progress: Progress) -> None:
    """Delete what a source delivered and raise SourceFailed unless it is the pinned file."""
    size = got.stat().st_size
    if size != entry.bytes:
        got.unlink()
        reason = f"wrong size: got {size:,} bytes, wanted {entry.bytes:,}"
        raise SourceFailed(reason, corrupt=True)
    found = digest(got, entry=entry, why="just downloaded", progress=progress)
    if found != entry.sha256:
        got.unlink()
        reason = f"wrong checksum: got {found[:16]}..., wanted {entry.sha256[:16]}..."
        raise SourceFailed(reason, corrupt=True)


def _nothing_worked(entry: Entry, *, failures: Sequence[str]) -> str:
    smallest = min(catalogue().values(), key=lambda other: other.bytes)
    ways = ["--model FILE.gguf (weights you have)"]
    if smallest.bytes < entry.bytes:
        ways.append(f"--model {smallest.name} ({smallest.bytes // 10**6} MB)")
    ways.append("a provider by --base-url")
    return (
        f"{entry.name} is not on this machine and could not be downloaded.\n"
        f"Tried {'; '.join(failures) or 'no source'}.\n"
        f"Ways out: {', or '.join(ways)}"
    )
