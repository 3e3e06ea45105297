"""Pure modules stay pure: in a fresh interpreter none brings a socket, a thread or a loop."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CONTRACT = "Pure modules reach no socket, thread, loop or file"
WAITING = {"socket", "ssl", "asyncio", "threading", "select"}


def pure() -> list[str]:
    """Return the modules that the contract in pyproject.toml calls pure, and those inside."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = config["tool"]["importlinter"]["contracts"]
    (contract,) = [one for one in contracts if one["name"] == CONTRACT]
    found = set[str]()
    for name in contract["source_modules"]:
        path = ROOT / "src" / name.replace(".", "/")
        inside = path.rglob("*.py") if path.is_dir() else [path.with_suffix(".py")]
        for file in inside:
            parts = file.relative_to(ROOT / "src").with_suffix("").parts
            found.add(".".join(parts).removesuffix(".__init__"))
    return sorted(found)


def test_the_contract_names_the_core() -> None:
    """The contract names at least the modules that decide."""
    assert {"deltaweir.errors", "deltaweir.schema.record", "deltaweir.weir"} <= set(pure())


def loaded_by(*modules: str) -> set[str]:
    """Return all modules that a fresh interpreter has after importing some."""
    code = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    # coverage measures child processes too, and would load what is looked for
    alone = {name: value for name, value in os.environ.items() if "COVERAGE" not in name}
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=50, env=alone
    )
    return set(done.stdout.split())


def test_pure_modules_bring_nothing_that_waits() -> None:
    """Neither they nor a library they use load what could wait; what all lack, each lacks."""
    modules = pure()
    if WAITING.isdisjoint(loaded_by(*modules)):
        return
    pytest.fail(f"loaded by {[one for one in modules if not WAITING.isdisjoint(loaded_by(one))]}")
