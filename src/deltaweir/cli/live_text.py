"""Show an answer's Markdown on a terminal while it arrives.

Threads of its own draw, at most fifteen times a second, so that an interruption of the thread
that reads never tears an escape sequence apart, and the last words are shown though no more
come. What comes in a burst is shown over several frames, so that each of them is soon there.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
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
MOST_LINES = 50
"""Lines that a frame takes of what came at most."""
MOST_CHARS = 8_000
"""Characters after which a frame takes no further line."""
_LEAST_LINES = 3
"""Of how many lines a terminal is at least that shows what is waited for."""
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
        self._came: deque[str] = deque()
        """What is not drawn yet, no part with a line break but at its end."""
        self._region = EMPTY
        self._failure: OSError | None = None
        self._last = clock()
        self._lock = threading.Lock()
        """Held for a frame, and while something else is written."""
        self._drawing = threading.Lock()
        self._over = threading.Event()
        self._painting = _Work(self._paint)

    def __enter__(self) -> Self:
        self._painting.begin()
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
        self._came.extend(printable(text).splitlines(keepends=True))

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Let something else be written: what is open makes room, and is shown again below."""
        with self._lock:
            _Work(self._draw_all).finish()
            yield

    def end(self) -> None:
        """Show all that came, for good; idempotent, and to be called again if interrupted.

        An interruption waits until the last words are shown; a second one does not.
        """
        self._over.set()
        self._painting.finish()

    def _paint(self) -> None:
        pause = FRAME_S
        while not self._over.wait(pause):
            began = self._clock()
            with self._lock:
                self._draw()
            pause = max(FRAME_S, _SHARE * (self._clock() - began))
        with self._lock:
            self._draw_all(last=True)

    def _draw_all(self, *, last: bool = False) -> None:
        self._draw(open_too=False, last=last)
        while self._came:
            self._draw(open_too=False, last=last)

    def _some(self) -> str:
        """Return the next of what came, as much as a frame takes."""
        parts, lines, chars = [], 0, 0
        while self._came and lines < MOST_LINES and chars < MOST_CHARS:
            parts.append(self._came.popleft())
            lines += parts[-1].endswith("\n")
            chars += len(parts[-1])
        return "".join(parts)

    def _draw(self, *, open_too: bool = True, last: bool = False) -> None:
        with self._drawing:
            size = self._size()
            pieces = self._blocks.feed(self._some())
            if last and not self._came:
                pieces += self._blocks.finish()
            self._write(self._lines.burst(pieces, size.columns - 1), size, open_too=open_too)

    def _write(self, finished: Sequence[Text], size: Size, *, open_too: bool) -> None:
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
        if waits < PATIENCE_S or self._came or size.lines < _LEAST_LINES:
            return fitting(rows, size)
        turn = _SPINNER[int(waits / _TURNS_S) % len(_SPINNER)]
        return [*fitting(rows, size), Text(f"{turn} {self._explain()}", style="dim")]


class _Work:
    """Work of a thread of its own, which an interruption does not end halfway."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._work = work
        self._thread = threading.Thread(target=self._run, name="deltaweir-live", daemon=True)
        # not joined: a thread whose join was interrupted counts as ended to some Pythons
        self._done = threading.Event()
        self._error: Exception | None = None

    def begin(self) -> None:
        self._thread.start()

    def finish(self) -> None:
        """Wait until it is done; what interrupts the wait is raised only then, the first time."""
        try:
            if self._thread.ident is None:
                self.begin()
            self._done.wait()
        finally:
            if self._thread.ident is not None:
                self._done.wait()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            self._work()
        except Exception as error:  # noqa: BLE001  # raised where it is waited for
            self._error = error
        finally:
            self._done.set()


def terminal_size() -> Size:
    """Return the size of the terminal that stdout is; what nobody has set is assumed."""
    try:
        columns, lines = os.get_terminal_size(sys.stdout.fileno())
    except (OSError, ValueError):
        columns, lines = 0, 0
    return Size(columns or 80, lines or 24)
