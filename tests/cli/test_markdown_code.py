"""Colours of code: line by line as for the whole, and never another text."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from rich.text import Text

from deltaweir.cli.markdown_code import LOOKED_AT, Colours

CODE = 'def f(x):\n    """Long\n    text."""\n    return 12  # why\n'


def coloured(line: Text) -> list[tuple[str, str]]:
    """Return the words of a line that have a colour."""
    return [(line.plain[span.start : span.end], str(span.style)) for span in line.spans]


def test_colours_know_the_lines_before() -> None:
    """A line within a string that began above it is a string."""
    colours = Colours("python")
    lines = [colours.line(line) for line in CODE.splitlines()]
    assert coloured(lines[0])[:2] == [("def", "magenta"), ("f", "blue")]
    assert coloured(lines[2]) == [('    text."""', "green")]
    assert coloured(lines[3]) == [
        ("return", "magenta"),
        ("12", "cyan"),
        ("# why", "bright_black"),
    ]


def test_a_line_that_is_not_finished() -> None:
    """It has its colours, and leaves no trace."""
    colours = Colours("python")
    colours.line('"""begun', keep=False)
    assert coloured(colours.line("return", keep=False)) == [("return", "magenta")]


def test_an_unknown_language() -> None:
    """It is shown as it is, as is code of none."""
    for language in ("klingon", "", "\x1b"):
        assert Colours(language).line("if\tx") == Text("if  x")


def test_a_line_costs_the_same_however_long_the_code() -> None:
    """Only the last lines are looked at."""
    colours = Colours("python")
    for _ in range(LOOKED_AT + 50):
        colours.line("x = 1")
    assert len(colours._before) == LOOKED_AT


@settings(deadline=None)
@given(
    st.lists(st.text(alphabet="ab \t'\"#{}()=<>:/*日", max_size=12), max_size=8),
    st.sampled_from(["python", "html", "json", "bash", "diff", "c"]),
)
def test_no_letter_is_changed(lines: list[str], language: str) -> None:
    """Whatever the code and its language, the text stays."""
    colours = Colours(language)
    for line in lines:
        assert colours.line(line).plain == line.expandtabs(4)
