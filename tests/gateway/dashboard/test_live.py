"""Rates between readings: exact where all is known, never below zero, none where nothing is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaweir.accounts import PICODOLLARS
from deltaweir.gateway.dashboard.live import WINDOW_S, Ended, Live, Pace, Rates

NOW = 1_796_000_000.0


def stream(name: str = "s", tokens: int | None = 0, *, at: float = NOW, **more: Any) -> Live:
    """Return a stream that runs."""
    told: dict[str, Any] = {"model": "m", "started": NOW - 10, "state": "streaming"}
    return Live(stream_id=name, completion_tokens=tokens, at=at, **(told | more))


def test_one_reading_has_no_rates() -> None:
    """The first reading tells no pace, but of a stream the average since its first token."""
    rates = Rates()
    one = stream(tokens=60, first_token_s=4.0)
    assert rates.take(NOW, [one], Ended()) == Pace()
    assert rates.of(one) == 10.0
    assert rates.of(stream("other")) is None


@pytest.mark.parametrize(
    "one",
    [
        stream(tokens=None, first_token_s=4.0),
        stream(tokens=60),
        stream(tokens=0, first_token_s=4.0),
        stream(tokens=60, first_token_s=9.9),
        stream(tokens=60, first_token_s=1.0, state="waiting"),
    ],
    ids=["uncounted", "elsewhere", "nothing yet", "just begun", "waiting"],
)
def test_a_stream_without_a_speed(one: Live) -> None:
    """What is not known, or too young, has none; it is never zero for that."""
    rates = Rates()
    rates.take(NOW, [one], Ended())
    assert rates.of(one) is None


def test_the_pace_of_all() -> None:
    """A running stream counts by what is new of it, one that began by all it has."""
    rates = Rates()
    rates.take(NOW, [stream("a", 10, cost_pico=PICODOLLARS)], Ended(streams=5))
    later = NOW + 2
    live = [
        stream("a", 30, at=later, cost_pico=2 * PICODOLLARS),
        stream("b", 4, at=later, started=NOW + 1, cost_pico=None),
    ]
    pace = rates.take(later, live, Ended(streams=5))
    assert pace == Pace(tokens_per_s=12.0, streams_per_s=0.5, usd_per_hour=1800.0)
    assert rates.of(live[0]) == 10.0


def test_a_stream_that_has_ended_counts_once() -> None:
    """What it had before is not counted again; one between two readings counts whole."""
    rates = Rates()
    rates.take(NOW, [stream("a", 10, cost_pico=10)], Ended(cost_pico=100))
    ended = Ended(streams=2, completion_tokens=10 + 5 + 7, cost_pico=100 + 10 + 5 + 7)
    pace = rates.take(NOW + 1, [], ended)
    assert (pace.tokens_per_s, pace.streams_per_s) == (12.0, 1.0)
    assert pace.usd_per_hour == round(12 / PICODOLLARS * 3600, 6)


def test_what_ends_on_another_machine_takes_nothing_back() -> None:
    """Sums that know nothing of a stream that is gone make no rate negative."""
    rates = Rates()
    rates.take(NOW, [stream("far", 500, here=False), stream("a", 10)], Ended())
    pace = rates.take(NOW + 1, [stream("a", 15, at=NOW + 1)], Ended())
    assert (pace.tokens_per_s, pace.streams_per_s) == (5.0, 0.0)


def test_without_any_known_cost_there_is_none() -> None:
    """An unknown cost is no cost of zero."""
    rates = Rates()
    rates.take(NOW, [stream("a", 10)], Ended())
    assert rates.take(NOW + 1, [stream("a", 20)], Ended()).usd_per_hour is None
    assert rates.take(NOW + 2, [stream("a", 20, cost_pico=0)], Ended()).usd_per_hour == 0.0


def test_a_stream_elsewhere_goes_by_its_checkpoints() -> None:
    """Figures that have not changed since are no standstill; those that have are by their times."""
    rates = Rates()
    for second in range(5):
        at = NOW + second - second % 2  # a checkpoint each two seconds
        one = stream("far", int(at - NOW) * 8, at=at, here=False)
        rates.take(NOW + second, [one], Ended())
    assert rates.of(one) == 8.0


def test_a_stream_that_stands_still_has_a_speed_of_zero() -> None:
    """Nothing for the whole of a window is nothing, whatever its average was."""
    rates = Rates()
    for second in range(int(WINDOW_S) + 2):
        one = stream(tokens=100, at=NOW + second, first_token_s=0.1)
        rates.take(NOW + second, [one], Ended())
    assert rates.of(one) == 0.0


def test_readings_of_long_ago_are_forgotten() -> None:
    """After a pause the pace is not that of the pause; a clock set back starts anew."""
    for moment in (NOW + 100, NOW - 100):
        rates = Rates()
        rates.take(NOW, [stream("a", 10)], Ended())
        assert rates.take(moment, [stream("a", 20, at=moment)], Ended()) == Pace()


def readings(*told: tuple[list[Live], Ended]) -> list[Pace]:
    """Return what each reading tells, one a second."""
    rates = Rates()
    return [rates.take(NOW + second, live, ended) for second, (live, ended) in enumerate(told)]


def far(tokens: int, second: int, name: str = "far", **more: Any) -> Live:
    """Return a stream that another process runs."""
    told = {"at": NOW + second, "here": False, "cost_pico": tokens * 10**7, **more}
    return stream(name, tokens, **told)


def test_what_comes_into_sight_has_not_just_happened() -> None:
    """A stream that began long ago counts from when it is seen first."""
    running = [far(10 * second, second, "seen") for second in range(3)]
    paces = readings(
        ([running[0]], Ended()),
        ([running[1], far(50_000, 1)], Ended()),
        ([running[2], far(50_020, 2)], Ended()),
    )
    assert paces[1] == Pace(tokens_per_s=10.0, streams_per_s=0.0, usd_per_hour=0.36)
    assert paces[2] == Pace(tokens_per_s=20.0, streams_per_s=0.0, usd_per_hour=0.72)


def test_what_begins_elsewhere_may_be_seen_a_moment_later() -> None:
    """Its row comes into the ledger after it has begun; it counts whole all the same."""
    pace = readings(([], Ended()), ([far(8, 1, started=NOW - 0.5)], Ended()))[1]
    assert (pace.tokens_per_s, pace.streams_per_s) == (8.0, 1.0)


def test_what_is_out_of_sight_for_a_while_does_not_begin_again() -> None:
    """A stream that comes back has not generated all it has at once."""
    young = NOW + 0.5
    paces = readings(
        ([], Ended()),
        ([far(10, 1, started=young)], Ended()),
        ([], Ended()),
        ([far(30, 3, started=young)], Ended()),
    )
    assert (paces[3].tokens_per_s, paces[3].streams_per_s) == (round(10 / 3, 6), round(1 / 3, 6))


def test_after_a_time_without_figures_the_pace_is_that_of_now() -> None:
    """What came while nothing was told is not told as if it came in a second."""
    told = [far(100, 0)] * 5 + [far(160, 6)]
    assert readings(*(([one], Ended()) for one in told))[-1].tokens_per_s == 10.0


ORDERS = ["sums first", "row first", "both at once"]


@pytest.mark.parametrize("order", ORDERS)
def test_an_end_elsewhere_counts_once(order: str) -> None:
    """The sums and its row may tell it in two readings; that makes no flood of tokens."""
    ended = Ended(streams=1, completion_tokens=9045, cost_pico=9045 * 10**7)
    told = list[tuple[list[Live], Ended]]()
    for second in range(9):
        in_sums = second >= (5 if order == "row first" else 4)
        in_sight = second < (5 if order == "sums first" else 4)
        row = far(9000 + 10 * min(second, 4), second)
        sums = ended if in_sums else Ended(cost_pico=0)
        told.append(([row] if in_sight else [], sums))
    paces = readings(*told)[1:]
    assert all(pace.tokens_per_s is not None and pace.tokens_per_s <= 15.0 for pace in paces)
    assert all(pace.streams_per_s == 0.0 for pace in paces)
    assert all(pace.usd_per_hour is not None and pace.usd_per_hour <= 0.54 for pace in paces)


def test_an_end_that_is_found_later_is_not_another_ones() -> None:
    """The end of a short stream takes nothing from a long one whose end the sums do not know."""
    short, both = (Ended(streams=count, completion_tokens=20 + more) for count, more in _ENDS)
    live = [far(9000, 0)]
    paces = readings((live, Ended()), ([], short), ([], both), ([], both))
    assert all(pace.tokens_per_s is not None and pace.tokens_per_s <= 20.0 for pace in paces[1:])


_ENDS = [(1, 0), (2, 9000)]


def test_alone_nothing_waits() -> None:
    """Where no other process counts, what others run has no part in the sums."""
    rates = Rates()
    rates.take(NOW, [far(9000, 0), stream("a", 10)], Ended(), others=False)
    ended = Ended(streams=2, completion_tokens=15 + 7)
    pace = rates.take(NOW + 1, [], ended, others=False)
    assert (pace.tokens_per_s, pace.streams_per_s) == (12.0, 1.0)


COUNTS = st.lists(
    st.tuples(st.integers(0, 50), st.integers(0, 50), st.booleans(), st.booleans()), max_size=8
)


@given(streams=COUNTS, seconds=st.floats(0.5, WINDOW_S))
def test_no_token_is_lost_or_counted_twice(
    streams: list[tuple[int, int, bool, bool]], seconds: float
) -> None:
    """However streams begin and end between two readings, the pace has each new token once."""
    before, after, rates = list[Live](), list[Live](), Rates()
    ended, tokens = Ended(streams=3, completion_tokens=999), 0
    for number, (first, more, was_there, ends) in enumerate(streams):
        name, had = str(number), first if was_there else 0
        if was_there:
            before.append(stream(name, had))
        if ends:
            ended = Ended(
                streams=ended.streams + 1, completion_tokens=ended.completion_tokens + had + more
            )
        else:
            started = NOW - 10 if was_there else NOW + seconds / 2
            after.append(stream(name, had + more, at=NOW + seconds, started=started))
        tokens += more
    rates.take(NOW, before, Ended(streams=3, completion_tokens=999))
    pace = rates.take(NOW + seconds, after, ended)
    took = NOW + seconds - NOW
    assert pace.tokens_per_s == pytest.approx(tokens / took, abs=1e-5)
    new = sum(not was_there for _, _, was_there, _ in streams)
    assert pace.streams_per_s == pytest.approx(new / took, abs=1e-5)
