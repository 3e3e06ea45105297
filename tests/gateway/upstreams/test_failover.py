"""Failover: who is asked next, who is left alone, and that it comes to an end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaweir.client.answers import FIRST_PAUSE_S
from deltaweir.errors import (
    AuthenticationFailed,
    BudgetExceeded,
    ConnectionFailed,
    ContextLengthExceeded,
    DeltaweirError,
    GuardBlocked,
    InvalidRequest,
    ModelNotFound,
    PermissionDenied,
    RateLimited,
    ServiceUnavailable,
    StallTimeout,
    StreamFailed,
    StreamTruncated,
)
from deltaweir.gateway.upstreams.breaker import FAILURES, FIRST_REST_S, LONGEST_REST_S, Breaker
from deltaweir.gateway.upstreams.failover import (
    MOST_RESTS,
    RETRIES,
    Candidate,
    Itinerary,
    Rests,
    Step,
    may_move_on,
)
from deltaweir.wire.http1 import Head

WALL = 1_800_000_000.0
DOWN = ServiceUnavailable("down")
OUT_OF_QUOTA = RateLimited("spent", code="insufficient_quota")
MISTAKES: list[DeltaweirError] = [
    InvalidRequest("no"),
    ContextLengthExceeded("too long"),
    GuardBlocked("refused"),
    BudgetExceeded("too dear"),
]
THEIRS: list[DeltaweirError] = [
    AuthenticationFailed("who?"),
    PermissionDenied("no"),
    ModelNotFound("what?"),
    DOWN,
    RateLimited("slowly"),
    OUT_OF_QUOTA,
    ConnectionFailed("nobody there"),
    StallTimeout("silence"),
    StreamFailed("garbage"),
    StreamTruncated("half"),
]


def head(status: int = 503, **headers: str) -> Head:
    """Return the head of an answer."""
    named = ((name.replace("_", "-"), value) for name, value in headers.items())
    return Head(status=status, headers=tuple(named))


def way(*breakers: Breaker, rests: Rests | None = None, what: str = "m") -> Itinerary:
    """Return a way along upstreams, whose pauses are not spread."""
    rests = rests or Rests()
    return Itinerary([Candidate(one, rests, what) for one in breakers], chance=0.0)


def failed(
    itinerary: Itinerary,
    error: DeltaweirError = DOWN,
    *,
    now: float = 0.0,
    answer: Head | None = None,
) -> bool:
    """Ask the upstream of an itinerary's step, and tell of its failure."""
    itinerary.asked(now, lambda: False)
    return itinerary.failed(error, answer, now=now, wall=WALL + now)


def fail(breaker: Breaker, times: int = 1, now: float = 0.0) -> Breaker:
    """Return a breaker that so many have asked in vain."""
    for _ in range(times):
        breaker.failed(breaker.asked(now), now)
    return breaker


def opened(now: float = 0.0) -> Breaker:
    """Return a breaker that is open since a moment."""
    return fail(Breaker(), FAILURES, now)


# --- the order -------------------------------------------------------------------------------


def test_upstreams_are_asked_in_their_order_then_again_after_a_pause() -> None:
    """One after the other at once; then those that may be well again, later and later."""
    itinerary = way(Breaker(), Breaker())
    steps, now = [], 0.0
    while (step := itinerary.next(now)) is not None:
        steps.append(step)
        now += step.pause_s
        assert failed(itinerary, now=now)
    assert steps == [
        Step(0, 0.0),
        Step(1, 0.0),
        Step(0, FIRST_PAUSE_S),
        Step(1, 0.0),  # its pause went by meanwhile
    ]


def test_without_upstreams_nobody_is_asked() -> None:
    """There is no step, and nothing to wait for."""
    assert way().next(0.0) is None
    assert way().rest(0.0) == 0.0


@pytest.mark.parametrize("error", MISTAKES, ids=lambda error: type(error).__name__)
def test_a_callers_mistake_is_one_everywhere(error: DeltaweirError) -> None:
    """Nobody else is asked, and the upstream that told is known to work."""
    breaker = fail(Breaker(), FAILURES - 1)
    assert not may_move_on(error)
    itinerary = way(breaker, Breaker())
    itinerary.next(0.0)
    assert failed(itinerary, error) is False
    assert not fail(breaker).open


