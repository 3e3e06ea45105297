"""The input line of a conversation: several lines, a past, completion, and a line that informs."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import FrameType

from prompt_toolkit import PromptSession
from prompt_toolkit.application import Application, get_app
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition
from prompt_toolkit.history import History
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.layout.processors import TabsProcessor
from prompt_toolkit.output import create_output
from prompt_toolkit.styles import Style

from deltaweir.cli.commands import COMMANDS

PROMPT = "> "
_MENU_LINES = 6
_STYLE = Style.from_dict(
    {"bottom-toolbar": "noreverse ansibrightblack", "prompt": "bold", "continuation": "bold"}
)


class Editor:
    """Let a person type messages; it draws on stderr, since stdout belongs to the answers.

    Args:
        history: What was typed before.
        toolbar: Returns what stands below the line.
        choices: Returns the arguments that a command may have, by its name.
    """

    editing = True
    """Whether there are keys to edit with."""
    typed = False
    """Whether anything was typed before the line that is read last ended."""

    def __init__(
        self,
        history: History,
        *,
        toolbar: Callable[[], str],
        choices: Callable[[str], Sequence[str]],
    ) -> None:
        self._session: PromptSession[str] = PromptSession(
            [("class:prompt", PROMPT)],
            multiline=True,
            prompt_continuation=[("class:continuation", " " * len(PROMPT))],
            history=history,
            completer=Commands(choices),
            complete_in_thread=True,
            complete_while_typing=Condition(_is_command),
            reserve_space_for_menu=_MENU_LINES,
            bottom_toolbar=lambda: [("class:bottom-toolbar.text", toolbar())],
            key_bindings=keys(),
            # pasted code has tabs, which would be shown as ^I
            input_processors=[TabsProcessor(char1=" ", char2=" ")],
            style=_STYLE,
            output=create_output(stdout=sys.stderr),
        )
        self._session.default_buffer.on_text_changed += self._changed

    def read(self) -> str:
        """Return what the person typed.

        Raises:
            EOFError: They have left.
            KeyboardInterrupt: They interrupted an empty line.
        """
        self.typed = False
        with _signals_end(self._session.app):
            text = self._session.prompt()
        # bytes that are no text come as halves of surrogate pairs
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")

    def _changed(self, _buffer: Buffer) -> None:
        self.typed = True


class Commands(Completer):
    """Complete the names of commands, and their arguments.

    Args:
        choices: Returns the arguments that a command may have, by its name.
    """

    def __init__(self, choices: Callable[[str], Sequence[str]]) -> None:
        self._choices = choices

    def get_completions(
        self,
        document: Document,
        complete_event: CompleteEvent,  # noqa: ARG002  as the library calls it
    ) -> Iterable[Completion]:
        """Return what the text before the cursor may become."""
        text = document.text_before_cursor
        if not text.startswith("/") or "\n" in text:
            return
        name, gap, begun = text[1:].partition(" ")
        if not gap:
            for one in COMMANDS:
                if one.name.startswith(name):
                    more = " " if one.argument else ""
                    yield Completion(
                        one.name + more,
                        -len(name),
                        display=f"/{one.name}",
                        display_meta=one.meaning,
                    )
            return
        for choice in self._choices(name):
            if choice.startswith(begun.lstrip()):
                yield Completion(choice, -len(begun.lstrip()))


@contextlib.contextmanager
def _signals_end(app: Application[str]) -> Iterator[None]:
    """Let a signal that ends the process end the line first, and then do what it does.

    What its handler raises would be lost in the event loop, and the terminal left as it is.
    """
    came: list[int] = []

    def end(number: int, _frame: FrameType | None) -> None:
        came.append(number)
        if app.loop is not None and app.is_running:
            app.loop.call_soon_threadsafe(lambda: app.exit(exception=EOFError))

    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in came[:1]:
            signal.raise_signal(number)


def _is_command() -> bool:
    # room for a menu is kept below the line as long as this is so
    return get_app().current_buffer.text.startswith("/")


def keys() -> KeyBindings:
    """Return the keys that differ from the library's own."""
    bindings = KeyBindings()

    @bindings.add("enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    @bindings.add("escape", "enter")
    @bindings.add("c-j")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.newline(copy_margin=False)

    @bindings.add("c-c")
    @bindings.add("<sigint>")
    def _(event: KeyPressEvent) -> None:
        if event.current_buffer.text:
            event.current_buffer.reset()
        else:
            event.app.exit(exception=KeyboardInterrupt, style="class:aborting")

    return bindings
