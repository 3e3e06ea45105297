"""The ways an answer is shown: its text as it comes, its chunks as JSON, or live Markdown."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from deltaweir.cli.show import Waiting, write
from deltaweir.schema.chunk import TextChunk

if TYPE_CHECKING:
    from deltaweir.cli.live_text import LiveText
    from deltaweir.client.streams import Stream


class Answer(Protocol):
    """Shows one answer; a context manager, at whose end the answer's last line has ended."""

    def __enter__(self) -> Self:
        """Begin, by waiting for it."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End."""

    def take(self, chunk: Any) -> None:
        """Show what a chunk brings."""

    def aside(self) -> contextlib.AbstractContextManager[None]:
        """Make room for lines on stderr, which stand between the answer's own."""


def text_of(chunk: Any) -> Iterator[str]:
    """Return the texts that a chunk brings, and no empty one."""
    for choice in chunk.choices:
        text = choice.text if isinstance(chunk, TextChunk) else choice.delta.content
        if text:
            yield text


class PlainAnswer:
    """Write an answer's text to stdout piece by piece, byte for byte.

    Args:
        stream: The answer.
        as_json: Whether its chunks are written instead, one a line.
    """

    def __init__(self, stream: Stream[Any, Any], *, as_json: bool = False) -> None:
        self._as_json = as_json
        self._open_line = False
        self._waiting = Waiting(lambda: waited_for(stream))

    def __enter__(self) -> Self:
        self._waiting.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._waiting.end()
        if self._open_line:
            self._open_line = False
            write("\n")

    def take(self, chunk: Any) -> None:
        """Show what a chunk brings."""
        if self._as_json:
            self._waiting.end()
            write(chunk.model_dump_json() + "\n")
            return
        for text in text_of(chunk):
            self._waiting.end()
            write(text)
            self._open_line = not text.endswith("\n")

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Make room for lines on stderr; on a terminal that shows both they begin a new one."""
        with self._waiting.aside():
            if self._open_line and sys.stdout.isatty() and sys.stderr.isatty():
                self._open_line = False
                write("\n")
            yield


class LiveAnswer:
    """Show an answer as Markdown that grows, on a terminal.

    Args:
        stream: The answer.
        colours: Whether styles are written.
    """

    def __init__(self, stream: Stream[Any, Any], *, colours: bool) -> None:
        # heavy: only a conversation on a terminal pays for it
        from deltaweir.cli.live_text import LiveText

        self._live: LiveText = LiveText(lambda: waited_for(stream), colours=colours)
        self._quiet = without_echo()

    def __enter__(self) -> Self:
        self._quiet.__enter__()
        self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._live.end()
        finally:
            self._quiet.__exit__(None, None, None)

    def take(self, chunk: Any) -> None:
        """Show what a chunk brings."""
        for text in text_of(chunk):
            self._live.feed(text)

    def aside(self) -> contextlib.AbstractContextManager[None]:
        """Make room for lines on stderr; the block that is open is shown again below them."""
        return self._live.aside()


def waited_for(stream: Stream[Any, Any]) -> str:
    """Return what an answer waits for, in a few words."""
    read, total = stream.prompt_progress
    return f"reading the prompt: {read} of {total} tokens ..." if total else "waiting ..."


def can_be_live() -> bool:
    """Say whether stdout is a terminal that can show live Markdown."""
    if not sys.stdout.isatty() or os.environ.get("TERM") == "dumb":
        return False
    if sys.platform == "win32":
        from rich.console import detect_legacy_windows

        if detect_legacy_windows():
            return False
    try:
        "│─•⋮⠋".encode(sys.stdout.encoding)
    except (UnicodeEncodeError, LookupError, TypeError):
        return False
    return True


@contextlib.contextmanager
def without_echo(*, enter: bool = False) -> Iterator[None]:
    """Keep a terminal from showing what is typed meanwhile, which would tear the answer apart.

    It is not lost: it stands in the next input line.

    Args:
        enter: Whether Enter comes as itself, for an editor; it would else be Ctrl-J there.
    """
    try:
        import termios
    except ImportError:  # Windows shows nothing before it is read
        yield
        return
    try:
        number = sys.stdin.fileno()
        before = termios.tcgetattr(number)
    except (OSError, ValueError, termios.error):  # no terminal
        yield
        return
    quiet = [*before]
    quiet[3] &= ~termios.ECHO
    if enter:
        quiet[0] &= ~termios.ICRNL
    termios.tcsetattr(number, termios.TCSANOW, quiet)
    try:
        yield
    finally:
        termios.tcsetattr(number, termios.TCSANOW, before)
