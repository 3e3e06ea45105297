"""When a worker that died is started again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from deltaweir.gateway.server.restarts import LONGEST_PAUSE_S, STEADY_S, TRIES, Restarts

LIVES = st.lists(st.floats(0, 10 * STEADY_S))


def test_the_pause_grows() -> None:
    """The first time there is none; then it doubles up to a limit."""
    restarts = Restarts()
    assert [restarts.died(0.1) for _ in range(9)] == [0, 0.5, 1, 2, 4, 8, 16, 30, 30]
    assert restarts.died(STEADY_S) == 0
    assert restarts.died(0.1) == 0.5


@given(LIVES, st.integers(0, 5000))
def test_no_pause_is_longer_than_the_longest(lives: list[float], quick: int) -> None:
    """However often and however soon it dies; after a long life there is none."""
    restarts = Restarts()
    pauses = [restarts.died(lived) for lived in [*lives, *[0.0] * quick]]
    assert all(0 <= pause <= LONGEST_PAUSE_S for pause in pauses)
    assert restarts.died(STEADY_S) == 0


def test_when_to_give_up() -> None:
    """A worker that dies at its start is tried a few times."""
    restarts = Restarts()
    seen = []
    for _ in range(TRIES):
        seen.append(restarts.hopeless)
        restarts.died(0)
    assert seen == [False] * TRIES
    assert restarts.hopeless
