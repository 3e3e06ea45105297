"""What people see: the answer on stdout, and on stderr where it comes from and what it took."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from deltaweir.cli.folding import folded
from deltaweir.cli.verdicts import told

if TYPE_CHECKING:
    from deltaweir.client.streams import Stream
    from deltaweir.meter.account import Account

PATIENCE_S = 1.0
"""How long a wait may be before it is explained, in seconds."""
_REDRAW_S = 0.2
_BURST_S = 0.02
"""Within so many seconds an answer came at once: how fast it was made, nobody saw."""

# A model may write anything; what moves the cursor or sets a title is not for a terminal.
_REMOVED = [code for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"]
# Nor is what turns the direction of letters, since a line then reads as another than it is, or
# half of a pair, which cannot be written. What joins letters, as in many an emoji, stays.
_REPLACED = (
    *(0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)),
    *range(0xD800, 0xE000),
)
_CONTROL: dict[int, str | None] = {
    **dict.fromkeys(_REMOVED),
    **dict.fromkeys(_REPLACED, "\N{REPLACEMENT CHARACTER}"),
}


def printable(text: str) -> str:
    """Return a text without what is no letter for a terminal, tabs and line breaks apart.

    What turns the direction of letters is replaced by U+FFFD.
    """
    return text.translate(_CONTROL)


def say(text: str, *, end: str = "\n") -> None:
    """Write a line to stderr; nobody is told when it cannot be written.

    On a terminal that is too narrow for it, it breaks between words.
    """
    shown = folded(printable(text), stderr_columns()) if sys.stderr.isatty() else text
    with contextlib.suppress(OSError):
        sys.stderr.write(f"{shown}{end}")
        sys.stderr.flush()


def say_faint(text: str) -> None:
    """Write a line to stderr that stands back, where the terminal can show that."""
    if has_colours() and can_redraw():
        with contextlib.suppress(OSError):
            shown = folded(printable(text), stderr_columns())
            sys.stderr.write(f"\x1b[2m{shown}\x1b[0m\n")
            sys.stderr.flush()
    else:
        say(text)


def stderr_columns() -> int:
    """Return how wide the terminal is that stderr goes to; stdout may go elsewhere."""
    if not sys.stdout.isatty():
        with contextlib.suppress(ValueError, OSError):
            if columns := os.get_terminal_size(sys.stderr.fileno()).columns:
                return columns
    return shutil.get_terminal_size().columns


def has_colours() -> bool:
    """Say whether the environment lets terminals have colours."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def write(text: str) -> None:
    """Write a piece of an answer to stdout, at once.

    Raises:
        BrokenPipeError: Nobody reads it any more.
        OSError: It cannot be written.
    """
    sys.stdout.write(printable(text) if sys.stdout.isatty() else text)
    sys.stdout.flush()


def statistics(stream: Stream[Any, Any]) -> str:
    """Return one line on tokens, money and time."""
    account, timing = stream.account(both=True), stream.timing
    parts = []
    if account.usage is not None:
        parts.append(_tokens(account))
    cost = stream.cost if account.cost_usd is None else account.cost_usd
    parts.append("cost unknown" if cost is None else dollars(cost))
    if timing.first_content is not None:
        parts.append(f"first token {timing.first_content:.2f} s")
    parts.append(f"whole {timing.total or 0:.2f} s")
    spoke_s = (timing.total or 0) - (timing.first_content or 0)
    if timing.tokens_per_second is not None and spoke_s > _BURST_S:
        parts.append(f"{timing.tokens_per_second:.0f} tok/s")
    parts += told(stream.verdicts, cut=stream.stopped_by == "guard")
    if stream.stopped_by == "budget":
        parts.append("cut by the budget")
    elif not stream.complete and stream.stopped_by != "guard":
        parts.append("not complete")
    return separated(*parts)


def separated(*parts: str) -> str:
    """Return parts of a line with dots between, where stderr has such."""
    return _separator().join(parts)


def _tokens(account: Account) -> str:
    usage = account.usage
    prompt = "?" if usage is None or usage.prompt_tokens is None else usage.prompt_tokens
    generated = 0 if usage is None else usage.completion_tokens
    source = str(account.source)
    if account.source == "provider" and account.difference is not None:
        source += f", we counted {account.counted}"
        if account.difference:
            source += f": {account.difference:+}"
    if account.withheld:
        source += f", {account.withheld} of them not shown"
    return f"{prompt} + {generated} tokens ({source})"


def dollars(amount: float) -> str:
    """Return a sum of money with as many digits as it needs, never as 1e-05."""
    if amount == 0:
        return "$0"
    if amount >= 1:
        return f"${amount:,.2f}"
    # two digits that count
    shown = f"{amount:.{1 - math.floor(math.log10(amount))}f}"
    return f"${shown.rstrip('0').rstrip('.')}"


def _separator() -> str:
    try:
        "·".encode(sys.stderr.encoding)
    except (UnicodeEncodeError, TypeError, LookupError):  # not every stream has an encoding
        return " | "
    return " · "


def can_redraw() -> bool:
    """Say whether stderr is a terminal that can write over its last line."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


class Waiting:
    """Explain a long wait on a terminal's last line, and wipe it when the wait is over.

    Args:
        explain: Returns what is being waited for, asked several times a second.
        patience_s: How long to wait before it is explained, in seconds; 0 does it at once.
    """

    def __init__(self, explain: Callable[[], str], *, patience_s: float = PATIENCE_S) -> None:
        self._explain = explain
        self._patience_s = patience_s
        self._over = threading.Event()
        self._ended = False
        self._shown = False
        self._drawing = threading.Lock()
        self._thread = threading.Thread(target=self._show, daemon=True)

    def __enter__(self) -> Self:
        if can_redraw():
            if self._patience_s == 0:
                self._tell()
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    def end(self) -> None:
        """End the wait; idempotent, and to be called again when it was interrupted."""
        if self._ended:
            return
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()
        if self._shown:
            self._draw("")
        self._ended = True

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Wipe the explanation while something else is written; the wait goes on after it."""
        with self._drawing:
            if self._shown and not self._ended:
                self._draw("")
            yield

    def _show(self) -> None:
        pause = self._patience_s or _REDRAW_S
        while not self._over.wait(pause):
            pause = _REDRAW_S
            with self._drawing:
                self._tell()

    def _tell(self) -> None:
        self._shown = True
        # a line that breaks could not be written over
        self._draw(self._explain()[: shutil.get_terminal_size().columns - 1])

    def _draw(self, text: str) -> None:
        with contextlib.suppress(OSError):
            sys.stderr.write(f"\r{text}\x1b[K")
            sys.stderr.flush()
