"""Streamed chunks as OpenAI has them, as dicts: made of pieces of text, and read again."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

Chunk = dict[str, Any]

_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")


def chunk(delta: dict[str, Any], *, index: int = 0, end: str | None = None, **more: Any) -> Chunk:
    """Return one chunk with one choice; ``more`` stands beside its delta."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "gpt-4o",
        "choices": [{"index": index, "delta": delta, "finish_reason": end, **more}],
    }


def in_field(pieces: Iterable[str], *, field: str = "content", end: str = "stop") -> list[Chunk]:
    """Return a stream that has the pieces in one text field."""
    parts = [chunk({field: piece}) for piece in pieces]
    return [chunk({"role": "assistant", "content": ""}), *parts, chunk({}, end=end)]


def in_arguments(pieces: Iterable[str]) -> list[Chunk]:
    """Return a stream that has the pieces as the arguments of one tool call."""
    function = {"name": "send", "arguments": ""}
    head = {"index": 0, "id": "call_1", "type": "function", "function": function}
    parts = [
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}) for piece in pieces
    ]
    start = chunk({"role": "assistant", "content": None, "tool_calls": [head]})
    return [start, *parts, chunk({}, end="tool_calls")]


def with_logprobs(pieces: Iterable[str]) -> list[Chunk]:
    """Return a stream whose logprob entries name each piece as a token, with its bytes."""
    parts = []
    for piece in pieces:
        entry = {"token": piece, "logprob": -0.1, "bytes": list(piece.encode())}
        entries = [{**entry, "top_logprobs": [entry]}]
        parts.append(chunk({"content": piece}, logprobs={"content": entries}))
    return [chunk({"role": "assistant", "content": ""}), *parts, chunk({}, end="stop")]


def in_two_choices(pieces: Sequence[str]) -> list[Chunk]:
    """Return a stream of two choices that take turns, the second two pieces behind."""
    heads = [chunk({"role": "assistant", "content": ""}, index=index) for index in (0, 1)]
    turns: list[Chunk] = []
    for one, other in zip((*pieces, "", ""), ("", "", *pieces), strict=True):
        turns.extend(
            chunk({"content": piece}, index=index)
            for index, piece in enumerate((one, other))
            if piece
        )
    return [*heads, *turns, *(chunk({}, index=index, end="stop") for index in (0, 1))]


def texts(chunks: Iterable[Chunk]) -> list[str]:
    """Return every text that a reader of these chunks can join, by choice and field.

    Arguments of tools come as they are and with their escapes decoded; of logprobs come the
    tokens, the bytes and the alternatives.
    """
    found: dict[tuple[object, ...], list[str]] = {}
    for one in chunks:
        for choice in one.get("choices") or ():
            for place, text in _texts_of(choice):
                found.setdefault((choice.get("index", 0), *place), []).append(text)
    joined = {place: "".join(parts) for place, parts in found.items()}
    decoded = [_decoded(text) for place, text in joined.items() if place[1] == "arguments"]
    return [*joined.values(), *decoded]


def _texts_of(choice: dict[str, Any]) -> Iterable[tuple[tuple[object, ...], str]]:
    delta = choice.get("delta") or {}
    for field in ("content", "reasoning_content", "refusal"):
        if delta.get(field):
            yield (field,), delta[field]
    for call in delta.get("tool_calls") or ():
        arguments = (call.get("function") or {}).get("arguments")
        if arguments:
            yield ("arguments", call.get("index", 0)), arguments
    for entry in (choice.get("logprobs") or {}).get("content") or ():
        yield ("token",), entry["token"]
        yield ("bytes",), bytes(entry.get("bytes") or ()).decode(errors="replace")
        for rank, other in enumerate(entry.get("top_logprobs") or ()):
            yield ("alternative", rank), other["token"]


def _decoded(arguments: str) -> str:
    """Return arguments without escapes; what is no whole JSON is read as far as it goes."""
    try:
        return json.dumps(json.loads(arguments), ensure_ascii=False)
    except ValueError:
        return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), arguments)
