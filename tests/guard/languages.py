"""What a rule's language is, by other people's engines: `re` for matches, `regex` for beginnings.

A rule's pattern is parted at its top-level alternatives. `re` says whether a body is matched whole
and whether an edge holds between two characters; `regex`, which knows partial matches, says
whether some continuation could still make a match of what is there. Nothing of the guard's own
parser or automaton is used, so that the two can be held against each other.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import NamedTuple

import regex  # type: ignore[import-untyped]  # the only engine at hand with partial matches

from deltaweir.guard.folding import fold
from deltaweir.guard.rules import Rule
from deltaweir.guard.validators import VALIDATORS

_CLASS = r"\[\^?\]?(?:\\.|[^\]\\])*\]"
_ESCAPE = r"\\x..|\\u.{4}|\\U.{8}|\\."
_TOKEN = re.compile(
    rf"(\(\?<?[=!](?:{_CLASS}|{_ESCAPE}|.)\)|\\[bB])|(?:{_CLASS}|{_ESCAPE}|[}}?*+]\??|.)", re.DOTALL
)
_CLASS_ESCAPE = re.compile(r"\\[dDwWsSbB]")
_PROBES = [*map(chr, range(128)), "é", "\u200b", "\u4e00", "\U0001f600"]
"""Characters that stand for all others when one more is tried."""


class Branch(NamedTuple):
    """One alternative of a pattern, in the syntax of `re`; an empty edge always holds.

    Repeats are greedy, which is the same language: `regex` takes `a??a` for one that `ab` begins.
    """

    before: str
    body: str
    after: str
    flags: int


class Symbols(NamedTuple):
    """A text as a rule sees it: symbols, and for each the character it comes from."""

    text: str
    sources: tuple[int, ...]

    def known_at(self, count: int) -> int:
        """Return how many characters must have come for so many symbols to be there."""
        return self.sources[count - 1] + 1 if count else 0


class Span(NamedTuple):
    """A match in symbols; `pending` where the symbol after it had to be seen."""

    start: int
    end: int
    pending: bool


def symbols_of(text: str, rule: Rule) -> Symbols:
    """Return a text's symbols: its characters, or what they fold to, one after the other."""
    if not rule.fold:
        return Symbols(text, tuple(range(len(text))))
    folded = [(symbol, at) for at, one in enumerate(text) for symbol in fold(one)]
    return Symbols("".join(symbol for symbol, _ in folded), tuple(at for _, at in folded))


@functools.lru_cache(1024)
def branches_of(rule: Rule) -> tuple[Branch, ...]:
    """Part a rule's pattern at its top-level alternatives."""
    if rule.regex is None:
        words = rule.literals or ()
        folded = ("".join(map(fold, word)) if rule.fold else word for word in words)
        return (Branch("", "|".join(map(re.escape, folded)), "", 0),)
    pattern = rule.regex.removeprefix("(?i)")
    flags = re.IGNORECASE if pattern != rule.regex or rule.fold else 0
    if not flags or _CLASS_ESCAPE.search(pattern):
        flags |= re.ASCII
    parts: list[list[str]] = [[]]
    depth = 0
    edges: set[str | None] = set()
    for token in _TOKEN.finditer(pattern):
        depth += {"(": 1, ")": -1}.get(token[0], 0)
        if token[0] == "|" and not depth:
            parts.append([])
            continue
        lazy = len(token[0]) == 2 and token[0][0] in "}?*+"
        parts[-1].append(token[0][0] if lazy else token[0])
        edges |= {token[1]}
    return tuple(_branch(part, edges, flags | re.DOTALL) for part in parts)


def _branch(tokens: list[str], edges: set[str | None], flags: int) -> Branch:
    before = tokens.pop(0) if tokens[0] in edges else ""
    after = tokens.pop() if tokens[-1] in edges else ""
    return Branch(before, "".join(tokens), after, flags)


@functools.lru_cache(4096)
def _compiled(pattern: str, flags: int) -> re.Pattern[str]:
    return re.compile(pattern, flags)


def matches(symbols: Symbols, rule: Rule) -> Iterator[Span]:
    """Yield every match: of each branch, each beginning and each end."""
    text, size = symbols.text, len(symbols.text)
    valid = VALIDATORS[rule.validator] if rule.validator else None
    for branch in branches_of(rule):
        before, body, after = (_compiled(one, branch.flags) for one in branch[:3])
        for start in range(size):
            if not before.match(text, start) or not body.match(text, start):
                continue
            for end in range(start + 1, size + 1):
                if not body.fullmatch(text, start, end) or not after.match(text, end):
                    continue
                if valid is None or valid(text[start:end]):
                    yield Span(start, end, bool(branch.after))


def lives(symbols: Symbols, rule: Rule) -> list[int]:
    """Return for each symbol how many symbols must be there for a match from it to be ruled out.

    One more than the symbols there are, where some continuation could still make a match that
    begins there, or where what could rule it out has not been seen. Validators do not count: no
    filter is asked to see which digits could still make a checksum come out.
    """
    text, size = symbols.text, len(symbols.text)
    ends = [0] * size
    for branch in branches_of(rule):
        before = _compiled(branch.before, branch.flags)
        for start in range(size):
            if not before.match(text, start):
                continue
            end = max(ends[start], start + 1)
            while end <= size and _goes_on(branch, text[start:end]):
                end += 1
            ends[start] = max(end, ends[start])
    return ends


@functools.lru_cache(1 << 16)
def _goes_on(branch: Branch, begun: str) -> bool:
    """Tell whether what has begun can become a match, or a longer one, or waits for its edge."""
    found = _begins(branch, begun)
    if found is None or found.partial or branch.after:
        return found is not None
    return any(_begins(branch, begun + probe) is not None for probe in _PROBES)


def _begins(branch: Branch, begun: str) -> regex.Match[str] | None:
    return _partial(branch.body, branch.flags).fullmatch(begun, partial=True)


@functools.lru_cache(4096)
def _partial(pattern: str, flags: int) -> regex.Pattern[str]:
    others = {re.ASCII: regex.ASCII, re.DOTALL: regex.DOTALL, re.IGNORECASE: regex.IGNORECASE}
    wanted = functools.reduce(int.__or__, (its for ours, its in others.items() if flags & ours), 0)
    return regex.compile(pattern, wanted)
