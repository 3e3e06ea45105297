"""Each kind of message costs what the API reported, or what is assumed is said."""

from __future__ import annotations

from typing import Any

import pytest

from deltaweir.adapters.vocabularies import tokenizer_of
from deltaweir.errors import InvalidRequest
from deltaweir.meter.prompt import PromptCount, count_prompt
from deltaweir.meter.tokens import Tokenizer

CL100K: Tokenizer = tokenizer_of("cl100k_base")
O200K: Tokenizer = tokenizer_of("o200k_base")


def count(messages: Any, tokenizer: Tokenizer = CL100K, **options: Any) -> PromptCount:
    """Return the count of a prompt for gpt-4, unless another model is named."""
    options = {"model": "gpt-4", **options}
    return count_prompt(messages, tokenizer=tokenizer, **options)


def names(found: PromptCount) -> set[str]:
    """Return the names of the rules that went in."""
    return {rule.name for rule in found.rules}


@pytest.mark.parametrize(
    ("message", "tokens"),
    [
        ({"role": "user", "content": "hello"}, 8),
        ({"role": "system", "content": "hello:"}, 9),
        (
            {
                "role": "function",
                "name": "dance_the_tango",
                "content": '{"a": { "b" : { "c": false}}}',
            },
            24,
        ),
        (
            {
                "role": "assistant",
                "content": "",
                "function_call": {"name": "do_stuff", "arguments": '{"foo": "bar", "baz": 1.5}'},
            },
            26,
        ),
        (
            {
                "role": "assistant",
                "content": None,
                "function_call": {
                    "name": "do_stuff",
                    "arguments": '{"foo":"bar", "baz":\n\n 1.5}',
                },
            },
            25,
        ),
    ],
)
def test_single_messages(message: dict[str, Any], tokens: int) -> None:
    """Messages of every older kind count what the API reported to openai-chat-tokens."""
    assert count([message], model="gpt-3.5-turbo").tokens == tokens


def test_frames_of_models() -> None:
    """The first chat model has a longer frame, and writes a name in place of the role."""
    named = [{"role": "user", "name": "ann", "content": "hello"}]
    text = sum(CL100K.count(word) for word in ("user", "ann", "hello"))
    assert count(named, model="gpt-3.5-turbo-0301").messages == (text + 4 - 1,)
    assert count(named).messages == (text + 3 + 1,)


def test_models_that_nobody_documents() -> None:
    """Another model's frame is estimated, and an assumed encoding makes all so."""
    hello = [{"role": "user", "content": "hello"}]
    assert names(count(hello, O200K, model="gpt-5")) == {"message_other_model"}
    assert names(count(hello, known=False)) == {"message", "unknown_model"}


def test_no_content() -> None:
    """No content, an empty one and one without parts cost the frame and the role."""
    contents: tuple[Any, ...] = (None, "", [])
    for content in contents:
        found = count([{"role": "assistant", "content": content}])
        assert (found.messages, names(found)) == ((4,), {"message"})


def test_tool_result_with_a_name() -> None:
    """A call and its named result count the 35 tokens that the API reported."""
    call = {"name": "get_current_weather", "arguments": '{\n  "location": "Boston, MA"\n}'}
    found = count(
        [
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "call_1", "type": "function", "function": call}],
            },
            {
                "role": "tool",
                "tool_call_id": "call_1",
                "name": "get_current_weather",
                "content": "29 degree celcius",
            },
        ]
    )
    assert (found.tokens, found.source) == (35, "observed")


def test_what_nobody_observed_is_estimated() -> None:
    """A result without a name, and several calls at once, are estimated."""
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    custom = {"id": "a", "type": "custom", "custom": {"name": "f", "input": "x"}}
    unnamed = count([{"role": "tool", "tool_call_id": "a", "content": "1"}])
    several = count([{"role": "assistant", "tool_calls": [call, call]}])
    free = count([{"role": "assistant", "tool_calls": [custom]}])
    assert (unnamed.source, names(unnamed)) == ("estimated", {"message", "tool_unnamed"})
    assert (several.source, several.tokens) == ("estimated", 7 + 2 * (3 + 1 + 1))
    assert (free.source, free.tokens) == ("estimated", 7 + 3 + 1 + 1)


def test_parts() -> None:
    """The texts of parts count one by one, and each rule is told once."""
    parts = [{"type": "text", "text": "hello"}, {"type": "text", "text": "hello"}]
    found = count([{"role": "user", "content": parts}] * 2)
    assert found.messages == (3 + 1 + 2,) * 2
    assert [rule.name for rule in found.rules] == ["message", "parts"]
    assert found.source == "observed"


def test_image_part() -> None:
    """An image counts by its model's rule, here the tiles of a low detail."""
    image = {"type": "image_url", "image_url": {"url": "https://host/a.png", "detail": "low"}}
    found = count([{"role": "user", "content": [image]}], O200K, model="gpt-4o")
    assert (found.messages, names(found)) == ((4 + 85,), {"message", "parts", "image_tiles"})


@pytest.mark.parametrize(
    ("part", "tokens", "rule"),
    [
        ({"type": "refusal", "refusal": "hello"}, 1, "refusal"),
        ({"type": "file", "file": {"file_id": "x"}}, 0, "file"),
        ({"type": "hologram"}, 0, "other_part"),
        (
            {"type": "input_audio", "input_audio": {"data": "A" * 64_000, "format": "wav"}},
            10,
            "audio",
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "A" * 64_000, "format": "mp3"}},
            30,
            "audio",
        ),
    ],
)
def test_other_parts_are_estimated(part: dict[str, Any], tokens: int, rule: str) -> None:
    """A part that nobody documents says what is assumed."""
    found = count([{"role": "user", "content": [part]}])
    assert found.messages == (4 + tokens,)
    assert (found.source, rule in names(found)) == ("estimated", True)


def test_other_fields_are_estimated() -> None:
    """A refusal counts like content; a field that nobody documents counts nothing."""
    refused = count([{"role": "assistant", "content": None, "refusal": "hello"}])
    spoken = count([{"role": "assistant", "content": "hello", "audio": {"id": "x"}}])
    assert (refused.tokens, refused.source) == (8, "estimated")
    assert (spoken.tokens, names(spoken)) == (8, {"message", "other_fields"})


def test_surrogates_are_mended() -> None:
    """Half of a pair counts like the replacement character, as tiktoken does it."""
    half, replaced = ([{"role": "user", "content": text}] for text in ("a\ud83d", "a\ufffd"))
    assert count(half) == count(replaced)


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ("secret", "messages[0]"),
        ({"content": "secret"}, "messages[0].role"),
        ({"role": "user", "content": 5}, "messages[0].content"),
        ({"role": "user", "content": [{"text": "secret"}]}, "messages[0].content[0].type"),
        ({"role": "user", "name": b"secret"}, "messages[0].name"),
        ({"role": "assistant", "function_call": "secret"}, "messages[0].function_call"),
        ({"role": "assistant", "tool_calls": [{}]}, "messages[0].tool_calls[0].function"),
    ],
)
def test_errors_name_the_field_only(message: Any, field: str) -> None:
    """A field of the wrong type is named, and nothing of its text is told."""
    with pytest.raises(InvalidRequest) as raised:
        count([message])
    assert raised.value.param == field
    assert "secret" not in str(raised.value)
