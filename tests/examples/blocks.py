"""The blocks of code that README and docs show, and where each stands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
_FENCE = re.compile(
    r"^(?P<marker><!-- not run: .+ -->\n)?"
    r"```(?P<language>\w*)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    """One block of a page."""

    page: Path
    line: int
    """Where its text begins, from 1."""
    language: str
    title: str | None
    """The file that it is, where the page says so."""
    text: str
    runs: bool
    """Whether nothing above it says why it cannot."""

    @property
    def id(self) -> str:
        """Its name as a test."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    """Return README and every page that lies in ``docs/``."""
    return [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


def blocks(*languages: str) -> Iterator[Block]:
    """Yield the blocks in some languages, in all of them where none is named."""
    for page in pages():
        text = page.read_text("utf-8")
        for found in _FENCE.finditer(text):
            if not languages or found["language"] in languages:
                line = text.count("\n", 0, found.start("text")) + 1
                yield Block(
                    page,
                    line,
                    found["language"],
                    found["title"],
                    found["text"],
                    runs=found["marker"] is None,
                )
