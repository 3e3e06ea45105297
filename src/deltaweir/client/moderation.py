"""How a moderation endpoint is asked about a text, and what its answer means. Pure.

The form is that of OpenAI's ``/v1/moderations``; Mistral's, which leaves ``flagged`` out, is
understood too.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from deltaweir import __version__
from deltaweir.client.provider import Outgoing, Provider, outgoing
from deltaweir.guard.findings import CLEAN, NAMELESS, Finding, NoFinding, category_of
from deltaweir.schema.record import Record, always

_ENCODER = msgspec.json.Encoder()


class Result(Record):
    """What an endpoint says of one text."""

    flagged: bool | None = None
    categories: dict[str, bool | None] | None = None
    category_scores: dict[str, float | None] | None = None


class Moderations(Record):
    """An endpoint's answer; a text that it takes apart has several results."""

    results: list[Result] = always(list)


def moderation_request(
    provider: Provider, text: str, *, model: str | None, request_id: str
) -> Outgoing:
    """Return the request that asks about a text.

    Args:
        provider: The endpoint; ``/moderations`` is added to its path.
        text: The text.
        model: The endpoint's model; None leaves the choice to it.
        request_id: An id of ours.

    Raises:
        UnicodeEncodeError: The text has half a surrogate pair, which JSON cannot carry.
    """
    body = {"input": text} if model is None else {"model": model, "input": text}
    return outgoing(
        provider,
        "/moderations",
        request_id=request_id,
        body=_ENCODER.encode(body),
        version=__version__,
    )


def finding_in(answer: Moderations, thresholds: Mapping[str, float] | None = None) -> Finding:
    """Return what an answer says of the text.

    Args:
        answer: The answer.
        thresholds: Scores by category, from which on it is flagged; then the endpoint's own
            verdict, and all other categories, count for nothing. None takes its verdict.

    Raises:
        NoFinding: The answer has no verdict, or no score for one of the thresholds.
    """
    if not answer.results:
        raise NoFinding("answered without results")
    for result in answer.results:
        found = _by_verdict(result) if thresholds is None else _by_score(result, thresholds)
        if found.flagged:
            return found
    return CLEAN


def _by_verdict(result: Result) -> Finding:
    categories = result.categories or {}
    named = [name for name, meant in categories.items() if meant]
    if result.flagged is None and not categories:
        raise NoFinding("answered without a verdict")
    if not (bool(named) if result.flagged is None else result.flagged):
        return CLEAN
    return _worst(named, result.category_scores or {})


def _by_score(result: Result, thresholds: Mapping[str, float]) -> Finding:
    scores = result.category_scores or {}
    passed: list[str] = []
    for name, threshold in thresholds.items():
        score = scores.get(name)
        if score is None:
            raise NoFinding(f"answered without a score for {name[:40]!r}, which has a threshold")
        if score >= threshold:
            passed.append(name)
    return _worst(passed, scores) if passed else CLEAN


def _worst(names: list[str], scores: Mapping[str, float | None]) -> Finding:
    """Return the finding of the category with the highest score."""
    worst = max(names, key=lambda name: scores.get(name) or 0.0, default=NAMELESS)
    return Finding(flagged=True, category=category_of(worst))
