"""Requests are typed, keep what they do not know, and are refused by field and reason."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaweir.errors import InvalidRequest
from deltaweir.schema.request import (
    chat_request,
    check_chat,
    check_text,
    check_text_is_unicode,
    text_request,
)

WORDS = "the cat sat"  # stands in prompts, and must stand in no message
USER = {"role": "user", "content": WORDS}
HALF = "a\ud800b"

CHAT_FIELDS: dict[str, Any] = {
    "messages": [USER],
    "model": "m",
    "modalities": ["text"],
    "verbosity": "low",
    "reasoning_effort": "high",
    "max_completion_tokens": 5,
    "max_tokens": 5,
    "frequency_penalty": 0.5,
    "presence_penalty": -2.0,
    "logprobs": True,
    "top_logprobs": 20,
    "response_format": {"type": "text"},
    "audio": {"voice": "a"},
    "store": False,
    "metadata": {"a": "b"},
    "moderation": {"input": True},
    "stream": True,
    "stream_options": {"include_usage": True, "include_obfuscation": False},
    "stop": ["a", "b"],
    "logit_bias": {"50256": -100.0},
    "n": 128,
    "prediction": {"type": "content"},
    "tools": [{"type": "function"}],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "service_tier": "auto",
    "temperature": 2.0,
    "top_p": 1.0,
    "seed": 7,
    "user": "u",
    "safety_identifier": "s",
    "prompt_cache_key": "k",
    "functions": [{"name": "f"}],
    "function_call": {"name": "f"},
}
TEXT_FIELDS: dict[str, Any] = {
    "prompt": WORDS,
    "model": "m",
    "best_of": 3,
    "echo": True,
    "frequency_penalty": 0.5,
    "logit_bias": {"1": 1.0},
    "logprobs": 5,
    "max_tokens": 16,
    "n": 2,
    "presence_penalty": 0.5,
    "seed": 1,
    "stop": "x",
    "stream": False,
    "suffix": "z",
    "temperature": 0.0,
    "top_p": 0.5,
    "user": "u",
}


def test_every_field_is_known() -> None:
    """Each field of the reference is typed in both endpoints, and passes its check."""
    chat, text = chat_request(CHAT_FIELDS), text_request(TEXT_FIELDS)
    check_chat(chat)
    check_text(text)
    assert chat.model_dump() == CHAT_FIELDS
    assert text.model_dump() == TEXT_FIELDS
    assert chat.model_extra == text.model_extra == {}


def test_unknown_fields_are_kept() -> None:
    """A field that a provider may know is passed on, never dropped."""
    request = chat_request({"messages": [USER], "top_k": 3})
    assert request.model_dump() == {"messages": [USER], "top_k": 3}


def refused(fields: dict[str, Any], *, chat: bool) -> InvalidRequest:
    """Return the error that a request is refused with."""
    error = outcome(fields, chat=chat)
    assert error is not None
    return error


def outcome(fields: dict[str, Any], *, chat: bool) -> InvalidRequest | None:
    """Return the error that a request is refused with, None when it passes."""
    try:
        if chat:
            check_chat(chat_request(fields))
        else:
            check_text(text_request(fields))
    except InvalidRequest as error:
        return error
    return None


BOTH: list[tuple[str, Any]] = [
    *[("temperature", value) for value in (-0.1, 2.1, math.nan, math.inf, True, "hot", [1])],
    *[("top_p", value) for value in (-0.1, 1.1, math.nan, False)],
    *[("presence_penalty", value) for value in (-2.1, 2.1, math.nan, True)],
    *[("frequency_penalty", value) for value in (-2.1, 2.1, math.nan, True)],
    *[("n", value) for value in (0, 129, True, 1.5, "1")],
    *[("max_tokens", value) for value in (-1, True, 1.5, "1")],
    *[("logit_bias", value) for value in ({"x": 1}, {"-1": 1}, {1: 101}, {1: math.nan}, [1])],
    ("logit_bias[...]", {1: True}),
    *[("stop", value) for value in ("", ["a", ""], HALF, 5)],
    ("stop[0]", [5]),
    ("stream_options", {"include_usage": True}),
    ("stream_options", 5),
    ("stream_options.include_usage", {"include_usage": 1}),
    *[("seed", value) for value in (True, 1.5, "1")],
    ("stream", 1),
    *[("user", value) for value in (5, HALF)],
    ("model", 5),
]


@pytest.mark.parametrize("chat", [True, False], ids=["chat", "text"])
@pytest.mark.parametrize(("param", "value"), BOTH, ids=repr)
def test_what_neither_endpoint_takes(param: str, value: Any, chat: bool) -> None:
    """A wrong type or value is refused, and the error names the field."""
    fields = {"messages": [USER]} if chat else {"prompt": WORDS}
    error = refused({**fields, re.split(r"[.[]", param, maxsplit=1)[0]: value}, chat=chat)
    assert error.param == param
    assert error.status == 400
    assert WORDS not in str(error)


@pytest.mark.parametrize(
    ("param", "fields"),
    [
        ("messages", {}),
        ("messages", {"messages": None}),
        ("messages", {"messages": []}),
        ("messages", {"messages": WORDS}),
        ("messages", {"messages": USER}),
        ("messages", {"messages": 5}),
        ("messages[0]", {"messages": [WORDS]}),
        ("messages[1].role", {"messages": [USER, {"content": WORDS}]}),
        ("messages[0].role", {"messages": [{"role": WORDS, "content": "a"}]}),
        ("messages[0].role", {"messages": [{"role": [1], "content": "a"}]}),
        ("messages[0].content", {"messages": [{"role": "user"}]}),
        ("messages[0].content", {"messages": [{"role": "user", "content": None}]}),
        ("messages[0].content", {"messages": [{"role": "assistant"}]}),
        ("messages[0].content", {"messages": [{"role": "user", "content": 5}]}),
        ("messages[0].content", {"messages": [{"role": "user", "content": []}]}),
        ("messages[0].content", {"messages": [{"role": "user", "content": WORDS + HALF}]}),
        ("messages[0].content[0]", {"messages": [{"role": "user", "content": [WORDS]}]}),
        ("messages[0].content[0]", {"messages": [{"role": "user", "content": [{"type": 1}]}]}),
        (
            "messages[0].content[1]",
            {"messages": [{"role": "user", "content": [{"type": "image_url"}, {"type": "text"}]}]},
        ),
        (
            "messages[0].content[0].refusal",
            {
                "messages": [
                    {"role": "assistant", "content": [{"type": "refusal", "refusal": HALF}]}
                ]
            },
        ),
        ("messages[0].tool_call_id", {"messages": [{"role": "tool", "content": "a"}]}),
        ("messages[0]", {"messages": [{**USER, "name": HALF}]}),
        ("messages[0]", {"messages": [{**USER, HALF: 1}]}),
        ("tools", {"messages": [USER], "tools": [{"function": {"description": HALF}}]}),
        ("max_completion_tokens", {"messages": [USER], "max_completion_tokens": -1}),
        ("top_logprobs", {"messages": [USER], "logprobs": True, "top_logprobs": 21}),
        ("top_logprobs", {"messages": [USER], "top_logprobs": 0}),
        ("logprobs", {"messages": [USER], "logprobs": 3}),
        ("tools", {"messages": [USER], "tools": {}}),
        ("response_format", {"messages": [USER], "response_format": "json"}),
        ("response_format", {"messages": [USER], "response_format": dict}),
    ],
    ids=repr,
)
def test_what_a_chat_does_not_take(param: str, fields: dict[str, Any]) -> None:
    """Each malformed chat request is refused, its field named, its texts not shown."""
    error = refused(fields, chat=True)
    assert error.param == param
    assert WORDS not in str(error)


@pytest.mark.parametrize(
    ("param", "fields"),
    [
        ("prompt", {}),
        ("prompt", {"prompt": []}),
        ("prompt", {"prompt": 5}),
        ("prompt", {"prompt": [WORDS, 5]}),
        ("prompt", {"prompt": [[]]}),
        ("prompt", {"prompt": [[WORDS]]}),
        ("prompt", {"prompt": [-1]}),
        ("prompt", {"prompt": [True]}),
        ("prompt[0]", {"prompt": HALF}),
        ("prompt[1]", {"prompt": [WORDS, HALF]}),
        ("suffix", {"prompt": WORDS, "suffix": HALF}),
        ("logprobs", {"prompt": WORDS, "logprobs": 6}),
        ("logprobs", {"prompt": WORDS, "logprobs": True}),
        ("best_of", {"prompt": WORDS, "best_of": 0}),
        ("best_of", {"prompt": WORDS, "best_of": 21}),
        ("best_of", {"prompt": WORDS, "best_of": 2, "n": 3}),
        ("best_of", {"prompt": WORDS, "best_of": 2, "stream": True}),
    ],
    ids=repr,
)
def test_what_a_completion_does_not_take(param: str, fields: dict[str, Any]) -> None:
    """Each malformed text completion is refused, its field named, its texts not shown."""
    error = refused(fields, chat=False)
    assert error.param == param
    assert WORDS not in str(error)


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "assistant", "tool_calls": [{"id": "x"}]}],
        [{"role": "assistant", "content": None, "function_call": {"name": "f"}}],
        [{"role": "tool", "content": "a", "tool_call_id": "x"}],
        [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url"}]}],
        [{"role": "user", "content": ""}],
        ({"role": role, "content": "a"} for role in ("system", "developer", "function")),
        ({"role": "user", "content": "a"},),
    ],
)
def test_messages_of_every_kind(messages: Any) -> None:
    """Tuples, generators, parts, and an assistant's bare tool calls are all taken."""
    request = chat_request({"messages": messages})
    check_chat(request)
    assert all(isinstance(message, dict) for message in request.messages)


