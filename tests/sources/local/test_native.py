"""Loading: what the engine cannot load is an error of ours, whatever it says."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from deltaweir.errors import EngineMissing, ModelCorrupt
from deltaweir.models.weights import Weights
from deltaweir.sources.local.native import load_server


def load(path: Path) -> object:
    """Load a small server."""
    return load_server(path, context=64, slots=1, threads=None)


def test_a_server_is_ready_when_it_is_returned(smollm2: Weights) -> None:
    """It may be destroyed at once, which waits for ever before its loop runs."""
    for _ in range(3):
        load(smollm2.path)


def test_all_cores_are_counted_where_none_are_reserved(
    smollm2: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not every system says which cores a process may use."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    load(smollm2.path)


def test_what_the_engine_cannot_load_is_corrupt(tmp_path: Path) -> None:
    """A file that is not there, and one that is no model."""
    with pytest.raises(ModelCorrupt, match=r"cannot load missing\.gguf"):
        load(tmp_path / "missing.gguf")
    (tmp_path / "text.gguf").write_text("text")
    with pytest.raises(ModelCorrupt, match=r"cannot load text\.gguf"):
        load(tmp_path / "text.gguf")


def test_a_missing_engine_names_the_way_out(
    smollm2: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And leaves the environment as it was."""
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    with pytest.raises(EngineMissing, match=r"pip install 'deltaweir\[local\]'"):
        load(smollm2.path)
    assert os.environ["OMP_WAIT_POLICY"] == "active"
