"""Fixtures for pytest: ``pytest_plugins = ["deltaweir.testing.pytest_plugin"]``.

They stand apart, since nothing else of this package needs pytest.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

import pytest

from deltaweir.testing.recordings import Recordings

_LONGEST_NAME = 150
"""Characters; file systems take 255, with a digest and a number."""


@pytest.fixture
def recordings(request: pytest.FixtureRequest) -> Iterator[Recordings]:
    """Serve the test's recordings, from the folder ``recordings`` beside its file.

    Point a client at ``recordings.base_url``. With DELTAWEIR_RECORD=once in the environment, what
    has no recording yet is asked of the real server and recorded, with =all everything anew.
    """
    within = request.node.nodeid.partition("::")[2] or request.node.name
    name = file_name(f"{request.path.stem}.{within.replace('::', '.')}")
    with Recordings(request.path.parent / "recordings", name) as serving:
        yield serving


def file_name(name: str) -> str:
    """Return a name for files, another one for each test.

    Args:
        name: The test's name. Where it cannot be that of a file, a digest tells it from others.
    """
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", name)[:_LONGEST_NAME]
    if plain == name:
        return name
    return f"{plain.rstrip('_')}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
