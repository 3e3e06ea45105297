"""What a stream lets a recorder do: take what it shows, from its first reader on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deltaweir.errors import InvalidRequest
from deltaweir.weir import Weir

if TYPE_CHECKING:
    from deltaweir.client.recorder import Recorder


class Recordable:
    """A stream that can be recorded, once and while there is something to record."""

    _weir: Weir[Any]
    _ready: list[Any]
    _recorder: Recorder | None = None

    def check_recordable(self) -> None:
        """Accept that a recorder takes what is shown from now on.

        Raises:
            InvalidRequest: It is recorded already, or there is nothing left to record.
        """
        if self._recorder is not None:
            raise InvalidRequest(
                "this stream is recorded already, and a stream has one recording; leave out "
                "record on its client or its call to record it elsewhere",
                param="stream",
            )
        if self._weir.ending is not None and not self._ready:
            raise InvalidRequest(
                "this stream has been read to its end, and nothing is left to record; call "
                "record before it is read",
                param="stream",
            )

    def record_by(self, recorder: Recorder) -> None:
        """Let a recorder take what is shown from now on, and what nobody has read yet."""
        self._recorder = recorder
        if self._ready:
            recorder.took(self._ready)
