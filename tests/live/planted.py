"""Streams of a provider in which a secret is planted, and what a reader may see of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

from deltaweir.testing import Drop, Trickle, stream_answer
from deltaweir.testing.faults import Step
from deltaweir.wire.sse import DONE, encode

Field = Literal["content", "reasoning_content", "logprobs", "arguments"]
End = Literal["stop", "length", "death"]

SECRETS = {
    "email": "jane.doe@example.com",
    "card": "4111 1111 1111 1111",
    "openai_key": "sk-abcdefghijklmnopqrst",
}
"""By the rule that finds it, whose id is its label."""
BEFORE, AFTER = "Write to ", " today."
LEAST = 8
"""How many characters of a secret in a row are a leak."""


class Planted(NamedTuple):
    """An answer of the provider.

    Attributes:
        rule: The rule that finds the secret.
        field: Where the secret stands.
        pieces: What the chunks bring, one after the other.
        end: How the answer ends.
        trickled: Whether each byte comes by itself.
    """

    rule: str
    field: Field
    pieces: Sequence[str]
    end: End = "stop"
    trickled: bool = False

    @property
    def secret(self) -> str:
        """What must not be seen."""
        return SECRETS[self.rule]

    def answer(self) -> list[Step]:
        """Return what the provider sends."""
        events = [encode(json.dumps(chunk).encode()) for chunk in self._chunks()]
        if self.end == "death":
            return [*stream_answer(events[:-1], end=False), Drop()]
        steps: list[Step] = [*events, DONE]
        if self.trickled:
            steps = [Trickle(step) for step in steps if isinstance(step, bytes)]
        return stream_answer(steps)

    def _chunks(self) -> Iterator[dict[str, Any]]:
        call = {"index": 0, "id": "call_1", "type": "function"}
        first: dict[str, Any] = {"role": "assistant", "content": ""}
        if self.field == "arguments":
            first = {
                "role": "assistant",
                "content": None,
                "tool_calls": [{**call, "function": {"name": "send", "arguments": ""}}],
            }
        yield _chunk(first)
        for piece in self.pieces:
            if self.field == "arguments":
                yield _chunk({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
            elif self.field == "logprobs":
                yield _chunk({"content": piece}, logprobs={"content": list(map(_scored, piece))})
            elif self.field == "reasoning_content":  # some servers say it twice
                details = [{"type": "reasoning.text", "text": piece}]
                yield _chunk({self.field: piece, "reasoning_details": details})
            else:
                yield _chunk({self.field: piece})
        own = "tool_calls" if self.field == "arguments" else "stop"
        yield _chunk({}, finish_reason="length" if self.end == "length" else own)


def _chunk(delta: dict[str, Any], **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": None, **more}
    base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return {**base, "choices": [choice]}


def _scored(token: str) -> dict[str, Any]:
    entry = {"token": token, "logprob": -1.0, "bytes": list(token.encode())}
    return {**entry, "top_logprobs": [entry]}


def raw(rule: str, field: Field) -> tuple[str, str, str]:
    """Return what stands before a secret, the secret as it is written, and what stands after it.

    In arguments every second character of it is escaped.
    """
    secret = SECRETS[rule]
    if field != "arguments":
        return BEFORE, secret, AFTER
    written = "".join(
        letter if at % 2 else f"\\u{ord(letter):04x}" for at, letter in enumerate(secret)
    )
    return f'{{"text": "{BEFORE}', written, f'{AFTER}"}}'


def every_cut(rule: str, field: Field) -> Iterator[Planted]:
    """Give an answer cut in two at every place, and by the character; and whole, byte by byte."""
    text = "".join(raw(rule, field))
    for at in range(1, len(text)):
        yield Planted(rule, field, (text[:at], text[at:]))
    yield Planted(rule, field, tuple(text))
    yield Planted(rule, field, (text,), trickled=True)


def every_end(rule: str, field: Field, end: End) -> Iterator[Planted]:
    """Give an answer that ends at each character of the secret, and behind it."""
    before, secret, _ = raw(rule, field)
    for at in range(1, len(secret) + 1):
        yield Planted(rule, field, (before, secret[:at]), end)


def gathered(chunks: Any) -> dict[str, str]:
    """Return all texts of some chunks by where they stand, joined; bytes are texts too."""
    found: dict[str, str] = {}
    for path, text in _texts(chunks, ""):
        found[path] = found.get(path, "") + text
    return found


def _texts(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield "keys", key
            yield from _texts(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and path.endswith(".bytes"):
        yield path, bytes(value).decode()
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item, path)
    elif isinstance(value, str):
        yield path, value


def leaked(came: Any, secret: str) -> set[str]:
    """Return what of a secret can be read in what came, escaped or not, in whatever case."""
    secret = secret.casefold()
    parts = {secret[at : at + LEAST] for at in range(len(secret) - LEAST + 1)}
    texts = [*gathered(came).values(), json.dumps(came, ensure_ascii=False)]
    shown = "\n".join([*texts, *map(_unescaped, texts)]).casefold()
    return {part for part in parts if part in shown}


def _unescaped(text: str) -> str:
    return re.sub(r"\\+u([0-9a-fA-F]{4})", lambda found: chr(int(found[1], 16)), text)
