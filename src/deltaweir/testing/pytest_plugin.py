"""Fixtures for pytest: ``pytest_plugins = ["deltaweir.testing.pytest_plugin"]``.

They stand apart, since nothing else of this package needs pytest.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from deltaweir.testing.recordings import Recordings


@pytest.fixture
def recordings(request: pytest.FixtureRequest) -> Iterator[Recordings]:
    """Serve the test's recordings, from the folder ``recordings`` beside its file.

    Point a client at ``recordings.base_url``. With DELTAWEIR_RECORD=once in the environment, what
    has no recording yet is asked of the real server and recorded, with =all everything anew.
    """
    name = f"{request.path.stem}.{request.node.name}"
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", name)
    with Recordings(request.path.parent / "recordings", plain) as serving:
        yield serving
