"""Chunks as frames: all that they say, whether their envelope was seen before or not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaweir.schema.frames import FrameWriter
from deltaweir.types import Chunk, TextChunk

FIELDS = st.fixed_dictionaries(
    {"text": st.sampled_from(["a", "\u2028", '"', ""]), "index": st.integers(0, 1)},
    optional={
        "id": st.sampled_from(["1", "2"]),
        "created": st.integers(0, 1),
        "model": st.sampled_from(["m", "n"]),
        "object": st.sampled_from(["x", "y"]),
        "system_fingerprint": st.sampled_from(["f", "g"]),
        "service_tier": st.sampled_from(["default", "flex"]),
        "obfuscation": st.text(max_size=2),
        "unknown": st.integers(0, 1),
    },
)


def chunk(kind: type[Any], fields: dict[str, Any]) -> Any:
    """Return a chunk with one choice."""
    fields = dict(fields)
    text, index = fields.pop("text"), fields.pop("index")
    told = {"text": text} if kind is TextChunk else {"delta": {"content": text}}
    return kind.model_validate({"choices": [{"index": index, **told}], **fields})


def said(frame: bytes) -> Any:
    """Return what a frame says, without what is null."""
    return kind_of(json.loads(frame.removeprefix(b"data: ")))


def kind_of(value: Any) -> Any:
    """Return plain data without what is null."""
    if isinstance(value, dict):
        return {name: kind_of(inner) for name, inner in value.items() if inner is not None}
    return [kind_of(inner) for inner in value] if isinstance(value, list) else value


@pytest.mark.parametrize("kind", [Chunk, TextChunk])
@given(many=st.lists(FIELDS, max_size=6), asked=st.booleans())
def test_a_frame_says_what_its_chunk_says(
    kind: type[Any], many: list[dict[str, Any]], asked: bool
) -> None:
    """However the chunks of a stream differ, each frame holds all of its own chunk."""
    writer = FrameWriter(usage_asked=asked)
    for one in (chunk(kind, fields) for fields in many):
        frame = writer.frame(one)
        assert said(frame) == kind_of(one.model_dump())
        assert (b'"usage":null' in frame) is asked
        assert frame.startswith(b'data: {"id":')


@pytest.mark.parametrize(
    ("delta", "exact", "shown"),
    [
        ({"role": "assistant"}, False, {"role": "assistant", "content": ""}),
        ({"role": "assistant"}, True, {"role": "assistant"}),
        ({"role": "assistant", "tool_calls": []}, False, {"role": "assistant", "tool_calls": []}),
    ],
)
def test_a_role_alone_has_an_empty_content(delta: Any, exact: bool, shown: Any) -> None:
    """As OpenAI sends it; beside a call nothing is added, nor where chunks are wanted exactly."""
    one = Chunk.model_validate({"choices": [{"index": 0, "delta": delta}]})
    assert said(FrameWriter(exact=exact).frame(one))["choices"][0]["delta"] == shown
