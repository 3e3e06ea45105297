"""The size of an image that comes as a ``data:`` URL, read from its first bytes.

Base64 has four characters for three bytes, so any byte can be decoded alone. A size costs a few
dozen bytes, however large the image is. Only the header is believed, nothing is decompressed.

Sources: PNG, RFC 2083; JPEG, ITU-T T.81; GIF89a; WebP, RFC 9649; ``data:``, RFC 2397.
"""

from __future__ import annotations

import binascii
from typing import NamedTuple

MAX_SEGMENTS = 512
"""Segments of a JPEG that are passed over before its frame; metadata rarely has ten."""

# frames have the markers C0 to CF, but for the tables C4 and CC and the reserved C8
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a length
_LAST = frozenset({0xD9, 0xDA})  # the image's end and its pixels: no frame comes after
_FILL = 0xFF


class Size(NamedTuple):
    """An image's size in pixels, both at least one."""

    width: int
    height: int


def pixel_size(url: str) -> Size | None:
    """Return the size of the PNG, JPEG, GIF or WebP image in a ``data:`` URL.

    Returns:
        The size, or None for another kind of URL or image, and for one that is damaged.
    """
    head, comma, _ = url[:256].partition(",")
    if not comma or head[:5].lower() != "data:" or not head.lower().endswith(";base64"):
        return None
    data = _Base64(url, len(head) + 1)
    first = data.read(0, 30)
    for reader in (_png, _gif, _webp):
        size = reader(first)
        if size is not None:
            break
    else:
        size = _jpeg(data) if first.startswith(b"\xff\xd8") else None
    return size if size is not None and min(size) > 0 else None


class _Base64:
    """Bytes that are decoded where they are read."""

    def __init__(self, text: str, start: int) -> None:
        self._text = text
        self._start = start

    def read(self, at: int, length: int) -> bytes:
        """Return bytes from a position; fewer, or none, where they end or are damaged."""
        block, skipped = divmod(at, 3)
        start = self._start + block * 4
        blocks = -(-(skipped + length) // 3)
        try:
            found = binascii.a2b_base64(self._text[start : start + blocks * 4], strict_mode=True)
        except ValueError:  # no base64, or not ASCII: then nothing is known
            return b""
        return found[skipped : skipped + length]


def _png(first: bytes) -> Size | None:
    if first[:8] != b"\x89PNG\r\n\x1a\n" or first[12:16] != b"IHDR":
        return None
    return Size(int.from_bytes(first[16:20]), int.from_bytes(first[20:24]))


def _gif(first: bytes) -> Size | None:
    if first[:6] not in (b"GIF87a", b"GIF89a"):
        return None
    return Size(int.from_bytes(first[6:8], "little"), int.from_bytes(first[8:10], "little"))


def _webp(first: bytes) -> Size | None:
    if first[:4] != b"RIFF" or first[8:12] != b"WEBP" or len(first) < 30:  # noqa: PLR2004  header
        return None
    kind = first[12:16]
    if kind == b"VP8X":
        width = int.from_bytes(first[24:27], "little") + 1
        return Size(width, int.from_bytes(first[27:30], "little") + 1)
    if kind == b"VP8L" and first[20:21] == b"\x2f":
        bits = int.from_bytes(first[21:25], "little")
        return Size((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if kind == b"VP8 " and first[23:26] == b"\x9d\x01\x2a":
        width = int.from_bytes(first[26:28], "little") & 0x3FFF
        return Size(width, int.from_bytes(first[28:30], "little") & 0x3FFF)
    return None


def _jpeg(data: _Base64) -> Size | None:
    at = 2
    for _ in range(MAX_SEGMENTS):
        head = data.read(at, 9)
        if len(head) < 9 or head[0] != _FILL or head[1] in _LAST:  # noqa: PLR2004  a frame's head
            return None
        marker = head[1]
        if marker == _FILL:
            at += 1
        elif marker in _ALONE:
            at += 2
        elif marker in _FRAMES:
            return Size(int.from_bytes(head[7:9]), int.from_bytes(head[5:7]))
        else:
            at += 2 + int.from_bytes(head[2:4])
    return None
