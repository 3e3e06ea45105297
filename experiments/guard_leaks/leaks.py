"""Print how often each filter lets a planted secret through, as a Markdown table.

Usage: leaks.py [FILTER ...]

Filters: litellm, per-chunk, nemo, deltaweir, which are those unless told; litellm-block,
nemo-stream-first, deltaweir-standard, deltaweir-text.

A secret has leaked when 8 or more of its characters in a row stand in what a reader can join
of one field of one choice; of a keyword, when the whole of it does. Disguises are taken off
before the comparison, as a reader's eye would. A cell tells in how many of the streams that
happens, and how many characters in a row arrived at most; behind an attack's name stands how
many the secret has. The last row is about the attacks on content that is not cut short. The
exit code is 1 when Deltaweir leaks.
"""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import filters
from attacks import AFTER, ATTACKS, BEFORE, SHORTEST_PIECE, Attack
from chunks import Chunk, texts

BUILD: dict[str, Callable[[Attack], filters.Filter]] = {
    "litellm": lambda attack: filters.litellm(attack.rules),
    "litellm-block": lambda attack: filters.litellm(attack.rules, action="BLOCK"),
    "per-chunk": lambda attack: filters.per_chunk(attack.rules),
    "nemo": lambda attack: filters.nemo(attack.rules),
    "nemo-stream-first": lambda attack: filters.nemo(attack.rules, stream_first=True),
    "deltaweir": lambda attack: filters.deltaweir(attack.rules, fold=attack.fold),
    "deltaweir-standard": lambda attack: filters.deltaweir(
        attack.rules, fold=attack.fold, preset="standard"
    ),
    "deltaweir-text": lambda attack: filters.deltaweir_text(attack.rules, fold=attack.fold),
}
TITLES = {
    "litellm": "LiteLLM {litellm}",
    "litellm-block": "LiteLLM {litellm}, blocking",
    "per-chunk": "a regex per chunk",
    "nemo": "NeMo Guardrails {nemoguardrails}",
    "nemo-stream-first": "NeMo Guardrails {nemoguardrails}, stream_first",
    "deltaweir": "Deltaweir",
    "deltaweir-standard": "Deltaweir, standard preset",
    "deltaweir-text": "Deltaweir, one text",
}
USUAL = ("litellm", "per-chunk", "nemo", "deltaweir")
PLAIN_TEXT = ("nemo", "nemo-stream-first", "deltaweir-text")  # know one text, and no chunks
_UNDISGUISED = str.maketrans({"\u200b": None, "\u0430": "a", "\u0435": "e", "\u043e": "o"})


def leaked(attack: Attack, received: Iterable[Chunk]) -> int:
    """Return how many characters of the secret arrived in a row; 0 when too few to count."""
    least = len(attack.secret) if attack.whole else SHORTEST_PIECE
    plain = [text.translate(_UNDISGUISED) for text in texts(received)]
    return max((_longest(attack.secret, text, least=least) for text in plain), default=0)


def _longest(secret: str, text: str, *, least: int) -> int:
    best = 0
    for start in range(len(secret) - least + 1):
        length = max(least, best + 1)
        while start + length <= len(secret) and secret[start : start + length] in text:
            best = length
            length += 1
    return best


class Tally(NamedTuple):
    """How one filter did against one attack, in streams.

    Attributes:
        streams: All of them; 0 when the filter does not know the field.
        leaks: Those that leak.
        longest: The most characters of the secret that arrived in a row.
        whole: Those in which the harmless text around the secret arrived whole.
    """

    streams: int = 0
    leaks: int = 0
    longest: int = 0
    whole: int = 0

    def __str__(self) -> str:
        if not self.streams:
            return "not in it"
        if not self.leaks:
            return f"0 of {self.streams}"
        return f"**{self.leaks} of {self.streams}**, up to {self.longest}"


def tally(name: str, attack: Attack) -> Tally:
    """Return how a filter did against an attack."""
    if name in PLAIN_TEXT and attack.field != "content":
        return Tally()
    through = BUILD[name](attack)
    longest, whole = [], 0
    for stream in attack.streams():
        received: list[Chunk] = []
        through(stream, received.append)
        longest.append(leaked(attack, received))
        whole += any(BEFORE in one and one.endswith(AFTER.lstrip()) for one in texts(received))
    return Tally(len(longest), sum(map(bool, longest)), max(longest), whole)


def main(names: Sequence[str]) -> int:
    """Print the table of the named filters; return the exit code."""
    versions = {name: importlib.metadata.version(name) for name in ("litellm", "nemoguardrails")}
    _print_row("attack", *(TITLES[name].format(**versions) for name in names))
    print("|---" * (len(names) + 1) + "|")
    tallies: dict[str, list[Tally]] = {name: [] for name in names}
    around = []
    for attack in ATTACKS:
        for name in names:
            tallies[name].append(tally(name, attack))
        around.append(attack.field == "content" and not attack.cut_short)
        title = f"{attack.name} ({len(attack.secret)})"
        _print_row(title, *(str(tallies[name][-1]) for name in names))
    sums = []
    for name in names:
        counted = [one for one, count in zip(tallies[name], around, strict=True) if count]
        sums.append(f"{sum(one.whole for one in counted)} of {sum(one.streams for one in counted)}")
    _print_row("*harmless text around it arrived whole*", *sums)
    ours = [name for name in names if name.startswith("deltaweir")]
    return 1 if any(one.leaks for name in ours for one in tallies[name]) else 0


def _print_row(*cells: str) -> None:
    print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or USUAL))
