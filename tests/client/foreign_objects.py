"""Chunks as other packages make them, and streams as they send them."""

from __future__ import annotations

import base64
import copy
import json
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Self

from deltaweir.types import Chunk, TextChunk
from deltaweir.wire.sse import Decoder

_SHARED = Path(__file__).parents[3] / "shared/data/recorded_streams.json"


class Old(dict[str, Any]):
    """A dict with attributes, as openai before 1.0 has it."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError as error:
            raise AttributeError(name) from error

    @classmethod
    def construct_from(cls, values: Any) -> Any:
        """Make one, all that is inside as well."""
        return _within(values, cls)


class Model:
    """A model that keeps its fields as pydantic does: unknown ones apart, missing ones null."""

    model_fields: ClassVar[dict[str, None]] = dict.fromkeys(
        [
            *("id", "object", "created", "model", "choices", "usage", "index", "delta"),
            *("finish_reason", "logprobs", "content", "role", "refusal", "tool_calls", "text"),
            *("function_call", "function", "name", "arguments", "type", "prompt_tokens"),
            *("completion_tokens", "total_tokens"),
        ]
    )

    def __init__(self, fields: dict[str, Any]) -> None:
        known = self.model_fields
        self.__dict__.update({name: fields.get(name) for name in known})
        self._private = object()
        self.__pydantic_extra__ = {k: v for k, v in fields.items() if k not in known}

    def __iter__(self) -> Iterator[Any]:
        return iter(self.__dict__.items())

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)

    @classmethod
    def model_validate(cls, values: Any) -> Self:
        """Make one, all that is inside as well."""
        made: Self = _within(values, cls)
        return made


class Strict(Model):
    """A model whose class refuses a chunk without an end, and constructs no model inside."""

    @classmethod
    def model_validate(cls, values: Any) -> Self:
        """Refuse it."""
        raise TypeError(values)

    @classmethod
    def model_construct(cls, **values: Any) -> Self:
        """Make one whose fields are as they are."""
        return cls(values)


def _within(value: Any, make: Callable[[dict[str, Any]], Any]) -> Any:
    if isinstance(value, list):
        return [_within(one, make) for one in value]
    if isinstance(value, dict):
        return make({name: _within(one, make) for name, one in value.items()})
    return value


def ours(data: dict[str, Any]) -> Chunk | TextChunk:
    """Return a record of ours."""
    text = data.get("object") == "text_completion"
    return (TextChunk if text else Chunk).model_validate(data)


KINDS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "dict": copy.deepcopy,
    "openai before 1.0": Old.construct_from,
    "model": Model.model_validate,
    "object": lambda data: _within(data, lambda fields: types.SimpleNamespace(**fields)),
    "ours": ours,
}
"""Ways to make a chunk of plain data."""


def chat(
    delta: dict[str, Any] | str | None = None, end: str | None = None, **more: Any
) -> dict[str, Any]:
    """Return a chunk of a chat as plain data."""
    delta = {"content": delta} if isinstance(delta, str) else delta or {}
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": end}
    envelope = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o"}
    return envelope | {"choices": [choice]} | more


def text(words: str, end: str | None = None, **more: Any) -> dict[str, Any]:
    """Return a chunk of a text completion as plain data."""
    choice = {"text": words, "index": 0, "logprobs": None, "finish_reason": end}
    envelope = {"id": "c2", "object": "text_completion", "created": 1, "model": "davinci-002"}
    return envelope | {"choices": [choice]} | more


def usage(prompt: int, completion: int, **more: Any) -> dict[str, Any]:
    """Return a usage as plain data."""
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    } | more


def _tool(index: int, arguments: str, **more: Any) -> dict[str, Any]:
    function = {"arguments": arguments, **more.pop("function", {})}
    return {"tool_calls": [{"index": index, "function": function, **more}]}


STREAMS: dict[str, list[dict[str, Any]]] = {
    "content": [
        chat({"role": "assistant", "content": ""}, usage=None),
        chat("Hello"),
        chat(" wor"),
        chat("ld, как дела?"),
        chat(end="stop"),
    ],
    "tools": [
        chat({"role": "assistant", "content": None}),
        chat(_tool(0, "", id="call_1", type="function", function={"name": "get_weather"})),
        chat(_tool(0, '{"city":')),
        chat(_tool(0, ' "Paris"}')),
        chat(_tool(1, "{}", id="call_2", type="function", function={"name": "now"})),
        chat(end="tool_calls"),
    ],
    "reasoning": [
        chat({"reasoning_content": "First I think."}),
        chat({"reasoning": " Then some more."}),
        chat({"reasoning": " At", "reasoning_content": " At"}),
        chat("Two."),
        chat(end="stop", usage=usage(5, 9, completion_tokens_details={"reasoning_tokens": 7})),
    ],
    "refusal": [
        chat({"role": "assistant", "content": None, "refusal": ""}),
        chat({"refusal": "I cannot"}),
        chat({"refusal": " do that."}),
        chat(end="stop"),
        chat(choices=[], usage=usage(12, 6)),
    ],
    "function": [
        chat({"function_call": {"name": "add", "arguments": ""}}),
        chat({"function_call": {"arguments": '{"a": 1}'}}),
        chat(end="function_call"),
        chat(choices=None, usage=usage(3, 8)),
    ],
    "unknown fields": [
        chat("Hi", provider="somebody", citations=["a"]),
        chat(" there", provider="somebody"),
        chat(end="stop", usage=usage(3, 2, cost=0.5)),
    ],
    "logprobs": [
        chat(choices=[{"index": 0, "delta": {"content": "Hi"}, "logprobs": {"content": [
            {"token": "Hi", "logprob": -0.5, "bytes": [72, 105], "top_logprobs": []}
        ]}, "finish_reason": None}]),
        chat(end="length"),
    ],
    "text": [
        text("Once"),
        text(" upon a time"),
        text("", "length"),
        text("", choices=[], usage=usage(1, 4)),
    ],
}  # fmt: skip
"""Streams of every kind, as plain data."""


def recorded() -> dict[str, list[dict[str, Any]]]:
    """Return what a provider really sent, where the recordings are at hand."""
    if not _SHARED.exists():
        return {}
    streams = {}
    for stream in json.loads(_SHARED.read_text("utf-8"))["streams"]:
        decoder = Decoder()
        events = decoder.feed(base64.b64decode(stream["input_b64"]))
        streams[stream["name"]] = [
            json.loads(event.data) for event in events if event.data != b"[DONE]"
        ]
    return streams
