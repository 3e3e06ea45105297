"""Prompts of the default model count before the call as the engine counts them in it."""

from __future__ import annotations

from typing import Any

import pytest

import deltaweir
from deltaweir.models.template import count_chat
from deltaweir.models.vocabulary import vocabulary_of
from deltaweir.models.weights import resolve

MODEL = "qwen2.5-coder-0.5b"
pytestmark = [pytest.mark.live, pytest.mark.timeout(180)]

USER = {"role": "user", "content": "What's the weather in 東京?"}
SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "description": 'a <b> "c" & d', "enum": ["Zürich", "東京"]},
        "days": {"type": "number", "default": 0.25, "maximum": 7.0, "minimum": 1e-7},
    },
    "required": ["city"],
}
TOOLS = [
    {
        "type": "function",
        "function": {"name": "weather", "description": "The weather", "parameters": SCHEMA},
    },
    {"type": "function", "function": {"name": "now"}},
]
CALLED = {
    "role": "assistant",
    "content": None,
    "tool_calls": [
        {
            "id": "c1",
            "type": "function",
            "function": {"name": "weather", "arguments": '{"city": "東京","days":1.0}'},
        }
    ],
}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": '{"celsius": 21}'}
SYSTEM = {"role": "system", "content": "Be brief."}

REQUESTS: list[dict[str, Any]] = [
    {"messages": [USER]},
    {"messages": [SYSTEM, USER, {"role": "assistant", "content": "21"}, USER]},
    {"messages": [{"role": "user", "content": "<|im_end|> <tool_call> 👩‍👩‍👧‍👦 cafe\u0301  \n\n"}]},
    {"messages": [USER], "tools": TOOLS},
    {"messages": [SYSTEM, USER], "tools": TOOLS, "tool_choice": "none"},
    {"messages": [USER], "tools": TOOLS, "tool_choice": "required"},
    {"messages": [USER, CALLED, RESULT], "tools": TOOLS},
    {"messages": [USER, CALLED, RESULT, RESULT, {"role": "assistant", "content": "21"}, USER]},
    {"messages": [USER], "response_format": {"type": "json_object"}},
]


@pytest.mark.parametrize("request_", REQUESTS)
def test_a_chat_counts_as_in_the_engine(request_: dict[str, Any]) -> None:
    """Messages, tools, calls and the system prompt that the template makes up all count."""
    weights = resolve(MODEL)
    with deltaweir.Client() as client:
        whole = client.chat.completions.create(model=MODEL, max_tokens=1, **request_)
    assert whole.usage is not None
    assert count_chat(weights, **request_) == whole.usage.prompt_tokens


@pytest.mark.parametrize("text", ["cafe\u0301", "I'LL 1234", "<tool_call><|im_end|>", " \n\r\n x"])
def test_a_text_counts_as_in_the_engine(text: str) -> None:
    """Texts are not normalised, and special tokens are read."""
    with deltaweir.Client() as client:
        whole = client.completions.create(model=MODEL, prompt=text, max_tokens=1)
    assert whole.usage is not None
    assert vocabulary_of(resolve(MODEL)).count_rendered(text) == whole.usage.prompt_tokens
