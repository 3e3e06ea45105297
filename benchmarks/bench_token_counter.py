"""Microseconds per delta of an exact running count, against encoding the whole text each time."""

from __future__ import annotations

import argparse
import base64
import hashlib
import importlib
import importlib.metadata
import importlib.util
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import splintr
import tiktoken

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.measure import closing, heading, ratio, rounds, row

from deltaweir.adapters.vocabularies import tokenizer_of
from deltaweir.meter import tokens
from deltaweir.meter.tokens import TokenCounter

NAME = "o200k_base"
VOCABULARY = f"https://openaipublic.blob.core.windows.net/encodings/{NAME}.tiktoken"
RANKS = 199_998
SIZES = [1000, 4000, 16_000]
SAMPLES = 12
"""Places at which the peers encode the text so far; every place would take minutes."""

SYLLABLES = [head + end for head in "bcdlmnprstv" for end in ("a", "en", "er", "ing", "ion", "o")]
Deltas = Sequence[str]
Run = Callable[[Deltas], float]
"""Feeds deltas, and returns microseconds per delta."""


def reference() -> tiktoken.Encoding:
    """Return tiktoken's own encoding, whose file is written here since it would download it."""
    encoding = splintr.Tokenizer.from_pretrained(NAME)
    ranks = map(encoding.decode_token_bytes, range(RANKS))
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TIKTOKEN_CACHE_DIR"] = folder
        key = hashlib.sha1(VOCABULARY.encode(), usedforsecurity=False).hexdigest()
        lines = (base64.b64encode(token) + b" %d\n" % rank for rank, token in enumerate(ranks))
        Path(folder, key).write_bytes(b"".join(lines))
        return tiktoken.get_encoding(NAME)  # which compares the file's checksum


TIKTOKEN = reference()


def words(chance: random.Random) -> str:
    """Make a sentence, a line of code, a list or a bit of JSON, with words never seen before."""
    said = ["".join(chance.choices(SYLLABLES, k=chance.randint(1, 4))) for _ in range(12)]
    number = chance.randrange(10_000)
    shapes = (
        " ".join(said).capitalize() + ". ",
        f"{said[0].capitalize()}, {' '.join(said[1:7])}, {said[8]}'s {number} {said[9]}?\n\n",
        f"    {said[0]}_{said[1]} = {said[2]}({said[3]}, {said[4]}={number})  # {said[5]}\n",
        f"- **{said[0]} {said[1]}**: {' '.join(said[2:9])}\n",
        f'{{"{said[0]}": {number}, "{said[1]}": ["{said[2]}", true]}}\n',
    )
    return chance.choice(shapes)


