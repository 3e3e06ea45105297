"""Texts for bench_guard.py, cut by real tokens: made ones, of new words, and found ones."""

from __future__ import annotations

import codecs
import functools
import os
import pydoc_data.topics
import random
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import splintr

ENCODING = splintr.Tokenizer.from_pretrained("o200k_base")
WARMING = 20_000
"""Deltas that an automaton has seen before a text that counts as held out."""
DELTAS = 4_000
"""Of a text that is measured."""
SYLLABLES = [head + end for head in "bcdlmnprstv" for end in ("a", "en", "er", "ing", "ion", "o")]
Deltas = Sequence[str]


def word(chance: random.Random) -> str:
    """Make a word."""
    return "".join(chance.choices(SYLLABLES, k=chance.randint(1, 4)))


def prose(chance: random.Random) -> str:
    """Make a sentence, a paragraph's end or an item, of words never seen before."""
    said = [word(chance) for _ in range(12)]
    number = chance.randrange(10_000)
    shapes = (
        " ".join(said).capitalize() + ". ",
        f"{said[0].capitalize()}, {' '.join(said[1:7])}, {said[8]}'s {number} {said[9]}?\n\n",
        f"- **{said[0]} {said[1]}**: {' '.join(said[2:9])}\n",
    )
    return chance.choice(shapes)


def code(chance: random.Random) -> str:
    """Make a line or two of code or of JSON, of names never seen before."""
    said = [word(chance) for _ in range(8)]
    number = chance.randrange(10_000)
    shapes = (
        f"    {said[0]}_{said[1]} = {said[2]}({said[3]}, {said[4]}={number})  # {said[5]}\n",
        f"def {said[0]}(self, {said[1]}: {said[2].capitalize()}) -> {said[3]}:\n",
        f"        if {said[0]}.{said[1]} != '{said[2]}':\n            return [{number / 8:.3f}]\n",
        f'{{"{said[0]}": {number}, "{said[1]}": ["{said[2]}", true]}}\n',
    )
    return chance.choice(shapes)


def cut(text: str) -> list[str]:
    """Give a text token by token, as models send it."""
    decode = codecs.getincrementaldecoder("utf-8")().decode  # a character may be several tokens
    pieces = (decode(ENCODING.decode_token_bytes(token)) for token in ENCODING.encode(text))
    return [piece for piece in pieces if piece]


@functools.cache
def manual() -> Deltas:
    """Return Python's own manual of its language, which comes with it."""
    return cut("\n".join(pydoc_data.topics.topics.values())[:400_000])


@functools.cache
def library() -> Deltas:
    """Return some of Python's own modules."""
    names = ("argparse", "ast", "inspect", "subprocess", "tarfile", "typing")
    folder = Path(os.__file__).parent
    return cut("".join((folder / f"{name}.py").read_text("utf-8") for name in names))


def made(shape: Callable[[random.Random], str], seed: int) -> tuple[Deltas, Deltas]:
    """Make a text that warms an automaton, and another to be measured."""
    chance, out = random.Random(seed), list[str]()  # noqa: S311  # repeatable
    while len(out) < WARMING + DELTAS:
        out += cut("".join(shape(chance) for _ in range(100)))
    return out[:WARMING], out[WARMING:][:DELTAS]


def found(text: Callable[[], Deltas], seed: int) -> tuple[Deltas, Deltas]:
    """Cut a text to be measured out of one that is there, and return the rest before it."""
    deltas = text()
    start = random.Random(seed).randrange(len(deltas) - DELTAS)  # noqa: S311  # repeatable
    rest = [*deltas[start + DELTAS :], *deltas[:start]]
    return rest[:WARMING], deltas[start : start + DELTAS]


TEXTS: dict[str, Callable[[int], tuple[Deltas, Deltas]]] = {
    "prose": functools.partial(made, prose),
    "code": functools.partial(made, code),
    "Python's manual": functools.partial(found, manual),
    "Python's library": functools.partial(found, library),
}


@functools.cache
def literals(count: int, kind: str) -> tuple[str, ...]:
    """Return expressions of two or three words, out of the words of a kind of text.

    They begin as its words do, at any place in them, and are next to never in it.
    """
    chance = random.Random(count)  # noqa: S311  # repeatable
    warming, _ = TEXTS[kind](-1)
    words = sorted(set(re.findall(r"[A-Za-z]{2,}", "".join(warming))))
    known = dict.fromkeys(
        chance.choice(" -").join(chance.choices(words, k=chance.randint(2, 3)))
        for _ in range(2 * count)
    )
    return tuple(known)[:count]


HOSTILE = {
    "one letter": "a",
    "addresses without an end": "a.b@c-",
    "cards that are none": "4111 1111 1111 1112 ",
    "account numbers that are none": "GB82 WEST 1234 5698 7654 33 ",
    "digits": "1234567890",
    "hexadecimal": "2001:db8:85a3::8a2e:",
    "keys that begin": "sk-ant-api03-sk-proj-AKIA-ghp_xoxb-",
    "a key's armour": "-----BEGIN PRIVATE KEY-----\n",
    "credentials that begin": "https://user:secret:",
    "tokens that begin": "eyJhbGciOiJIUzI1NiJ9.eyJ",
}
"""What is repeated; it keeps many of the rules waiting."""
