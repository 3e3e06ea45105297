"""What a weir lets out as the frames of one answer; the last words wait for the account.

A provider tells its usage behind the finish reason, in a chunk of its own that most clients did
not ask for. So that the account on a finish chunk is the provider's, the chunk waits for that:
until the usage is here, another chunk follows, or the stream ends. Usually that is one event.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from deltaweir.client.frames import StreamFrames
from deltaweir.errors import DeltaweirError
from deltaweir.schema.chunk import AnyChunk
from deltaweir.schema.forwarding import ForwardedChunk, ForwardedTextChunk, Splicer
from deltaweir.wire.sse import encode

_ENCODER = msgspec.json.Encoder()


class Outbox:
    """Write one stream's chunks as frames.

    Args:
        view: The stream.
        annotate: Whether to add our account to the last chunks.
        usage_asked: Whether the reader asked for a usage chunk.
        patient: Whether finish chunks wait for a provider's usage.

    Attributes:
        finish_reason: What the first choice ended with; None while it is open.
        said: What a Deltaweir behind us has told of the stream.
        as_recorded: Whether chunks that the weir has not changed go out byte for byte.
    """

    __slots__ = (
        "_annotate",
        "_frames",
        "_patient",
        "_splicer",
        "_usage_asked",
        "_view",
        "_waiting",
        "_writer",
        "as_recorded",
        "finish_reason",
        "said",
    )

    def __init__(self, view: Any, *, annotate: bool, usage_asked: bool, patient: bool) -> None:
        self.finish_reason: str | None = None
        self.said: dict[str, Any] = {}
        self.as_recorded = False
        self._view = view
        self._annotate = annotate
        self._usage_asked = usage_asked
        self._patient = patient and annotate and not usage_asked
        self._frames = StreamFrames(view, annotate=annotate, usage_asked=usage_asked)
        self._writer = self._frames.writer
        self._splicer = Splicer()
        self._waiting: list[AnyChunk] = []

    def frames(self, chunks: Sequence[AnyChunk]) -> list[bytes]:
        """Return the frames that these chunks bring, and those that waited for them."""
        out: list[bytes] = self.rest() if self._waiting and self._usage_known else []
        for chunk in chunks:
            choices: Sequence[Any] = chunk.choices
            if len(choices) == 1 and choices[0].finish_reason is None:  # nearly all are so
                if self._waiting:
                    out += self.rest()
                out.append(self._frame(chunk))
                continue
            ends = [choice for choice in choices if choice.finish_reason is not None]
            if ends:
                self._note(chunk, ends)
            elif self._waiting and choices:
                out += self.rest()
            if ends and self._patient and not self._usage_known:
                self._waiting.append(chunk)
            else:
                out.append(self._last(chunk) if ends or not choices else self._frame(chunk))
        return out

    def rest(self) -> list[bytes]:
        """Return the frames that have waited; the stream has ended, or goes on."""
        waiting, self._waiting = self._waiting, []
        for chunk in waiting:
            if chunk.usage is not None:  # told on every chunk, and now by the provider itself
                chunk.usage = self._view.usage
        return [self._last(chunk) for chunk in waiting]

    @property
    def waits(self) -> bool:
        """Whether frames wait, to leave before any other."""
        return bool(self._waiting)

    def error(self, error: DeltaweirError) -> bytes:
        """Return the frame that tells of an error, after which nothing comes."""
        return self._frames.error(error)

    def account(self) -> dict[str, Any]:
        """Return what we add under ``deltaweir``."""
        return self._frames.account()

    @property
    def _usage_known(self) -> bool:
        return self._view.reported is not None

    def _note(self, chunk: AnyChunk, ends: Sequence[Any]) -> None:
        """Keep what the end of a choice says."""
        if self.finish_reason is None or ends[0].index == 0:
            self.finish_reason = ends[0].finish_reason
        if isinstance(chunk.deltaweir, dict):
            self.said = chunk.deltaweir

    def _last(self, chunk: AnyChunk) -> bytes:
        """Return a chunk that may bring our account."""
        if not self._annotate or bool(chunk.choices) is self._usage_asked:
            return self._frame(chunk)
        if self.as_recorded and getattr(chunk, "raw", None) is not None:
            return self._frame(chunk)
        if not chunk.choices and chunk.usage is None:  # another than the one with the usage
            return self._frame(chunk)
        account = self._frames.account()
        if isinstance(chunk, ForwardedChunk | ForwardedTextChunk):
            data = None if chunk.deltaweir is not None else self._splicer.data(chunk)
            if data is not None and data.endswith(b"}"):
                added = _ENCODER.encode(account)
                return encode(b'%b,"deltaweir":%b}' % (data[:-1], added))
            chunk.raw = None
        chunk.deltaweir = account
        return self._frame(chunk)

    def _frame(self, chunk: AnyChunk) -> bytes:
        if isinstance(chunk, ForwardedChunk | ForwardedTextChunk):
            data = self._splicer.data(chunk)
            if data is not None:
                return encode(data)
            chunk.raw, chunk.retold = None, False  # it says what was taken out
        return self._writer.frame(chunk)


class CostedOutbox(Outbox):
    """Write one stream's chunks as frames, and on each that carries its usage, what that costs.

    For streams whose reader asked for ``continuous_usage_stats``; all others have no part in it.
    """

    __slots__ = ()

    def _frame(self, chunk: AnyChunk) -> bytes:
        as_it_came = self.as_recorded and getattr(chunk, "raw", None) is not None
        if chunk.usage is not None and chunk.deltaweir is None and not as_it_came:
            chunk.deltaweir = {"cost_usd": self._view.cost_usd_of(chunk.usage)}
            if isinstance(chunk, ForwardedChunk | ForwardedTextChunk):
                chunk.raw = None
        return super()._frame(chunk)
