"""The catalogue is complete, pins its files, and names what exists when asked for more."""

from __future__ import annotations

import re

import pytest

from deltaweir.errors import ModelNotFound
from deltaweir.models.catalogue import (
    HubSource,
    WheelSource,
    catalogue,
    default_entry,
    find,
    licence_text,
)


def test_the_two_models_of_the_design_are_there() -> None:
    """Both models have the size and the checksum that the design pins."""
    qwen, small = catalogue().values()
    assert (qwen.name, qwen.bytes) == ("qwen2.5-coder-0.5b", 491_400_064)
    assert qwen.sha256 == "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32"
    assert (small.name, small.bytes) == ("smollm2", 98_362_432)
    assert small.sha256 == "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
    assert (qwen.tools, small.tools) == (True, False)


def test_exactly_one_model_is_the_default() -> None:
    """One model is the default, and default_entry returns it."""
    assert [entry for entry in catalogue().values() if entry.default] == [default_entry()]
    assert default_entry().name == "qwen2.5-coder-0.5b"


@pytest.mark.parametrize("name", list(catalogue()))
def test_every_entry_is_sound(name: str) -> None:
    """Names are short, sums are SHA-256, and the parts of the wheels add up to the file."""
    entry = catalogue()[name]
    assert re.fullmatch(r"[a-z0-9.-]{1,64}", entry.name)
    assert re.fullmatch(r"[0-9a-f]{64}", entry.sha256)
    assert entry.file.endswith(".gguf")
    assert 0 < entry.context <= 32_768
    hub, wheels = entry.sources
    assert isinstance(hub, HubSource)
    assert isinstance(wheels, WheelSource)
    assert sum(wheel.bytes for wheel in wheels.wheels) == entry.bytes
    assert "Apache License" in licence_text(entry)


def test_the_catalogue_belongs_to_the_caller() -> None:
    """Changing the dictionary does not change what the next caller gets."""
    catalogue().clear()
    assert len(catalogue()) == 2


def test_find_returns_the_entry_of_a_name() -> None:
    """A known name finds its entry."""
    assert find("smollm2") is catalogue()["smollm2"]


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    """The error names the catalogue and the way to use a file."""
    with pytest.raises(ModelNotFound) as caught:
        find("gpt-9")
    for part in ("'gpt-9'", "qwen2.5-coder-0.5b (default)", "smollm2", "the path of a .gguf file"):
        assert part in caught.value.message
    assert caught.value.status == 404


def test_a_very_long_name_is_cut_in_the_message() -> None:
    """A name of a megabyte does not make a message of a megabyte."""
    with pytest.raises(ModelNotFound) as caught:
        find("x" * 1_000_000)
    assert len(caught.value.message) < 400
