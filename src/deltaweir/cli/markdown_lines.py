"""The lines in which a piece of Markdown is shown. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator

from markdown_it.tree import SyntaxTreeNode
from rich.text import Text

from deltaweir.cli.markdown_blocks import Piece, parser
from deltaweir.cli.markdown_code import Colours
from deltaweir.cli.markdown_inline import FAINT, inline
from deltaweir.cli.markdown_table import table
from deltaweir.cli.markdown_wrap import MOST_COLUMNS, chopped, wrapped
from deltaweir.cli.show import printable

_HEADINGS = {"h1": "bold underline", "h2": "bold", "h3": "bold italic"}
_BULLETS = ("•", "◦", "▪")
_LEAST_COLUMNS = 8
"""How narrow text becomes at most, however deep it stands."""


class Lines:
    """Show pieces one below the other, in the order in which they were finished."""

    def __init__(self) -> None:
        self._parse = parser().parse
        self._begun = False
        self._colours = Colours("")

    def finished(self, piece: Piece, width: int) -> list[Text]:
        """Return the lines of a piece that is finished; one of code is never broken.

        Args:
            piece: The piece.
            width: Columns of the terminal.
        """
        if piece.kind == "fence" and not piece.follows:
            self._colours = Colours(piece.language)
        lines = self._lines(piece, width, keep=True)
        self._begun = self._begun or bool(lines)
        return lines

    def burst(self, pieces: Iterable[Piece], width: int) -> list[Text]:
        """Return the lines of pieces that were finished at once; those of code together."""
        lines: list[Text] = []
        for kind, those in itertools.groupby(pieces, key=lambda piece: piece.kind):
            if kind == "code":
                code = [printable(piece.text.removesuffix("\n")) for piece in those]
                lines += self._colours.lines(code)
                self._begun = True
            else:
                lines += [line for piece in those for line in self.finished(piece, width)]
        return lines

    def open(self, piece: Piece, width: int) -> list[Text]:
        """Return the lines of what is not finished; none of them is wider than the terminal."""
        lines = self._lines(piece, width, keep=False)
        if piece.kind == "code":
            return [part for line in lines for part in chopped(line, width)]
        return lines

    def _lines(self, piece: Piece, width: int, *, keep: bool) -> list[Text]:
        if piece.kind == "code":
            line = printable(piece.text.removesuffix("\n"))
            return self._colours.lines([line]) if keep else [self._colours.open(line)]
        if piece.kind == "fence":
            lines = [Text(printable(piece.text.strip()), style=FAINT)]
        else:
            tree = SyntaxTreeNode(self._parse(piece.text))
            lines = list(_blocks(tree.children, width, number=piece.number))
        if lines and self._begun and not piece.follows:
            return [Text(), *lines]
        return lines


def _blocks(
    nodes: Iterable[SyntaxTreeNode],
    width: int,
    *,
    depth: int = 0,
    number: int | None = None,
    tight: bool = False,
) -> Iterator[Text]:
    for place, node in enumerate(nodes):
        if place and not tight:
            yield Text()
        if node.type in ("bullet_list", "ordered_list"):
            yield from _list(node, width, depth, number)
        elif node.type == "blockquote":
            inner = _blocks(node.children, _inside(width, 2), depth=depth)
            yield from (Text().append("│ ", style=FAINT).append_text(line) for line in inner)
        else:
            yield from _SHOWN[node.type](node, width)


def _inside(width: int, margin: int) -> int:
    return max(_LEAST_COLUMNS, width - margin)


def _list(node: SyntaxTreeNode, width: int, depth: int, number: int | None) -> Iterator[Text]:
    if number is None:
        number = int(str(node.attrs.get("start", 1)))
    tight = all(one.hidden for item in node.children for one in item.children if _is_text(one))
    for place, item in enumerate(node.children):
        mark = f"{_BULLETS[min(depth, len(_BULLETS) - 1)]} "
        if node.type == "ordered_list":
            mark = f"{number + place}. "
        if place and not tight:
            yield Text()
        margin = " " * len(mark)
        inner = _blocks(item.children, _inside(width, len(mark)), depth=depth + 1, tight=tight)
        begun = False
        for line in inner:
            before = Text(margin) if begun else Text().append(mark, style="bold")
            yield before.append_text(line) if line.plain or not begun else Text()
            begun = True
        if not begun:
            yield Text().append(mark.rstrip(), style="bold")


def _is_text(node: SyntaxTreeNode) -> bool:
    return node.type == "paragraph"


def _paragraph(node: SyntaxTreeNode, width: int) -> list[Text]:
    return wrapped(inline(node.children[0].children), min(width, MOST_COLUMNS))


def _heading(node: SyntaxTreeNode, width: int) -> list[Text]:
    style = _HEADINGS.get(node.tag, "italic")
    return wrapped(inline(node.children[0].children, style), min(width, MOST_COLUMNS))


def _code(node: SyntaxTreeNode, width: int) -> Iterator[Text]:
    fenced = node.type == "fence"
    colours = Colours((node.info.split() or [""])[0] if fenced else "")
    if fenced:
        yield Text(f"{node.markup}{printable(node.info.rstrip())}", style=FAINT)
    for line in colours.lines(printable(node.content).removesuffix("\n").split("\n")):
        yield from chopped(line, width)
    if fenced:
        yield Text(node.markup, style=FAINT)


def _rule(_node: SyntaxTreeNode, width: int) -> list[Text]:
    return [Text("─" * min(width, MOST_COLUMNS), style=FAINT)]


_SHOWN: dict[str, Callable[[SyntaxTreeNode, int], Iterable[Text]]] = {
    "paragraph": _paragraph,
    "heading": _heading,
    "fence": _code,
    "code_block": _code,
    "table": table,
    "hr": _rule,
}
