"""Code with its words in colours, a line at a time. Pure.

The colours are the terminal's own sixteen, so that they can be read on its background, whatever
that is. A line's colours depend on the lines before it, such as the beginning of a long string;
of these the last are looked at, so that each line costs the same, however long the code.
"""

from __future__ import annotations

from collections import deque
from functools import lru_cache
from typing import Any

from rich.text import Text

from deltaweir.cli.markdown_wrap import TAB_COLUMNS

LOOKED_AT = 50
"""How many lines before one are looked at for its colours."""

_STYLES = (
    ("Token.Comment", "bright_black"),
    ("Token.Keyword", "magenta"),
    ("Token.Literal.String", "green"),
    ("Token.Literal.Number", "cyan"),
    ("Token.Name.Function", "blue"),
    ("Token.Name.Class", "blue"),
    ("Token.Name.Builtin", "cyan"),
    ("Token.Name.Decorator", "yellow"),
    ("Token.Name.Tag", "blue"),
    ("Token.Operator.Word", "magenta"),
    ("Token.Generic.Deleted", "red"),
    ("Token.Generic.Inserted", "green"),
)


class Colours:
    """Colour the lines of one piece of code, in turn.

    Args:
        language: What the code is; what nobody knows stays plain.
    """

    def __init__(self, language: str) -> None:
        self._lexer = _lexer(language)
        self._before: deque[str] = deque(maxlen=LOOKED_AT)

    def line(self, line: str, *, keep: bool = True) -> Text:
        """Return a line in colours.

        Args:
            line: The line, without its end.
            keep: Whether it is finished, so that lines may follow it.
        """
        line = line.expandtabs(TAB_COLUMNS)
        text = self._coloured(line) if self._lexer is not None else Text(line)
        if keep:
            self._before.append(line)
        return text

    def _coloured(self, line: str) -> Text:
        before = "".join(f"{one}\n" for one in self._before)
        text, place = Text(), 0
        for kind, value in self._lexer.get_tokens(before + line):
            end = place + len(value)
            if end > len(before):
                shown = value[max(0, len(before) - place) :].removesuffix("\n")
                text.append(shown, style=_style(kind))
            place = end
        # a lexer that changes the text is not one to trust with it
        return text if text.plain == line else Text(line)


def _style(kind: Any) -> str:
    name = f"{kind!r}."
    return next((style for known, style in _STYLES if name.startswith(f"{known}.")), "")


@lru_cache(maxsize=16)
def _lexer(language: str) -> Any:
    # heavy: only an answer with code pays for it
    from rich.syntax import Syntax

    return Syntax("", language).lexer if language else None
