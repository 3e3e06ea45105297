"""A breaker tells once of each change, and what it keeps away is tested with the failover."""

from __future__ import annotations

from deltaweir.gateway.upstreams.breaker import FAILURES, FIRST_REST_S, Breaker


def told() -> tuple[Breaker, list[float | None]]:
    """Return a breaker, and what it tells."""
    heard: list[float | None] = []
    return Breaker(heard.append), heard


def fail(breaker: Breaker, times: int) -> None:
    """Let requests fail, one after the other."""
    for _ in range(times):
        breaker.failed(breaker.asked(0.0), 0.0)


def test_it_tells_that_it_opens_and_that_it_closes() -> None:
    """The failure that opens it and the answer that closes it are told, none beside them."""
    breaker, heard = told()
    fail(breaker, FAILURES - 1)
    breaker.answered()
    assert heard == []
    fail(breaker, FAILURES)
    assert heard == [FIRST_REST_S]
    breaker.answered()
    breaker.answered()
    assert heard == [FIRST_REST_S, None]


def test_a_trial_that_fails_is_no_change() -> None:
    """An upstream that stays away is told once, however often it is tried."""
    breaker, heard = told()
    fail(breaker, FAILURES + 3)
    assert heard == [FIRST_REST_S]


def test_a_trial_whose_answer_has_begun_closes_it() -> None:
    """The next failure opens it again, for longer, and that is told too."""
    breaker, heard = told()
    fail(breaker, FAILURES)
    trial = breaker.asked(FIRST_REST_S, heard=lambda: True)
    assert breaker.wait(FIRST_REST_S) == 0
    assert heard == [FIRST_REST_S, None]
    breaker.failed(trial, FIRST_REST_S)
    assert heard == [FIRST_REST_S, None, 2 * FIRST_REST_S]
    assert breaker.open
