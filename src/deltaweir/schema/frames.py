"""Chunks as the frames of an event stream, in the form of OpenAI's own (FACTS, section 2).

Most chunks bring one piece of content and nothing else, and the rest of them is as in the
chunk before. Such a chunk costs one encoding of its text, put between a head and a tail that
were made once, and anew where something else in it has changed; all others are encoded whole.
"""

from __future__ import annotations

import msgspec

from deltaweir.errors import DeltaweirError
from deltaweir.schema.chunk import AnyChunk, Choice, Chunk, TextChoice
from deltaweir.schema.texts import only_text
from deltaweir.wire.sse import encode

_ENCODER = msgspec.json.Encoder()
_NO_MORE = (None, None, None)
_CALLS = {"function_call", "tool_calls"}
"""Beside them a delta with a role need not have content."""
_REQUIRED = ("id", "object", "created", "model", "choices")


class FrameWriter:
    """Write one stream's chunks as frames.

    Args:
        usage_asked: Whether the reader asked for usage, and so gets ``usage: null`` in every
            chunk before the one that has it.
        exact: Whether a delta that brings a role and nothing else stays so; else it gets an
            empty content, as OpenAI sends it.

    One writer belongs to one stream.
    """

    __slots__ = ("_envelope", "_exact", "_heads", "_tail", "_usage_asked")

    def __init__(self, *, usage_asked: bool = False, exact: bool = False) -> None:
        self._usage_asked = usage_asked
        self._exact = exact
        self._envelope: tuple[object, ...] = ()
        self._heads: dict[int, bytes] = {}
        self._tail = b""

    def frame(self, chunk: AnyChunk) -> bytes:
        """Return a chunk as one frame."""
        choices = chunk.choices
        if len(choices) == 1 and not chunk.__dict__ and chunk.usage is None:
            choice, tier = choices[0], None
            text = only_text(choice)
            if isinstance(chunk, Chunk):
                tier = chunk.service_tier
                # the first two are others in each chunk
                more = (chunk.obfuscation, chunk.moderation, chunk.choices[0].delta.role)
                text = text if more == _NO_MORE else None
            if text is not None and chunk.deltaweir is None:
                fingerprint = chunk.system_fingerprint
                envelope = (chunk.id, chunk.created, chunk.model, chunk.object, fingerprint, tier)
                if envelope != self._envelope:
                    self._envelope = envelope
                    self._heads.clear()
                head = self._heads.get(choice.index)
                if head is None:
                    head = self._heads[choice.index] = self._made(chunk, choice)
                return b"%b%b%b" % (head, _ENCODER.encode(text), self._tail)
        return encode(_ENCODER.encode(self._whole(chunk)))

    def _made(self, chunk: AnyChunk, choice: Choice | TextChoice) -> bytes:
        envelope = _ENCODER.encode(
            {
                "id": chunk.id,
                "object": chunk.object,
                "created": chunk.created,
                "model": chunk.model,
            }
        )
        text = isinstance(choice, TextChoice)
        more = b""
        for name in ("service_tier", "system_fingerprint"):
            value = getattr(chunk, name, None)
            if value is not None:
                more += b',"%b":%b' % (name.encode(), _ENCODER.encode(value))
        if self._usage_asked:
            more += b',"usage":null'
        close = b"" if text else b"}"
        self._tail = b'%b,"logprobs":null,"finish_reason":null}]%b}\n\n' % (close, more)
        opening = b'"text":' if text else b'"delta":{"content":'
        return b'data: %b,"choices":[{"index":%d,%b' % (envelope[:-1], choice.index, opening)

    def _whole(self, chunk: AnyChunk) -> dict[str, object]:
        dumped = chunk.model_dump()
        ordered = {name: dumped.pop(name) for name in _REQUIRED}
        for choice in ordered["choices"]:
            choice.setdefault("logprobs", None)
            delta = choice.get("delta")
            if delta is None or self._exact or "role" not in delta:
                continue
            if _CALLS.isdisjoint(delta):
                delta.setdefault("content", "")
        if self._usage_asked:
            dumped.setdefault("usage", None)
        return ordered | dumped


def error_body(error: DeltaweirError, *, partial_usage: dict[str, object] | None = None) -> bytes:
    """Return an error as OpenAI's error body: four keys under ``error``.

    Args:
        error: The error.
        partial_usage: Usage so far, where a stream broke off.
    """
    body: dict[str, object] = {
        "error": {
            "message": error.message,
            "type": error_type(error),
            "param": error.param,
            "code": error.code,
        }
    }
    if partial_usage is not None:
        body["deltaweir"] = {"usage": partial_usage}
    return _ENCODER.encode(body)


def error_type(error: DeltaweirError) -> str:
    """Return the word that OpenAI has for this kind of error."""
    if error.status == 429:  # noqa: PLR2004
        return "rate_limit_error"
    return "invalid_request_error" if error.status < 500 else "server_error"  # noqa: PLR2004
