"""A source that failed says why, and stays an error of this package."""

from __future__ import annotations

from deltaweir.errors import ModelUnavailable
from deltaweir.models.sources import SourceFailed


def test_a_failed_source_keeps_its_reason() -> None:
    """The reason is the message, and it says whether something wrong was delivered."""
    failure = SourceFailed("no connection")
    assert isinstance(failure, ModelUnavailable)
    assert (failure.message, failure.corrupt) == ("no connection", False)
    assert SourceFailed("a wheel is damaged", corrupt=True).corrupt
