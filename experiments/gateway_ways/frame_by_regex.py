"""A regular expression for the frame of a chunk, against startswith and endswith.

    python frame_by_regex.py

All find the text of a piece whose frame is known, and decode it.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.forwarded import pieces
from benchmarks.guard_texts import TEXTS
from side_by_side import compare

TEXT = msgspec.json.Decoder(str).decode
READY = pieces(TEXTS["Python's manual"](0)[1])
MARK = b'"content":"'
FIRST = READY[0]
START = FIRST.index(b"data: ")
END = FIRST.index(MARK) + len(MARK)
BEFORE = FIRST[START:END]
AFTER = FIRST[FIRST.index(b'"', END) :]
LINE = b"%x\r\n"

PREFIXES: dict[int, bytes] = {}
WHOLE = re.compile(
    rb"([0-9a-f]+)\r\n" + re.escape(BEFORE) + rb'((?:[^"\\]|\\.)*)' + re.escape(AFTER)
)
LAZY = re.compile(rb"[0-9a-f]+\r\n" + re.escape(BEFORE) + rb"(.*)" + re.escape(AFTER), re.DOTALL)


def by_ends(data: bytes) -> str:
    """Compare both ends, the size's line with the one in front."""
    size = len(data)
    prefix = PREFIXES.get(size)
    if prefix is None:
        digits = 1
        while size - digits - 4 >= 16**digits:
            digits += 1
        prefix = PREFIXES[size] = LINE % (size - digits - 4) + BEFORE
    if not (data.startswith(prefix) and data.endswith(AFTER)):
        return ""
    return TEXT(b'"%b"' % data[len(prefix) : -len(AFTER)])


def by_whole(data: bytes) -> str:
    """Match all of it, the text's escapes too."""
    found = WHOLE.fullmatch(data)
    if found is None or int(found[1], 16) != len(data) - len(found[1]) - 4:
        return ""
    return TEXT(b'"%b"' % found[2])


def by_lazy(data: bytes) -> str:
    """Match around whatever stands between, and leave the escapes to the decoder."""
    found = LAZY.fullmatch(data)
    return "" if found is None else TEXT(b'"%b"' % found[1])


def measured(find: Callable[[bytes], str]) -> Callable[[], float]:
    """Return what measures one way."""

    def run() -> float:
        began = time.perf_counter()
        for data in READY:
            find(data)
        return (time.perf_counter() - began) / len(READY)

    return run


def main() -> None:
    """Compare them."""
    for data in READY:
        assert by_ends(data) == by_whole(data) == by_lazy(data) != ""
    compare(
        "finding and decoding a text",
        {
            "startswith, endswith": measured(by_ends),
            "a regular expression": measured(by_whole),
            "one that takes anything between": measured(by_lazy),
        },
    )


if __name__ == "__main__":
    main()
