"""Counts before anything is sent: texts, conversations and request bodies."""

from __future__ import annotations

from typing import Any

import pytest

import deltaweir
from deltaweir.client.counting import prompt_cost_usd, prompt_of, tokenizer_for
from deltaweir.errors import InvalidRequest
from deltaweir.models.weights import Weights

HELLO = [{"role": "user", "content": "hello"}]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
TEXT = "anti­disestablishmentarianism 12345 \n\n don't <|endoftext|> 你好"


@pytest.mark.parametrize(
    ("model", "encoding"),
    [
        ("gpt-4o", "o200k_base"),
        ("gpt-4o-2024-08-06", "o200k_base"),
        ("gpt-4", "cl100k_base"),
        ("text-davinci-003", "p50k_base"),
        ("davinci", "r50k_base"),
        ("a-model-nobody-knows", "o200k_base"),
        (None, "o200k_base"),
    ],
)
def test_a_model_counts_by_its_encoding(model: str | None, encoding: str) -> None:
    """Both names give one count; the text of special tokens is text."""
    assert deltaweir.count_tokens(TEXT, model=model) == deltaweir.count_tokens(
        TEXT, encoding=encoding
    )


def test_the_encodings_differ() -> None:
    """The equality above is not one of everything with everything."""
    names = ("o200k_base", "cl100k_base", "r50k_base")
    assert len({deltaweir.count_tokens(TEXT, encoding=name) for name in names}) == 3


def test_an_encoding_wins_over_a_model() -> None:
    """Whoever names one means it."""
    assert deltaweir.count_tokens(
        TEXT, model="gpt-4o", encoding="r50k_base"
    ) == deltaweir.count_tokens(TEXT, encoding="r50k_base")


def test_an_embedded_model_counts_by_its_own_vocabulary(smollm2: Weights) -> None:
    """By name and by path, and unlike OpenAI's."""
    text = "Counting is done with the vocabulary of the file: 1234567 + 89."
    count = deltaweir.count_tokens(text, model="smollm2")
    assert count == deltaweir.count_tokens(text, model=str(smollm2.path))
    assert count != deltaweir.count_tokens(text)
    assert count == tokenizer_for("smollm2").count(text)


def test_half_a_surrogate_pair_counts_as_the_replacement() -> None:
    """As tiktoken repairs it; a whole pair is the character it stands for."""
    for encoding in ("o200k_base", "cl100k_base", "r50k_base"):
        count = deltaweir.count_tokens("a \ud83d b", encoding=encoding)
        assert count == deltaweir.count_tokens("a \ufffd b", encoding=encoding)
        pair = deltaweir.count_tokens("\ud83d\ude00", encoding=encoding)
        assert pair == deltaweir.count_tokens("\U0001f600", encoding=encoding)


def test_an_empty_text_has_no_tokens() -> None:
    """Whatever counts it."""
    assert deltaweir.count_tokens("") == 0


@pytest.mark.parametrize("text", [None, 5, b"text", ["text"]])
def test_what_is_no_text_is_refused(text: Any) -> None:
    """The error names the type, and nothing of the value."""
    with pytest.raises(InvalidRequest, match=f"type {type(text).__name__}, expected a str"):
        deltaweir.count_tokens(text)


def test_an_unknown_encoding_is_refused() -> None:
    """There is no guessing at names."""
    with pytest.raises(InvalidRequest, match="no_base"):
        deltaweir.count_tokens("a", encoding="no_base")


@pytest.mark.parametrize("more", [{"model": 5}, {"encoding": 5}, {"encoding": ["gpt2"]}])
def test_a_name_that_is_no_text_is_refused(more: dict[str, Any]) -> None:
    """As our error, not as Python's."""
    with pytest.raises(InvalidRequest, match="expected a name"):
        deltaweir.count_tokens("x", **more)


@pytest.mark.parametrize("name", ["tools", "functions"])
def test_tools_that_are_no_list_are_refused(name: str) -> None:
    """As our error, not as Python's."""
    with pytest.raises(InvalidRequest, match="array"):
        deltaweir.count_prompt(HELLO, model="gpt-4o", **{name: 5})  # type: ignore[arg-type]


def test_a_conversation_is_counted_and_says_how_sure_it_is() -> None:
    """Three tokens a message, role and content, and three for the reply (OpenAI's cookbook)."""
    known = deltaweir.count_prompt(HELLO, model="gpt-4o")
    assert (known.tokens, known.source) == (8, "official")
    unknown = deltaweir.count_prompt(HELLO, model="a-model-nobody-knows")
    assert (unknown.tokens, unknown.source) == (8, "estimated")


def test_an_iterator_of_messages_is_read_once() -> None:
    """As `create` takes it."""
    assert deltaweir.count_prompt(iter(HELLO), model="gpt-4o").tokens == 8


