"""Matches of a rule by Python's re, as a reference that shares nothing with our own parser.

Every match counts, not the leftmost longest: a text from any start to any end that is a word of
the pattern, whose neighbours are right and that the validator takes.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator

from deltaweir.guard.rules import Rule
from deltaweir.guard.validators import VALIDATORS


def matches(rule: Rule, text: str) -> Iterator[tuple[int, int]]:
    """Yield where each match of a rule starts and ends."""
    for start, end in _words(rule, text):
        if rule.validator is None or VALIDATORS[rule.validator](text[start:end]):
            yield start, end


def _words(rule: Rule, text: str) -> Iterator[tuple[int, int]]:
    if rule.literals is not None:
        for literal in rule.literals:
            for found in re.finditer(f"(?={re.escape(literal)})", text):
                yield found.start(), found.start() + len(literal)
        return
    anywhere, before_one, before_none = _compiled(rule.regex or "")
    for start in range(len(text)):
        if anywhere.match(text, start) is None:
            continue
        # a condition on the next character needs to see it, and no condition sees more
        for end in range(start + 1, len(text)):
            if before_one.match(text, start, end + 1) is not None:
                yield start, end
        if before_none.match(text, start) is not None:
            yield start, len(text)


@functools.cache
def _compiled(regex: str) -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    flags = re.ASCII | re.DOTALL
    if regex.startswith("(?i)"):
        regex, flags = regex.removeprefix("(?i)"), flags | re.IGNORECASE
    return (
        re.compile(regex, flags),
        re.compile(rf"(?:{regex})(?=.\Z)", flags),
        re.compile(rf"(?:{regex})\Z", flags),
    )
