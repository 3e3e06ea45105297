"""What a guard did to an answer, in a few words: rules and numbers, never text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deltaweir.guard.verdicts import Verdict

_MOST_NAMED = 3
"""How many rules are named; more would fill the line."""


def told(verdicts: Sequence[Verdict], *, cut: bool) -> list[str]:
    """Return what a guard did, as parts of a line; none where it did nothing.

    Args:
        verdicts: What was found.
        cut: Whether the guard ended the answer.
    """
    parts = []
    for where, found in (
        (" in the prompt", [one for one in verdicts if one.choice is None]),
        ("", [one for one in verdicts if one.choice is not None]),
    ):
        redacted = [one for one in found if one.action == "redact"]
        flagged = [one for one in found if one.action == "flag"]
        if redacted:
            parts.append(f"{_places(redacted)} redacted{where}")
        if flagged:  # nothing in the text shows which rule it was
            parts.append(f"{_places(flagged)} flagged{where} ({_rules(flagged)})")
    ending = [one for one in verdicts if one.action in ("block", "truncate")]
    failed = [one for one in ending if _is_failure(one)]
    if cut:
        named = f" ({_rules(ending)})" if ending else ""
        parts.append("cut by the guard, which failed" if failed else f"cut by the guard{named}")
    elif failed:
        parts.append("the guard failed, not all was checked")
    return parts


def _places(verdicts: Iterable[Verdict]) -> int:
    """Return in how many places something was found: rules that touch share one."""
    places, last = 0, None
    for one in sorted(verdicts, key=_where):
        text, end = (one.choice, one.field), one.offset + one.length
        if last is None or last[0] != text or one.offset > last[1]:
            places += 1
            last = text, end
        else:
            last = text, max(last[1], end)
    return places


def _where(verdict: Verdict) -> tuple[int, str, int]:
    choice = -1 if verdict.choice is None else verdict.choice
    return choice, verdict.field, verdict.offset


def _rules(verdicts: Iterable[Verdict]) -> str:
    names = list(dict.fromkeys(one.rule for one in verdicts))
    more = len(names) - _MOST_NAMED
    return ", ".join([*names[:_MOST_NAMED], *([f"{more} more"] if more > 0 else [])])


def _is_failure(verdict: Verdict) -> bool:
    from deltaweir.guard.guard import FAILURE

    return verdict.rule == FAILURE
