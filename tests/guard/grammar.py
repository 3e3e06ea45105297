"""Small rules over a small alphabet, made from choices that Hypothesis or a fuzzer takes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Literal

from hypothesis import strategies as st

from deltaweir.guard.rules import Action, Rule

ALPHABET = "obs "
"""None is in a replacement, which may feed no rule, nor folds to one that is."""
FOLDED = "obOS \u200b\u043e\u00f3\uff42\u00df"
"""Characters that fold to those of `ALPHABET`, to nothing, and one that folds to two."""

Choose = Callable[[int], int]
"""Returns a number below the given one."""

_BEFORE = ("", "", "", "", r"\b", r"\B", "(?<!o)", "(?<=o)", "(?<![ob])", "(?<=[^b])")
_AFTER = ("", "", "", "", r"\b", r"\B", "(?!o)", "(?=o)", "(?![ob])", "(?=[^b])", "(?=s)", "(?!s)")
_ATOMS = ("o", "b", "o", "b", "[ob]", "s", " ", "[^o]", ".")
_REPEATS = ("?", "??", "{1,2}", "{2}", "{0,2}", "{1,3}?")
_TAILS = ("o*", "[ob]+", "(?:ob)*", "[^ ]*", "(?:b|bo)*")
_REPLACEMENTS = ("[REDACTED:r0]", "[REDACTED]")
_WAYS: tuple[Literal["redact", "block"], ...] = ("redact", "redact", "block")
_ACTIONS: tuple[Action, ...] = ("redact", "redact", "redact", "redact", "truncate", "block", "flag")


def small_rules(choose: Choose, *, most: int = 3, folds: bool = False) -> tuple[Rule, ...]:
    """Return a few rules of any action."""
    count = 1 + choose(most)
    return tuple(_rule(choose, f"r{number}", folds=folds) for number in range(count))


def limited_rules(choose: Choose, *, folds: bool = False) -> tuple[Rule, ...]:
    """Return a few rules whose matches may hold so much and no more, and a few that need not.

    None lets go: which beginnings are dropped then depends on how states are shared.
    """
    bounded: list[Rule] = []
    for number in range(1 + choose(2)):
        before, after = _one(choose, _BEFORE), _one(choose, _AFTER)
        regex = f"{before}{_one(choose, 'obs')}{_one(choose, _TAILS)}{_one(choose, 'obs')}{after}"
        way = _WAYS[choose(len(_WAYS))]
        most = 1 + choose(6)
        limited = Rule(id=f"l{number}", regex=regex, max_hold=most, on_overflow=way, fold=folds)
        bounded.append(limited)
    return (*bounded, *small_rules(choose, most=2, folds=folds))


def _rule(choose: Choose, name: str, *, folds: bool) -> Rule:
    regex, literals = None, None
    if choose(6) == 0:
        literals = tuple(_word(choose) for _ in range(1 + choose(4)))
    else:
        regex = "|".join(_branch(choose) for _ in range(1 + (choose(4) == 0)))
    return Rule(
        id=name,
        regex=regex,
        literals=literals,
        action=_ACTIONS[choose(len(_ACTIONS))],
        label=None if choose(2) else f"L{name}",
        fold=folds and choose(3) > 0,
    )


def _word(choose: Choose) -> str:
    return "".join(_one(choose, ALPHABET) for _ in range(1 + choose(5)))


def _branch(choose: Choose) -> str:
    before, after, body = _one(choose, _BEFORE), _one(choose, _AFTER), _node(choose, 3)
    if re.fullmatch(body, "") or any(re.search(body, one) for one in _REPLACEMENTS):
        body += _one(choose, "ob")
    tail = _one(choose, _TAILS) if not after and choose(4) == 0 else ""
    return before + body + tail + after


def _node(choose: Choose, depth: int) -> str:
    kind = choose(6) if depth else 0
    if kind <= 1:
        return _one(choose, _ATOMS)
    if kind == 2:
        options = "|".join(_node(choose, depth - 1) for _ in range(2 + choose(2)))
        return f"(?:{options})"
    if kind == 3:
        return f"(?:{_node(choose, depth - 1)}){_one(choose, _REPEATS)}"
    return "".join(_node(choose, depth - 1) for _ in range(2 + choose(2)))


def _one(choose: Choose, options: Sequence[str]) -> str:
    return options[choose(len(options))]


@st.composite
def limited(draw: st.DrawFn) -> tuple[Rule, ...]:
    """Draw a few small rules of which some have a limit."""
    return limited_rules(lambda below: draw(st.integers(0, below - 1)))


@st.composite
def rules(draw: st.DrawFn, *, folds: bool = False) -> tuple[Rule, ...]:
    """Draw a few small rules."""
    return small_rules(lambda below: draw(st.integers(0, below - 1)), folds=folds)
