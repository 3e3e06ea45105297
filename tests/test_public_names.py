"""What is public is what `__all__` names, and importing the package costs next to nothing."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys

import pytest

import deltaweir
from deltaweir import errors

HEAVY = [
    "asyncio",
    "huggingface_hub",
    "msgspec",
    "rich",
    "select",
    "socket",
    "ssl",
    "threading",
    "typer",
    "xllamacpp",
]


def loaded(statement: str, names: list[str]) -> list[str]:
    """Return which of some modules a statement loads in a fresh interpreter."""
    code = f"{statement}\nimport sys\nprint(*(name for name in {names!r} if name in sys.modules))"
    # coverage measures child processes too, and would load what is looked for
    alone = {name: value for name, value in os.environ.items() if "COVERAGE" not in name}
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=50, env=alone
    )
    return done.stdout.split()


def test_importing_the_package_loads_nothing_heavy() -> None:
    """`import deltaweir` starts no loop, opens no socket and loads no library."""
    assert loaded("import deltaweir", HEAVY) == []


def test_a_name_is_imported_when_it_is_used() -> None:
    """An error can be named without a client, and a client without an engine."""
    assert loaded("import deltaweir; deltaweir.StreamFailed", ["deltaweir.client"]) == []
    assert loaded("import deltaweir; deltaweir.Client", ["xllamacpp", "typer"]) == []


@pytest.mark.parametrize("name", deltaweir.__all__)
def test_every_public_name_exists(name: str) -> None:
    """Each name in `__all__` can be had, and is what its home has under that name."""
    value = getattr(deltaweir, name)
    if name in deltaweir._HOMES:
        module, attribute = deltaweir._HOMES[name]
        assert value is getattr(importlib.import_module(f"deltaweir.{module}"), attribute)
        assert value.__doc__


def test_all_and_dir_name_the_same() -> None:
    """`dir` shows the public names, each once."""
    assert dir(deltaweir) == sorted(set(deltaweir.__all__))
    assert len(set(deltaweir.__all__)) == len(deltaweir.__all__)


def test_nothing_else_is_there() -> None:
    """An unknown name raises AttributeError, which names it."""
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        deltaweir.nothing  # noqa: B018


def test_every_error_is_public() -> None:
    """The package has every error that its module has."""
    kinds = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.DeltaweirError)
    }
    assert kinds <= set(deltaweir.__all__)


def test_aliases_for_migration() -> None:
    """`OpenAI` and `AsyncOpenAI` are the clients."""
    names = vars(importlib.import_module("deltaweir.client.blocking"))
    assert getattr(deltaweir, "OpenAI") is names["Client"]  # noqa: B009  # imported on the way
    names = vars(importlib.import_module("deltaweir.client.asynchronous"))
    assert getattr(deltaweir, "AsyncOpenAI") is names["AsyncClient"]  # noqa: B009  # likewise


@pytest.mark.parametrize("module", ["deltaweir.error", "deltaweir.types", "deltaweir.testing"])
def test_all_of_a_public_module_exists(module: str) -> None:
    """A public module's `__all__` names what is there, each once."""
    found = importlib.import_module(module)
    assert len(set(found.__all__)) == len(found.__all__)
    assert all(hasattr(found, name) for name in found.__all__)


def test_every_record_is_public() -> None:
    """`deltaweir.types` has every record of the schema."""
    from deltaweir import types
    from deltaweir.schema import chunk, reply, request
    from deltaweir.schema.record import Record

    records = {
        name
        for module in (chunk, reply, request)
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, Record)
    }
    assert records <= set(types.__all__)


def test_an_import_of_everything_works() -> None:
    """`from deltaweir import *` brings the public names."""
    assert loaded("from deltaweir import *; Client, ChatCompletion, StreamFailed", []) == []
