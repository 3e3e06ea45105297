"""The page's files as a browser gets them: bytes, compressed once, with their types and tags."""

from __future__ import annotations

import functools
import gzip
import hashlib
import re
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import NamedTuple

INDEX = "index.html"
_VERSION = b"{{version}}"
_OTHERS = "vendor/"
"""Where other people's files lie, which are sent as they are."""
_COMMENT = re.compile(rb"^[ \t]*(?:/\*.*?\*/|//[^\n]*)[ \t]*$", re.MULTILINE | re.DOTALL)
"""A comment that has its lines for itself; a third of our files are such."""
_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "LICENSE": "text/plain; charset=utf-8",
}


class Asset(NamedTuple):
    """One file."""

    kind: str
    """Its media type."""
    plain: bytes
    """Its content, comments left out."""
    compressed: bytes
    """The same by gzip."""
    etag: str
    """Its entity tag, with the quotes: another content has another one."""


class Assets(NamedTuple):
    """All files of the page."""

    version: str
    """A digest of all of them, which stands in their addresses: a browser may keep them for
    good, and never mixes those of two releases."""
    by_path: dict[str, Asset]
    """The files by their paths, ``index.html`` among them."""


@functools.cache
def assets() -> Assets:
    """Return the page's files; the first call reads and compresses them, in some 50 ms."""
    contents = dict(sorted(_read(files(__package__) / "static")))
    digest = hashlib.sha256()
    for path, content in contents.items():
        digest.update(path.encode() + b"\0" + content + b"\0")
    version = digest.hexdigest()[:16]
    contents[INDEX] = contents[INDEX].replace(_VERSION, version.encode())
    return Assets(version, {path: _asset(path, _lean(path, it)) for path, it in contents.items()})


def _lean(path: str, content: bytes) -> bytes:
    """Return a file without its comments, each line where it was, so that errors name it."""
    if path.startswith(_OTHERS) or not path.endswith((".js", ".css")):
        return content
    return _COMMENT.sub(lambda found: b"\n" * found[0].count(b"\n"), content)


def _read(folder: Traversable, above: str = "") -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for entry in folder.iterdir():
        path = above + entry.name
        if entry.is_dir():
            found += _read(entry, f"{path}/")
        elif path.rpartition(".")[2] in _TYPES:
            found.append((path, entry.read_bytes()))
    return found


def _asset(path: str, content: bytes) -> Asset:
    # no time in the header: the same content is the same bytes in every worker
    compressed = gzip.compress(content, compresslevel=9, mtime=0)
    etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    return Asset(_TYPES[path.rpartition(".")[2]], content, compressed, etag)
