"""Answers whose content is a list of parts, as Mistral's reasoning models send them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaweir.schema.builder import ReplyBuilder
from deltaweir.schema.chunk import Choice, Chunk, Delta
from deltaweir.schema.content_parts import are_in, joined
from deltaweir.schema.forwarding import ForwardedChunk, Forwarder, Splicer
from deltaweir.schema.reply import Reply


def thought(*texts: str) -> dict[str, Any]:
    """Return a part of what a model thinks."""
    return {"type": "thinking", "thinking": [{"type": "text", "text": one} for one in texts]}


def said(text: str) -> dict[str, Any]:
    """Return a part of what a model says."""
    return {"type": "text", "text": text}


def chunk(content: Any, **delta: Any) -> dict[str, Any]:
    """Return a chunk as it comes."""
    choice = {"index": 0, "delta": {"content": content, **delta}, "finish_reason": None}
    return {"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": [choice]}


REFERENCE = {"type": "reference", "reference_ids": [1]}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("Hello", {"content": "Hello"}),
        (None, {"content": None}),
        ([], {"content": ""}),
        ([said("He"), said("llo")], {"content": "Hello"}),
        (["Hello"], {"content": "Hello"}),
        ([{"text": "Hello"}], {"content": "Hello"}),
        ([thought("I ", "see")], {"reasoning_content": "I see"}),
        ([{"type": "thinking", "thinking": "I see"}], {"reasoning_content": "I see"}),
        ([thought("So"), said("Hi")], {"content": "Hi", "reasoning_content": "So"}),
        ([said("Hi"), REFERENCE], {"content": "Hi", "content_parts": [REFERENCE]}),
        ([REFERENCE], {"content": "", "content_parts": [REFERENCE]}),
        ([{"type": "text", "text": 5}], {"content": "", "content_parts": [said(5)]}),  # type: ignore[arg-type]
        ([3], {"content": "", "content_parts": [3]}),
        ([thought(5)], {"content": "", "content_parts": [thought(5)]}),  # type: ignore[arg-type]
    ],
)
def test_parts_become_texts(content: Any, expected: dict[str, Any]) -> None:
    """What is said and what is thought go where others have them; nothing is lost."""
    assert joined({"role": "assistant", "content": content}) == {"role": "assistant", **expected}


def test_what_was_thought_goes_on() -> None:
    """Behind what the server has said under the usual name."""
    value = {"content": [thought(" see")], "reasoning_content": "I"}
    assert joined(value)["reasoning_content"] == "I see"


def test_a_stream_of_parts_adds_up_like_any_other() -> None:
    """And so does a whole reply."""
    parts: list[Any] = ["", [thought("I ")], [thought("see.")], [said("Good ")], "morning"]
    builder = ReplyBuilder(Reply)
    for one in parts:
        builder.add(Chunk.model_validate_json(json.dumps(chunk(one))))
    message = builder.build().choices[0].message
    assert (message.content, message.reasoning_content) == ("Good morning", "I see.")
    whole = {"choices": [{"message": {"content": [thought("I see."), said("Good morning")]}}]}
    message = Reply.model_validate(whole).choices[0].message
    assert (message.content, message.reasoning_content) == ("Good morning", "I see.")


def test_parts_are_not_passed_on_as_they_came() -> None:
    """Typed clients fail at them."""
    forwarder = Forwarder(ForwardedChunk, guarded=False)
    for content, delta in (
        ([thought("I see")], {"reasoning_content": "I see"}),
        ([said("Hi")], {"content": "Hi"}),
    ):
        read = forwarder.read(json.dumps(chunk(content)).encode())
        assert Splicer().data(read) is None
        choice = read.choices[0]
        assert isinstance(choice, Choice)
        assert choice.delta.model_dump() == delta


@given(st.lists(st.sampled_from([said("a"), thought("b"), "c"]), max_size=3), st.booleans())
def test_parts_are_seen_in_bytes(content: list[Any], spaced: bool) -> None:
    """However they are written, and not where there are only log probabilities."""
    separators = (", ", ": ") if spaced else (",", ":")
    assert are_in(json.dumps(chunk(content), separators=separators).encode())
    scored = chunk("a")
    scored["choices"][0]["logprobs"] = {"content": [{"token": "a", "logprob": -0.1}]}
    scored["choices"][0]["content"] = []
    assert not are_in(json.dumps(scored, separators=separators).encode())
    assert Delta.model_validate({"content": content}) == Delta.model_validate(
        joined({"content": content})
    )
