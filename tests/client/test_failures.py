"""How a stream ends with an error."""

from __future__ import annotations

import pytest

from deltaweir.client.failures import ended_early, ending_of
from deltaweir.endings import Ending
from deltaweir.errors import DeltaweirError, RateLimited, StallTimeout, StreamFailed


@pytest.mark.parametrize(
    ("error", "ending"),
    [
        (ended_early(), Ending.TRUNCATED),
        (StallTimeout("slow"), Ending.STALLED),
        (StreamFailed("garbage"), Ending.FAILED),
        (RateLimited("too many"), Ending.FAILED),
    ],
)
def test_an_error_has_an_ending(error: DeltaweirError, ending: Ending) -> None:
    """By what went wrong; whatever has none of its own is plain failure."""
    assert ending_of(error) is ending


def test_an_early_end_says_where_the_rest_is() -> None:
    """It names `.partial`."""
    assert "finish_reason" in str(ended_early())
