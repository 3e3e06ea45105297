"""Show a recording while it is played."""

from __future__ import annotations

from typing import Any

from deltaweir.adapters.recording_files import RecordedFile
from deltaweir.cli.ask import Answered, Asking
from deltaweir.cli.process import CUT, ERROR
from deltaweir.cli.show import PATIENCE_S, say
from deltaweir.client.guarding import Guarded, ready_policy
from deltaweir.client.playback import Played, play
from deltaweir.client.streams import Stream
from deltaweir.meter.budget import limit_of
from deltaweir.schema.chunk import Chunk, TextChunk
from deltaweir.schema.reply import Reply, TextReply
from deltaweir.schema.request import StreamOptions


def recording(file: str) -> RecordedFile:
    """Return a recording that can be played.

    Raises:
        InvalidRecording: There is no such file, or it is no recording.
    """
    return RecordedFile(file)


class Playing(Asking):
    """Show a recording as an answer is shown.

    Args:
        recorded: The recording.
        fields: Its ``budget`` and ``guard``, as in a request.
        speed: A factor on its own pace; 0 for at once.
        as_json: Whether chunks are shown as they are, instead of their text.
        stats: Whether to say afterwards what it took.
    """

    def __init__(
        self,
        recorded: RecordedFile,
        fields: dict[str, Any],
        *,
        speed: float,
        as_json: bool,
        stats: bool,
    ) -> None:
        played = Played(
            recorded,
            speed,
            limit_of(fields.get("budget")),
            Guarded(ready_policy(fields.get("guard")), ()),
            # what was shown then is shown again
            StreamOptions(include_usage=recorded.header.usage_asked),
        )
        self._fields = {}
        self._left = self._offers_resume = False
        self._create = lambda **_: _stream(played)
        self._loads, self._patience_s = "opening ...", PATIENCE_S
        self._as_json = as_json
        self.stats = stats

    def ask(self, **more: Any) -> Answered:
        """Show the recording, and return how it went."""
        answered = super().ask(**more)
        if answered.code == CUT and self._left:
            say("deltaweir: the recording ends here, since whoever read the answer stopped it")
            return answered._replace(code=ERROR)
        return answered

    def _show(self, stream: Stream[Any, Any]) -> Any:
        shown = super()._show(stream)
        self._left = stream.stopped_by == "reader"
        return shown


def _stream(played: Played) -> Stream[Any, Any]:
    if played.recording.header.kind == "text":
        return play(played, TextChunk, TextReply)
    return play(played, Chunk, Reply)
