"""What every test may use: the small model's weights, and tiktoken without a network."""

from __future__ import annotations

import gc
import os
from typing import Any

import pytest
from hypothesis import settings
from tests.tiktoken_files import reference

from deltaweir.models.terminal import TerminalProgress
from deltaweir.models.weights import Weights, resolve

__all__ = ["reference", "smollm2"]

LIVE_S = 240
"""Seconds until a live test is given up that names no other limit."""

# a minute of examples on every run; `HYPOTHESIS_PROFILE=thorough` and `make fuzz` look longer
settings.register_profile("quick", max_examples=40)
settings.register_profile("thorough", max_examples=400)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

# programs that tests start are compiled once, not each time anew
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# no test may reach a provider that the developer's own environment names
for _name in (
    "DELTAWEIR_API_KEY",
    "DELTAWEIR_BASE_URL",
    "DELTAWEIR_MODEL",
    "OPENAI_API_BASE",
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
):
    os.environ.pop(_name, None)


@pytest.fixture(scope="session")
def smollm2(request: pytest.FixtureRequest) -> Weights:
    """The small model; at the first run it is pulled into the user's cache, visibly."""
    capture: Any = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        return resolve("smollm2", progress=TerminalProgress(lines=True))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give tests of the default model and of other programs the time that a busy machine takes."""
    for item in items:
        if item.get_closest_marker("live") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(LIVE_S))


def pytest_collection_finish() -> None:
    """Keep what lives as long as the run, thousands of tests, out of every look for garbage.

    A test that collects garbage to find what it leaked then looks through its own objects.
    """
    gc.collect()
    gc.freeze()
