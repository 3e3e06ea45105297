"""What a rule of prompt counting is, and how far it can be trusted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

OFFICIAL = "official"
OBSERVED = "observed"
ESTIMATED = "estimated"

LABELS = (OFFICIAL, OBSERVED, ESTIMATED)
"""The labels, from the strongest to the weakest."""


class Rule(NamedTuple):
    """One rule that went into a count.

    Attributes:
        name: A short name, such as ``message``.
        label: ``official`` (OpenAI documents it), ``observed`` (somebody compared it with what
            the API reported), or ``estimated`` (nobody documents it).
        source: The document or thread that it comes from; what is assumed, if it is estimated.
    """

    name: str
    label: str
    source: str


class Counted(NamedTuple):
    """Tokens, and the rules that gave them."""

    tokens: int
    rules: tuple[Rule, ...]


def weakest(rules: Iterable[Rule]) -> str:
    """Return the weakest label among rules, ``official`` when there are none."""
    return max((rule.label for rule in rules), key=LABELS.index, default=OFFICIAL)


def base_name(model: str | None) -> str:
    """Return a model's name in lower case, without its provider and its fine-tuning."""
    name = (model or "").lower().rpartition("/")[2]
    return name.removeprefix("ft:").partition(":")[0]
