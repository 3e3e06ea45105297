"""``deltaweir model``: for people in any width, for programs between tabs or as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


def test_the_list_for_programs(run: Run, tmp_path: Path) -> None:
    """A pipe gets a model a line, between tabs."""
    ended = run("model", "list", env={"DELTAWEIR_CACHE": str(tmp_path)})
    assert (ended.code, ended.err) == (0, "")
    default, small = [line.split("\t") for line in ended.out.splitlines()]
    assert default[:3] == ["qwen2.5-coder-0.5b", "Qwen2.5 Coder 0.5B Instruct (Q4_K_M)", "491"]
    assert default[3:] == ["Apache-2.0", "no", "yes"]
    assert small == ["smollm2", "SmolLM2 135M Instruct (Q4_1)", "98", "Apache-2.0", "no", "no"]
    assert not list(tmp_path.iterdir())


def test_the_list_as_json(run: Run) -> None:
    """JSON has the same, with its types."""
    rows = json.loads(run("model", "list", "--json").out)
    assert [row["default"] for row in rows] == [True, False]
    assert rows[1]["megabytes"] == 98


@pytest.mark.parametrize("columns", [40, 80])
def test_the_list_for_people(terminal: Any, tmp_path: Path, columns: int) -> None:
    """A terminal of any width gets lines that fit, and an uncut folder."""
    started = terminal(
        "model", "list", columns=columns, env={"DELTAWEIR_CACHE": str(tmp_path), "NO_COLOR": "1"}
    )
    assert started.end() == 0
    *shown, folder, empty = started.screen
    assert shown[:3] == [
        "qwen2.5-coder-0.5b (the default)",
        "  Qwen2.5 Coder 0.5B Instruct (Q4_K_M)",
        "  491 MB, Apache-2.0, not on this machine",
    ]
    assert folder == f"Files are kept in {tmp_path / 'models'}"
    assert empty == ""


@pytest.mark.parametrize("name", [[], ["smollm2"]], ids=["default", "smollm2"])
def test_path(run: Run, tmp_path: Path, name: list[str]) -> None:
    """The path is one line, whether the file is there or not."""
    ended = run("model", "path", *name, env={"DELTAWEIR_CACHE": str(tmp_path)})
    assert ended.code == 0
    found = Path(ended.out.rstrip("\r\n"))
    assert found.is_relative_to(tmp_path)
    assert found.suffix == ".gguf"


def test_pull_of_what_is_there(run: Run) -> None:
    """A model that is there is not downloaded again, and its place is named."""
    run("model", "pull", "smollm2")
    ended = run("model", "pull", "smollm2")
    assert (ended.code, ended.out) == (0, "")
    assert ended.err.startswith("smollm2 is at ")
    assert len(ended.err.splitlines()) == 1


@pytest.mark.parametrize("command", ["pull", "path"])
def test_an_unknown_name(run: Run, command: str) -> None:
    """A name that no model has is an error that names those that exist."""
    ended = run("model", command, "nope")
    assert (ended.code, ended.out) == (1, "")
    assert "smollm2" in ended.err
