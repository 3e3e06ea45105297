"""What a recording keeps of a request, and which requests are the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaweir.errors import InvalidRequest
from deltaweir.recorded_request import RecordTo, kept_request, record_to, request_digest

PLANTED = "planted"
REQUEST: dict[str, Any] = {
    "model": "m",
    "messages": [{"role": "user", "content": PLANTED}, {"role": PLANTED, "name": PLANTED}, PLANTED],
    "prompt": PLANTED,
    "suffix": PLANTED,
    "temperature": 0.5,
    "n": 2,
    "stop": [PLANTED],
    "user": PLANTED,
    "tools": [{"type": "function", "function": {"name": PLANTED}}],
    "metadata": {"who": PLANTED},
    "reasoning_effort": "low",
    "stream_options": {"include_usage": True, PLANTED: "x"},
    "seed": None,
}


def test_a_redacted_request_has_no_text_of_its_user() -> None:
    """Numbers, switches and words of the API are kept, and the roles of messages."""
    kept = kept_request({**REQUEST, "stream_options": {"include_usage": True}}, "redacted")
    assert kept == {
        "model": "m",
        "messages": [{"role": "user"}, {"role": "other"}, {"role": "other"}],
        "temperature": 0.5,
        "n": 2,
        "reasoning_effort": "low",
        "stream_options": {"include_usage": True},
    }
    assert PLANTED not in json.dumps(kept)


def test_all_or_nothing_is_kept_where_asked() -> None:
    """A full request is whole but for what was not set; none is none."""
    full = {name: value for name, value in REQUEST.items() if value is not None}
    assert kept_request(REQUEST, "full") == full
    assert kept_request(REQUEST, "none") is None


def test_the_same_request_has_the_same_digest() -> None:
    """Neither the order of fields nor the way it is answered makes a difference; values do."""
    turned = dict(reversed([*REQUEST.items(), ("stream", True)])) | {"stream_options": None}
    assert request_digest(turned) == request_digest(REQUEST)
    assert request_digest({**REQUEST, "temperature": 0.6}) != request_digest(REQUEST)


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.none() | st.lists(st.text())))
def test_a_digest_survives_the_file(request: dict[str, Any]) -> None:
    """A request that was kept whole has the digest that it had."""
    kept = kept_request(request, "full")
    assert kept is not None
    try:
        again = json.loads(json.dumps(kept))
        told = request_digest(again)
    except UnicodeEncodeError:  # no text
        return
    assert told == request_digest(request)


def test_a_record_is_a_path_or_a_mapping() -> None:
    """What is given alone is the file; how much of the request is kept is said beside it."""
    assert record_to(None) is None
    assert record_to("f") == RecordTo("f", "redacted")
    assert record_to({"file": Path("f"), "request": "full"}) == RecordTo("f", "full")
    assert record_to(RecordTo("f")) == RecordTo("f")


@pytest.mark.parametrize(
    "wrong", ["", 3, {}, {"file": ""}, {"file": "f", "request": "all"}, {"file": "f", "x": 1}]
)
def test_anything_else_is_refused(wrong: Any) -> None:
    """The error names the parameter."""
    with pytest.raises(InvalidRequest, match="record") as caught:
        record_to(wrong)
    assert caught.value.param == "record"
