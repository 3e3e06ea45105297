"""Print how often each filter lets a planted secret through, as a Markdown table.

Usage: leaks.py [FILTER ...]

Filters: litellm, per-chunk, nemo, deltaweir, which are those unless told; litellm-block,
nemo-stream-first, deltaweir-text.

A secret has leaked when 8 or more of its characters in a row stand in what a reader can join
of one field of one choice; of a keyword, when the whole of it does. Disguises are taken off
before the comparison, as a reader's eye would. The exit code is 1 when Deltaweir leaks.
"""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Callable, Iterable, Sequence

import filters
from attacks import ATTACKS, SHORTEST_PIECE, Attack
from chunks import Chunk, texts

BUILD: dict[str, Callable[[Attack], filters.Filter]] = {
    "litellm": lambda attack: filters.litellm(attack.rules),
    "litellm-block": lambda attack: filters.litellm(attack.rules, action="BLOCK"),
    "per-chunk": lambda attack: filters.per_chunk(attack.rules),
    "nemo": lambda attack: filters.nemo(attack.rules),
    "nemo-stream-first": lambda attack: filters.nemo(attack.rules, stream_first=True),
    "deltaweir": lambda attack: filters.deltaweir(attack.rules, fold=attack.fold),
    "deltaweir-text": lambda attack: filters.deltaweir_text(attack.rules, fold=attack.fold),
}
TITLES = {
    "litellm": "LiteLLM {litellm}",
    "litellm-block": "LiteLLM {litellm}, blocking",
    "per-chunk": "a regex per chunk",
    "nemo": "NeMo Guardrails {nemoguardrails}",
    "nemo-stream-first": "NeMo Guardrails {nemoguardrails}, stream_first",
    "deltaweir": "Deltaweir",
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


def cell(name: str, attack: Attack) -> tuple[str, int]:
    """Return what the table says of one filter and attack, and the number of streams that leak."""
    if name in PLAIN_TEXT and attack.field != "content":
        return "not in it", 0
    through = BUILD[name](attack)
    longest = []
    for stream in attack.streams():
        received: list[Chunk] = []
        through(stream, received.append)
        longest.append(leaked(attack, received))
    bad = sum(map(bool, longest))
    if not bad:
        return f"0 of {len(longest)}", 0
    return f"**{bad} of {len(longest)}**, up to {max(longest)} of {len(attack.secret)}", bad


def main(names: Sequence[str]) -> int:
    """Print the table of the named filters; return the exit code."""
    versions = {name: importlib.metadata.version(name) for name in ("litellm", "nemoguardrails")}
    print(f"| attack | {' | '.join(TITLES[name].format(**versions) for name in names)} |")
    print("|---" * (len(names) + 1) + "|")
    failed = 0
    for attack in ATTACKS:
        cells = {name: cell(name, attack) for name in names}
        failed += sum(bad for name, (_, bad) in cells.items() if name.startswith("deltaweir"))
        print(f"| {attack.name} | {' | '.join(text for text, _ in cells.values())} |", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or USUAL))
