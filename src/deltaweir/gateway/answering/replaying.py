"""A recording answers: what was shown is shown again, at no cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from deltaweir.adapters.recording_files import RecordedFile
from deltaweir.client.clocks import Timeouts
from deltaweir.client.metering import weir_for
from deltaweir.client.playback import playback_metering
from deltaweir.errors import DeltaweirError, InvalidRecording, ServiceUnavailable
from deltaweir.gateway.answering.asked import Asked
from deltaweir.gateway.keys.access import Needs
from deltaweir.gateway.ledger.rows import StreamRow
from deltaweir.gateway.runs.pump import Pump
from deltaweir.gateway.runs.runs import Run
from deltaweir.meter.budget import Lease
from deltaweir.recording import REPLAY, speed_of
from deltaweir.schema.chunk import AnyChunk, Usage
from deltaweir.schema.forwarding import ForwardedChunk, ForwardedTextChunk, Forwarder
from deltaweir.schema.reply import AnyReply, Reply, TextReply
from deltaweir.sources.replay import AsyncReplaySource, check_kind

ROW = "recording"
"""What a ledger calls who has answered."""
_NO_CLOCKS = Timeouts(None, None, None, None, None)


class ReplayAnswering:
    """A recording answers; its file is read here.

    Args:
        asked: The request, for a model that is a recording.

    Raises:
        InvalidRequest: It is a recording of the other endpoint.
        ServiceUnavailable: It cannot be played.
    """

    upstream_model: str | None = None

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        path = asked.route.model.replay
        assert path is not None  # or the model is no recording
        name = asked.route.name
        try:
            self._recording = RecordedFile(
                path, name=name if name.startswith(REPLAY) else f"the recording of {name!r}"
            )
        except InvalidRecording as error:
            raise ServiceUnavailable(error.message, code=error.code) from error
        check_kind(self._recording, text=not asked.chat)
        self._source: AsyncReplaySource[Any] | None = None

    def needs(self, stream_id: str) -> Needs:
        """Return what the stream is sure to use: nothing; see `Answering`."""
        return Needs(stream_id, 0, 0, 0)

    def run(self, lease: Lease | None, **options: Any) -> Run:
        """Return the stream of the answer, as `deltaweir.gateway.answering.answering` does."""
        asked = self._asked
        metered = playback_metering(
            self._recording.header.model, self._told, asked.call.limit, lease
        )
        asks = asked.request.stream_options if asked.wants_stream else None
        kind = ForwardedChunk if asked.chat else ForwardedTextChunk
        weir = weir_for(cast("Any", kind), metered, asks, asked.call.guard.stream())
        reply = Reply if asked.chat else TextReply
        run = Run(reply, weir=weir, metering=metered, patient=False, **options)
        run.outbox.as_recorded = True
        return run

    async def begin(self, run: Run, row: StreamRow) -> None:
        """Play it; see `deltaweir.gateway.answering.answering.Answering`."""
        row.asked(ROW)
        kind = ForwardedChunk if self._asked.chat else ForwardedTextChunk
        guarded = self._asked.call.guard.reads_answers
        self._source = source = AsyncReplaySource[Any](
            self._recording,
            kind,
            speed=speed_of(self._asked.route.model.speed),
            read=Forwarder(kind, guarded=guarded).read,
        )
        pump: Pump[Any] = Pump(source, _Listening(run, source))
        run.follow(pump, _NO_CLOCKS)
        await pump.run()

    def reply(self, run: Run) -> AnyReply:
        """Return the whole answer; see `deltaweir.gateway.answering.answering.Answering`."""
        reply: AnyReply = run.reply()
        return reply

    def _told(self) -> Usage | None:
        return None if self._source is None else self._source.usage


class _Listening:
    """Hand a run what is played, and end it as the recorded stream ended."""

    def __init__(self, run: Run, source: AsyncReplaySource[Any]) -> None:
        self._run = run
        self._source = source

    def took(self, chunks: Sequence[AnyChunk]) -> None:
        self._run.took(chunks)

    def ended(self) -> None:
        if self._source.cut is None:
            self._run.ended()
        else:
            self._run.abort(self._source.cut)

    def failed(self, error: DeltaweirError) -> None:
        self._run.failed(error)
