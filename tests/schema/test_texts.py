"""The texts of a choice are found, replaced and carried by field."""

from __future__ import annotations

from typing import Any

import pytest

from deltaweir.schema.texts import (
    carrier,
    has_content,
    heads,
    only_text,
    says_something,
    take_out,
    texts,
)
from deltaweir.types import Choice, Delta, TextChoice

FULL = {
    "index": 1,
    "finish_reason": "stop",
    "delta": {
        "role": "assistant",
        "content": "b",
        "reasoning_content": "a",
        "refusal": "c",
        "function_call": {"name": "f", "arguments": "d"},
        "tool_calls": [
            {"function": {"arguments": "e"}},
            {"index": 4, "function": {"arguments": "f"}},
            {"index": 5, "function": {"name": "g"}},
            {"index": 6},
        ],
    },
}
FIELDS = [
    "reasoning_content",
    "content",
    "refusal",
    "function_call",
    "tool_calls[0]",
    "tool_calls[4]",
]


def test_texts_are_named_by_field() -> None:
    """Every text of a delta is found in a fixed order, empty ones are not."""
    choice = Choice.model_validate(FULL)
    assert [text.field for text in texts(choice)] == FIELDS
    assert [text.value for text in texts(choice)] == list("abcdef")
    assert list(texts(Choice())) == []
    assert list(texts(TextChoice())) == []
    assert [(text.field, text.value) for text in texts(TextChoice(text="x"))] == [("text", "x")]


def test_heads_are_named_by_call() -> None:
    """The names of functions are found; a call without one has none."""
    found = [(name.field, name.value) for name in heads(Choice.model_validate(FULL))]
    assert found == [("function_call.name", "f"), ("tool_calls[5].name", "g")]
    assert list(heads(TextChoice(text="x"))) == list(heads(Choice())) == []


def test_an_emptied_text_takes_its_field_away() -> None:
    """An empty text in place of another leaves no field behind, or an empty required one."""
    choice, completion = Choice.model_validate(FULL), TextChoice(text="x")
    for one in (choice, completion):
        for text in list(texts(one)):
            text.replace("")
        assert list(texts(one)) == []
    assert "content" not in choice.delta
    assert completion.text == ""


@pytest.mark.parametrize("field", FIELDS)
def test_a_carrier_brings_one_text(field: str) -> None:
    """A carrier has one text in one field, and nothing else to say."""
    (found,) = texts(carrier(Choice, 3, field, "x"))
    assert (found.field if field != "tool_calls[4]" else field, found.value) == (field, "x")
    assert carrier(Choice, 3, field, "x").index == 3


def test_a_carrier_of_a_completion_is_a_text() -> None:
    """The only field of a text completion is its text."""
    assert carrier(TextChoice, 2, "text", "x") == TextChoice(index=2, text="x")


@pytest.mark.parametrize(
    ("delta", "content"),
    [
        ({}, False),
        ({"role": "assistant", "content": ""}, False),
        ({"content": "a"}, True),
        ({"reasoning_content": "a"}, True),
        ({"refusal": "a"}, True),
        ({"tool_calls": [{"index": 0}]}, True),
        ({"function_call": {"name": "f"}}, True),
        ({"audio": {"data": "AA=="}}, True),
    ],
)
def test_content_is_what_a_reader_waits_for(delta: dict[str, Any], content: bool) -> None:
    """A role alone is no content; every kind of text, call or sound is."""
    assert has_content(Choice.model_validate({"delta": delta})) is content
    assert has_content(TextChoice(text="a"))
    assert not has_content(TextChoice())


@pytest.mark.parametrize(
    ("value", "something"),
    [
        ({"index": 3}, False),
        ({"delta": {"content": ""}}, False),
        ({"delta": {"tool_calls": [{"index": 1, "function": {}}]}}, False),
        ({"delta": {"tool_calls": [{"index": 1, "id": "x"}]}}, True),
        ({"delta": {"role": "assistant"}}, True),
        ({"finish_reason": "stop"}, True),
        ({"delta": {"mood": "good"}}, True),
        ({"logprobs": {"content": []}}, False),
    ],
)
def test_a_choice_says_something_beside_its_place(value: dict[str, Any], something: bool) -> None:
    """An index, null, or an empty text or list says nothing."""
    assert says_something(Choice.model_validate(value)) is something


def test_all_but_the_end_is_taken_out() -> None:
    """What a choice brings moves to another; the finish reason stays."""
    choice = Choice.model_validate({**FULL, "logprobs": {"content": []}})
    own = take_out(choice)
    assert choice == Choice(index=1, finish_reason="stop", delta=Delta())
    assert own.finish_reason is None
    assert own == Choice.model_validate(
        {**FULL, "finish_reason": None, "logprobs": {"content": []}}
    )
    completion = TextChoice(index=1, text="x", finish_reason="stop")
    assert take_out(completion) == TextChoice(index=1, text="x")
    assert completion == TextChoice(index=1, finish_reason="stop")


def test_the_text_said_once_more_is_taken_out_as_well() -> None:
    """Token ids and a whole message go with the text; what belongs to the end stays."""
    unknown = {"token_ids": [1], "message": {"content": "x"}, "stop_reason": 3}
    for kind, text in ((Choice, {"delta": {"content": "x"}}), (TextChoice, {"text": "x"})):
        choice = kind.model_validate({**text, **unknown, "finish_reason": "stop"})
        own = take_out(choice)
        assert choice.model_extra == {"stop_reason": 3}
        assert own.model_extra == {"token_ids": [1], "message": {"content": "x"}}


@pytest.mark.parametrize(
    ("choice", "text"),
    [
        ({"delta": {"content": "a"}}, "a"),
        ({"delta": {"content": "a", "role": "assistant"}}, "a"),
        ({"delta": {"content": "a", "reasoning": "b"}}, None),
        ({"delta": {"content": "a", "reasoning_content": "b"}}, None),
        ({"delta": {"content": "a", "refusal": "b"}}, None),
        ({"delta": {"content": "a", "tool_calls": []}}, None),
        ({"delta": {"content": "a", "function_call": {}}}, None),
        ({"delta": {"content": "a", "audio": {}}}, None),
        ({"delta": {"content": "a", "mood": "good"}}, None),
        ({"delta": {"content": "a"}, "logprobs": {}}, None),
        ({"delta": {"content": "a"}, "token_ids": []}, None),
        ({"delta": {"content": "a"}, "finish_reason": "stop"}, None),
        ({"delta": {}}, None),
    ],
)
def test_the_common_choice_is_told_from_all_others(choice: Any, text: str | None) -> None:
    """Only a choice that brings one plain text, with a role at most, is of that kind."""
    assert only_text(Choice.model_validate(choice)) == text
    assert only_text(TextChoice(text="a")) == "a"
    assert only_text(TextChoice(text="a", finish_reason="stop")) is None


def test_reasoning_has_two_names() -> None:
    """Text under the other name is reasoning too; under both it is one text, replaced in both."""
    other = Choice(delta=Delta(reasoning="ab"))
    assert [(text.field, text.value) for text in texts(other)] == [("reasoning_content", "ab")]
    assert has_content(other)
    both = Choice(delta=Delta(reasoning="ab", reasoning_content="ab"))
    (text,) = texts(both)
    text.replace("a")
    assert (both.delta.reasoning, both.delta.reasoning_content) == ("a", "a")
    text.replace("")
    assert not says_something(both)
    assert [*texts(Choice(delta=Delta(reasoning={"effort": 1})))] == []
