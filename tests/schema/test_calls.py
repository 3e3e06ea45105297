"""A piece of a tool call without an index goes where a reader would put it."""

from __future__ import annotations

from typing import Any

import pytest

from deltaweir.schema.builder import build_reply
from deltaweir.schema.calls import CallPlaces
from deltaweir.types import Chunk, Delta


@pytest.mark.parametrize(
    ("calls", "indexes"),
    [
        ([{"index": 3, "id": "a"}, {"index": 1}], [3, 1]),
        ([{"id": "a"}, {}, {"id": "a"}, {"id": "b"}, {}], [0, 0, 0, 1, 1]),
        ([{}, {}], [0, 0]),
        ([{}, {"id": "a"}], [0, 1]),
        ([{"index": 2, "id": "a"}, {"id": "b"}, {}], [2, 3, 3]),
        ([{"index": 0, "id": "a"}, {"index": 0}, {}], [0, 0, 0]),
    ],
)
def test_indexes_are_those_of_the_reply(calls: list[dict[str, Any]], indexes: list[int]) -> None:
    """A new id opens a call and no id goes on with the last, however pieces are grouped."""
    for groups in ([calls], [[call] for call in calls]):
        places = CallPlaces()
        deltas = [Delta.model_validate({"tool_calls": group}) for group in groups]
        plain = build_reply([chunk(one) for one in deltas])
        changed = [places.give(delta) for delta in deltas]
        assert any(changed) is any("index" not in call for call in calls)
        given = [call.index for delta in deltas for call in delta.tool_calls or ()]
        assert given == indexes
        assert build_reply([chunk(one) for one in deltas]) == plain


def chunk(delta: Delta) -> Chunk:
    """Return a chunk with one choice."""
    return Chunk.model_validate({"choices": [{"delta": delta.model_dump()}]})


def test_an_id_that_was_there_before_goes_on_with_its_call() -> None:
    """So that pieces of two calls may come in turn."""
    places = CallPlaces()
    delta = Delta.model_validate({"tool_calls": [{"id": one} for one in "abab"]})
    assert places.give(delta)
    assert [call.index for call in delta.tool_calls or ()] == [0, 1, 0, 1]
    assert not places.give(Delta(content="x"))
