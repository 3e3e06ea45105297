"""A conversation in the terminal: lines of a person, answers of the model, in turn."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from deltaweir.cli.answers import without_echo
from deltaweir.cli.ask import Asking, Way
from deltaweir.cli.commands import Said, Unknown, Wanted, explained, meant
from deltaweir.cli.process import COMPLETE, CUT, INTERRUPTED
from deltaweir.cli.show import say, stderr_columns
from deltaweir.cli.steering import Steering
from deltaweir.cli.transcript import Transcript
from deltaweir.errors import ContextLengthExceeded

_RETRY_TEMPERATURE = 0.8
"""How much chance there is in another answer, where nobody said; the same one would be none."""

_AS_A_MESSAGE = "To ask something that begins with /, begin it with //."


class LineInput(Protocol):
    """Where lines come from."""

    editing: bool
    """Whether there are keys to edit with."""
    typed: bool
    """Whether anything was typed before the line that is read last ended."""

    def read(self) -> str:
        """Return what a person typed, of one line or several.

        Raises:
            EOFError: They have left.
            KeyboardInterrupt: They interrupted an empty line.
        """


class Conversation:
    """Talk until the person leaves; an interruption ends an answer, not the conversation.

    Args:
        asking: Asks the model.
        find: Returns the way to a model of this name.
        system: Instructions that stand before everything and survive a reset.
        guards: The names of the guards that are on.
        keep_history: Whether prompts may be kept in a file.
        lines: Where lines come from; the terminal unless told.
    """

    def __init__(
        self,
        asking: Asking,
        *,
        find: Callable[[str], Way],
        system: str | None = None,
        guards: Sequence[str] = (),
        keep_history: bool = True,
        lines: LineInput | None = None,
    ) -> None:
        self._asking = asking
        self._transcript = Transcript(system)
        self._steering = Steering(asking, self._transcript, find=find, guards=guards)
        self._lines = lines or _terminal(self._steering, keep_history=keep_history)

    def run(self) -> int:
        """Talk, and return the exit code."""
        say("Ask something; /help lists what else you can do.")
        interrupted = False
        while True:
            try:
                line = self._lines.read()
            except EOFError:
                say("")
                return COMPLETE
            except KeyboardInterrupt:
                say("")
                if interrupted and not self._lines.typed:
                    return INTERRUPTED
                interrupted = True
                say("Ctrl-C once more leaves, as Ctrl-D does.")
                continue
            interrupted = False
            # a second Ctrl-C may come while the first is being dealt with
            with contextlib.suppress(KeyboardInterrupt):
                if self._hear(line):
                    return COMPLETE

    def _hear(self, line: str) -> bool:
        """Do what a line says; tell whether it says to leave."""
        match meant(line):
            case Said(text):
                if text:
                    self._turn(self._transcript.asking(text))
            case Unknown(name, nearest):
                near = f" Did you mean /{nearest}?" if nearest else ""
                say(f"There is no command /{name}; /help lists them.{near}")
                say(_AS_A_MESSAGE)
            case Wanted(command, argument):
                if argument and not command.argument and command.name != "help":
                    say(f"/{command.name} stands alone; nothing was done.")
                    say(_AS_A_MESSAGE)
                    return False
                if command.name == "quit":
                    return True
                self._obey(command.name, argument)
        return False

    def _obey(self, command: str, argument: str) -> None:
        if command == "help":
            say(explained(editing=self._lines.editing, columns=stderr_columns()))
        elif command == "retry":
            self._retry()
        else:
            self._steering.obey(command, argument)

    def _retry(self) -> None:
        messages = self._transcript.asking_again()
        if messages is None:
            say("Nothing was asked yet.")
            return
        more = {"temperature": _RETRY_TEMPERATURE} if self._asking.draws else {}
        self._turn(messages, again=self._transcript.has_answer, **more)

    def _turn(self, messages: Sequence[Any], *, again: bool = False, **more: Any) -> None:
        with self._apart():
            answered = self._asking.ask(messages=messages, **more)
        taken = answered.message is not None and self._transcript.answered(
            answered.message, broken=answered.error is not None
        )
        if again and not taken:
            say("The answer before it stays.")
        if answered.stream is not None:
            stream = answered.stream
            self._transcript.used_by(
                stream.account(both=True), stream.cost, model=self._steering.model
            )
            if answered.code == CUT and not self._asking.stats:
                say(f"cut by the {stream.stopped_by}")
        if isinstance(answered.error, ContextLengthExceeded) and self._transcript.begun:
            say("The conversation has grown too long for the model; /reset begins a new one.")

    @contextlib.contextmanager
    def _apart(self) -> Iterator[None]:
        """Set an answer that is laid out apart from what people typed before and after it."""
        gap = [""] if self._asking.markdown else []
        editing = self._lines.editing
        for line in gap:
            say(line)
        with without_echo(enter=editing) if gap or editing else contextlib.nullcontext():
            yield
        for line in gap:
            say(line)


def _terminal(steering: Steering, *, keep_history: bool) -> LineInput:
    """Return the best way to read lines that the terminal allows."""
    if not sys.stdin.isatty() or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        from deltaweir.cli.plain_input import PlainInput

        return PlainInput()
    # heavy: only a conversation pays for it
    from deltaweir.cli.editor import Editor
    from deltaweir.cli.history import history

    return Editor(history(kept=keep_history), toolbar=steering.status, choices=steering.choices)
