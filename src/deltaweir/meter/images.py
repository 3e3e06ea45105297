"""What an image costs in tokens, by the model's family.

Two rules, both of OpenAI's guide "Images and vision", section "Calculating costs"
(https://developers.openai.com/api/docs/guides/images-vision):

- **Tiles.** The image is made to fit into 2048 x 2048 pixels, then scaled until its shorter side
  is 768. Each square of 512 pixels that it then touches costs so much, and there is a base cost.
  With ``detail: low`` the base cost is all.
- **Patches.** Each square of 32 pixels costs one token times a multiplier. An image with more
  patches than the budget, or with a longer side than the limit, is scaled down first.

Where the guide is silent the rule's label says so. A size that cannot be known (an image behind
a URL is not fetched) is assumed to be ``ASSUMED``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from deltaweir.errors import InvalidRequest
from deltaweir.meter.pixels import Size, pixel_size
from deltaweir.meter.rules import ESTIMATED, OBSERVED, OFFICIAL, Counted, Rule, base_name

ASSUMED = Size(1024, 1024)
"""The size that an image of unknown size is counted with."""

DETAILS = ("auto", "high", "low", "original")

_GUIDE = "OpenAI, Images and vision, Calculating costs"
_TILE_PX = 512
_SHORT_PX = 768
_LONG_PX = 2048
_PATCH_PX = 32

_SMALL = Rule(
    "image_small",
    OBSERVED,
    "BerriAI/litellm pull request 4716: an image whose shorter side is under 768 pixels is not "
    "scaled up",
)
_AUTO = Rule("image_auto", ESTIMATED, f"{_GUIDE}: the model chooses; high is assumed")
_AUTO_ORIGINAL = Rule("image_auto", ESTIMATED, f"{_GUIDE}: the model chooses; original is assumed")
_SIZE = Rule(
    "image_size",
    ESTIMATED,
    f"the size cannot be known; {ASSUMED.width} x {ASSUMED.height} pixels are assumed",
)
_LOW_PATCHES = Rule(
    "image_low",
    ESTIMATED,
    f"{_GUIDE}: low is a version of 512 x 512 pixels; the patches that fit into it are assumed",
)
_SLIVER = Rule(
    "image_sliver", ESTIMATED, f"{_GUIDE}: its scale is 0 here; one patch a side is assumed"
)


class Tiles(NamedTuple):
    """Costs of a model that counts tiles, in tokens."""

    base: int
    tile: int
    label: str = OFFICIAL
    source: str = _GUIDE


class Patches(NamedTuple):
    """Costs of a model that counts patches.

    Attributes:
        percent: Tokens of a hundred patches: the multiplier, as a whole number to be exact.
        budget: The most patches of an image with ``detail: high``.
        original: Budget in patches and longest side in pixels with ``detail: original``; None
            for a model without that detail.
    """

    percent: int
    label: str = OFFICIAL
    source: str = _GUIDE
    budget: int = 1536
    original: tuple[int, int] | None = None


_4O = Tiles(85, 170)
_DATE = r"(-\d{4}-\d{2}-\d{2})?"
_SIBLING = "no figures are published for this model; those of its nearest relative are assumed"
_MULTIPLIER = (
    f"{_GUIDE} has the budget; the multiplier is not in the edition that was read, and is "
    "reported by users of the guide and of the API"
)

# the first that matches the whole name counts; a date may follow where it is in the pattern
_FAMILIES: tuple[tuple[re.Pattern[str], Tiles | Patches], ...] = tuple(
    (re.compile(pattern), costs)
    for pattern, costs in (
        (rf"gpt-4o-mini{_DATE}", Tiles(2833, 5667)),
        (r"gpt-4o-mini.*", Tiles(2833, 5667, ESTIMATED, _SIBLING)),
        (rf"(gpt-4\.1|gpt-5)-mini{_DATE}", Patches(162)),
        (rf"(gpt-4\.1|gpt-5)-nano{_DATE}", Patches(246)),
        (rf"o4-mini{_DATE}", Patches(172)),
        (rf"chatgpt-4o-latest|gpt-4o(-.*)?|gpt-4\.1{_DATE}|gpt-4\.5(-.*)?", _4O),
        (r"gpt-4(-.*)?", Tiles(85, 170, OFFICIAL, f"{_GUIDE}, edition of 2023 for gpt-4 vision")),
        (rf"gpt-5{_DATE}|gpt-5-chat-latest", Tiles(70, 140)),
        (rf"(o1|o1-pro|o3){_DATE}", Tiles(75, 150)),
        (r"computer-use-preview.*", Tiles(65, 129)),
        (r"gpt-5(\.\d+)?-codex-mini.*", Patches(162, ESTIMATED, _SIBLING)),
        (r"gpt-5\.[23](-.*)?", Patches(100, ESTIMATED, f"{_GUIDE}; a multiplier of 1 is assumed")),
        (
            r"gpt-(5\.[4-9]|[6-9])(\.\d+)?(-.*)?-mini.*",
            Patches(162, ESTIMATED, _SIBLING),
        ),
        (
            r"gpt-(5\.[4-9]|[6-9])(\.\d+)?(-.*)?-nano.*",
            Patches(246, ESTIMATED, _SIBLING),
        ),
        (
            r"gpt-5\.[45](-.*)?",
            Patches(120, OBSERVED, _MULTIPLIER, budget=2500, original=(10_000, 6000)),
        ),
        (
            r"gpt-(5\.[6-9]|[6-9])(\.\d+)?(-.*)?",
            Patches(120, OBSERVED, _MULTIPLIER, budget=2500, original=(30_000, 65_535)),
        ),
        (r"gpt-5(-.*|\.1.*)", Tiles(70, 140, ESTIMATED, _SIBLING)),
        (r"o[134]-.*", Tiles(75, 150, ESTIMATED, _SIBLING)),
    )
)
_UNKNOWN = Tiles(85, 170, ESTIMATED, "the model is not known; the costs of gpt-4o are assumed")


def count_image(part: Any, *, field: str, model: str | None) -> Counted:
    """Return the tokens of an ``image_url`` part of a message.

    Args:
        part: The part's ``image_url``: a mapping with ``url`` and perhaps ``detail``, or the URL.
        field: Where the part is, for the message of an error.
        model: The model's name, by which the rule is chosen.

    Raises:
        InvalidRequest: The URL is missing, or the detail is not one of ``DETAILS``.
    """
    url = part.get("url") if isinstance(part, Mapping) else part
    detail = (part.get("detail") if isinstance(part, Mapping) else None) or "auto"
    if not isinstance(url, str):
        raise InvalidRequest(
            f"{field} has a url of type {type(url).__name__}, expected a text", param=field
        )
    if detail not in DETAILS:
        raise InvalidRequest(
            f"{field} has an unknown detail of type {type(detail).__name__}, "
            f"expected one of {', '.join(DETAILS)}",
            param=field,
        )
    size = pixel_size(url)
    if isinstance(costs := costs_of(model), Tiles):
        return tile_tokens(size, detail=detail, costs=costs)
    return patch_tokens(size, detail=detail, costs=costs)


def costs_of(model: str | None) -> Tiles | Patches:
    """Return what an image costs with a model."""
    name = base_name(model)
    return next((costs for pattern, costs in _FAMILIES if pattern.fullmatch(name)), _UNKNOWN)


def tile_tokens(size: Size | None, *, detail: str, costs: Tiles) -> Counted:
    """Return the tokens of an image by the tile rule; ``size`` is None when it is unknown."""
    rules = [Rule("image_tiles", costs.label, costs.source)]
    if detail == "low":
        return Counted(costs.base, tuple(rules))
    if detail == "auto":
        rules.append(_AUTO)
    if size is None:
        rules.append(_SIZE)
    short, long = sorted(size or ASSUMED)
    if short < _SHORT_PX:
        rules.append(_SMALL)
    # whole numbers, since a side of exactly 1536 pixels must not become 1536.0000000000002
    if long > _LONG_PX:
        short, long = max(1, short * _LONG_PX // long), _LONG_PX
    if short > _SHORT_PX:
        short, long = _SHORT_PX, long * _SHORT_PX // short
    tiles = _covering(short, _TILE_PX) * _covering(long, _TILE_PX)
    return Counted(costs.base + tiles * costs.tile, tuple(rules))


def patch_tokens(size: Size | None, *, detail: str, costs: Patches) -> Counted:
    """Return the tokens of an image by the patch rule; ``size`` is None when it is unknown."""
    rules = [Rule("image_patches", costs.label, costs.source)]
    if size is None:
        rules.append(_SIZE)
    budget, longest = costs.budget, _LONG_PX
    if detail == "low":
        rules.append(_LOW_PATCHES)
        budget, longest = (_TILE_PX // _PATCH_PX) ** 2, _TILE_PX
    elif detail in ("auto", "original") and costs.original is not None:
        budget, longest = costs.original
    if detail == "auto":
        rules.append(_AUTO if costs.original is None else _AUTO_ORIGINAL)
    width, height = size or ASSUMED
    if max(width, height) > longest:
        scale = longest / max(width, height)
        width, height = max(1, int(width * scale)), max(1, int(height * scale))
    patches = _covering(width, _PATCH_PX) * _covering(height, _PATCH_PX)
    if patches > budget:
        patches, whole = _shrunk(width, height, budget)
        if not whole:
            rules.append(_SLIVER)
    return Counted(-(-patches * costs.percent // 100), tuple(rules))


def _shrunk(width: int, height: int, budget: int) -> tuple[int, bool]:
    """Return the patches of an image scaled down to a budget, and whether the guide covers it."""
    scale = math.sqrt(_PATCH_PX**2 * budget / (width * height))
    wide, high = width * scale / _PATCH_PX, height * scale / _PATCH_PX
    adjusted = scale * min(math.floor(wide) / wide, math.floor(high) / high)
    if adjusted == 0:
        return min(budget, max(1, math.ceil(wide)) * max(1, math.ceil(high))), False
    # the guide's scale makes one side whole patches; a rounding error must not add a patch
    patches = _covering(int(width * adjusted), _PATCH_PX) * _covering(
        int(height * adjusted), _PATCH_PX
    )
    return min(budget, patches), True


def _covering(length: int, step: int) -> int:
    return max(1, -(-length // step))