@pytest.mark.parametrize("error", THEIRS, ids=lambda error: type(error).__name__)
def test_what_is_an_upstreams_own_another_may_do_better(error: DeltaweirError) -> None:
    """Its key, its names, its quota, its network: the next is asked."""
    assert may_move_on(error)
    itinerary = way(Breaker(), Breaker())
    itinerary.next(0.0)
    assert failed(itinerary, error)
    assert itinerary.next(0.0) == Step(1, 0.0)


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (AuthenticationFailed("who?"), head(401)),
        (PermissionDenied("no"), head(403)),
        (ModelNotFound("what?"), head(404)),
        (OUT_OF_QUOTA, head(429)),
        (OUT_OF_QUOTA, None),
        (DOWN, head(503, x_should_retry="false")),
    ],
)
def test_what_does_not_pass_by_waiting_is_not_asked_again(
    error: DeltaweirError, answer: Head | None
) -> None:
    """A key that is refused, a model that is not there, a quota that is spent, a server's no."""
    itinerary = way(Breaker())
    itinerary.next(0.0)
    assert failed(itinerary, error, answer=answer)
    assert itinerary.next(0.0) is None


@pytest.mark.parametrize("name", ["retry_after", "retry_after_ms"])
def test_a_pause_that_is_asked_for_is_kept(name: str) -> None:
    """An upstream says when to come again, in seconds or thousandths of them."""
    itinerary = way(Breaker())
    itinerary.next(0.0)
    value = "7" if name == "retry_after" else "7000"
    failed(itinerary, RateLimited("slowly"), answer=head(429, **{name: value}))
    assert itinerary.next(2.0) == Step(0, 5.0)


def test_a_pause_that_is_asked_for_holds_for_all_streams() -> None:
    """Others go elsewhere meanwhile, and learn how long it lasts when there is nowhere."""
    busy = Breaker()
    first = way(busy)
    first.next(0.0)
    failed(first, answer=head(503, retry_after="7"))
    assert way(busy, Breaker()).next(1.0) == Step(1, 0.0)
    assert way(busy, what="other").next(1.0) is None
    assert way(busy).rest(1.0) == 6.0
    assert way(busy).next(7.0) == Step(0, 0.0)


def test_a_rate_that_is_used_up_rests_one_model() -> None:
    """Other models of the upstream are asked as if nothing had been, and its breaker knows not."""
    breaker, rests = Breaker(), Rests()
    for _ in range(2 * FAILURES):
        first = way(breaker, rests=rests)
        first.next(0.0)
        failed(first, RateLimited("slowly"), answer=head(429, retry_after="7"))
    assert way(breaker, rests=rests).next(1.0) is None
    assert way(breaker, rests=rests).rest(1.0) == 6.0
    assert way(breaker, rests=rests, what="other").next(1.0) == Step(0, 0.0)
    assert way(breaker, rests=rests).next(7.0) == Step(0, 0.0)
    assert not breaker.open


def test_pauses_of_no_end_of_models_are_bounded() -> None:
    """Those that last longest are remembered."""
    rests = Rests()
    for number in range(3 * MOST_RESTS):
        rests.leave_alone(f"m{number}", 10.0 + number, now=0.0)
    assert len(rests._until) <= MOST_RESTS
    assert rests.wait(f"m{3 * MOST_RESTS - 1}", 0.0) == 9.0 + 3 * MOST_RESTS
    assert rests.wait("m0", 0.0) == 0.0


def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    """Whoever asks last is not the one to be believed."""
    rests = Rests()
    rests.leave_alone("m", 9.0, now=0.0)
    rests.leave_alone("m", 3.0, now=0.0)
    assert rests.wait("m", 1.0) == 8.0


@pytest.mark.parametrize("requests", [FAILURES - 1, FAILURES])
def test_one_request_is_one_failure_at_most(requests: int) -> None:
    """However often it asks again; only as many requests as that open the breaker."""
    breaker = Breaker()
    for _ in range(requests):
        itinerary, now = way(breaker), 0.0
        while (step := itinerary.next(now)) is not None:
            now += step.pause_s
            failed(itinerary, now=now)
    assert breaker.open == (requests == FAILURES)


