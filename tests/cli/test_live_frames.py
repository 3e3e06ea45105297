"""Frames on a terminal: what is finished is written once, and the rest stands below it."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from rich.text import Text
from tests.cli.screens import Screen

from deltaweir.cli.live_frames import EMPTY, Region, Size, fitting, frame

ROWS = st.lists(st.text(alphabet="ab日👍", max_size=14).map(Text), max_size=5)
SIZE = Size(12, 8)


def texts(rows: Sequence[Text]) -> list[str]:
    """Return rows as text."""
    return [row.plain for row in rows]


@settings(deadline=None)
@given(st.lists(st.tuples(ROWS, ROWS), max_size=6))
def test_what_stands_on_the_terminal(frames: list[tuple[list[Text], list[Text]]]) -> None:
    """All finished lines in their order, then what is open; no row above is touched again."""
    screen, region = Screen(*SIZE), EMPTY
    above: list[str] = []
    screen.write("before\n")
    for finished, unfinished in frames:
        # what is finished may be as long as it likes, but here lines are counted
        lines = [Text(line.plain[:5]) for line in finished]
        rows = fitting(unfinished, SIZE)
        first = len(above) + 1
        screen.touched.clear()
        written, region = frame(region, lines, rows, SIZE)
        screen.write(written)
        above += texts(lines)
        shown = screen.shown[1:]
        assert shown[: len(above)] == above
        below = shown[len(above) :]
        assert len(below) == max(len(rows), 1) or not any(below[len(rows) :])
        for row, plain in zip(below, texts(rows), strict=False):
            assert plain.startswith(row.removesuffix("…"))
        assert min(screen.touched, default=first) >= first
    assert screen.shown[0] == "before"


def test_only_what_has_changed_is_written() -> None:
    """A row that is the same is passed over, and a frame of the same is empty."""
    _, region = frame(EMPTY, [], [Text("one"), Text("two")], SIZE)
    written, new = frame(region, [], [Text("one"), Text("two more")], SIZE)
    assert "one" not in written
    assert "two more" in written
    assert frame(new, [], [Text("one"), Text("two more")], SIZE) == ("", new)


def test_fewer_rows() -> None:
    """A row that is no more is gone."""
    screen = Screen(*SIZE)
    first, region = frame(EMPTY, [], [Text("one"), Text("two"), Text("three")], SIZE)
    second, region = frame(region, [], [Text("one")], SIZE)
    third, region = frame(region, [], [], SIZE)
    screen.write(first)
    screen.write(second)
    assert screen.shown == ["one", "", ""]
    screen.write(third)
    assert screen.shown == ["", "", ""]
    assert (screen.row, screen.column, region.rows) == (0, 0, ())


def test_a_narrower_terminal() -> None:
    """Rows that the terminal has broken are counted, so that none is left over."""
    region = Region(("a" * 11, "b"), (11, 1), 12)
    assert [region.height(columns) for columns in (20, 12, 11, 6, 5)] == [2, 2, 2, 3, 4]
    assert region.height(0) == 12
    written, _ = frame(region, [], [Text("b")], Size(5, 8))
    assert "\x1b[3A" in written


def test_long_code_breaks_as_terminals_do() -> None:
    """A finished line that is too long is one line to the terminal, and nothing is left of rows."""
    screen = Screen(*SIZE)
    first, region = frame(EMPTY, [], [Text("x" * 11), Text("y" * 11)], SIZE)
    second, _ = frame(region, [Text("code " * 4)], [Text("z")], SIZE)
    screen.write(first)
    screen.write(second)
    assert screen.shown == ["code code co", "de code", "z"]


def test_more_than_the_terminal_holds() -> None:
    """The last rows are shown, below a mark that there are more."""
    rows = [Text(str(number)) for number in range(10)]
    assert texts(fitting(rows, Size(12, 8))) == ["⋮", "5", "6", "7", "8", "9"]
    assert texts(fitting(rows[:6], Size(12, 8))) == list("012345")
    assert texts(fitting(rows, Size(12, 2))) == ["9"]


def test_without_colours() -> None:
    """There is the text alone."""
    written, _ = frame(EMPTY, [Text("a", style="bold red")], [], SIZE, colours=False)
    assert "\x1b[1" not in written
    assert "\x1b[1;31ma" in frame(EMPTY, [Text("a", style="bold red")], [], SIZE)[0]
