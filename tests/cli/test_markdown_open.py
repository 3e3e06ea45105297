"""Markdown that is not finished: it looks as it will, and nothing flickers."""

from __future__ import annotations

import pytest
from hypothesis import given
from tests.cli.test_markdown_blocks import DOCUMENTS

from deltaweir.cli.markdown_open import MOST_CHARS, laid_out


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Title\n-", "Title\n"),
        ("a\n1", "a\n"),
        ("a\n```", "a\n"),
        ("a\n- b", "a\n- b"),
        ("-", ""),
        ("a", "a"),
    ],
)
def test_a_line_that_has_only_begun(text: str, shown: str) -> None:
    """Marks wait for what they mark, since they could mean something else."""
    assert laid_out(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a **b", "a **b**"),
        ("a **b ", "a **b**"),
        ("a **b*", "a **b"),
        ("a **", "a "),
        ("a **b** c", "a **b** c"),
        ("a `b", "a `b`"),
        ("a ``b`c", "a ``b`c``"),
        ("a `b` c", "a `b` c"),
        ("a `", "a `"),
        ("`**` b", "`**` b"),
        ("two ** 3", "two ** 3"),
        ("**a\n\nb", "**a\n\nb"),
    ],
)
def test_words_that_have_not_ended(text: str, shown: str) -> None:
    """They have their style from their first letter on."""
    assert laid_out(text) == shown


@given(DOCUMENTS)
def test_any_text(text: str) -> None:
    """At most a line is left out, and no more than marks are added."""
    assert set(laid_out(text)) <= set(text) | {"*", "`"}


def test_a_very_long_one() -> None:
    """The last of it is enough to fill a terminal."""
    assert laid_out("a" * (MOST_CHARS + 5)) == "a" * MOST_CHARS
