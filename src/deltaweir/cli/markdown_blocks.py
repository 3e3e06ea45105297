"""Cut Markdown that still arrives into pieces that are finished, and one that is open. Pure.

A line of Markdown can change what the lines right above it mean: a heading's underline, a
table's second line, an item that goes on. It never changes a block that another block has
followed. So all blocks but the last are finished, and can be shown for good. Of two kinds of
blocks, which may be taller than a screen, parts are finished earlier: a list's items, each when
the next begins, and a fenced code block's lines.

What is decided depends on whole lines alone, one after the other, and so never on how the text
was cut into chunks.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from markdown_it import MarkdownIt

Kind = Literal["block", "fence", "code"]

MOST_LINES = 200
"""Lines of an open block; a longer one is taken apart, since each line looks at all of them."""

_FENCE = re.compile(
    r"(?:[ \t]*\n)* {0,3}(?:(?P<ticks>`{3,})(?P<language>[^`\n]*)|(?P<waves>~{3,})(?P<rest>.*))\n?"
)


def parser() -> MarkdownIt:
    """Return a parser of what models write.

    HTML is text like any other, and so is the definition of a link's target: what a model has
    written is shown.
    """
    markdown = MarkdownIt("commonmark", {"html": False})
    markdown.enable(["table", "strikethrough"])
    return markdown.disable(["reference", "html_block", "html_inline"])


class Piece(NamedTuple):
    """A part of a Markdown text that is shown by itself."""

    kind: Kind
    """Blocks or an item of a list; a line that begins or ends code; a line of code."""
    text: str
    """As it was written, with empty lines before and after."""
    follows: bool = False
    """Whether it belongs right below the piece before, with no empty line between."""
    number: int | None = None
    """What number an item of an ordered list has; None for others."""
    language: str = ""
    """What kind of code it is, as the fence says."""


class Blocks:
    """Take a text as it comes, and return the pieces that have become finished.

    The texts of all pieces and of `open`, joined, are the text.
    """

    def __init__(self) -> None:
        markdown = parser()
        markdown.core.ruler.enableOnly(["block"])
        self._parse = markdown.parse
        self._lines: list[str] = []
        """Whole lines that belong to no finished piece."""
        self._rest = ""
        """What came after the last whole line."""
        self._fence: Piece | None = None
        self._end = re.compile("")
        self._follows = False
        self._number: int | None = None

    @property
    def open(self) -> Piece:
        """What is not finished, as a piece; its text may be empty."""
        return self._piece(self._rest)

    def feed(self, text: str) -> list[Piece]:
        """Take more of the text, and return what it has finished."""
        *lines, self._rest = (self._rest + text).split("\n")
        return [piece for line in lines for piece in self._line(f"{line}\n")]

    def finish(self) -> list[Piece]:
        """Return what is left when the text has ended."""
        line, self._rest = self._rest, ""
        found = list(self._line(line)) if line else []
        last = self.open
        self._lines, self._fence, self._follows, self._number = [], None, False, None
        return [*found, last] if last.text else found

    def _piece(self, rest: str = "") -> Piece:
        text = "".join([*self._lines, rest])
        if self._fence is not None:
            return Piece("code", text, follows=True, language=self._fence.language)
        return Piece("block", text, self._follows, self._number)

    def _line(self, line: str) -> Iterator[Piece]:
        if self._fence is not None:
            yield self._code(line)
            return
        self._lines.append(line)
        yield from self._cut()
        if fence := _FENCE.fullmatch("".join(self._lines)):
            yield self._begin(fence)
        elif len(self._lines) >= MOST_LINES:
            yield self._piece()
            self._lines, self._follows, self._number = [], True, None

    def _cut(self) -> Iterator[Piece]:
        """Return all but the last of the blocks, and of a list's items, that there are."""
        begins = list(_begins(self._parse("".join(self._lines))))
        done = 0
        for here, then in itertools.pairwise(begins):
            text = "".join(self._lines[done : then.line])
            number = here.number if self._number is None else self._number
            yield Piece("block", text, self._follows, number)
            goes_on = then.is_item and not then.is_first
            self._follows = goes_on and not text.endswith("\n\n")
            self._number = number + 1 if goes_on and number is not None else None
            done = then.line
        del self._lines[:done]

    def _begin(self, fence: re.Match[str]) -> Piece:
        marks = fence["ticks"] or fence["waves"]
        said = (fence["language"] or fence["rest"] or "").split()
        self._end = re.compile(rf" {{0,3}}{marks[0]}{{{len(marks)},}}[ \t]*\n?")
        self._fence = Piece("fence", "".join(self._lines), language=said[0] if said else "")
        self._lines, self._follows, self._number = [], False, None
        return self._fence

    def _code(self, line: str) -> Piece:
        assert self._fence is not None
        language = self._fence.language
        if self._end.fullmatch(line):
            self._fence = None
            return Piece("fence", line, follows=True, language=language)
        return Piece("code", line, follows=True, language=language)


class _Begin(NamedTuple):
    """Where a block, or an item of a list, begins."""

    line: int
    is_item: bool = False
    is_first: bool = False
    number: int | None = None


def _begins(tokens: list[Any]) -> Iterator[_Begin]:
    """Return where each block begins, and for a list where each item does."""
    number: int | None = None
    first = False
    for token in tokens:
        if token.level == 0 and token.nesting >= 0 and token.map:
            if token.type in ("bullet_list_open", "ordered_list_open"):
                ordered = token.type == "ordered_list_open"
                number, first = int(token.attrs.get("start", 1)) if ordered else None, True
            else:
                yield _Begin(token.map[0])
        elif token.level == 1 and token.type == "list_item_open":
            yield _Begin(token.map[0], is_item=True, is_first=first, number=number)
            number, first = None if number is None else number + 1, False
