"""Download one file from the official hub: a program of its own, started by ``hub``.

In a process of its own the library's settings, logs, retries and half a second of imports
stay out of the user's program, and Ctrl-C ends it at any point. It is run by path, so it
imports nothing of this package.

``hf_hub_download`` is not used: since 2.x it starts from zero after an interruption, and it
retries an unreachable hub for 23 seconds.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

CONNECT_S = 5.0
"""Seconds to wait for the hub's first answer."""


def _end_with_parent() -> None:
    # Returns when the process that started us is gone. Not through sys.stdin, whose lock a
    # waiting thread would hold when the interpreter shuts down, which is a fatal error.
    os.read(0, 1)
    os._exit(1)  # pragma: no cover  (ends the process before it is measured)


def download(repo: str, *, file: str, target: Path, size: int, sha256: str) -> str | None:
    """Download a file, going on where ``target`` ends.

    Args:
        repo: Owner and repository.
        file: Path of the file inside the repository.
        target: Where to write; kept when the download breaks off.
        size: Bytes of the file wanted.
        sha256: Its checksum.

    Returns:
        None, or the reason why the hub's file is not the one wanted.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.file_download import http_get

    url = hf_hub_url(repo, file)
    # Without the user's token: the repository is public, and an expired token is refused.
    found = get_hf_file_metadata(url, token=False, timeout=CONNECT_S)
    if found.size not in (None, size):
        return f"holds another file of {found.size:,} bytes"
    if found.etag is not None and len(found.etag) == len(sha256) and found.etag != sha256:
        return "holds another file of the same size"
    sys.stdout.write("found\n")
    sys.stdout.flush()
    done = target.stat().st_size if target.exists() else 0
    with target.open("ab" if done <= size else "wb") as output:
        http_get(url, output, resume_size=done if done <= size else 0, expected_size=size)
    return None


def main(arguments: list[str]) -> int:
    """Download as the arguments say: repo, file, target, size, sha256.

    Returns:
        The exit code: 0 when the file is there, 3 when the hub holds another file. Errors
        end the program with a traceback, whose last line ``hub`` reads.
    """
    threading.Thread(target=_end_with_parent, daemon=True).start()
    repo, file, target, size, sha256 = arguments
    reason = download(repo, file=file, target=Path(target), size=int(size), sha256=sha256)
    if reason is None:
        return 0
    sys.stdout.write(f"{reason}\n")
    return 3


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
