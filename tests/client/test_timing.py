"""How fast a stream was, from moments and counts alone."""

from __future__ import annotations

import pytest

from deltaweir.client.timing import Moments, Timing
from deltaweir.schema.chunk import Usage


def used(tokens: int) -> Usage:
    """Return a usage with so many generated tokens."""
    return Usage(completion_tokens=tokens)


def test_before_anything_happened_only_the_time_passes() -> None:
    """What has not happened is None; the whole is until now."""
    assert Moments(10.0).timing(12.0, None) == Timing(None, None, 2.0, None)


def test_moments_are_told_from_the_start() -> None:
    """Headers, first content and the end, which then stays."""
    moments = Moments(10.0)
    moments.headers = 11.0
    moments.brought(12.0)
    moments.brought(14.0)
    assert moments.timing(15.0, None) == Timing(1.0, 2.0, 5.0, None)
    moments.ended = 16.0
    assert moments.timing(99.0, None).total == 6.0


def test_speed_is_that_after_the_first_token() -> None:
    """Five tokens in two seconds, the first of which only starts the clock."""
    moments = Moments(0.0)
    moments.brought(1.0)
    moments.brought(3.0)
    assert moments.timing(9.0, used(5)).tokens_per_second == 2.0


@pytest.mark.parametrize("usage", [None, used(0), used(1)])
def test_below_two_tokens_there_is_no_speed(usage: Usage | None) -> None:
    """Nor where nothing is known."""
    moments = Moments(0.0)
    moments.brought(1.0)
    moments.brought(3.0)
    assert moments.timing(9.0, usage).tokens_per_second is None


def test_content_that_came_at_once_has_no_speed() -> None:
    """Nor has a stream without content: nothing is divided by zero."""
    moments = Moments(0.0)
    assert moments.timing(9.0, used(5)).tokens_per_second is None
    moments.brought(1.0)
    assert moments.timing(9.0, used(5)).tokens_per_second is None
