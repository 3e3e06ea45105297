"""A conversation in the terminal: lines of a person, answers of the model, in turn."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

from deltaweir.cli.ask import Asking
from deltaweir.cli.process import COMPLETE, INTERRUPTED
from deltaweir.cli.show import say
from deltaweir.errors import ContextLengthExceeded

_HELP = """\
/reset  forgets what was said
/help   shows this
/exit   leaves, as Ctrl-D does
Ctrl-C  stops an answer, or clears the line; on an empty line it leaves"""


class Conversation:
    """Talk until the person leaves; an interruption ends an answer, not the conversation.

    Args:
        asking: Asks the model.
        opening: Messages that stand before everything and survive a reset.
    """

    def __init__(self, asking: Asking, *, opening: list[Any]) -> None:
        self._asking = asking
        self._opening = opening
        self._messages = [*opening]
        self._readline = _line_editing()

    def run(self) -> int:
        """Talk, and return the exit code."""
        say("Ask something; /help lists what else you can do.")
        while True:
            try:
                line = self._line()
            except EOFError:
                say("")
                return COMPLETE
            except KeyboardInterrupt:
                say("")
                if self._typed():
                    continue
                return INTERRUPTED
            if line.startswith("/"):
                if line.strip() == "/exit":
                    return COMPLETE
                self._obey(line.strip())
            elif line.strip():
                # a second Ctrl-C may come while the first is being dealt with
                with contextlib.suppress(KeyboardInterrupt):
                    self._turn(line.strip())

    def _obey(self, command: str) -> None:
        if command == "/reset":
            self._messages = [*self._opening]
            say("Forgotten.")
        elif command == "/help":
            say(_HELP)
        else:
            say(f"There is no command {command.split(maxsplit=1)[0]}; /help lists them.")
            say("To ask something that begins with /, begin the line with a space.")

    def _turn(self, text: str) -> None:
        question = {"role": "user", "content": text}
        answered = self._asking.ask(messages=[*self._messages, question])
        if answered.message is not None:
            self._messages += [question, answered.message]
        is_long = isinstance(answered.error, ContextLengthExceeded)
        if is_long and len(self._messages) > len(self._opening):
            say("The conversation has grown too long for the model; /reset begins a new one.")

    def _line(self) -> str:
        """Return what the person types.

        Raises:
            EOFError: He has left.
        """
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
