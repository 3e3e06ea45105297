"""Chunks have every field of the protocol, in the order in which they are printed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deltaweir.schema.record import Record
from deltaweir.types import Chunk, Reply, TextChunk, TextReply

USAGE: dict[str, Any] = {
    "completion_tokens": 1,
    "completion_tokens_details": {
        "accepted_prediction_tokens": 1,
        "audio_tokens": 2,
        "reasoning_tokens": 3,
        "rejected_prediction_tokens": 4,
    },
    "prompt_tokens": 2,
    "prompt_tokens_details": {"audio_tokens": 1, "cached_tokens": 2},
    "total_tokens": 3,
}
TOP = {"bytes": [97], "logprob": -0.5, "token": "a"}
LOGPROBS = {"content": [{**TOP, "top_logprobs": [TOP]}], "refusal": [{**TOP, "top_logprobs": []}]}
CALL = {"arguments": "{}", "name": "f"}
MESSAGE = {
    "audio": {"data": "AA=="},
    "content": "a",
    "function_call": CALL,
    "reasoning_content": "b",
    "refusal": "c",
    "role": "assistant",
    "tool_calls": [{"function": CALL, "id": "call_1", "index": 0, "type": "function"}],
}
CHOICE = {"finish_reason": "stop", "index": 0, "logprobs": LOGPROBS}
ENVELOPE = {
    "created": 1,
    "id": "chatcmpl-1",
    "model": "m",
    "object": "chat.completion.chunk",
    "deltaweir": {"cost_usd": 0.1},
    "moderation": {"input": {}, "output": {}},
    "service_tier": "default",
    "system_fingerprint": "fp",
    "usage": USAGE,
}
TEXT_CHOICE = {
    "finish_reason": "length",
    "index": 0,
    "logprobs": {
        "text_offset": [0],
        "token_logprobs": [None],
        "tokens": ["a"],
        "top_logprobs": [{"a": -0.5}],
    },
    "text": "a",
}
TEXT = {
    "choices": [TEXT_CHOICE],
    "created": 1,
    "id": "cmpl-1",
    "model": "m",
    "object": "text_completion",
    "deltaweir": {"cost_usd": 0.1},
    "system_fingerprint": "fp",
    "usage": USAGE,
}
WHOLE_MESSAGE = {
    **MESSAGE,
    "tool_calls": [{"function": CALL, "id": "call_1", "type": "function"}],
}


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Chunk, {"choices": [{**CHOICE, "delta": MESSAGE}], "obfuscation": "x", **ENVELOPE}),
        (Reply, {"choices": [{**CHOICE, "message": WHOLE_MESSAGE}], **ENVELOPE}),
        (TextChunk, TEXT),
        (TextReply, TEXT),
    ],
)
def test_every_field_is_known(kind: type[Record], value: dict[str, Any]) -> None:
    """Each field of the reference is typed, decoded and dumped; none counts as unknown."""
    one = kind.model_validate_json(json.dumps(value))
    assert one.model_dump() == value
    assert _unknown(one) == []


def test_an_embedded_chunk_has_five_keys_in_order() -> None:
    """A chunk without rare fields dumps exactly these keys in this order."""
    one = Chunk.model_validate({"choices": [{"delta": {"role": "assistant"}}]})
    assert one.model_dump_json() == (
        '{"choices":[{"delta":{"role":"assistant"},"finish_reason":null,"index":0}],'
        '"created":0,"id":"","model":"","object":"chat.completion.chunk"}'
    )


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (Chunk, "chat.completion.chunk"),
        (Reply, "chat.completion"),
        (TextChunk, "text_completion"),
        (TextReply, "text_completion"),
    ],
)
def test_object_names_the_kind(kind: type[Any], name: str) -> None:
    """What is built here says what it is, as the protocol calls it."""
    assert kind().object == name
    assert kind().choices == []


def _unknown(value: Any) -> list[str]:
    if isinstance(value, Record):
        inside = [name for _, inner in value.items() for name in _unknown(inner)]
        return [*value.model_extra, *inside]
    return [name for inner in value for name in _unknown(inner)] if isinstance(value, list) else []
