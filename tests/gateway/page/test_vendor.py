"""Other people's files are what their authors released, and all of them are accounted for."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path

import deltaweir

VENDOR = Path(deltaweir.__file__).parent / "gateway/page/static/vendor"
RELEASES = tomllib.loads((VENDOR / "releases.toml").read_text())["releases"]


def test_each_file_has_its_checksum() -> None:
    """Not a byte was changed."""
    for release in RELEASES:
        for name, wanted in release["sha256"].items():
            assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == wanted, name


def test_there_is_no_other_file() -> None:
    """What lies there is named, and what is named lies there."""
    named = {name for release in RELEASES for name in release["sha256"]}
    assert {path.name for path in VENDOR.iterdir()} == named | {"releases.toml"}


def test_each_release_has_its_licence_and_a_reason() -> None:
    """A version, a licence with its text, and why it is there."""
    for release in RELEASES:
        assert release["version"][0].isdigit()
        assert release["licence"]
        assert release["why"]
        (text,) = (name for name in release["sha256"] if name.endswith(".LICENSE"))
        assert len((VENDOR / text).read_text()) > 500
