"""Prompts are counted as OpenAI counts them, and say how surely."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deltaweir.adapters.vocabularies import tokenizer_of
from deltaweir.errors import InvalidRequest
from deltaweir.meter.prompt import PromptCount, count_prompt, count_text_prompt
from deltaweir.meter.tokens import Tokenizer

CL100K: Tokenizer = tokenizer_of("cl100k_base")
O200K: Tokenizer = tokenizer_of("o200k_base")

HELLO = [{"role": "user", "content": "hello"}]

JARGON = [
    {
        "role": "system",
        "content": "You are a helpful, pattern-following assistant that translates corporate "
        "jargon into plain English.",
    },
    {
        "role": "system",
        "name": "example_user",
        "content": "New synergies will help drive top-line growth.",
    },
    {
        "role": "system",
        "name": "example_assistant",
        "content": "Things working well together will increase revenue.",
    },
    {
        "role": "system",
        "name": "example_user",
        "content": "Let's circle back when we have more bandwidth to touch base on opportunities "
        "for increased leverage.",
    },
    {
        "role": "system",
        "name": "example_assistant",
        "content": "Let's talk later when we're less busy about how to do better.",
    },
    {
        "role": "user",
        "content": "This late pivot means we don't have time to boil the ocean for the client "
        "deliverable.",
    },
]
"""The conversation of OpenAI's cookbook, whose counts it gives as the API reported them."""


def count(messages: Any, tokenizer: Tokenizer = CL100K, **options: Any) -> PromptCount:
    """Return the count of a prompt for gpt-4, unless another model is named."""
    options = {"model": "gpt-4", **options}
    return count_prompt(messages, tokenizer=tokenizer, **options)


@pytest.mark.parametrize(
    ("model", "tokenizer", "tokens"),
    [
        ("gpt-3.5-turbo-0301", CL100K, 127),
        ("gpt-3.5-turbo-0613", CL100K, 129),
        ("gpt-35-turbo", CL100K, 129),
        ("gpt-4-0314", CL100K, 129),
        ("gpt-4", CL100K, 129),
        ("gpt-4o", O200K, 124),
        ("ft:gpt-4o-mini-2024-07-18:team::id", O200K, 124),
    ],
)
def test_cookbook_conversation(model: str, tokenizer: Tokenizer, tokens: int) -> None:
    """The cookbook's conversation has the count that the API reported."""
    found = count(JARGON, tokenizer, model=model)
    assert (found.tokens, found.source) == (tokens, "official")
    assert sum(found.messages) == tokens - 3


@pytest.mark.parametrize("model", ["gpt-5", "o3", "gpt-4.1", "llama-3", None])
def test_a_model_outside_the_cookbook_is_estimated(model: str | None) -> None:
    """A model that the cookbook does not name counts alike, but only as an estimate."""
    found = count(HELLO, O200K, model=model)
    assert (found.tokens, found.source) == (8, "estimated")


def test_an_unknown_encoding_is_estimated() -> None:
    """With an assumed encoding nothing is better than estimated."""
    assert count(HELLO, known=False).source == "estimated"
    assert count_text_prompt("hello", tokenizer=O200K, known=False).source == "estimated"


def test_no_messages() -> None:
    """A prompt without messages is the beginning of the reply."""
    assert count([])[:3] == (3, "official", ())


WEATHER = {
    "type": "function",
    "function": {
        "name": "get_current_weather",
        "description": "Get the current weather in a given location",
        "parameters": {
            "type": "object",
            "properties": {
                "location": {
                    "type": "string",
                    "description": "The city and state, e.g. San Francisco, CA",
                },
                "unit": {
                    "type": "string",
                    "description": "The unit of temperature to return",
                    "enum": ["celsius", "fahrenheit"],
                },
            },
            "required": ["location"],
        },
    },
}
ASKED = [
    {
        "role": "system",
        "content": "You are a helpful assistant that can answer to questions about the weather.",
    },
    {"role": "user", "content": "What's the weather like in San Francisco?"},
]


@pytest.mark.parametrize(
    ("model", "tokenizer", "tokens"),
    [("gpt-3.5-turbo", CL100K, 105), ("gpt-4", CL100K, 105), ("gpt-4o", O200K, 101)],
)
def test_cookbook_tools(model: str, tokenizer: Tokenizer, tokens: int) -> None:
    """The cookbook's tool has the count that the API reported."""
    found = count(ASKED, tokenizer, model=model, tools=[WEATHER])
    assert (found.tokens, found.source) == (tokens, "observed")
    older = count(ASKED, tokenizer, model=model, functions=[WEATHER["function"]])
    assert older == found


def test_definitions_share_the_system_message() -> None:
    """With a system message definitions cost four less, and end its text with a line end."""
    function = {"name": "do_stuff", "parameters": {"type": "object", "properties": {}}}
    hi = {"role": "user", "content": "Hi there"}
    for before, tokens in ((["Hello"], 35), (["Hello:"], 35), (["Hello:", "Hello"], 40)):
        systems = [{"role": "system", "content": text} for text in before]
        assert count([*systems, hi], model="gpt-3.5-turbo", functions=[function]).tokens == tokens
    parts = [{"role": "system", "content": [{"type": "text", "text": "Hello"}]}, hi]
    assert count(parts, functions=[function]).tokens == 35


