"""Write the data file that the package carries for p50k_base from OpenAI's own file.

Usage: pack_ranks.py p50k_base.tiktoken

Every rank in order, a byte for the length of its token before it, compressed with zlib. Length
0 stands at rank 50256, which p50k_base gives to its special token. Tokens reach 128 bytes.
"""

from __future__ import annotations

import base64
import hashlib
import sys
import zlib
from pathlib import Path

SHA256 = "94b5ca7dff4d00767bc256fdd1b27e5b17361d7b8a5f968547f9f23eb70d2069"
TARGET = Path(__file__).parents[2] / "src/deltaweir/adapters/ranks/p50k_base.zlib"


def packed(source: bytes) -> bytes:
    """Return the compact form of a file of base64 tokens and ranks.

    Raises:
        ValueError: The file is not the one that tiktoken asks for.
    """
    got = hashlib.sha256(source).hexdigest()
    if got != SHA256:
        raise ValueError(f"the file has SHA-256 {got}, not {SHA256}")
    tokens = dict[int, bytes]()
    for line in source.splitlines():
        token, rank = line.split()
        tokens[int(rank)] = base64.b64decode(token)
    ordered = (tokens.get(rank, b"") for rank in range(max(tokens) + 1))
    return zlib.compress(b"".join(bytes([len(one)]) + one for one in ordered), 9)


if __name__ == "__main__":
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_bytes(packed(Path(sys.argv[1]).read_bytes()))
    print(f"{TARGET.name}: {TARGET.stat().st_size:,} bytes")
