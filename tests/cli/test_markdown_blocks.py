"""Cutting Markdown while it arrives: nothing is lost, and how it is cut changes nothing."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from deltaweir.cli.markdown_blocks import MOST_LINES, Blocks, Piece

LINES = st.sampled_from(
    [
        "text",
        "more *text* `code`",
        "",
        "",
        "   ",
        "# title",
        "---",
        "===",
        "- item",
        "- ",
        "  - nested",
        "  goes on",
        "1. one",
        "2. two",
        "   ```py",
        "```",
        "```python",
        "````",
        "~~~",
        "| a | b |",
        "|---|---|",
        "| 1 | 2 |",
        "> quote",
        "    code",
        "[x]: http://y",
        "<div>",
        "日本語 👩‍👩‍👧",
    ]
)
DOCUMENTS = st.one_of(
    st.lists(LINES, max_size=25).map("\n".join),
    st.text(alphabet="-*_#`~>|: \n1.ab\t", max_size=60),
)


def pieces(*chunks: str) -> tuple[list[Piece], Piece]:
    """Return the pieces of a text in chunks before it has ended, and what is open then."""
    blocks = Blocks()
    found = [piece for chunk in chunks for piece in blocks.feed(chunk)]
    return found, blocks.open


@settings(deadline=None)
@given(DOCUMENTS, st.lists(st.integers(0, 300), max_size=12))
@example("a\n```\nb", [2])
def test_however_it_is_cut(text: str, places: list[int]) -> None:
    """Pieces and what is open are the same for any cuts, and joined they are the text."""
    found, rest = pieces(text)
    assert "".join(piece.text for piece in found) + rest.text == text
    cuts = sorted({min(place, len(text)) for place in places})
    chunks = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert pieces(*chunks) == (found, rest)
    assert pieces(*text) == (found, rest)


@settings(deadline=None)
@given(DOCUMENTS)
def test_at_the_end(text: str) -> None:
    """Nothing is left, and what was finished before stays as it was."""
    blocks = Blocks()
    found = blocks.feed(text)
    ended = [*found, *blocks.finish()]
    assert "".join(piece.text for piece in ended) == text
    assert all(piece.text for piece in ended)
    assert blocks.open.text == ""


@settings(deadline=None)
@given(DOCUMENTS, DOCUMENTS)
def test_what_is_finished_stays(text: str, more: str) -> None:
    """No text that follows changes a piece that is finished."""
    assert pieces(text + more)[0][: len(pieces(text)[0])] == pieces(text)[0]


def test_blocks_that_another_block_follows() -> None:
    """A block is finished when the next begins, whatever stands between them."""
    found, rest = pieces("# Title\nText\ngoes on\n\n\n> quote\nlazy\n***\nend")
    assert [piece.text for piece in found] == [
        "# Title\n",
        "Text\ngoes on\n\n\n",
        "> quote\nlazy\n",
    ]
    assert rest.text == "***\nend"


def test_items_of_a_list() -> None:
    """Each item is finished when the next begins, and keeps its number in the list."""
    found, rest = pieces("4. a\n4. b\n\n   more\n9. c\n   - d\n\n\nText\n")
    assert [(piece.text, piece.number, piece.follows) for piece in found] == [
        ("4. a\n", 4, False),
        ("4. b\n\n   more\n", 5, True),
        ("9. c\n   - d\n\n\n", 6, True),
    ]
    assert (rest.text, rest.number, rest.follows) == ("Text\n", None, False)


def test_items_that_stand_apart() -> None:
    """An empty line between items is one on the screen."""
    found, rest = pieces("- a\n\n- b\n- c\n")
    assert [piece.follows for piece in [*found, rest]] == [False, False, True]


@pytest.mark.parametrize("fence", ["```", "~~~", "`````", "  ```"])
def test_lines_of_code(fence: str) -> None:
    """Each line of code is finished by itself; a shorter fence in it is a line like others."""
    short = fence.strip()[:2]
    found, rest = pieces(f"\n{fence} python title\n# no title\n{short}\n\n{fence}\nText\n")
    assert [(piece.kind, piece.text) for piece in found] == [
        ("fence", f"\n{fence} python title\n"),
        ("code", "# no title\n"),
        ("code", f"{short}\n"),
        ("code", "\n"),
        ("fence", f"{fence}\n"),
    ]
    assert {piece.language for piece in found} == {"python"}
    assert rest == Piece("block", "Text\n")


def test_an_open_line_of_code() -> None:
    """What is open in code is code."""
    assert pieces("```py\nx = ")[1] == Piece("code", "x = ", follows=True, language="py")


def test_a_block_without_an_end() -> None:
    """A block of very many lines is taken apart, so that each line costs the same."""
    found, rest = pieces("line\n" * (MOST_LINES + 5))
    assert [piece.text.count("\n") for piece in found] == [MOST_LINES]
    assert rest.text.count("\n") == 5
    assert rest.follows
