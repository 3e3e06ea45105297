"""A stream as the frames of an event stream: the same for routes of one's own and the gateway."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from deltaweir.client.view import StreamView
from deltaweir.errors import DeltaweirError
from deltaweir.schema.chunk import AnyChunk, Usage
from deltaweir.schema.frames import FrameWriter, error_body
from deltaweir.wire.sse import encode


class StreamFrames:
    """Write one stream's chunks as frames, with its account on the last.

    Args:
        stream: The stream.
        annotate: Whether finish chunks carry usage and cost under ``deltaweir``.
        usage_asked: Whether the reader asked for a usage chunk; the account is on that then.
    """

    def __init__(
        self, stream: StreamView[Any, Any] | Any, *, annotate: bool, usage_asked: bool
    ) -> None:
        self._stream = stream
        self._annotate = annotate
        self._usage_asked = usage_asked
        self._as_sent = as_sent_of(stream)
        self.writer = FrameWriter(usage_asked=usage_asked)
        """Writes chunks as they are."""

    def needs_account(self, chunk: AnyChunk) -> bool:
        """Tell whether `frame` will look at the stream's account, which may load files.

        A caller on an event loop looks at it in a thread before, unless ``quick_account``.
        """
        return self._annotate and not self._stream.quick_account and self._is_last(chunk)

    def frame(self, chunk: AnyChunk) -> bytes:
        """Return a chunk as a frame; one that is played again as it was then."""
        if self._as_sent is not None:
            data = self._as_sent(chunk)
            if data is not None:
                return encode(data)
        if self._annotate and self._is_last(chunk):
            chunk.deltaweir = self.account()
        return self.writer.frame(chunk)

    def error(self, error: DeltaweirError) -> bytes:
        """Return the frame that tells of an error, after which nothing comes."""
        usage = self._stream.usage
        spent = None if usage is None else usage.model_dump()
        return encode(error_body(error, partial_usage=spent))

    def account(self) -> dict[str, Any]:
        """Return what we add under ``deltaweir``: usage, cost, their source, who cut, what."""
        stream = self._stream
        account = stream.account()
        added: dict[str, Any] = {
            "usage": None if account.usage is None else _plain(account.usage),
            "cost_usd": account.cost_usd,
            "source": account.source,
        }
        if account.withheld:
            added["withheld_tokens"] = account.withheld
        return added | stream.told

    def _is_last(self, chunk: AnyChunk) -> bool:
        if self._usage_asked:
            return not chunk.choices
        return any(choice.finish_reason is not None for choice in chunk.choices)


def as_sent_of(stream: Any) -> Callable[[AnyChunk], bytes | None] | None:
    """Return what knows a chunk's bytes, as they are to be shown again; None where nothing does.

    Args:
        stream: The stream; that of a recording knows them from now on.
    """
    as_sent: Callable[[AnyChunk], bytes | None] | None = getattr(stream, "as_sent", None)
    if as_sent is not None:
        stream.keep_bytes()
    return as_sent


def _plain(usage: Usage) -> dict[str, Any]:
    """Return usage as plain data; what providers add to it takes the longer way."""
    details = (usage.prompt_tokens_details, usage.completion_tokens_details)
    if usage.__dict__ or any(one is not None and one.__dict__ for one in details):
        return usage.model_dump()
    plain: dict[str, Any] = msgspec.to_builtins(usage)
    return plain
