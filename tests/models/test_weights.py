"""A name or a path becomes a file the engine can be given, or an error that helps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deltaweir.errors import ModelCorrupt, ModelNotFound, ModelUnavailable
from deltaweir.models import catalogue as catalogue_module
from deltaweir.models import pull as pull_module
from deltaweir.models.weights import is_embedded, resolve

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture
def known(build: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Have a catalogue of one model, `tiny`, and a source that delivers it; return that source."""
    source = build.Source(build.gguf())
    entry = build.entry(build.gguf())
    monkeypatch.setattr(catalogue_module, "_decoded", lambda: {"tiny": entry})
    monkeypatch.setattr(pull_module, "sources_of", lambda _: [source])
    return source


def test_a_catalogue_name_is_pulled_when_absent(known: Any) -> None:
    """The first call pulls, the second one finds."""
    for _ in range(2):
        weights = resolve("tiny")
        assert weights.entry is not None
        assert (weights.name, weights.head.name) == ("tiny", "Tiny")
        assert weights.path.is_file()
    assert known.calls == 1


def test_a_pull_can_be_forbidden(known: Any) -> None:
    """Without leave to download, what is absent is an error and what is there is used."""
    with pytest.raises(ModelUnavailable, match="deltaweir model pull tiny"):
        resolve("tiny", allow_pull=False)
    assert known.calls == 0
    resolve("tiny")
    assert resolve("tiny", allow_pull=False).name == "tiny"


def test_a_path_is_taken_as_it_is(
    build: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path object, a string with a separator, a file name and a home path all work."""
    (tmp_path / "mine.gguf").write_bytes(build.gguf())
    (tmp_path / "plain").write_bytes(build.gguf())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    for name in (tmp_path / "mine.gguf", str(tmp_path / "mine.gguf"), "mine.gguf", "~/mine.gguf"):
        weights = resolve(name)
        assert (weights.name, weights.entry) == ("mine", None)
    assert resolve("plain").name == "plain"
    assert resolve(Path("plain")).head.architecture == "tiny"


@pytest.mark.parametrize("name", ["absent.gguf", "some/where", "~nobody-here/x.gguf"])
def test_a_missing_file_is_unavailable(name: str) -> None:
    """What looks like a path is looked for, and named."""
    with pytest.raises(ModelUnavailable, match="there is no weights file"):
        resolve(name)


@pytest.mark.parametrize("name", ["gpt-9", "", "zero\0", "a/zero\0.gguf"])
def test_any_other_name_is_not_found(name: str) -> None:
    """What is neither a catalogue name nor a path is an unknown model."""
    with pytest.raises(ModelNotFound, match=r"the catalogue has.*\n.* path of a \.gguf file"):
        resolve(name)


def test_a_corrupt_file_is_refused(tmp_path: Path) -> None:
    """The engine never sees it."""
    (tmp_path / "bad.gguf").write_bytes(b"GGUF" + b"\xff" * 100)
    with pytest.raises(ModelCorrupt, match=r"bad\.gguf is not a usable GGUF file"):
        resolve(tmp_path / "bad.gguf")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tensors": 0}, "a vocabulary without weights"),
        ({"items": True}, "weights without a vocabulary"),
    ],
)
def test_a_file_that_is_no_language_model_is_refused(
    build: Any, tmp_path: Path, options: dict[str, Any], said: str
) -> None:
    """Half a model is told apart from a damaged one."""
    if "items" in options:
        options = {"items": build.items()[:3]}
    (tmp_path / "half.gguf").write_bytes(build.gguf(**options))
    with pytest.raises(ModelCorrupt, match=said):
        resolve(tmp_path / "half.gguf")


def test_names_that_can_only_mean_the_embedded_model(tmp_path: Path) -> None:
    """Catalogue names, GGUF names and files do; names of providers' models do not."""
    (tmp_path / "plain").touch()
    for name in ("smollm2", "x.GGUF", str(tmp_path / "plain")):
        assert is_embedded(name)
    for name in ("gpt-4o", "openai/gpt-4o", str(tmp_path), "zero\0.gguf", ""):
        assert not is_embedded(name)
