"""Colours of code: line by line as for the whole, and never another text."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from rich.text import Text

from deltaweir.cli.markdown_code import (
    LANGUAGES,
    LOOKED_AT,
    MOST_AT_ONCE,
    MOST_CHARS,
    Colours,
)

CODE = 'def f(x):\n    """Long\n    text."""\n    return 12  # why\n'


def coloured(line: Text) -> list[tuple[str, str]]:
    """Return the words of a line that have a colour."""
    return [(line.plain[span.start : span.end], str(span.style)) for span in line.spans]


def letters(line: Text) -> list[str]:
    """Return the colour of each letter of a line."""
    found = [""] * len(line)
    for span in line.spans:
        found[span.start : span.end] = [str(span.style)] * (span.end - span.start)
    return found


def test_colours_know_the_lines_before() -> None:
    """A line within a string that began above it is a string."""
    colours = Colours("python")
    lines = [line for one in CODE.splitlines() for line in colours.lines([one])]
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
    colours.open('"""begun')
    assert coloured(colours.open("return")) == [("return", "magenta")]


def test_an_unknown_language() -> None:
    """It is shown as it is, as is code of none, and of one whose lexer may take minutes."""
    for language in ("klingon", "", "\x1b", "autoit"):
        assert Colours(language).lines(["if\tx"]) == [Text("if  x")]
        assert Colours(language).open("if\tx") == Text("if  x")


def test_every_language_that_is_named_is_known() -> None:
    """Each of the names has a lexer, however it is written."""
    for language in LANGUAGES:
        assert Colours(language.upper())._lexer is not None, language


def test_a_very_long_line() -> None:
    """It is plain, and the lines after it are coloured without it."""
    colours = Colours("python")
    long = '"""' + " " * MOST_CHARS
    assert colours.open(long) == Text(long)
    first, plain, last = colours.lines(["if x:", long, "    return"])
    assert plain == Text(long)
    assert coloured(first) == [("if", "magenta")]
    assert coloured(last) == [("return", "magenta")]
    assert coloured(colours.open("pass")) == [("pass", "magenta")]


def test_a_burst_of_lines() -> None:
    """They have the colours they have one by one, and few are looked at together."""
    colours, one_by_one = Colours("python"), Colours("python")
    lines = CODE.splitlines() * 10
    asked: list[int] = []
    plain = colours._lexer.get_tokens

    class Lexer:
        """Counts what it is given."""

        def get_tokens(self, text: str) -> object:
            """Return what the other one does."""
            asked.append(len(text))
            return plain(text)

    colours._lexer = Lexer()
    together = colours.lines(lines)
    assert [*map(letters, together)] == [letters(one_by_one.lines([line])[0]) for line in lines]
    assert len(asked) == 1
    colours.lines(lines * 50)
    assert len(asked) < 60
    assert max(asked) < 2 * MOST_AT_ONCE + 2 * LOOKED_AT


def test_a_line_costs_the_same_however_long_the_code() -> None:
    """Only the last lines are looked at."""
    colours = Colours("python")
    for _ in range(LOOKED_AT + 50):
        colours.lines(["x = 1"])
    assert len(colours._before) == LOOKED_AT
    colours.lines(["x" * MOST_CHARS] * 10)
    assert sum(map(len, colours._before)) == MOST_AT_ONCE


@settings(deadline=None)
@given(
    st.lists(st.text(alphabet="ab \t'\"#{}()=<>:/*日", max_size=12), max_size=8),
    st.sampled_from(["python", "html", "json", "bash", "diff", "c"]),
)
def test_no_letter_is_changed(lines: list[str], language: str) -> None:
    """Whatever the code and its language, the text stays."""
    colours = Colours(language)
    for line in lines:
        assert colours.open(line).plain == line.expandtabs(4)
    assert [line.plain for line in colours.lines(lines)] == [line.expandtabs(4) for line in lines]