def test_uncertain_definitions_are_estimated() -> None:
    """A definition whose rendering nobody observed makes the count an estimate."""
    custom = {"type": "custom", "custom": {"name": "f"}}
    found = count(HELLO, tools=[custom])
    assert (found.source, found.rules[-1].name) == ("estimated", "tools_schema")


def test_no_definitions() -> None:
    """Empty lists of tools cost nothing."""
    assert count(HELLO, tools=[], functions=[]) == count(HELLO)


@pytest.mark.parametrize(
    ("choice", "tokens", "source"),
    [
        (None, 0, "observed"),
        ("auto", 0, "observed"),
        ("none", 1, "observed"),
        ("required", 1, "estimated"),
        ({"type": "function", "function": {"name": "f"}}, 5, "observed"),
        ({"name": "f"}, 5, "observed"),
        ({"type": "allowed_tools", "allowed_tools": {}}, 1, "estimated"),
    ],
)
def test_tool_choice(choice: Any, tokens: int, source: str) -> None:
    """What is asked of tools costs a token, or four and the name."""
    tools = [{"type": "function", "function": {"name": "f"}}]
    plain = count(HELLO, tools=tools)
    for field in ("tool_choice", "function_call"):
        found = count(HELLO, tools=tools, **{field: choice})
        assert (found.tokens - plain.tokens, found.source) == (tokens, source)


def test_response_format() -> None:
    """A schema counts as it would stand in the system message, plain text as nothing."""
    schema = {"name": "a", "description": "b", "schema": {"type": "object"}}
    found = count(HELLO, response_format={"type": "json_schema", "json_schema": schema})
    text = '# Response Formats\n\n## a\n\n// b\n{"type":"object"}'
    assert (found.tokens, found.source) == (8 + CL100K.count(text), "estimated")
    assert count(HELLO, response_format={"type": "text"}) == count(HELLO)
    assert count(HELLO, response_format={"type": "json_object"}).source == "estimated"
    bare = count(HELLO, response_format={"type": "json_schema", "json_schema": {}})
    assert bare.tokens == 8 + CL100K.count("# Response Formats\n\n## \n\n{}")


@pytest.mark.parametrize(
    ("prompt", "counts"),
    [
        ("hello world", (2,)),
        (["hello", "hello world"], (1, 2)),
        ([1, 2, 3], (3,)),
        ([[1, 2], [3], "hello"], (2, 1, 1)),
        ([], ()),
    ],
)
def test_text_prompts(prompt: Any, counts: tuple[int, ...]) -> None:
    """Texts count their tokens, ids one each."""
    found = count_text_prompt(prompt, tokenizer=CL100K)
    assert (found.messages, found.tokens, found.source) == (counts, sum(counts), "official")


@pytest.mark.parametrize("prompt", [[1, "x"], [True], [[1, "x"]], [None], 5, {}])
def test_other_text_prompts_are_refused(prompt: Any) -> None:
    """What is no text and no list of ids is refused."""
    with pytest.raises(InvalidRequest, match=r"prompt.* is of type .*, expected") as raised:
        count_text_prompt(prompt, tokenizer=CL100K)
    assert raised.value.param == "prompt"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
PARTS = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "image_url", "input_audio", "file", "refusal"])},
    optional={
        "text": JSON,
        "refusal": JSON,
        "image_url": JSON | st.fixed_dictionaries({"url": st.text()}, optional={"detail": JSON}),
        "input_audio": JSON | st.fixed_dictionaries({"data": st.text()}, optional={"format": JSON}),
    },
)
CALLS = st.fixed_dictionaries(
    {"function": st.fixed_dictionaries({"name": st.text()}, optional={"arguments": JSON})}
)
MESSAGES = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool", "function"])},
    optional={
        "content": st.text() | st.lists(PARTS, max_size=3) | JSON,
        "name": st.text(max_size=8) | JSON,
        "tool_calls": st.lists(CALLS, max_size=2) | JSON,
        "function_call": JSON,
        "refusal": JSON,
        "audio": JSON,
    },
)
SAID = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant"]), "content": st.text()}
)


@settings(max_examples=200, deadline=None)
@given(messages=st.lists(MESSAGES, max_size=3) | JSON, extra=JSON)
def test_hostile_requests(messages: Any, extra: Any) -> None:
    """Whatever is in the request, there is a count or an InvalidRequest."""
    for field in ("tools", "functions", "tool_choice", "function_call", "response_format"):
        try:
            found = count(messages, **{field: extra})
        except InvalidRequest as error:
            assert error.param is not None  # noqa: PT017  either outcome is right
        else:
            assert found.tokens >= 3


@given(messages=st.lists(SAID, max_size=4), more=SAID, with_tools=st.booleans())
def test_a_message_more_costs_no_less(
    messages: list[Mapping[str, Any]], more: Mapping[str, Any], *, with_tools: bool
) -> None:
    """Adding a message never makes the prompt smaller, nor changes what the others cost."""
    tools = [WEATHER] if with_tools else None
    before, after = count(messages, tools=tools), count([*messages, more], tools=tools)
    assert after.tokens >= before.tokens
    assert after.messages[:-1] == before.messages
