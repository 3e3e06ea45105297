"""A small terminal: what stands on it after a program has written to it, and what it touched."""

from __future__ import annotations

import re

from rich.cells import cell_len

_PART = re.compile(r"\x1b\[(?P<numbers>[?0-9;]*)(?P<kind>[A-Za-z])|(?P<letter>[^\x1b])", re.DOTALL)


class Screen:
    """Rows of letters, with what has scrolled away above them.

    Args:
        columns: Its width.
        lines: Its height.
    """

    def __init__(self, columns: int, lines: int) -> None:
        self.columns, self.lines = columns, lines
        self.rows: list[list[str]] = [[]]
        """All rows from the first on; the last `lines` of them are the screen."""
        self.row = self.column = 0
        self.touched: list[int] = []
        """The rows written to or erased, in turn."""
        self.cursor_shown = True
        self._breaks = True

    @property
    def shown(self) -> list[str]:
        """All rows as text, without what is empty at their ends."""
        return ["".join(row).rstrip() for row in self.rows]

    def write(self, text: str) -> None:
        """Take what a program has written."""
        place = 0
        while place < len(text):
            part = _PART.match(text, place)
            assert part is not None, f"an unknown escape sequence: {text[place : place + 20]!r}"
            place = part.end()
            if part["letter"] is None:
                self._obey(part["kind"], part["numbers"])
            else:
                self._put(part["letter"])

    def _obey(self, kind: str, numbers: str) -> None:
        top = max(0, len(self.rows) - self.lines)
        count = int(numbers or 1) if numbers.isdigit() or not numbers else 0
        match kind:
            case "A":
                self.row = max(top, self.row - count)
            case "B":
                self.row = min(top + self.lines - 1, self.row + count)
            case "J":
                assert not numbers
                self._erase_rest()
                for row in range(self.row + 1, len(self.rows)):
                    self.rows[row] = []
                    self.touched.append(row)
            case "K":
                assert not numbers
                self._erase_rest()
            case "h" | "l":
                if numbers == "?7":
                    self._breaks = kind == "h"
            case "m":
                pass
            case _:
                raise AssertionError(f"an escape sequence that nothing here needs: {kind!r}")

    def _erase_rest(self) -> None:
        self._reach()
        del self.rows[self.row][self.column :]
        self.touched.append(self.row)

    def _put(self, letter: str) -> None:
        if letter == "\r":
            self.column = 0
            return
        if letter == "\n":
            self.row, self.column = self.row + 1, 0
            self._reach()
            return
        width = cell_len(letter)
        if width == 0 and self.column:  # it belongs to the letter before
            self.rows[self.row][self.column - 1] += letter
            return
        if self.column + width > self.columns:
            if not self._breaks:
                return
            self.row, self.column = self.row + 1, 0
        self._reach()
        row = self.rows[self.row]
        row += [" "] * (self.column - len(row))
        row[self.column : self.column + max(1, width)] = [letter, *[""] * (width - 1)]
        self.column += width
        self.touched.append(self.row)

    def _reach(self) -> None:
        while len(self.rows) <= self.row:
            self.rows.append([])
