"""The input line of a conversation on a terminal that can do no more than show text."""

from __future__ import annotations

import sys
from typing import Any

from deltaweir.cli.show import say


class PlainInput:
    """Read lines as the terminal gives them, with Python's own editing where there is some."""

    editing = False
    """Whether there are keys to edit with."""
    typed = False
    """Whether anything was typed before the line that is read last ended."""

    def __init__(self) -> None:
        self._readline = _line_editing()

    def read(self) -> str:
        """Return what the person types.

        Raises:
            EOFError: They have left.
            KeyboardInterrupt: They interrupted an empty line.
        """
        self.typed = False
        while True:
            try:
                return self._line()
            except KeyboardInterrupt:
                if not self._typed():
                    raise
                self.typed = True
                say("")

    def _line(self) -> str:
        if sys.stdout.isatty():
            return input("> ")
        # stdout belongs to the answers, and readline would write there
        say("> ", end="")
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line

    def _typed(self) -> bool:
        """Say whether something stands in the line that was interrupted."""
        return self._readline is not None and bool(self._readline.get_line_buffer())


def _line_editing() -> Any:
    """Give the input line its editing keys and its past, where Python has readline."""
    if hasattr(sys.stdin, "reconfigure"):
        sys.stdin.reconfigure(errors="replace")  # a paste may hold anything
    try:
        import readline
    except ImportError:
        return None
    # it would echo ^C late, before the next line
    readline.parse_and_bind("set echo-control-characters off")
    return readline
