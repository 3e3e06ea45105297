"""A table of Markdown, drawn to fit a terminal. Pure.

Columns are as wide as their longest cell where the terminal has the room; else the widest give
way, and their cells break into several lines. Where there are too many columns for that, each
row becomes a list of its cells with their titles.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from markdown_it.tree import SyntaxTreeNode
from rich.text import Text

from deltaweir.cli.markdown_inline import FAINT, inline
from deltaweir.cli.markdown_wrap import wrapped

_LEAST_COLUMNS = 8
"""How narrow a column may become, in columns of the terminal."""
_BETWEEN = " │ "
_CROSS = "─┼─"
_HEAD = "bold"

Row = Sequence[Text]


def table(node: SyntaxTreeNode, width: int) -> list[Text]:
    """Return the lines of a table.

    Args:
        node: The table.
        width: How many columns of the terminal there are.
    """
    rows = [
        [inline(cell.children[0].children if cell.children else (), _style(row)) for cell in row]
        for row in _rows(node)
    ]
    sides = [_side(cell) for cell in next(_rows(node))]
    widths = _widths(rows, width - len(_BETWEEN) * (len(sides) - 1))
    if widths is None:
        return list(_as_list(rows, width))
    lines: list[Text] = []
    for number, row in enumerate(rows):
        lines += _drawn(row, widths, sides)
        if number == 0:
            lines.append(Text(_CROSS.join("─" * one for one in widths), style=FAINT))
    return lines


def _rows(node: SyntaxTreeNode) -> Iterator[list[SyntaxTreeNode]]:
    for part in node.children:
        for row in part.children:
            yield list(row.children)


def _style(row: list[SyntaxTreeNode]) -> str:
    return _HEAD if row and row[0].type == "th" else ""


def _side(cell: SyntaxTreeNode) -> str:
    return str(cell.attrs.get("style", "")).removeprefix("text-align:") or "left"


def _widths(rows: Sequence[Row], room: int) -> list[int] | None:
    """Return how wide each column is; None where not all find room."""
    widths = [max(_natural(cell) for cell in column) for column in zip(*rows, strict=True)]
    if room < sum(min(one, _LEAST_COLUMNS) for one in widths):
        return None
    while sum(widths) > room:
        widest = max(widths)
        # all of the widest at once, down to the next or to what is asked for
        those = [number for number, one in enumerate(widths) if one == widest]
        below = max([one for one in widths if one < widest], default=0)
        step = max(1, min(widest - below, (sum(widths) - room) // len(those)))
        for number in those:
            if sum(widths) > room:
                widths[number] -= min(step, sum(widths) - room)
    return widths


def _natural(cell: Text) -> int:
    return max((line.cell_len for line in cell.split("\n")), default=0)


def _drawn(row: Row, widths: Sequence[int], sides: Sequence[str]) -> Iterator[Text]:
    cells = [wrapped(cell, width) for cell, width in zip(row, widths, strict=True)]
    for number in range(max(map(len, cells))):
        line = Text()
        for column, (parts, width) in enumerate(zip(cells, widths, strict=True)):
            if column:
                line.append(_BETWEEN, style=FAINT)
            part = parts[number] if number < len(parts) else Text()
            line.append_text(_padded(part, width, sides[column]))
        line.rstrip()
        yield line


def _padded(part: Text, width: int, side: str) -> Text:
    space = max(0, width - part.cell_len)
    before = {"right": space, "center": space // 2}.get(side, 0)
    return Text(" " * before).append_text(part).append(" " * (space - before))


def _as_list(rows: Sequence[Row], width: int) -> Iterator[Text]:
    titles, *rest = rows
    for number, row in enumerate(rest):
        if number:
            yield Text()
        for title, cell in zip(titles, row, strict=True):
            yield from wrapped(Text().append_text(title).append(": ").append_text(cell), width)
