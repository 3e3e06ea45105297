"""The lines of Markdown pieces: right for every width, and without a control character."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.text import Text
from tests.cli.test_markdown_blocks import DOCUMENTS

from deltaweir.cli.live_frames import ansi
from deltaweir.cli.markdown_blocks import Blocks
from deltaweir.cli.markdown_lines import Lines


def lines_of(text: str, width: int = 40) -> list[Text]:
    """Return the lines in which a whole text is shown."""
    blocks, lines = Blocks(), Lines()
    pieces = [*blocks.feed(text), *blocks.finish()]
    return [line for piece in pieces for line in lines.finished(piece, width)]


def shown(text: str, width: int = 40) -> list[str]:
    """Return the same without styles."""
    return [line.plain for line in lines_of(text, width)]


def styles(text: str) -> dict[str, str]:
    """Return the words of one line with their styles."""
    (line,) = lines_of(text)
    return {line.plain[span.start : span.end]: str(span.style) for span in line.spans}


def test_words_with_styles() -> None:
    """Marks become styles, and what only looks like them stays."""
    assert styles("a **b** *c* `d*` ~~e~~ 2 * 3 * 4") == {
        "b": "bold",
        "c": "italic",
        "d*": "cyan",
        "e": "strike",
    }
    assert shown("snake_case_name and 2 * 3 * 4 & <b>bold</b> \\*") == [
        "snake_case_name and 2 * 3 * 4 &",
        "<b>bold</b> *",
    ]


def test_links_and_pictures() -> None:
    """An address is shown, once, and nothing that could be clicked is hidden."""
    assert shown("[here](http://a.example) <http://b.example> ![cat](c.png)", 80) == [
        "here (http://a.example) http://b.example [cat] (c.png)"
    ]
    assert shown("[x](javascript:alert) <me@a.example>") == ["[x](javascript:alert) me@a.example"]
    assert shown("[x]: http://a.example") == ["[x]: http://a.example"]


def test_blocks_stand_apart() -> None:
    """One empty line is between blocks, none at the beginning, and none within a tight list."""
    assert shown("\n# One\nText\n- a\n- b\n  - c\n    1. d\n\n***\n> e\n>\n> f\n") == [
        "One",
        "",
        "Text",
        "",
        "• a",
        "• b",
        "  ◦ c",
        "    1. d",
        "",
        "─" * 40,
        "",
        "│ e",
        "│ ",
        "│ f",
    ]


def test_lists() -> None:
    """Items go on below themselves, keep their numbers, and stand apart where they did."""
    assert shown("9. one two three four\n9. b\n\n   c\n9. d\n\n- [ ] e\n\n- f\n-\n", 14) == [
        "9. one two",
        "   three four",
        "10. b",
        "",
        "    c",
        "11. d",
        "",
        "• [ ] e",
        "",
        "• f",
        "•",
    ]


def test_code() -> None:
    """Code keeps every blank, is not broken when finished, and has its fences."""
    long = "x = " + "1 + " * 20 + "1"
    assert shown(f"```python\n{long}\n\n\tif 1:\n```\nText", 20) == [
        "```python",
        long,
        "",
        "    if 1:",
        "```",
        "",
        "Text",
    ]
    assert shown("> ~~~ sh title=&#27;x\n> ls\n> ~~~\n") == [
        "│ ~~~ sh title=&#27;x",
        "│ ls",
        "│ ~~~",
    ]
    assert shown("1. a\n   ```sh\n   ls -l\n   ```\n", 20) == [
        "1. a",
        "   ```sh",
        "   ls -l",
        "   ```",
    ]
    assert shown("    indented\n") == ["indented"]
    blocks, lines = Blocks(), Lines()
    assert blocks.feed("```\n")[0].kind == "fence"
    blocks.feed(long)
    assert [line.cell_len for line in lines.open(blocks.open, 20)] == [20, 20, 20, 20, 5]


def test_a_table() -> None:
    """Cells stand below each other, whatever the width of their letters, on their sides."""
    assert shown("| a | 年齢 | x |\n|:--|--:|:-:|\n| 田中 | 7 | **b** |\n| c |\n") == [
        "a    │ 年齢 │ x",
        "─────┼──────┼──",
        "田中 │    7 │ b",
        "c    │      │",
    ]


def test_a_table_that_is_too_wide() -> None:
    """The widest column gives way; with no room for columns each row is a list."""
    table = "| name | told at length |\n|---|---|\n| Ann | one two three four five |\n"
    assert shown(table, 22) == [
        "name │ told at length",
        "─────┼────────────────",
        "Ann  │ one two three",
        "     │ four five",
    ]
    assert shown(f"{table}| Bob | b |\n", 14) == [
        "name: Ann",
        "told at",
        "length: one",
        "two three four",
        "five",
        "",
        "name: Bob",
        "told at",
        "length: b",
    ]


def test_wide_letters_break() -> None:
    """A line of letters that are two columns wide breaks where the terminal ends."""
    assert shown("日本語のテキスト", 7) == ["日本語", "のテキ", "スト"]


@settings(deadline=None, max_examples=50)
@given(DOCUMENTS, st.integers(2, 60))
def test_no_width_is_too_small(text: str, width: int) -> None:
    """Any text can be shown in any width; what is open is as well."""
    blocks, lines = Blocks(), Lines()
    for place in range(0, len(text), 7):
        for piece in blocks.feed(text[place : place + 7]):
            lines.finished(piece, width)
        lines.open(blocks.open, width)


@settings(deadline=None)
@given(st.text(alphabet=[*map(chr, range(160)), "日", "👍"], max_size=50), st.booleans())
def test_no_control_character_is_shown(text: str, code: bool) -> None:
    """Of what a model writes no control character is left, in text or in code."""
    for line in lines_of(f"```\n{text}" if code else text):
        assert all(letter >= " " and not "\x7f" <= letter < "\xa0" for letter in line.plain)


@pytest.mark.parametrize("code", [27, 155, 7, 13, 0])
def test_no_reference_is_one_either(code: int) -> None:
    """A character that is written as a number is one that could have been written."""
    char = f"&#{code};"
    text = f"a{char}[31mb [&#x{code:x};](http://a.example/{char}) `{char}`\n\n| {char} |\n|-|\n"
    for line in lines_of(text):
        assert all(letter >= " " and not "\x7f" <= letter < "\xa0" for letter in line.plain)
        assert "\x1b" not in ansi(line, colours=False)
