"""What a classifier says is a verdict, or is refused; and a category is never text."""

from __future__ import annotations

import copy
import enum
from typing import Any

import pytest

from deltaweir.errors import ClassifierFailed
from deltaweir.guard.findings import (
    CLEAN,
    NAMELESS,
    Finding,
    NoFinding,
    category_of,
    finding_of,
)


class Kind(enum.StrEnum):
    """Categories as a program may have them."""

    HATE = "hate"


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (None, CLEAN),
        (False, CLEAN),
        (Finding(flagged=False, category="unused"), CLEAN),
        (True, Finding(flagged=True, category=NAMELESS)),
        ("self-harm/intent", Finding(flagged=True, category="self-harm/intent")),
        (Kind.HATE, Finding(flagged=True, category="hate")),
        (Finding(flagged=True, category="violence"), Finding(flagged=True, category="violence")),
        (Finding(flagged=True), Finding(flagged=True, category=NAMELESS)),
    ],
)
def test_a_verdict_is_understood(said: Any, found: Finding) -> None:
    """A truth, a category and a finding mean what they say."""
    assert finding_of(said) == found
    assert type(finding_of(said).category) is str


@pytest.mark.parametrize("said", ["", 0, 1, 0.9, [], ["hate"], {}, b"x", Finding, (True, "hate")])
def test_anything_else_is_no_verdict(said: Any) -> None:
    """Neither is taken for clean nor for flagged: a score, say, is true in most cases."""
    with pytest.raises(NoFinding, match="returned"):
        finding_of(said)


def test_a_finding_of_other_truths_is_no_verdict() -> None:
    """A field of another type says as little as the type alone."""
    odd: Any = Finding(flagged=1, category="x")  # type: ignore[arg-type]
    with pytest.raises(NoFinding):
        finding_of(odd)


@pytest.mark.parametrize("name", ["", "x" * 65, "He said:\nno", "mail me@example.com", None, 3])
def test_what_is_no_name_is_not_told(name: object) -> None:
    """A category may not carry the text."""
    assert category_of(name) == NAMELESS


def test_the_error_can_be_told_apart() -> None:
    """It has a status and a code, also after it was copied."""
    error = copy.copy(ClassifierFailed("no"))
    assert (error.status, error.code, error.fault, str(error)) == (
        502,
        "classifier_failed",
        "peer",
        "no",
    )
