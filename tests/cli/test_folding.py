"""Lines of the program's own break between words, and lose none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from deltaweir.cli.folding import folded


@pytest.mark.parametrize(
    ("text", "columns", "shown"),
    [
        ("Ask something; /help lists it.", 20, "Ask something; /help\nlists it."),
        ("short", 20, "short"),
        ("  an indented line of it", 14, "  an indented\n  line of it"),
        ("in /a/path/that/is/long", 10, "in\n/a/path/that/is/long"),
        ("one\n\ntwo words", 8, "one\n\ntwo\nwords"),
        ("first  token 0.1 s", 12, "first  token\n0.1 s"),
        ("  eleven  12", 8, "  eleven\n  12"),
        ("田中田中 田中田中", 10, "田中田中\n田中田中"),
        ("too narrow for it", 5, "too narrow for it"),
        ("", 20, ""),
    ],
)
def test_lines_break_between_words(text: str, columns: int, shown: str) -> None:
    """They hang where they began; a word that finds no room stays whole."""
    assert folded(text, columns) == shown


@given(
    text=st.text(st.sampled_from("ab /·田 \n"), max_size=80),
    columns=st.integers(8, 40),
)
def test_no_word_is_lost_or_broken(text: str, columns: int) -> None:
    """The words are the same, and a line is too long only for a single one."""
    shown = folded(text, columns)
    assert shown.split() == text.split()
    for line in shown.split("\n"):
        assert cell_len(line) <= columns or len(line.split()) <= 1 or not line.strip()
