"""Print how many characters each filter holds back of text in which there is nothing to find.

Usage: holdback.py

The texts come by tokens of o200k_base. After each token is counted what has come and not yet
left: everything is shown in the end, so this is what a reader waits for.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

import filters
from attacks import tokens
from chunks import Chunk, in_field
from rules import RULES

FILTERS: dict[str, filters.Filter] = {
    f"LiteLLM {importlib.metadata.version('litellm')}": filters.litellm(RULES),
    "a regex per chunk": filters.per_chunk(RULES),
    f"NeMo Guardrails {importlib.metadata.version('nemoguardrails')}": filters.nemo(RULES),
    "Deltaweir": filters.deltaweir(RULES),
}
TEXTS = ("prose.txt", "code.txt", "figures.txt")


def held(through: filters.Filter, text: str) -> list[int]:
    """Return the characters held back after each token of a text."""
    left: list[str] = []
    waiting: list[int] = []

    def counted() -> Iterator[Chunk]:
        come = 0
        for one in in_field(tokens(text)):
            yield one
            piece = one["choices"][0]["delta"].get("content")
            if piece:
                come += len(piece)
                waiting.append(come - sum(map(len, left)))

    def take(one: Chunk) -> None:
        left.extend(choice["delta"].get("content") or "" for choice in one["choices"])

    through(counted(), take)
    if "".join(left) != text:
        raise ValueError(f"got {sum(map(len, left))} characters, wanted {len(text)} as they were")
    return waiting


def main() -> None:
    """Print the table."""
    folder = Path(__file__).parent / "texts"
    print(f"| | {' | '.join(FILTERS)} |")
    print("|---" * (len(FILTERS) + 1) + "|")
    for name in TEXTS:
        text = (folder / name).read_text("utf-8")
        cells = []
        for through in FILTERS.values():
            waiting = held(through, text)
            cells.append(f"{fmean(waiting):.1f}, at most {max(waiting)}")
        print(f"| {name.removesuffix('.txt')}, {len(text):,} characters | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
