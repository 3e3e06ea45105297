"""Show an answer's Markdown on a terminal while it arrives.

One thread draws, at most fifteen times a second, so that an interruption of the thread that
reads never tears an escape sequence apart, and the last words are shown though no more come.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

from rich.text import Text

from deltaweir.cli.live_frames import EMPTY, Size, fitting, frame
from deltaweir.cli.markdown_blocks import Blocks
from deltaweir.cli.markdown_lines import Lines
from deltaweir.cli.markdown_open import laid_out
from deltaweir.cli.show import printable

FRAME_S = 1 / 15
"""How long a frame stays at least, in seconds."""
_SHARE = 4
"""How many times as long as drawing took the pause after it is at least."""
PATIENCE_S = 0.5
"""How long nothing may come before that is shown, in seconds."""
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_TURNS_S = 0.1


class LiveText:
    """Write Markdown to stdout as it comes; a context manager that ends it.

    Args:
        explain: Returns what is being waited for, where nothing comes.
        colours: Whether styles are written.
        size: Returns the terminal's size.
        clock: Returns seconds on a monotonic clock.
    """

    def __init__(
        self,
        explain: Callable[[], str],
        *,
        colours: bool = True,
        size: Callable[[], Size] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._explain = explain
        self._colours = colours
        self._size = size or terminal_size
        self._clock = clock
        self._blocks, self._lines = Blocks(), Lines()
        self._came: list[str] = []
        self._region = EMPTY
        self._failure: OSError | None = None
        self._last = clock()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._ended = False
        self._thread = threading.Thread(target=self._paint, name="deltaweir-live", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    def feed(self, text: str) -> None:
        """Take more of the answer.

        Raises:
            OSError: The terminal is gone.
        """
        if self._failure is not None:
            raise self._failure
        self._last = self._clock()
        self._came.append(printable(text))

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Let something else be written: what is open makes room, and is shown again below."""
        with self._lock:
            self._draw(open_too=False)
            yield

    def end(self) -> None:
        """Show all that came, for good; idempotent, and to be called again if interrupted."""
        if self._ended:
            return
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()
        with self._lock:
            if not self._ended:
                self._ended = True
                self._draw(open_too=False, last=True)

    def _paint(self) -> None:
        pause = FRAME_S
        while not self._over.wait(pause):
            began = self._clock()
            with self._lock:
                self._draw()
            pause = max(FRAME_S, _SHARE * (self._clock() - began))

    def _draw(self, *, open_too: bool = True, last: bool = False) -> None:
        came, self._came = self._came, []
        size = self._size()
        pieces = self._blocks.feed("".join(came))
        if last:
            pieces += self._blocks.finish()
        finished = [
            line for piece in pieces for line in self._lines.finished(piece, size.columns - 1)
        ]
        rows = self._open(size) if open_too else []
        written, self._region = frame(self._region, finished, rows, size, colours=self._colours)
        if written and self._failure is None:
            try:
                sys.stdout.write(written)
                sys.stdout.flush()
            except OSError as error:
                self._failure = error

    def _open(self, size: Size) -> list[Text]:
        open_ = self._blocks.open
        if open_.kind == "block":
            open_ = open_._replace(text=laid_out(open_.text))
        rows = self._lines.open(open_, size.columns - 1) if open_.text.strip() else []
        waits = self._clock() - self._last
        if waits < PATIENCE_S:
            return fitting(rows, size)
        turn = _SPINNER[int(waits / _TURNS_S) % len(_SPINNER)]
        return [*fitting(rows, size), Text(f"{turn} {self._explain()}", style="dim")]


def terminal_size() -> Size:
    """Return the size of the terminal that stdout is."""
    try:
        return Size(*os.get_terminal_size(sys.stdout.fileno()))
    except (OSError, ValueError):
        return Size(80, 24)