def test_a_request_that_fails_again_as_a_trial_is_a_failed_trial() -> None:
    """The breaker, opened by others meanwhile, rests anew."""
    breaker = Breaker()
    itinerary = way(breaker)
    itinerary.next(0.0)
    failed(itinerary, now=0.0, answer=head(503, retry_after="10"))
    fail(breaker, FAILURES - 1)
    assert itinerary.next(0.0) == Step(0, 10.0)
    failed(itinerary, now=10.0)
    assert breaker.wait(10.0) == 2 * FIRST_REST_S


def test_an_upstream_that_was_not_asked_is_none_the_worse_for_it() -> None:
    """Nor the better: a crowd before it is neither a failure nor an answer."""
    breaker = fail(Breaker(), FAILURES - 1)
    for _ in range(FAILURES):
        itinerary = way(breaker)
        itinerary.next(0.0)
        assert itinerary.failed(ConnectionFailed("all in use"), None, now=0.0, wall=WALL)
        itinerary.let_go()
    assert not breaker.open
    assert fail(breaker).open


def test_an_error_within_an_answer_passes_like_any_other() -> None:
    """Status 200 says nothing of it: its upstream is asked again."""
    itinerary = way(Breaker())
    itinerary.next(0.0)
    failed(itinerary, StreamFailed("garbage"), answer=head(200))
    assert itinerary.next(0.0) == Step(0, FIRST_PAUSE_S)


def test_one_whose_breaker_has_opened_meanwhile_does_not_keep_others_from_being_asked() -> None:
    """Of those that may be asked again, one that can be is chosen."""
    one, two = Breaker(), Breaker()
    itinerary = way(one, two)
    for answer in (None, head(503, retry_after="20")):
        step = itinerary.next(0.0)
        assert step is not None
        failed(itinerary, answer=answer)
    fail(one, FAILURES)
    assert itinerary.next(0.0) == Step(1, 20.0)


# --- breakers --------------------------------------------------------------------------------


def test_a_breaker_opens_after_failures_in_a_row() -> None:
    """Each answer between begins the count anew."""
    breaker = fail(Breaker(), FAILURES - 1)
    breaker.answered()
    fail(breaker, FAILURES - 1)
    assert (breaker.open, breaker.wait(0.0)) == (False, 0.0)
    fail(breaker)
    assert (breaker.open, breaker.wait(1.0)) == (True, FIRST_REST_S - 1.0)


def test_an_open_breaker_lets_one_trial_through() -> None:
    """Until it is known how that went, all others stay away; an answer closes it."""
    breaker = opened()
    assert breaker.wait(FIRST_REST_S) == 0.0
    breaker.asked(FIRST_REST_S)
    assert breaker.wait(FIRST_REST_S) > 0.0
    assert way(breaker).next(FIRST_REST_S) is None
    breaker.answered()
    assert (breaker.open, breaker.wait(FIRST_REST_S)) == (False, 0.0)


def test_a_trial_whose_answer_has_begun_lets_others_in() -> None:
    """Its first content may take minutes; if it fails after all, nobody else needs to find out."""
    breaker, heard = opened(), list[bool]()
    trial = breaker.asked(5.0, heard=lambda: bool(heard))
    assert breaker.wait(6.0) > 0.0
    heard.append(True)
    assert (breaker.wait(6.0), breaker.open) == (0.0, False)
    breaker.failed(trial, 7.0)
    assert breaker.wait(7.0) == 2 * FIRST_REST_S


def test_a_trial_has_its_time() -> None:
    """After as long as a rest another may try; and when the first fails, all stay away."""
    breaker = opened()
    first = breaker.asked(5.0)
    assert breaker.wait(6.0) == 2 * FIRST_REST_S - 1.0
    assert breaker.wait(5.0 + 2 * FIRST_REST_S) == 0.0
    second = breaker.asked(20.0)
    breaker.failed(first, 21.0)
    assert breaker.wait(21.0) == 2 * FIRST_REST_S
    breaker.failed(second, 22.0)
    assert breaker.wait(22.0) == 2 * FIRST_REST_S - 1.0


def test_a_trial_that_nobody_waited_for_is_another_streams() -> None:
    """Whoever left before one could tell leaves the trial to the next."""
    breaker = opened()
    breaker.let_go(breaker.asked(FIRST_REST_S))
    assert (breaker.open, breaker.wait(FIRST_REST_S)) == (True, 0.0)


