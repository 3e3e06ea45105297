"""A prompt never goes where the caller did not send it, nor elsewhere than he sent it."""

from __future__ import annotations

import pytest

from deltaweir.client.destination import check_destination
from deltaweir.errors import InvalidRequest

KEY = "a-key-of-somebody"


def test_without_a_provider_nothing_is_refused() -> None:
    """Who names no provider is answered by the embedded model."""
    check_destination(base_url=None, api_key=None)


@pytest.mark.parametrize(
    ("base_url", "api_key", "param"),
    [("https://x", None, "base_url"), (None, KEY, "api_key"), ("", None, "base_url")],
)
def test_a_provider_is_refused(base_url: str | None, api_key: str | None, param: str) -> None:
    """An address or a key is never ignored in silence, and never shown."""
    with pytest.raises(InvalidRequest, match=f"got {param}") as caught:
        check_destination(base_url=base_url, api_key=api_key)
    assert caught.value.param == param
    assert KEY not in str(caught.value)
