"""What a ledger keeps goes by the same names as what runs."""

from __future__ import annotations

from deltaweir.accounts import FAILED
from deltaweir.weir import Ending


def test_failed_is_an_ending_of_the_weir() -> None:
    """The ending of a dead process's stream is one that the weir has too."""
    assert Ending.FAILED.value == FAILED