@pytest.mark.parametrize(
    "more",
    [
        {"tools": [TOOL]},
        {"tools": iter([TOOL])},
        {"functions": [TOOL["function"]]},
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "f"}}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {}}}},
    ],
)
def test_what_is_on_offer_counts(more: dict[str, Any]) -> None:
    """Tools, functions and formats are part of the prompt."""
    assert deltaweir.count_prompt(HELLO, model="gpt-4o", **more).tokens > 8


def test_an_embedded_conversation_is_counted_by_its_template(smollm2: Weights) -> None:
    """Exactly what the engine then reads."""
    count = deltaweir.count_prompt(HELLO, model="smollm2")
    reply = deltaweir.Client().chat.completions.create(
        model="smollm2", messages=HELLO, max_tokens=1
    )
    assert reply.usage is not None
    assert (count.tokens, count.source) == (reply.usage.prompt_tokens, "official")


def test_an_embedded_text_prompt_is_counted(smollm2: Weights) -> None:
    """Exactly what the engine then reads."""
    count = prompt_of({"prompt": "Once upon a time", "model": "smollm2"})
    reply = deltaweir.Client().completions.create(
        model="smollm2", prompt="Once upon a time", max_tokens=1
    )
    assert reply.usage is not None
    assert count.tokens == reply.usage.prompt_tokens


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": [{"role": "user", "content": "a\ud800b"}]}, "messages[0].content"),
        ({"prompt": "a\ud800b"}, "prompt[0]"),
        ({"prompt": "def f(", "suffix": "):"}, "suffix"),
        ({"prompt": []}, "prompt"),
    ],
)
def test_what_an_embedded_model_refuses_is_not_counted(
    smollm2: Weights, fields: dict[str, Any], param: str
) -> None:
    """A count that no request can have would be none; the error is that of the request."""
    with pytest.raises(InvalidRequest) as caught:
        prompt_of({**fields, "model": smollm2.name})
    assert caught.value.param == param


CALLED = [
    *HELLO,
    {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}},
    {"role": "function", "name": "f", "content": "sun"},
]


@pytest.mark.live
@pytest.mark.parametrize(
    "fields",
    [
        {"messages": HELLO, "tools": [TOOL]},
        {"messages": HELLO, "functions": [TOOL["function"]]},
        {"messages": CALLED, "functions": [TOOL["function"]]},
        {"prompt": "def f(x):\n    ", "suffix": "\n    return y"},
    ],
)
def test_all_that_the_engine_is_given_is_counted(fields: dict[str, Any]) -> None:
    """Functions of the older kind, and what stands behind a gap, as the engine counts them."""
    client, model = deltaweir.Client(), "qwen2.5-coder-0.5b"
    create: Any = client.completions if "prompt" in fields else client.chat.completions
    used = create.create(model=model, max_tokens=1, **fields).usage
    assert prompt_of({**fields, "model": model}).tokens == used.prompt_tokens


@pytest.mark.parametrize(
    ("prompt", "tokens"), [("hello there", 2), (["hello there", "hello"], 3), ([1, 2, 3], 3)]
)
def test_a_text_prompt_is_counted(prompt: Any, tokens: int) -> None:
    """One text, several, or token ids."""
    assert prompt_of({"prompt": prompt, "model": "gpt-3.5-turbo-instruct"}).tokens == tokens


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "messages"),
        ({"messages": None}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"prompt": None}, "prompt"),
        ({"messages": HELLO, "model": 5}, "model"),
        ({"messages": HELLO, "tools": 5}, "tools"),
    ],
)
def test_what_cannot_be_counted_is_refused(fields: dict[str, Any], param: str) -> None:
    """The error names the field."""
    with pytest.raises(InvalidRequest) as caught:
        prompt_of(fields)
    assert caught.value.param == param


def test_a_prompts_price(smollm2: Weights) -> None:
    """Nothing on this machine, None where it is not known, and never 0 for unknown."""
    assert prompt_cost_usd("smollm2", 1000) == 0.0
    assert prompt_cost_usd("a-model-nobody-knows", 1000) is None
    assert prompt_cost_usd(None, 1000) is None
    cost = prompt_cost_usd("gpt-4o", 1_000_000)
    assert cost is not None
    assert cost > 0


def test_a_suffix_is_counted_as_an_estimate() -> None:
    """Nobody documents how a provider puts it into the prompt."""
    body = {"model": "gpt-3.5-turbo-instruct", "prompt": "def f(", "suffix": "return x"}
    counted = prompt_of(body)
    plain = prompt_of({**body, "suffix": None})
    assert counted.tokens == plain.tokens + deltaweir.count_tokens("return x", "gpt-3.5-turbo")
    assert counted.source == "estimated"
    assert "suffix" in [rule.name for rule in counted.rules]
