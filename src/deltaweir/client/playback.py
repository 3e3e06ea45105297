"""The streams of recordings: played by a client as if a model answered, at no cost.

What comes is counted as it comes, limited and guarded as the caller says, and told by the
recording once its end is reached.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from deltaweir.adapters.recording_files import RecordedFile
from deltaweir.client.clocks import Timeouts, timeouts_of
from deltaweir.client.destination import Settings
from deltaweir.client.embedded import call_of
from deltaweir.client.guarding import Guarded
from deltaweir.client.metering import Metering, ModelBasis, SharedMeter, weir_for
from deltaweir.client.requests import new_request_id
from deltaweir.client.streams import AsyncStream, Stream
from deltaweir.client.view import StreamView
from deltaweir.meter.account import PROVIDER, Account
from deltaweir.meter.budget import Budget, Lease, Limit
from deltaweir.meter.meter import Meter
from deltaweir.meter.prices import Price
from deltaweir.recording import RECORDED, REPLAY, speed_of
from deltaweir.schema.chunk import AnyChunk, Chunk, TextChunk, Usage
from deltaweir.schema.reply import Reply, TextReply
from deltaweir.schema.request import AnyRequest, StreamOptions
from deltaweir.sources.replay import AsyncReplaySource, Playing, ReplaySource

ChunkT = TypeVar("ChunkT", bound=Chunk | TextChunk)
ReplyT = TypeVar("ReplyT", bound=Reply | TextReply)

_NO_CLOCKS = Timeouts(None, None, None, None, None)
"""A recording waits as long as its stream did."""


class _FreeBasis(ModelBasis):
    """What is counted costs nothing: it was paid for when it was recorded."""

    def price(self, model: str | None) -> Price | None:  # noqa: ARG002  whatever it is
        """Return None: nobody asks a recording's price."""
        return None


class RecordedMeter(Meter):
    """The account of a playback: our count while it comes, the recorded one at its end.

    Args:
        model: The model that was recorded, by whose vocabulary is counted.
        told: Returns the recorded usage once the end is reached.
    """

    def __init__(self, model: str, told: Callable[[], Usage | None]) -> None:
        super().__init__(_FreeBasis(None), model=model or None)
        self._told = told

    @property
    def usage(self) -> Usage | None:
        """The count so far."""
        return self._told() or super().usage

    @property
    def reported(self) -> Usage | None:
        """What the recording says."""
        return self._told() or super().reported

    def account(self, *, both: bool = False) -> Account:
        """Return the account at this moment; it costs nothing.

        Args:
            both: Whether to count although the recorded figure is there.
        """
        told = self._told()
        if told is not None and not both:
            return Account(told, RECORDED, 0, None, told)
        counted = super().account(both=both)
        if told is not None:
            return Account(told, RECORDED, 0, counted.counted, told)
        source = RECORDED if counted.source == PROVIDER else counted.source
        return counted._replace(source=source, cost_pico=0)


def playback_metering(
    model: str, told: Callable[[], Usage | None], limit: Limit, lease: Lease | None = None
) -> Metering:
    """Return meter and budget of a playback; a limit in money is never passed.

    Args:
        model: The model that was recorded.
        told: Returns the recorded usage once the end is reached.
        limit: What may be shown.
        lease: The share of a common budget; None where there is none.
    """
    meter = RecordedMeter(model, told)
    shared = SharedMeter(meter)
    limit = limit._replace(pico=None)
    if not (limit if lease is None else limit.tighter(lease.granted)):
        return Metering(shared, None)
    return Metering(
        shared,
        Budget(
            limit,
            lambda: meter.tokenizer,
            reported=lambda: shared.reported,
            hidden=lambda: shared.hidden,
            lease=lease,
        ),
    )


