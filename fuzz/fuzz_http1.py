"""`wire.http1.ResponseReader`: the same response however its bytes are cut, in bounded memory."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from fuzz.engine import cut, cuts, floods, instrumented, kept_bytes, run

with instrumented("deltaweir.wire"):
    from deltaweir.errors import StreamFailed, StreamTruncated
    from deltaweir.wire.http1 import Head, ResponseReader

HEAD_LIMIT = 1024
FLOOD_BYTES = 64 * 1024
KEPT_BYTES = 16 * 1024
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
EARLY = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nlink: x\r\n\r\n"
SEEDS = [
    CHUNKED + b"9\r\ndata: a\n\n\r\n3;x=y\r\nabc\r\n0\r\n\r\n",
    CHUNKED + b"1\r\na\r\n0\r\nx: y\r\n\r\n",
    CHUNKED + b"1\r\na\r\n0\r\nx: y\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nuntil the end",
    EARLY + b"HTTP/1.1 429 Slow\r\nretry-after: 1\r\ncontent-length: 2\r\n\r\n{}",
    b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nwhat",
    b"HTTP/1.1 204 No Content\r\nx: y\r\n\r\n",
    b"HTTP/1.1 301 Moved\r\nlocation: /\r\n obs: fold\r\ncontent-length: 0\r\n\r\n",
]


class Outcome(NamedTuple):
    """What came of a response."""

    head: Head | None
    body: bytes
    complete: bool
    reusable: bool
    error: str | None


def read(pieces: list[bytes]) -> Outcome:
    """Read a response whose peer then closes."""
    reader = ResponseReader()
    body: list[bytes] = []
    error = None
    try:
        for piece in pieces:
            if reader.complete and not piece.strip(b"\r\n"):
                continue  # blank lines between two responses do no harm, RFC 9112, section 2.2
            body += reader.feed(piece)
        reusable = reader.complete and reader.reusable
        reader.eof()
        assert not reader.reusable, "a closed connection is said to be of use"
    except (StreamFailed, StreamTruncated) as failure:
        reusable, error = False, type(failure).__name__
    return Outcome(reader.head, b"".join(body), reader.complete, reusable, error)


def flooded(pieces: list[bytes]) -> ResponseReader:
    """Read a response with a low limit on heads, and let its body go."""
    reader = ResponseReader(max_head_bytes=HEAD_LIMIT)
    try:
        for piece in pieces:
            reader.feed(piece)
    except StreamFailed:
        pass
    return reader


def check(seed: int, data: bytes) -> None:
    """Compare three ways of cutting; then repeat the response's end without end."""
    outcomes = {how: read(pieces) for how, pieces in cuts(data, seed)}
    whole = outcomes["whole"]
    for how, outcome in outcomes.items():
        assert outcome == whole, f"{how}: {outcome} is not {whole}"
    if data and floods(seed):
        tail = data[-(1 + seed // 32 % 16) :]
        pieces = cut(data + tail * (FLOOD_BYTES // len(tail)), seed)
        kept = kept_bytes(lambda: flooded(pieces))
        assert kept < KEPT_BYTES, f"a reader with a limit of {HEAD_LIMIT} bytes keeps {kept}"


if __name__ == "__main__":
    run("http1", check, SEEDS)
