"""Break styled text into lines that fit, by the columns its letters take. Pure."""

from __future__ import annotations

from functools import cache

from rich.console import Console
from rich.text import Text

TAB_COLUMNS = 4
MOST_COLUMNS = 100
"""How wide prose becomes; longer lines are hard to read."""


@cache
def console() -> Console:
    """Return what rich asks for where it breaks lines; nothing is ever written to it."""
    return Console(width=MOST_COLUMNS, force_terminal=True, legacy_windows=False, quiet=True)


def wrapped(text: Text, width: int) -> list[Text]:
    """Return the lines of a text, broken between words, and within those that are too long.

    Args:
        text: The text; its own line breaks stay.
        width: Columns of the terminal.
    """
    lines = []
    for line in text.split("\n", allow_blank=True):
        line.expand_tabs(TAB_COLUMNS)
        lines += list(line.wrap(console(), max(1, width), tab_size=TAB_COLUMNS)) or [line]
    for line in lines:
        line.rstrip()
    return lines


def chopped(text: Text, width: int) -> list[Text]:
    """Return the lines of code: nothing is taken out, and a line breaks where it must.

    Args:
        text: One line.
        width: Columns of the terminal.
    """
    text.expand_tabs(TAB_COLUMNS)
    places, cells = [], 0
    for place, letter in enumerate(text.plain):
        size = Text(letter).cell_len
        if cells + size > max(1, width) and cells:
            places.append(place)
            cells = 0
        cells += size
    return list(text.divide(places))
