"""What a guard did, in a few words."""

from __future__ import annotations

from typing import Any

import pytest

from deltaweir.cli.verdicts import told
from deltaweir.guard.guard import FAILURE
from deltaweir.guard.verdicts import Verdict


def found(rule: str, action: Any, offset: int, length: int = 5, **where: Any) -> Verdict:
    """Return a verdict on the content of the first choice."""
    return Verdict(
        rule, action, where.get("choice", 0), where.get("field", "content"), offset, length
    )


@pytest.mark.parametrize(
    ("verdicts", "cut", "parts"),
    [
        ([], False, []),
        ([], True, ["cut by the guard"]),
        ([found("a", "redact", 0), found("b", "redact", 6)], False, ["2 redacted"]),
        # rules that overlap or touch share one replacement
        ([found("a", "redact", 5, 1), found("b", "redact", 0, 9)], False, ["1 redacted"]),
        ([found("a", "redact", 0), found("b", "redact", 5)], False, ["1 redacted"]),
        ([found("a", "redact", 0), found("a", "redact", 0, choice=1)], False, ["2 redacted"]),
        ([found("a", "redact", 0), found("a", "redact", 0, field="text")], False, ["2 redacted"]),
        (
            [found("a", "redact", 0, choice=None), found("b", "flag", 9, choice=None)],
            False,
            ["1 redacted in the prompt", "1 flagged in the prompt (b)"],
        ),
        ([found(name, "flag", 9) for name in "abcde"], False, ["1 flagged (a, b, c, 2 more)"]),
        (
            [found("a", "redact", 0), found("b", "block", 9), found("c", "block", 11)],
            True,
            ["1 redacted", "cut by the guard (b, c)"],
        ),
        ([found("a", "truncate", 0)], True, ["cut by the guard (a)"]),
        ([found(FAILURE, "block", 7, 0)], True, ["cut by the guard, which failed"]),
        ([found(FAILURE, "block", 7, 0)], False, ["the guard failed, not all was checked"]),
    ],
)
def test_told(verdicts: list[Verdict], parts: list[str], *, cut: bool) -> None:
    """Places are counted, rules that nothing else shows are named, and text is not there."""
    assert told(verdicts, cut=cut) == parts