@pytest.mark.parametrize("prompt", ["", "a", ["a", "b"], [1, 2], [[1], [2, 3]], ("a",)])
def test_prompts_of_every_kind(prompt: Any) -> None:
    """A text, texts, tokens, and lists of tokens are all taken."""
    check_text(text_request({"prompt": prompt}))


def test_a_request_that_holds_itself_is_refused() -> None:
    """A list inside itself is the caller's mistake, not an endless loop."""
    messages: list[Any] = []
    messages.append(messages)
    for make, name in ((chat_request, "messages"), (text_request, "prompt")):
        with pytest.raises(InvalidRequest, match="nested too deeply"):
            make({name: messages})


def test_a_position_is_told_and_no_text() -> None:
    """Half of a surrogate pair is found by its place."""
    check_text_is_unicode("x", "\U0001f600")
    with pytest.raises(InvalidRequest, match="at character 1;") as caught:
        check_text_is_unicode("x", HALF)
    assert caught.value.__cause__ is None


@given(
    st.sampled_from(sorted({*CHAT_FIELDS, *TEXT_FIELDS})),
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.lists(st.integers() | st.text() | st.none(), max_size=3)
    | st.dictionaries(st.text() | st.integers(), st.text() | st.floats(), max_size=3),
)
def test_any_value_is_taken_or_refused(name: str, value: Any) -> None:
    """Any value in any field passes or is an InvalidRequest, and no other error."""
    assert WORDS not in str(outcome({"messages": [USER], name: value}, chat=True))
    assert WORDS not in str(outcome({"prompt": WORDS, name: value}, chat=False))
