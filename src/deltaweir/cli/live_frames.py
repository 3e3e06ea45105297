"""What to write to a terminal so that it shows an answer as far as it came. Pure.

What is finished is written once, and moves up as a terminal's lines do. Below it stands what may
still change, the region: the cursor is at the end of its last row. A frame moves up to its first
row and writes over what has changed, without erasing first, so that nothing flickers. No row of
the region is as wide as the terminal, and the terminal does not break lines while they are
written: the number of its rows is known, even of letters whose width is disputed.

Where the terminal became narrower its rows were broken, as terminals do, and are counted anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.cells import cell_len
from rich.color import ColorSystem
from rich.text import Text

from deltaweir.cli.markdown_wrap import console

_BEGIN, _END = "\x1b[?2026h", "\x1b[?2026l"
"""A terminal that knows these shows all between them at once."""
_UNBROKEN, _BROKEN = "\x1b[?7l", "\x1b[?7h"
_ERASE_BELOW, _ERASE_REST = "\x1b[J", "\x1b[K"


class Size(NamedTuple):
    """How large a terminal is."""

    columns: int
    lines: int


class Region(NamedTuple):
    """The rows that may still change, as they stand on the terminal."""

    rows: tuple[str, ...] = ()
    cells: tuple[int, ...] = ()
    columns: int = 0

    def height(self, columns: int) -> int:
        """Return how many rows of the terminal it takes, now that it has so many columns."""
        if columns >= self.columns:
            return len(self.cells)
        return sum(max(1, -(-one // max(1, columns))) for one in self.cells)


EMPTY = Region()


def fitting(rows: Sequence[Text], size: Size) -> list[Text]:
    """Return the last rows for which there is room, and a mark where others are left out.

    They are shown when the block is finished.
    """
    most = max(1, size.lines - 2)
    if len(rows) <= most:
        return list(rows)
    return [Text("⋮", style="dim"), *rows[len(rows) - most + 1 :]] if most > 1 else [rows[-1]]


def frame(
    region: Region,
    finished: Sequence[Text],
    rows: Sequence[Text],
    size: Size,
    *,
    colours: bool = True,
) -> tuple[str, Region]:
    """Return what to write, and the region that the terminal shows then.

    Args:
        region: What it shows now.
        finished: Lines that are finished and were not written yet.
        rows: What may still change.
        size: The terminal's size.
        colours: Whether styles are written.
    """
    shown = [_cropped(row, size.columns - 1) for row in rows]
    new = Region(
        tuple(ansi(row, colours=colours) for row in shown),
        tuple(row.cell_len for row in shown),
        size.columns,
    )
    if not finished and new == region:
        return "", region
    height = min(region.height(size.columns), size.lines)
    begin = "\r" + (f"\x1b[{height - 1}A" if height > 1 else "")
    if finished or size.columns != region.columns or not new.rows:
        above = "".join(f"{ansi(line, colours=colours)}\n" for line in finished)
        below = "\n".join(new.rows)
        body = f"{_erase(height)}{above}{_UNBROKEN}{below}{_BROKEN}"
    else:
        body = f"{_UNBROKEN}{_changed(region, new)}{_BROKEN}"
    return f"{_BEGIN}{begin}{body}{_END}", new


def _erase(height: int) -> str:
    """Return what erases so many rows from the cursor on.

    Some terminals keep a copy of a screen that is erased from its first letter on, so the first
    row is erased by itself.
    """
    return _ERASE_REST + (f"\x1b[B{_ERASE_BELOW}\x1b[A" if height > 1 else "")


def _changed(old: Region, new: Region) -> str:
    """Return what makes new rows of old ones, row by row."""
    last = len(new.rows) - 1
    parts = []
    for number, row in enumerate(new.rows):
        same = number < len(old.rows) and old.rows[number] == row
        parts.append("" if same and number < last else f"{row}{_ERASE_REST}")
    less = _ERASE_BELOW if len(new.rows) < len(old.rows) else ""
    return "\n".join(parts) + less


def _cropped(row: Text, width: int) -> Text:
    if cell_len(row.plain) <= width:
        return row
    row = row.copy()
    row.truncate(max(1, width))
    return row


def ansi(text: Text, *, colours: bool = True) -> str:
    """Return a line as a terminal takes it: its letters, and its styles in sixteen colours."""
    if not colours:
        return text.plain
    parts = []
    # appended, since a style of the whole is left out where no part has one
    for segment in Text().append_text(text).render(console()):
        style = segment.style
        parts.append(
            style.render(segment.text, color_system=ColorSystem.STANDARD) if style else segment.text
        )
    return "".join(parts)
