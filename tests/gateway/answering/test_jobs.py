"""An answer on its way: what it used of its key's limits is booked at its end, whatever happens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from deltaweir.allowances import KeyTerms, quotas_of
from deltaweir.gateway.answering.jobs import MOST_GAPS, Job, gaps_of
from deltaweir.gateway.keys.keys import Key
from deltaweir.gateway.keys.limits import Limits
from deltaweir.stores.sqlite_keys import SqliteKeys

KEY = Key(id="4f1c09ab27de", name="n", terms=KeyTerms(quotas=quotas_of(["100tok"])))
LIMIT_S = 10.0


class Uncountable:
    """A run whose account cannot be made."""

    def account(self) -> None:
        """Fail."""
        raise ArithmeticError("too large")


@pytest.fixture(name="path")
def path_fixture(tmp_path: Path) -> Path:
    """Return a ledger's file."""
    return tmp_path / "a.db"


@pytest.fixture(name="limits")
def limits_fixture(path: Path) -> Iterator[Limits]:
    """Return limits of keys."""
    with Limits.open(f"sqlite:///{path}") as limits:
        yield limits


def test_an_account_that_fails_loses_no_allowance(limits: Limits, path: Path) -> None:
    """What was told before is booked, the rest is given back, and the error is heard of."""
    allowance = limits.admit(KEY, stream_id="s", prompt_tokens=10, prompt_pico=0)
    allowance.more(25, None)
    nothing = cast("Any", None)
    job = Job(nothing, nothing, cast("Any", Uncountable()), nothing, allowance)
    with pytest.raises(ArithmeticError):
        job.close()
    limits.flush(LIMIT_S)
    with SqliteKeys(path) as keys:
        assert keys.spent(KEY.id, KEY.terms.quotas, 0.0) == [35]
    again = limits.admit(KEY, stream_id="s", prompt_tokens=60, prompt_pico=0)
    again.close(prompt_tokens=0, completion_tokens=0, cost_pico=0)


def test_long_gaps_are_counted_together() -> None:
    """All from some minutes on are one class."""
    assert gaps_of([1, 2]) == (1, 2, 0)
    assert gaps_of([1] * (MOST_GAPS + 4))[-1] == 5
