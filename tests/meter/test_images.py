"""Images cost what OpenAI's guide says."""

from __future__ import annotations

import base64
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaweir.errors import InvalidRequest
from deltaweir.meter.images import Patches, Tiles, costs_of, count_image, patch_tokens, tile_tokens
from deltaweir.meter.pixels import Size
from deltaweir.meter.rules import Counted, weakest


def png(width: int, height: int) -> str:
    """Return a PNG of a size as a ``data:`` URL."""
    head = struct.pack(">I4sII", 13, b"IHDR", width, height)
    data = base64.b64encode(b"\x89PNG\r\n\x1a\n" + head + bytes(9)).decode()
    return f"data:image/png;base64,{data}"


def count(width: int, height: int, model: str, detail: str = "high") -> Counted:
    """Return what a PNG of a size costs."""
    part = {"url": png(width, height), "detail": detail}
    return count_image(part, field="image_url", model=model)


@pytest.mark.parametrize(
    ("width", "height", "detail", "tokens"),
    [(1024, 1024, "high", 765), (2048, 4096, "high", 1105), (4096, 8192, "low", 85)],
)
def test_tiles_of_the_guide(width: int, height: int, detail: str, tokens: int) -> None:
    """The guide's examples of tiles come out, turned as well, and are official."""
    for size in ((width, height), (height, width)):
        found = count(*size, "gpt-4o", detail)
        assert (found.tokens, weakest(found.rules)) == (tokens, "official")


@pytest.mark.parametrize(
    ("width", "height", "patches"), [(1024, 1024, 1024), (1800, 2400, 1452), (2400, 1800, 1452)]
)
@pytest.mark.parametrize(
    ("model", "percent"),
    [
        ("gpt-4.1-mini", 162),
        ("gpt-4.1-nano-2025-04-14", 246),
        ("gpt-5-mini", 162),
        ("gpt-5-nano", 246),
        ("o4-mini", 172),
    ],
)
def test_patches_of_the_guide(
    width: int, height: int, patches: int, model: str, percent: int
) -> None:
    """The guide's examples of patches come out, times the model's multiplier."""
    found = count(width, height, model)
    assert found.tokens == -(-patches * percent // 100)
    assert weakest(found.rules) == "official"


@pytest.mark.parametrize(
    ("model", "base", "tile", "label"),
    [
        ("gpt-4o-2024-11-20", 85, 170, "official"),
        ("gpt-4.1", 85, 170, "official"),
        ("gpt-4.5-preview", 85, 170, "official"),
        ("gpt-4-turbo", 85, 170, "official"),
        ("gpt-4o-mini", 2833, 5667, "official"),
        ("gpt-4o-mini-search-preview", 2833, 5667, "estimated"),
        ("o1", 75, 150, "official"),
        ("o1-pro-2025-03-19", 75, 150, "official"),
        ("o3", 75, 150, "official"),
        ("o3-pro", 75, 150, "estimated"),
        ("computer-use-preview", 65, 129, "official"),
        ("gpt-5", 70, 140, "official"),
        ("gpt-5-chat-latest", 70, 140, "official"),
        ("gpt-5.1", 70, 140, "estimated"),
        ("llava", 85, 170, "estimated"),
        (None, 85, 170, "estimated"),
    ],
)
def test_families_of_tiles(model: str | None, base: int, tile: int, label: str) -> None:
    """Each model has its family's costs, and says whether the guide names it."""
    costs = costs_of(model)
    assert isinstance(costs, Tiles)
    assert (costs.base, costs.tile, costs.label) == (base, tile, label)


@pytest.mark.parametrize(
    ("model", "percent", "budget", "label"),
    [
        ("gpt-5.2", 100, 1536, "estimated"),
        ("gpt-5.1-codex-mini", 162, 1536, "estimated"),
        ("gpt-5.4", 120, 2500, "observed"),
        ("gpt-5.4-mini", 162, 1536, "estimated"),
        ("gpt-5.4-nano", 246, 1536, "estimated"),
        ("gpt-6-sol", 120, 2500, "observed"),
    ],
)
def test_families_of_patches(model: str, percent: int, budget: int, label: str) -> None:
    """Models newer than the guide's table say how their costs are known."""
    costs = costs_of(model)
    assert isinstance(costs, Patches)
    assert (costs.percent, costs.budget, costs.label) == (percent, budget, label)


def test_small_images_are_not_scaled_up() -> None:
    """An image of one tile costs one, which the guide does not say."""
    found = count(512, 512, "gpt-4o")
    assert (found.tokens, weakest(found.rules)) == (85 + 170, "observed")


def test_unknown_size_and_detail() -> None:
    """A square of 1024 pixels and a high detail are assumed where nothing is known."""
    for part in ({"url": "https://host/a.png"}, "https://host/a.png"):
        tiles = count_image(part, field="image_url", model="gpt-4o")
        assert (tiles.tokens, weakest(tiles.rules)) == (765, "estimated")
        patches = count_image(part, field="image_url", model="o4-mini")
        assert (patches.tokens, weakest(patches.rules)) == (1762, "estimated")
    assert tile_tokens(None, detail="high", costs=Tiles(1, 1)).rules[-1].name == "image_size"


def test_details_of_patches() -> None:
    """Low fits into 512 pixels; original and auto have the larger budget where there is one."""
    assert count(2048, 2048, "gpt-5.4", "low").tokens == 308
    assert count(640, 480, "gpt-6-sol", "low").tokens == 231
    assert count(3200, 3200, "gpt-5.4", "original").tokens == 12_000
    assert count(3200, 3200, "gpt-5.4", "auto").tokens == 12_000
    assert count(3200, 3200, "gpt-5.4", "high").tokens == 3000
    assert count(1024, 1024, "o4-mini", "auto").tokens == 1762
    assert weakest(count(1024, 1024, "gpt-5-mini", "auto").rules) == "estimated"


def test_slivers() -> None:
    """An image of one pixel's width costs something, within the budget, and is estimated."""
    costs = Patches(100, budget=4)
    found = patch_tokens(Size(1, 2000), detail="high", costs=costs)
    assert (1 <= found.tokens <= 4, weakest(found.rules)) == (True, "estimated")
    assert tile_tokens(Size(1, 10**9), detail="high", costs=Tiles(0, 1)).tokens == 4


@pytest.mark.parametrize(
    "part",
    [None, {}, {"url": 5}, 5, {"url": "x", "detail": "secret"}, {"url": "x", "detail": ["secret"]}],
)
def test_malformed_parts(part: Any) -> None:
    """A missing URL and an unknown detail are refused without telling their text."""
    with pytest.raises(InvalidRequest, match="expected") as raised:
        count_image(part, field="image_url", model="gpt-4o")
    assert raised.value.param == "image_url"
    assert "secret" not in str(raised.value)


@given(
    width=st.integers(1, 2**32 - 1),
    height=st.integers(1, 2**32 - 1),
    detail=st.sampled_from(["low", "high", "auto", "original"]),
    model=st.sampled_from(["gpt-4o", "gpt-5", "o4-mini", "gpt-5.4", "gpt-6"]),
)
def test_bounds(width: int, height: int, detail: str, model: str) -> None:
    """However large an image claims to be, it costs something and no more than the limits."""
    costs = costs_of(model)
    found = count(width, height, model, detail)
    if isinstance(costs, Tiles):
        assert costs.base <= found.tokens <= costs.base + 8 * costs.tile
    else:
        most = costs.original[0] if costs.original else costs.budget
        assert 1 <= found.tokens <= -(-most * costs.percent // 100)
