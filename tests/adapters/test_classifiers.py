"""A classifier is a function or an endpoint; whatever goes wrong with it is one error."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from deltaweir.adapters.classifiers import Classifier
from deltaweir.errors import ClassifierFailed, DeltaweirError, InvalidRequest
from deltaweir.guard.findings import CLEAN, Finding
from deltaweir.guard.windows import WindowTerms
from deltaweir.testing.faults import json_answer
from deltaweir.testing.peer import Peer

ADDRESS = "http://127.0.0.1:9/v1"
KEY = "sk-very-secret-0123456789"


def clean(text: str) -> bool:
    """Find nothing."""
    return False


def test_a_function_judges_both_ways() -> None:
    """Its verdict comes to programs that block and to programs that await."""
    one = Classifier(lambda text: "rude" if "damn" in text else None)
    assert one.judge("damn") == Finding(flagged=True, category="rude")
    assert asyncio.run(one.judge_async("fine")) == CLEAN


def test_an_address_judges_both_ways() -> None:
    """The endpoint behind it is asked as OpenAI's is."""
    results = [{"flagged": True, "categories": {"hate": True}, "category_scores": {"hate": 0.4}}]
    with Peer(json_answer({"results": results})) as peer:
        one = Classifier(peer.base_url, model="omni", api_key=KEY)
        lax = Classifier(peer.base_url, thresholds={"hate": 0.5})
        assert one.judge("text") == Finding(flagged=True, category="hate")
        assert asyncio.run(lax.judge_async("text")) == CLEAN
        asked, other = peer.requests
        assert asked.target == "/v1/moderations"
        assert asked.headers["authorization"] == f"Bearer {KEY}"
        assert json.loads(asked.body) == {"model": "omni", "input": "text"}
        assert "authorization" not in other.headers


def test_terms_and_defaults() -> None:
    """A window has at most 200 characters or 250 ms, and some text before it."""
    one = Classifier(clean)
    assert one.terms == WindowTerms("hold", 200, 0.25, 50)
    assert (one.name, one.action, one.scope, one.timeout_s) == (
        "classifier",
        "block",
        ("content",),
        2.0,
    )
    two = Classifier(clean, mode="follow", longest=9, patience_s=0, overlap=0, scope="reasoning")
    assert two.terms == WindowTerms("follow", 9, 0, 0)
    assert two.scope == ("reasoning",)


@pytest.mark.parametrize(
    ("judge", "options", "param"),
    [
        (clean, {"mode": "wait"}, "mode"),
        (clean, {"action": "redact"}, "action"),
        (clean, {"scope": "tool_args"}, "scope"),
        (clean, {"scope": ()}, "scope"),
        (clean, {"name": "no spaces"}, "name"),
        (clean, {"name": 3}, "name"),
        (clean, {"timeout_s": 0}, "timeout_s"),
        (clean, {"timeout_s": float("nan")}, "timeout_s"),
        (clean, {"timeout_s": True}, "timeout_s"),
        (clean, {"longest": 0}, "longest"),
        (clean, {"longest": 1.5}, "longest"),
        (clean, {"overlap": -1}, "overlap"),
        (clean, {"patience_s": "soon"}, "patience_s"),
        (clean, {"model": "omni"}, "model"),
        (clean, {"api_key": KEY}, "api_key"),
        (clean, {"thresholds": {"hate": 0.5}}, "thresholds"),
        (ADDRESS, {"thresholds": {}}, "thresholds"),
        (ADDRESS, {"thresholds": [0.5]}, "thresholds"),
        (ADDRESS, {"thresholds": {"hate": 2}}, "thresholds"),
        (ADDRESS, {"thresholds": {3: 0.5}}, "thresholds"),
        ("no address", {}, "base_url"),
        (3, {}, "judge"),
    ],
)
def test_what_cannot_be_meant_is_refused(judge: Any, options: dict[str, Any], param: str) -> None:
    """The error names the argument."""
    with pytest.raises(InvalidRequest) as caught:
        Classifier(judge, **options)
    assert caught.value.param == param
    assert KEY not in str(caught.value)


def test_a_repr_tells_no_key() -> None:
    """A classifier may stand in a log."""
    one = Classifier(ADDRESS, api_key=KEY, name="tone")
    assert repr(one) == "Classifier('tone', mode='hold', action='block')"
    assert repr(one._judge) == f"EndpointJudge({ADDRESS!r})"
    assert repr(Classifier(clean, name="tone")._judge) == "CallableJudge('tone')"


def raises(text: str) -> bool:
    """Fail with the text in hand."""
    raise ValueError(text)


def awaiting(one: Classifier) -> Finding:
    """Ask as a program that awaits does."""
    return asyncio.run(one.judge_async("the secret"))


def blocking(one: Classifier) -> Finding:
    """Ask as a program that blocks does."""
    return one.judge("the secret")


@pytest.mark.parametrize("ask", [awaiting, blocking])
@pytest.mark.parametrize(("judge", "timeout_s"), [(raises, 5.0), (len, 5.0), (ADDRESS, 0.05)])
def test_a_failure_is_one_error_without_the_text(
    ask: Callable[[Classifier], Finding], judge: Any, timeout_s: float
) -> None:
    """Neither its message, nor what it came from, has anything of the text."""
    one = Classifier(judge, name="tone", timeout_s=timeout_s)
    began = time.monotonic()
    with pytest.raises(ClassifierFailed, match="'tone'") as caught:
        ask(one)
    assert time.monotonic() - began < 4
    assert isinstance(caught.value, DeltaweirError)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
