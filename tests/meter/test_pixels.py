"""Sizes are read from an image's first bytes, and damaged images have none."""

from __future__ import annotations

import base64
import struct
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaweir.meter.pixels import MAX_SEGMENTS, Size, pixel_size


def url(data: bytes, kind: str = "image/png") -> str:
    """Return bytes as a ``data:`` URL."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def png(width: int, height: int) -> bytes:
    """Return the beginning of a PNG."""
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height) + bytes(9)


def gif(width: int, height: int) -> bytes:
    """Return the beginning of a GIF."""
    return b"GIF89a" + struct.pack("<HH", width, height) + bytes(20)


def webp(kind: bytes, payload: bytes) -> bytes:
    """Return the beginning of a WebP."""
    return b"RIFF" + bytes(4) + b"WEBP" + kind + bytes(4) + payload + bytes(10)


def jpeg(width: int, height: int, *, before: bytes = b"", frame: int = 0xC0) -> bytes:
    """Return the beginning of a JPEG."""
    head = struct.pack(">BBHBHH", 0xFF, frame, 17, 8, height, width)
    return b"\xff\xd8" + before + head + bytes(12)


def segment(marker: int, length: int) -> bytes:
    """Return a segment that says nothing about the size."""
    return struct.pack(">BBH", 0xFF, marker, length + 2) + bytes(length)


EXIF = segment(0xE1, 65_533)


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (png(3, 2), (3, 2)),
        (gif(3, 2), (3, 2)),
        (webp(b"VP8X", bytes(4) + b"\x02\x00\x00\x01\x00\x00"), (3, 2)),
        (webp(b"VP8L", b"\x2f" + struct.pack("<I", 2 | 1 << 14)), (3, 2)),
        (webp(b"VP8 ", bytes(3) + b"\x9d\x01\x2a" + struct.pack("<HH", 3, 2)), (3, 2)),
        (jpeg(3, 2), (3, 2)),
        (jpeg(3, 2, frame=0xC2), (3, 2)),
        (jpeg(3, 2, before=EXIF * 3 + segment(0xC4, 30) + b"\xff\xff\x01"), (3, 2)),
    ],
)
def test_sizes(data: bytes, size: tuple[int, int]) -> None:
    """Each format's header gives width and height."""
    assert pixel_size(url(data)) == Size(*size)


@pytest.mark.parametrize(
    "text",
    [
        "https://host/image.png",
        "data:image/png,abc",
        "data:image/png;base64",
        "data:image/png;base64,",
        "data:image/png;base64,é" + "A" * 100,
        "data:image/png;base64,!!!!" + "A" * 100,
        "data:" + "x" * 300 + ";base64,AAAA",
        url(b"BM" + bytes(60)),
        url(png(0, 5)),
        url(png(5, 5)[:18] + b""),
        url(webp(b"VP8X", b"")[:20]),
        url(webp(b"VP8L", bytes(20))),
        url(webp(b"VP8 ", bytes(20))),
        url(jpeg(0, 5)),
        url(b"\xff\xd8" + segment(0xE0, 10)),
        url(b"\xff\xd8\xff\xda" + bytes(50)),
        url(b"\xff\xd8" + bytes(50)),
        url(b"\xff\xd8" + b"\xff" * (MAX_SEGMENTS + 50)),
    ],
)
def test_no_size(text: str) -> None:
    """Another kind of URL, another format or a damaged header has no size."""
    size = pixel_size(text)
    assert size is None


def test_case_of_the_scheme() -> None:
    """A scheme's and a parameter's case does not matter."""
    assert pixel_size(url(png(3, 2)).replace("data:", "DATA:").replace("base64", "BASE64"))


def test_large_images_are_not_decoded() -> None:
    """What is read of an image does not grow with it: 40 MB take less than 4 kB of memory."""
    text = url(png(3, 2) + bytes(30_000_000))
    tracemalloc.start()
    try:
        assert pixel_size(text) == Size(3, 2)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4096


@given(
    data=st.binary(max_size=80),
    head=st.sampled_from([b"", *(m(9, 9)[:12] for m in (png, gif, jpeg))]),
)
def test_hostile_bytes(data: bytes, head: bytes) -> None:
    """Whatever the bytes are, there is a size of at least one pixel, or none."""
    size = pixel_size(url(head + data))
    assert size is None or min(size) > 0


@given(text=st.text(max_size=60))
def test_hostile_text(text: str) -> None:
    """Whatever stands in place of base64, there is a size or none."""
    size = pixel_size("data:image/png;base64," + text)
    assert size is None or min(size) > 0