def deltas(count: int, seed: int) -> Deltas:
    """Make a text of so many tokens, and give it token by token, as models send it."""
    chance, text = random.Random(seed), ""  # noqa: S311  # repeatable
    while len(TIKTOKEN.encode_ordinary(text)) < count:
        text += "".join(words(chance) for _ in range(count // 100))
    return [TIKTOKEN.decode([token]) for token in TIKTOKEN.encode_ordinary(text)[:count]]


def one_word(seed: int) -> Deltas:
    """Make a word of a hundred thousand letters, given four by four."""
    chance = random.Random(seed)  # noqa: S311  # repeatable
    letters = chance.choices("abcdefghijklmnopqrstuvwxyz", k=100_000)
    return ["".join(letters[start : start + 4]) for start in range(0, len(letters), 4)]


def one_letter(_seed: int) -> Deltas:
    """Make a word of a hundred thousand times one letter, as models that loop send it."""
    return ["aaaaaaaa"] * 12_500


def per_delta(began: float, count: int) -> float:
    """Return the microseconds since then, divided by a number of deltas."""
    return 1_000_000 * (time.perf_counter() - began) / count


def feeding(texts: Deltas) -> float:
    """Feed all, and ask for the total once."""
    counter = TokenCounter(tokenizer_of(NAME))
    began = time.perf_counter()
    for text in texts:
        counter.feed(text)
    spent = per_delta(began, len(texts))
    assert counter.total == len(TIKTOKEN.encode_ordinary("".join(texts)))
    return spent


def asking(texts: Deltas) -> float:
    """Feed all, and ask for the total after each delta, as running usage does."""
    counter = TokenCounter(tokenizer_of(NAME))
    began = time.perf_counter()
    for text in texts:
        counter.feed(text)
        assert counter.total
    return per_delta(began, len(texts))


def budgeting(texts: Deltas) -> float:
    """Ask before each delta whether it fits, with a limit that the last ones come near."""
    limit = len(TIKTOKEN.encode_ordinary("".join(texts))) + 50
    counter = TokenCounter(tokenizer_of(NAME))
    began = time.perf_counter()
    for text in texts:
        assert counter.fitting(text, limit) is None
        counter.feed(text)
    return per_delta(began, len(texts))


def at_the_end(texts: Deltas) -> float:
    """Feed all, and measure the last quarter alone: it costs no more than the others."""
    counter, start = TokenCounter(tokenizer_of(NAME)), len(texts) * 3 // 4
    for text in texts[:start]:
        counter.feed(text)
    began = time.perf_counter()
    for text in texts[start:]:
        counter.feed(text)
    return per_delta(began, len(texts) - start)


def again(count: Callable[[str], int]) -> Run:
    """Return what encodes the whole text so far for each delta, at places spread evenly."""

    def run(texts: Deltas) -> float:
        ends = [len(texts) * number // SAMPLES for number in range(1, SAMPLES + 1)]
        prefixes = ["".join(texts[:end]) for end in ends]
        began = time.perf_counter()
        for prefix in prefixes:
            count(prefix)
        return per_delta(began, SAMPLES)

    return run


def litellm() -> dict[str, Run]:
    """Return litellm's counter, where it is installed."""
    if importlib.util.find_spec("litellm") is None:
        print("litellm is not installed: not compared")
        return {}
    counter = importlib.import_module("litellm").token_counter
    version = importlib.metadata.version("litellm")
    return {
        f"litellm {version}, whole text": again(lambda text: counter(model="gpt-4o", text=text))
    }


def compare(title: str, made: Callable[[int], Deltas], runs: dict[str, Run], times: int) -> None:
    """Measure every run in turn on texts never seen before, and print the rows."""
    spent: dict[str, list[float]] = {name: [] for name in runs}
    for number in rounds(title, times):
        for place, (name, run) in enumerate(runs.items()):
            # a text of its own for each, since the tokenizer remembers words it has seen
            spent[name].append(run(made(100 * number + place)))
    heading(title, "µs per delta")
    for name, values in spent.items():
        row(name, values)
    for name, values in spent.items():
        if "whole text" in name:
            closing(f"{name} / fed", ratio(values, spent["fed"]), "none")
    closing("fed, µs", statistics.median(spent["fed"]), "2")


def commit_chars(times: int) -> None:
    """Show how the number of characters that gather before a cut changes the cost."""
    settled = tokens.COMMIT_CHARS
    for chars in (16, 32, 48, 64, 96, 128, 256, 1024):
        tokens.COMMIT_CHARS = chars
        heading(f"4,000 tokens, cut after {chars} characters", "µs per delta")
        seeds = [10_000 * chars + number for number in range(2 * times)]
        row("fed", [feeding(deltas(4000, seed)) for seed in seeds[:times]])
        row("fed, total each time", [asking(deltas(4000, seed)) for seed in seeds[times:]])
    tokens.COMMIT_CHARS = settled


def main() -> None:
    """Measure texts of three lengths, the long word, and the choice of a constant."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    times = parser.parse_args().rounds
    encodes = {
        f"tiktoken {tiktoken.__version__}, whole text": again(
            lambda text: len(TIKTOKEN.encode_ordinary(text))
        ),
        **litellm(),
    }
    fed = {"fed": feeding, "fed, the last quarter": at_the_end}
    asked = {"fed, total each time": asking, "fed, limit asked each time": budgeting}
    for size in SIZES:
        made = partial(deltas, size)
        compare(f"{size:,} tokens", made, fed | asked | encodes, times)
    compare("a word of 100 kB", one_word, fed | asked | encodes, times)
    compare("one letter, 100 kB", one_letter, fed | asked | encodes, times)
    commit_chars(times)


if __name__ == "__main__":
    main()
