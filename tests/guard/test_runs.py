"""Matches that touch are one run, with one name and one action."""

from __future__ import annotations

from deltaweir.guard.runs import MOST_RANGES, Covered, Run, add


def test_touching_matches_are_one_run() -> None:
    """Overlapping ones and neighbours; a gap of one character parts them."""
    runs: list[Run] = []
    for start, end in ((0, 3), (3, 5), (6, 8), (7, 9)):
        add(runs, Run(start, end, 0, "redact", known=9))
    assert [(run.start, run.end) for run in runs] == [(0, 5), (6, 9)]


def test_one_match_can_join_several_runs() -> None:
    """It reaches back over all of them."""
    runs: list[Run] = []
    for start, end in ((0, 1), (4, 5), (0, 6)):
        add(runs, Run(start, end, 0, "redact", known=9))
    assert [(run.start, run.end) for run in runs] == [(0, 6)]


def test_the_name_is_that_of_the_match_that_starts_first() -> None:
    """Then of the one certain first, of the one that ends first, of the first rule."""
    runs: list[Run] = []
    for start, end, rule, known in ((2, 4, 0, 5), (1, 5, 3, 7), (1, 5, 2, 7), (1, 6, 1, 7)):
        add(runs, Run(start, end, rule, "redact", known=known))
    assert runs[0].label == 2
    add(runs, Run(1, 7, 4, "redact", known=6))
    assert runs[0].label == 4


def test_the_strictest_action_is_done() -> None:
    """And each rule keeps the extent of its own matches."""
    runs: list[Run] = []
    add(runs, Run(0, 4, 0, "redact", known=9))
    assert not runs[0].ends
    add(runs, Run(2, 6, 1, "block", known=9))
    add(runs, Run(3, 7, 0, "truncate", known=9))
    assert runs[0].action == "block"
    assert runs[0].ends
    assert list(runs[0].extents()) == [(0, 0, 7), (1, 2, 6)]


def test_covered_characters_are_asked_for_in_any_order() -> None:
    """A question forgets nothing, since others ask from an earlier place on."""
    covered = Covered()
    covered.add(2, 4)
    covered.add(7, 8)
    for _ in range(2):
        assert not covered.touches(0, 2)
        assert covered.touches(0, 3)
        assert covered.touches(3, 4)
        assert not covered.touches(4, 7)
        assert covered.touches(5, 9)
        assert not covered.touches(8, 99)


def test_covered_ranges_that_touch_are_one() -> None:
    """A run that is swallowed on for long costs one range, also when it grows to the front."""
    covered = Covered()
    for start, end in ((5, 6), (8, 9), (8, 12), (12, 20), (7, 21)):
        covered.add(start, end)
    assert len(covered) == 2
    assert not covered.touches(6, 7)
    covered.add(6, 22)
    assert len(covered) == 1
    assert covered.touches(6, 7)
    assert not covered.touches(0, 5)


def test_covered_ranges_are_bounded() -> None:
    """Of too many the oldest count as one with all between; the latest are exact."""
    covered = Covered()
    for at in range(0, 4 * MOST_RANGES, 2):
        covered.add(at, at + 1)
    assert len(covered) == MOST_RANGES
    assert covered.touches(1, 2)
    assert not covered.touches(4 * MOST_RANGES - 3, 4 * MOST_RANGES - 2)
