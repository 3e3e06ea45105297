"""Open a stream where no interruption can reach the engine while it loads.

The engine's native object cannot be taken down in the moment it was made: it would wait for
itself for ever. An interruption raised there would do just that, so the call is made on a
thread of its own and the interruption is raised beside it. The engine holds the interpreter
while it loads, so it is noticed when the model is in memory.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from deltaweir.client.streams import Stream

_POLL_S = 0.1  # on Windows a wait without a limit cannot be interrupted


class Opening:
    """A call that opens a stream, to be waited for once.

    Args:
        create: Opens the stream; may load the model.
    """

    def __init__(self, create: Callable[[], Stream[Any, Any]]) -> None:
        self._create = create
        self._stream: Stream[Any, Any] | None = None
        self._error: BaseException | None = None
        self._unwanted = False
        self._thread = threading.Thread(target=self._open, name="deltaweir-opening", daemon=True)

    def result(self) -> Stream[Any, Any]:
        """Wait for the stream.

        Raises:
            BaseException: What the call raised, or what interrupted the wait; the stream is
                then closed as soon as it is there.
        """
        self._thread.start()
        try:
            while self._thread.is_alive():
                self._thread.join(_POLL_S)
        except BaseException:
            self._unwanted = True
            self._close()
            raise
        if self._stream is None:
            assert self._error is not None
            raise self._error
        return self._stream

    def _open(self) -> None:
        try:
            self._stream = self._create()
        except BaseException as error:  # noqa: BLE001  raised again where it is waited for
            self._error = error
        if self._unwanted:
            self._close()

    def _close(self) -> None:
        if self._stream is not None:
            self._stream.close()


def is_under_way() -> bool:
    """Say whether a call is still being made that nobody waits for any more."""
    return any(thread.name == "deltaweir-opening" for thread in threading.enumerate())
