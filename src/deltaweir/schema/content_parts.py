"""Content as a list of parts, where OpenAI's answers have one text. Pure.

Mistral's reasoning models answer so, and stream so: parts of the type ``thinking`` hold what the
model thinks, parts of the type ``text`` what it says. Whoever reads an answer finds both where
other providers have them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

_LIKELY = re.compile(rb'"content"\s*:\s*\[\s*(?:\]|"|\{\s*"(?:type|text|thinking)")')
"""Entries of log probabilities stand under the same name, and begin with other ones."""


def are_in(data: bytes) -> bool:
    """Tell whether the JSON of a chunk, which can be read, has content in parts."""
    if not (b'content":[' in data or b'content": [' in data) or not _LIKELY.search(data):
        return False
    deltas = (one.get("delta") for one in msgspec.json.decode(data).get("choices") or ())
    return any(isinstance(one.get("content"), list) for one in deltas if one)


def joined(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a delta or a message with its content as texts; one without parts as it is.

    Args:
        value: As plain data. What is neither said nor thought, a reference say, is kept
            under ``content_parts``.
    """
    parts = value.get("content")
    if not isinstance(parts, list):
        return value
    said: list[str] = []
    thought: list[str] = []
    others: list[Any] = []
    for part in parts:
        if (text := _text(part, "text")) is not None:
            said.append(text)
        elif (text := _text(part, "thinking")) is not None:
            thought.append(text)
        else:
            others.append(part)
    texts = {**value, "content": "".join(said)} if said or not thought else _without(value)
    if thought:
        texts["reasoning_content"] = "".join([value.get("reasoning_content") or "", *thought])
    return {**texts, "content_parts": others} if others else texts


def _without(value: Mapping[str, Any]) -> dict[str, Any]:
    return {name: inner for name, inner in value.items() if name != "content"}


def _text(part: Any, kind: str) -> str | None:
    """Return the text of a part of this kind, None for any other."""
    if isinstance(part, str):
        return part if kind == "text" else None
    if not isinstance(part, Mapping) or part.get("type", kind) != kind:
        return None
    inner = part.get(kind)
    if isinstance(inner, str):
        return inner
    if kind == "text" or not isinstance(inner, list):
        return None
    texts = [_text(one, "text") for one in inner]
    return None if None in texts else "".join(text for text in texts if text)
