"""Code with its words in colours, a line at a time. Pure.

The colours are the terminal's own sixteen, so that they can be read on its background, whatever
that is. A line's colours depend on the lines before it, such as the beginning of a long string;
of these the last are looked at, so that each line costs the same, however long the code.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable
from functools import cache, lru_cache
from typing import Any

from rich.text import Text

from deltaweir.cli.markdown_wrap import TAB_COLUMNS

LOOKED_AT = 50
"""How many lines before one are looked at for its colours at most."""
MOST_AT_ONCE = 2_000
"""Characters of lines that are looked at for the colours of others at most."""
MOST_CHARS = 500
"""Characters of a line that has colours; a longer one is plain, since it may cost its square."""

LANGUAGES = {
    *("bash", "c", "c#", "c++", "console", "cpp", "cs", "csharp", "css", "diff", "docker"),
    *("dockerfile", "go", "golang", "html", "ini", "java", "javascript", "js", "json", "kotlin"),
    *("lua", "make", "makefile", "perl", "php", "pl", "py", "pycon", "python", "python3", "r"),
    *("rb", "rs", "ruby", "rust", "sh", "shell", "sql", "swift", "toml", "ts", "typescript"),
    *("udiff", "xml", "yaml", "zsh"),
}
"""The languages that are coloured, by all their names: known ones, whose lexers end soon.

Others there are whose lexers, at a line made for it, hold the interpreter for minutes.
"""

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
        language: What the code is; one that is not in `LANGUAGES` stays plain.
    """

    def __init__(self, language: str) -> None:
        self._lexer = _lexer(language.lower())
        self._before: deque[str] = deque(maxlen=LOOKED_AT)

    def lines(self, lines: Iterable[str]) -> list[Text]:
        """Return lines that are finished in colours.

        Args:
            lines: The lines, without their ends.
        """
        lines = [line.expandtabs(TAB_COLUMNS) for line in lines]
        short = [line for line in lines if len(line) <= MOST_CHARS]
        coloured: list[Text] = []
        while some := _next(short, len(coloured)):
            coloured += self._coloured(some)
            self._before.extend(some)
            while sum(map(len, self._before)) > MOST_AT_ONCE:
                self._before.popleft()
        rest = iter(coloured)
        return [next(rest) if len(line) <= MOST_CHARS else Text(line) for line in lines]

    def open(self, line: str) -> Text:
        """Return the line that has not ended in colours; it leaves no trace."""
        line = line.expandtabs(TAB_COLUMNS)
        return self._coloured([line])[0] if len(line) <= MOST_CHARS else Text(line)

    def _coloured(self, lines: list[str]) -> list[Text]:
        if self._lexer is None or not lines:
            return [Text(line) for line in lines]
        before = "".join(f"{one}\n" for one in self._before)
        found, place = [Text()], 0
        for kind, value in self._lexer.get_tokens(before + "\n".join(lines)):
            shown = value[max(0, len(before) - place) :]
            place += len(value)
            first, *others = shown.split("\n")
            found[-1].append(first, style=_style(kind))
            found += [Text().append(other, style=_style(kind)) for other in others]
        # a lexer that changes the text is not one to trust with it
        pairs = itertools.zip_longest(found[: len(lines)], lines)
        return [text if text and text.plain == line else Text(line) for text, line in pairs]


def _next(lines: list[str], start: int) -> list[str]:
    """Return the lines from one on, as many as are looked at together."""
    some = lines[start : start + LOOKED_AT]
    sizes = itertools.accumulate(map(len, some))
    return some[: sum(size <= MOST_AT_ONCE for size in sizes)]


@cache
def _style(kind: Any) -> str:
    name = f"{kind!r}."
    return next((style for known, style in _STYLES if name.startswith(f"{known}.")), "")


@lru_cache(maxsize=16)
def _lexer(language: str) -> Any:
    # heavy: only an answer with code pays for it
    from rich.syntax import Syntax

    return Syntax("", language).lexer if language in LANGUAGES else None