def test_only_its_owner_gives_a_trial_up() -> None:
    """A stream that asked before the breaker opened may leave, or fail, and says nothing of it."""
    breaker = Breaker()
    leaves, fails = breaker.asked(0.0), breaker.asked(0.0)
    fail(breaker, FAILURES)
    breaker.asked(FIRST_REST_S)
    breaker.let_go(leaves)
    breaker.failed(fails, FIRST_REST_S)
    assert breaker.wait(FIRST_REST_S) == 2 * FIRST_REST_S  # it has this time
    assert breaker.wait(3 * FIRST_REST_S) == 0.0


def test_rests_double_up_to_the_longest() -> None:
    """Each failed trial keeps everybody away for longer, but never for long."""
    breaker, now, rests = opened(), 0.0, list[float]()
    for _ in range(6):
        rests.append(breaker.wait(now))
        now += rests[-1]
        fail(breaker, now=now)
    assert rests == [5.0, 10.0, 20.0, 40.0, LONGEST_REST_S, LONGEST_REST_S]


def test_streams_that_fail_together_are_one_failure() -> None:
    """A hundred streams that were running when an upstream fell do not lengthen its rest."""
    breaker = Breaker()
    running = [breaker.asked(0.0) for _ in range(100)]
    for number, one in enumerate(running):
        breaker.failed(one, 0.0 if number < FAILURES else 9.0)
    assert breaker.wait(1.0) == FIRST_REST_S - 1.0


def test_a_closed_breaker_lets_all_through() -> None:
    """Any number of streams may ask an upstream that works."""
    breaker = Breaker()
    for _ in range(3):
        breaker.asked(0.0)
        assert breaker.wait(0.0) == 0.0


@pytest.mark.parametrize("error", [ModelNotFound("what?"), PermissionDenied("no")])
def test_a_models_name_opens_no_breaker(error: DeltaweirError) -> None:
    """Whoever asks for models that are not there keeps nobody away from those that are."""
    breaker = Breaker()
    for _ in range(3 * FAILURES):
        itinerary = way(breaker)
        assert itinerary.next(0.0) == Step(0, 0.0)
        assert failed(itinerary, error, answer=head(404))
    assert not breaker.open


# --- whatever happens ------------------------------------------------------------------------

OUTCOME = st.tuples(
    st.sampled_from([None, *THEIRS, *MISTAKES]),
    st.sampled_from(
        [None, head(200), head(503), head(429, retry_after="3"), head(429, retry_after="900")]
    ),
    st.sampled_from([0.0, 0.1, 4.0, 70.0]),
)


@given(
    st.integers(0, 3),
    st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from(["failed", "asked", "answered", "let_go"])),
        max_size=20,
    ),
    st.lists(OUTCOME, min_size=12, max_size=12),
    st.floats(0, 1),
)
def test_every_way_has_an_end_and_respects_the_breakers(
    count: int,
    before: list[tuple[int, str]],
    outcomes: list[tuple[DeltaweirError | None, Head | None, float]],
    chance: float,
) -> None:
    """Any outcomes lead to so many steps at most, none to an upstream that is to be left alone."""
    breakers = [Breaker() for _ in range(count)]
    for index, what in before:
        if index < count:
            breaker, asking = breakers[index], breakers[index].asked(0.0)
            if what == "failed":
                breaker.failed(asking, 0.0)
            elif what == "let_go":
                breaker.let_go(asking)
            elif what == "answered":
                breaker.answered()
    candidates = [Candidate(one, Rests(), "m") for one in breakers]
    itinerary, now = Itinerary(candidates, chance=chance), 1.0
    steps = list[Step]()
    for error, answer, took in outcomes:
        step = itinerary.next(now)
        if step is None:
            break
        steps.append(step)
        assert 0.0 <= step.pause_s <= LONGEST_REST_S
        assert candidates[step.upstream].wait(now) <= step.pause_s
        now += step.pause_s
        itinerary.asked(now, lambda: False)
        now += took
        if error is None:
            itinerary.answered()
            break
        if not itinerary.failed(error, answer, now=now, wall=WALL + now):
            assert error in MISTAKES
            break
    assert len(steps) <= count + RETRIES
    asked = [step.upstream for step in steps]
    firsts = [one for at, one in enumerate(asked) if one not in asked[:at]]
    assert firsts == sorted(firsts)
    assert 0.0 <= itinerary.rest(now) <= LONGEST_REST_S
