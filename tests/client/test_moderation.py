"""A moderation endpoint is asked in its own form, and its answer is read with care."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deltaweir.client.moderation import Moderations, finding_in, moderation_request
from deltaweir.client.provider import provider_of
from deltaweir.errors import StreamFailed
from deltaweir.guard.findings import CLEAN, Finding, NoFinding

SCORES = {"hate": 0.2, "violence": 0.8, "violence/graphic": 0.9}


def answer(*results: dict[str, Any]) -> Moderations:
    """Return an answer with these results, and what else an endpoint sends."""
    body = {"id": "modr-1", "model": "omni", "results": results}
    return Moderations.model_validate_json(json.dumps(body))


def flagged(category: str) -> Finding:
    """Return a finding."""
    return Finding(flagged=True, category=category)


@pytest.mark.parametrize("model", [None, "omni-moderation-latest"])
def test_a_text_is_asked_about(model: str | None) -> None:
    """The body has the input, and a model where one is named; the key goes along."""
    provider = provider_of("http://h/v1", api_key="sk-0123456789")
    sent = moderation_request(provider, "caf\u00e9", model=model, request_id="modr_1")
    head, _, body = sent.raw.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/moderations HTTP/1.1\r\n")
    assert b"authorization: Bearer sk-0123456789" in head
    assert sent.request_id == "modr_1"
    named = {} if model is None else {"model": model}
    assert json.loads(body) == {"input": "caf\u00e9", **named}


@pytest.mark.parametrize(
    ("result", "found"),
    [
        ({"flagged": False}, CLEAN),
        ({"flagged": False, "categories": {"hate": False}, "category_scores": SCORES}, CLEAN),
        ({"flagged": True}, flagged("flagged")),
        ({"flagged": True, "categories": {"hate": True, "sexual": None}}, flagged("hate")),
        (
            {
                "flagged": True,
                "categories": {"hate": True, "violence": True, "violence/graphic": False},
                "category_scores": SCORES,
            },
            flagged("violence"),
        ),
        ({"flagged": True, "categories": {"me@example.com!": True}}, flagged("flagged")),
        ({"categories": {"hate": False}}, CLEAN),
        ({"categories": {"hate": False, "pii": True}}, flagged("pii")),
    ],
)
def test_the_endpoints_verdict_counts(result: dict[str, Any], found: Finding) -> None:
    """The category with the highest score is told, if it is a name at all."""
    assert finding_in(answer(result)) == found


@pytest.mark.parametrize(
    ("thresholds", "found"),
    [
        ({"hate": 0.3}, CLEAN),
        ({"hate": 0.2}, flagged("hate")),
        ({"hate": 0.1, "violence": 0.8}, flagged("violence")),
    ],
)
def test_thresholds_count_in_its_place(thresholds: dict[str, float], found: Finding) -> None:
    """Then only the named categories count, and the endpoint's own verdict does not."""
    result = {"flagged": not found.flagged, "category_scores": SCORES}
    assert finding_in(answer(result), thresholds) == found


def test_a_text_with_several_results_is_as_bad_as_its_worst() -> None:
    """An endpoint may have taken the text apart."""
    assert finding_in(answer({"flagged": False}, {"flagged": True})) == flagged("flagged")


@pytest.mark.parametrize(
    ("results", "thresholds"),
    [
        ([], None),
        ([{}], None),
        ([{"categories": {}}], None),
        ([{"flagged": None, "category_scores": SCORES}], None),
        ([{"flagged": False}], {"hate": 0.5}),
        ([{"flagged": False, "category_scores": {"hate": None}}], {"hate": 0.5}),
    ],
)
def test_silence_is_no_verdict(
    results: list[dict[str, Any]], thresholds: dict[str, float] | None
) -> None:
    """What does not say that the text is clean is not taken for it."""
    with pytest.raises(NoFinding, match="without"):
        finding_in(answer(*results), thresholds)


@pytest.mark.parametrize("result", [{"flagged": "no"}, {"categories": {"hate": 1}}, "clean"])
def test_other_types_are_refused(result: Any) -> None:
    """A field of another type makes the answer unusable."""
    with pytest.raises(StreamFailed):
        answer(result)
