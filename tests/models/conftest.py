"""Builders of small files and doubles of a source and of a progress bar."""

from __future__ import annotations

import hashlib
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from deltaweir.models.catalogue import Entry, HubSource, Wheel

Item = tuple[str, int, bytes]


def text(value: str) -> bytes:
    """Encode a GGUF string."""
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def texts(values: list[str]) -> bytes:
    """Encode a GGUF array of strings, behind its key and type 9."""
    return struct.pack("<IQ", 8, len(values)) + b"".join(map(text, values))


def keys(*, tokens: list[str] | None = None) -> list[Item]:
    """Return the keys of a small language model, as name, type and encoded value."""
    vocabulary = ["<s>", "</s>", "a"] if tokens is None else tokens
    return [
        ("general.architecture", 8, text("tiny")),
        ("general.name", 8, text("Tiny")),
        ("tiny.context_length", 4, struct.pack("<I", 64)),
        ("tokenizer.ggml.tokens", 9, texts(vocabulary)),
        ("tokenizer.ggml.scores", 9, struct.pack("<IQ3f", 6, 3, 0, 1, 2)),
        ("tokenizer.ggml.bos_token_id", 4, struct.pack("<I", 0)),
        ("tokenizer.ggml.eos_token_id", 4, struct.pack("<I", 1)),
        ("tokenizer.ggml.add_bos_token", 7, b"\1"),
        ("tokenizer.chat_template", 8, text("{{ messages }}")),
    ]


def gguf(
    items: list[Item] | None = None,
    *,
    version: int = 3,
    kind: int = 0,
    sizes: tuple[int, ...] = (4, 2),
    tensors: int = 1,
    data: int = 32,
) -> bytes:
    """Return a GGUF file of ``tensors`` tensors, each at offset 0, and ``data`` bytes of data."""
    listed = keys() if items is None else items
    head = b"GGUF" + struct.pack("<IQQ", version, tensors, len(listed))
    head += b"".join(text(name) + struct.pack("<I", number) + raw for name, number, raw in listed)
    tensor = text("w") + struct.pack(f"<I{len(sizes)}QIQ", len(sizes), *sizes, kind, 0)
    head += tensor * tensors
    return head + b"\0" * (-len(head) % 32) + b"\7" * data


class Recorder:
    """A progress that keeps what it was told."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.started: list[tuple[str, str]] = []
        self.done: list[int] = []
        self.notes: list[str] = []
        self.finished = 0

    def start(self, title: str, *, total_bytes: int, source: str, why: str) -> None:
        """Keep the source and the reason."""
        assert title
        assert total_bytes > 0
        self.started.append((source, why))

    def advance(self, done_bytes: int) -> None:
        """Keep the bytes."""
        self.done.append(done_bytes)

    def note(self, text: str) -> None:
        """Keep the line."""
        self.notes.append(text)

    def finish(self) -> None:
        """Count."""
        self.finished += 1


class FakeSource:
    """A source that writes given bytes, or raises a given error."""

    def __init__(
        self,
        content: bytes = b"",
        *,
        name: str = "fake",
        needs: int = 0,
        error: BaseException | None = None,
    ) -> None:
        """Deliver ``content``, or raise ``error`` when half of it is written."""
        self.name = name
        self.calls = 0
        self._content, self._needs, self._error = content, needs, error

    def needs(self, entry: Entry, *, folder: Path) -> int:
        """Return what the test wants."""
        assert entry.name
        assert folder.is_dir()
        return self._needs

    def fetch(self, entry: Entry, *, folder: Path, advance: Callable[[int], None]) -> Path:
        """Write the content, half of it when an error is due."""
        assert entry.bytes
        self.calls += 1
        target = folder / "weights"
        if self._error is not None:
            target.write_bytes(self._content[: len(self._content) // 2])
            raise self._error
        target.write_bytes(self._content)
        advance(len(self._content))
        return target


def entry_for(content: bytes, *, name: str = "tiny") -> Entry:
    """Return a catalogue entry that pins ``content``."""
    return Entry(
        name=name,
        title="Tiny",
        file="tiny.gguf",
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        licence="Apache-2.0",
        context=64,
        tools=False,
        sources=(HubSource(repo="owner/tiny", file="tiny.gguf"),),
    )


def wheel(folder: Path, *, number: int, content: bytes, member: str = "part.bin") -> Wheel:
    """Write a wheel that carries ``content`` to ``folder``, and return its name."""
    name, version = f"deltaweir_test_part{number}", "1.0"
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{name}/{member}", content)
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return Wheel(
        distribution=name.replace("_", "-"),
        version=version,
        member=f"{name}/part.bin",
        bytes=len(content),
    )


class Builders:
    """What the tests of this folder build their cases from."""

    items = staticmethod(keys)
    text = staticmethod(text)
    texts = staticmethod(texts)
    gguf = staticmethod(gguf)
    entry = staticmethod(entry_for)
    wheel = staticmethod(wheel)
    Source = FakeSource
    Recorder = Recorder


@pytest.fixture(scope="session")
def build() -> type[Builders]:
    """Return the builders."""
    return Builders


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty cache folder that is in force for the test."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("DELTAWEIR_CACHE", str(folder))
    return folder
