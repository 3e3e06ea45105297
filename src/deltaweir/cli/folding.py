"""Break what the program itself says between words, where a terminal is too narrow for it. Pure."""

from __future__ import annotations

_LEAST_COLUMNS = 8
"""On fewer no words fit, and the terminal may break them as it likes."""


def folded(text: str, columns: int) -> str:
    """Return a text whose lines fit, as far as their words do.

    What an indented line goes on with is indented like it. A word that is too long for a line,
    such as a path, stays whole: the terminal breaks it, and copies it without the break.

    Args:
        text: One line, or several.
        columns: How wide the terminal is.
    """
    if columns < _LEAST_COLUMNS:
        return text
    return "\n".join(_folded(line, columns) for line in text.split("\n"))


def _folded(line: str, columns: int) -> str:
    if len(line) * 2 <= columns or (line.isascii() and len(line) <= columns):
        return line  # so are nearly all, and nothing need be measured
    margin = line[: len(line) - len(line.lstrip(" "))]
    rows, row = [], ""
    for word in line[len(margin) :].split(" "):
        longer = f"{row} {word}" if row.strip() else f"{margin}{word}"
        if row.strip() and _cells(longer) > columns:
            rows.append(row.rstrip(" "))
            longer = f"{margin}{word}"
        row = longer
    return "\n".join([*rows, row])


def _cells(text: str) -> int:
    if text.isascii():
        return len(text)
    # heavy: few lines have letters that are wider than others
    from rich.cells import cell_len

    return cell_len(text)
