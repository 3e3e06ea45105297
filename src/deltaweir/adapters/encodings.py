"""Which encoding a model counts its tokens with, by the model's name: ``encodings.toml``.

A name is read as people and gateways write it, in this order:

- case does not matter, since deployments are named by hand (``GPT-4o``);
- what stands before the last ``/`` is the way to the model (``openrouter/openai/gpt-4o-mini``);
- ``ft:`` before and everything from the next ``:`` on is a fine-tune's own
  (``ft:gpt-4o-mini-2024-07-18:org::id``, ``davinci:ft-org-2023-01-01``) or a gateway's variant
  (``gpt-4o:extended``): a fine-tune keeps the vocabulary of its base.

Other makers' models have vocabularies of their own, which nobody ships in one place. Counting
them with o200k_base is an estimate, and ``Encoding.known`` says so.
"""

from __future__ import annotations

import functools
import importlib.resources
import tomllib
from typing import NamedTuple

import msgspec

FALLBACK = "o200k_base"
"""The encoding that stands in where none is known: that of OpenAI's present models."""


class Encoding(NamedTuple):
    """Name the encoding to count a model's tokens with.

    Attributes:
        name: Its name, as tiktoken has it.
        known: Whether the model counts so; False when o200k_base only stands in, which makes
            every count an estimate.
    """

    name: str
    known: bool


class _Models(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    families: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    names: tuple[str, ...] = ()


class _Table(NamedTuple):
    exact: dict[str, str]
    prefixes: tuple[tuple[str, str], ...]


@functools.cache
def _table() -> _Table:
    text = importlib.resources.files(__package__).joinpath("encodings.toml").read_text("utf-8")
    exact, prefixes = dict[str, str](), dict[str, str]()
    for encoding, models in msgspec.convert(tomllib.loads(text), dict[str, _Models]).items():
        exact.update(dict.fromkeys((*models.names, *models.families), encoding))
        prefixes.update(dict.fromkeys(models.prefixes, encoding))
        prefixes.update(dict.fromkeys((f"{family}-" for family in models.families), encoding))
    longest_first = sorted(prefixes.items(), key=lambda pair: -len(pair[0]))
    return _Table(exact, tuple(longest_first))


def encoding_of(model: str | None) -> Encoding:
    """Return the encoding that a model of this name counts its tokens with.

    It differs from tiktoken in one point on purpose: a fine-tune of gpt-4.1 or gpt-4.5 counts
    as its base does, where tiktoken's prefix ``ft:gpt-4`` makes cl100k_base of it.

    Args:
        model: The name, as a request, a provider or a gateway writes it; None for no name.

    Returns:
        The encoding; for None and for names nobody has said anything about, o200k_base with
        ``known`` False.
    """
    return Encoding(FALLBACK, known=False) if model is None else _found(model)


# bounded, since names come from requests
@functools.lru_cache(maxsize=1024)
def _found(model: str) -> Encoding:
    base = model.lower().rpartition("/")[2].removeprefix("ft:").partition(":")[0]
    table = _table()
    name = table.exact.get(base)
    if name is None:
        name = next((one for prefix, one in table.prefixes if base.startswith(prefix)), None)
    return Encoding(FALLBACK, known=False) if name is None else Encoding(name, known=True)