class _Played(StreamView[Any, Any]):
    """What both playbacks know beside their view: the recording's last line, and its bytes."""

    _source: Playing[Any]

    @property
    def as_sent(self) -> Callable[[AnyChunk], bytes | None]:
        """Returns the bytes a chunk was recorded as; None where it is not as it was.

        It is the source's, so that who keeps it does not keep the stream.
        """
        return self._source.as_sent

    def keep_bytes(self) -> None:
        """Let `as_sent` know what comes from now on, since somebody will ask."""
        self._source.keeps_bytes = True

    def _ended(self, now: float) -> None:
        cut = self._source.cut
        if cut is None:
            super()._ended(now)
        else:
            self._stop(cut)

    def _server_said(self) -> Mapping[str, Any]:
        end = self._source.end if self._source.over else None
        return {**super()._server_said(), **({} if end is None else end.deltaweir)}


class PlaybackStream(_Played, Stream[ChunkT, ReplyT]):
    """A recording that is played to a program that blocks; all that a `Stream` is.

    Its frames are byte for byte what was recorded, where the weir has not changed a chunk.
    """

    _source: ReplaySource[ChunkT]


class AsyncPlaybackStream(_Played, AsyncStream[ChunkT, ReplyT]):
    """A recording that is played to an asyncio program; all that an `AsyncStream` is.

    Its frames are byte for byte what was recorded, where the weir has not changed a chunk.
    """

    _source: AsyncReplaySource[ChunkT]


class Played(NamedTuple):
    """All that the playback of a recording needs."""

    recording: RecordedFile
    speed: float
    limit: Limit
    guard: Guarded
    options: StreamOptions | None = None
    timeouts: Timeouts = _NO_CLOCKS
    request: AnyRequest | None = None


def is_replay(model: Any, settings: Settings) -> bool:
    """Tell whether a model's name means a recording of this machine.

    Where the caller has named a server, it means one of that server's.
    """
    here = settings.base_url is None and settings.api_key is None
    return here and isinstance(model, str) and model.startswith(REPLAY)


def played_of(fields: Mapping[str, Any], settings: Settings, kind: type[Any]) -> Played:
    """Return what a call for a recording plays; the file is read here.

    Args:
        fields: What the caller gave; its ``model`` is ``replay:FILE``.
        settings: What holds where the call says nothing.
        kind: The chunk type.

    Raises:
        InvalidRecording: There is no such file, or it is no recording.
        InvalidRequest: A field is wrong.
        GuardBlocked: A guard refuses the prompt.
    """
    own = fields.get("replay_speed")
    speed = speed_of(settings.replay_speed if own is None else own)
    usual = settings.timeouts == Timeouts()
    waits = settings._replace(timeouts=_NO_CLOCKS) if usual else settings
    call = call_of(fields, chat=issubclass(kind, Chunk), settings=waits)
    recording = RecordedFile(str(fields["model"]).removeprefix(REPLAY))
    if call.limit.tokens is not None:
        _FreeBasis(None).tokenizer(recording.header.model or None)  # loaded where one may wait
    return Played(
        recording,
        speed,
        call.limit,
        call.guard,
        call.request.stream_options,
        timeouts_of(base=call.timeouts)._replace(headers=None),
        call.request,
    )


def play(
    played: Played, kind: type[ChunkT], reply_kind: type[ReplyT]
) -> PlaybackStream[ChunkT, ReplyT]:
    """Return the stream of a recording, for a program that blocks.

    Raises:
        InvalidRequest: It is a recording of the other endpoint.
    """
    source = ReplaySource(played.recording, kind, speed=played.speed)
    return PlaybackStream(source, reply_kind, **_slots(played, source, kind))


def play_async(
    played: Played, kind: type[ChunkT], reply_kind: type[ReplyT]
) -> AsyncPlaybackStream[ChunkT, ReplyT]:
    """Return the stream of a recording, for an asyncio program; see `play`."""
    source = AsyncReplaySource(played.recording, kind, speed=played.speed)
    return AsyncPlaybackStream(source, reply_kind, **_slots(played, source, kind))


def _slots(played: Played, source: Playing[ChunkT], kind: type[ChunkT]) -> dict[str, Any]:
    model = played.recording.header.model
    metered = playback_metering(model, lambda: source.usage, played.limit)
    return {
        "weir": weir_for(kind, metered, played.options, played.guard.stream()),
        "metering": metered,
        "timeouts": played.timeouts,
        "request_id": new_request_id(),
    }
