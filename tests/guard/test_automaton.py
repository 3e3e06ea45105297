"""The automaton makes states as it meets them, shares them, and forgets them in time."""

from __future__ import annotations

import random

import pytest

from deltaweir.guard import automaton as module
from deltaweir.guard.automaton import Automaton
from deltaweir.guard.filter import TextFilter
from deltaweir.guard.plan import Plan
from deltaweir.guard.rules import Rule

WORDS = Rule(id="w", literals=("abc", "bcd"))


def test_threads_are_kept_oldest_first() -> None:
    """A place in a rule belongs to the oldest thread that is there."""
    one = Automaton([WORDS])
    state = one.root
    for character in "ab":
        state = one.move(state, character).state
    assert state.count == 2
    move = one.move(state, "c")
    assert move.late == ((0, 0),)
    assert move.keep == (1,)
    assert not move.begins


def test_a_piece_is_crossed_as_its_characters_are() -> None:
    """Where nothing matches, one step does what many do, and is remembered."""
    one = Automaton([WORDS])
    crossing = one.crossing(one.root, "xxab")
    assert crossing.state is not None
    assert (crossing.keep, crossing.begins) == (None, (2, 3))
    assert one.root.by_text["xxab"] is crossing
    state = one.root
    for character in "xxab":
        state = one.move(state, character).state
    assert state is crossing.state


def test_a_piece_with_a_match_must_be_walked() -> None:
    """What it does depends on where its threads started."""
    one = Automaton([WORDS])
    assert one.crossing(one.root, "abc").state is None


def test_long_pieces_are_not_remembered() -> None:
    """They hardly come twice."""
    one = Automaton([WORDS])
    one.crossing(one.root, "x" * 100)
    assert one.root.by_text == {}


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forgetting changes no result, also in the middle of a match, and bounds what is kept."""
    monkeypatch.setattr(module, "MOST_REMEMBERED", 60)
    monkeypatch.setattr(module, "MOST_TEXTS", 10)
    plan = Plan([Rule(id="r", regex="a[bcd]{2,6}e"), WORDS])
    assert plan.automaton is not None
    chance = random.Random(1)  # noqa: S311  # repeatable
    text = "".join(chance.choices("abcde", k=4000))
    whole = TextFilter(plan)
    expected = whole.feed(text) + whole.finish(cut=False)
    cut = TextFilter(plan)
    out = []
    at = 0
    while at < len(text):
        size = chance.randint(1, 5)
        out.append(cut.feed(text[at : at + size]))
        at += size
        assert plan.automaton.remembered <= 60 + 20
        assert sum(len(state.by_text) for state in plan.automaton._states.values()) <= 11
    assert "".join(out) + cut.finish(cut=False) == expected


def test_a_thread_can_be_taken_out_of_a_rule() -> None:
    """It goes on in others, or ends."""
    rules = [Rule(id="x", regex="ab+c", max_hold=9), Rule(id="y", regex="abd", max_hold=9)]
    one = Automaton(rules)
    state = one.crossing(one.root, "ab").state
    assert state is not None
    assert list(one.limited_in(state)) == [(0, 0), (0, 1)]
    rest, lives = one.without(state, 0, 0)
    assert lives
    assert list(one.limited_in(rest)) == [(0, 1)]
    nothing, lives = one.without(rest, 0, 1)
    assert not lives
    assert nothing.count == 0
