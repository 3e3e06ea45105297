"""How the process begins and ends: with streams that work, and with the right exit code.

Nothing that users do ends in a traceback. One that appears all the same is a bug of ours,
and says where.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from types import FrameType
from typing import Any

import typer

from deltaweir.cli.show import say
from deltaweir.errors import DeltaweirError

COMPLETE, ERROR, USAGE, CUT, INTERRUPTED = 0, 1, 2, 3, 130
"""Exit codes; the last is what a shell reports of a program that Ctrl-C ended."""


def fail(error: DeltaweirError) -> int:
    """Explain an error on stderr, and return the exit code it calls for."""
    say(f"deltaweir: {error}")
    return ERROR


def run(app: typer.Typer) -> int:
    """Run the command that the arguments name, explain what goes wrong, return the exit code."""
    _open_streams()
    _end_tidily_on_signals()
    try:
        code = _invoke(app)
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = INTERRUPTED
    except _Ended as ended:
        code = ended.code
    except BrokenPipeError:  # whoever read the answer has enough of it
        code = COMPLETE
        _forget_stdout()
    except OSError as error:
        what = error.filename or "the output cannot be written"
        say(f"deltaweir: {what}: {error.strerror or error}")
        code = ERROR
        _forget_stdout()
    # From here on a further Ctrl-C ends the process at once.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    opening = sys.modules.get("deltaweir.cli.opening")
    if opening is not None and opening.is_under_way():
        # The interpreter must not be taken down around a native call. All is written.
        os._exit(code)
    return code


class _Ended(BaseException):
    """A signal asked the process to end."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def _invoke(app: typer.Typer) -> int:
    try:
        return app(standalone_mode=False) or COMPLETE
    except DeltaweirError as error:
        return fail(error)
    except typer.Abort:
        return INTERRUPTED
    except SystemExit as ending:
        if isinstance(ending.__context__, BrokenPipeError):  # how typer takes it
            raise ending.__context__ from None
        raise
    except Exception as error:
        # typer's versions keep the class of wrong usage in different places
        if not hasattr(error, "format_message"):
            raise
        _explain_usage(error)
        return USAGE


def _explain_usage(error: Any) -> None:
    """Say what is wrong with the arguments, and where to read what would be right."""
    bare = isinstance(error, typer.BadParameter) and not (error.param or error.param_hint)
    message = error.message if bare else error.format_message()
    say(f"deltaweir: {message}")
    context = getattr(error, "ctx", None)
    if context is not None and context.command.name in ("chat", "complete"):
        if "unexpected extra" in message:
            say("A prompt of several words stands in quotes.")
        elif "No such option" in message and not getattr(error, "possibilities", None):
            say("A prompt that begins with - goes behind --.")
    say(f"`{context.command_path if context else 'deltaweir'} --help` shows what is possible.")


def _open_streams() -> None:
    """Make the standard streams usable, whatever the process was started with.

    A closed descriptor would go to the next file that is opened, weights or a download's log,
    and what we print would go there. stdout is opened so that writing to it fails as it would
    have, since an answer that nobody can get is an error.
    """
    closed = [
        (0, "stdin", os.O_RDONLY),
        (1, "stdout", os.O_RDONLY),
        (2, "stderr", os.O_WRONLY),
    ]
    for number, name, flags in closed:
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, flags)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115
    piped = not sys.stdout.isatty() and "PYTHONIOENCODING" not in os.environ
    for stream in (sys.stdout, sys.stderr):
        if not hasattr(stream, "reconfigure"):
            continue
        if piped and stream is sys.stdout:
            # a pipe gets the text as it is, also where a system's old encoding is the default
            stream.reconfigure(encoding="utf-8", newline="\n")
        stream.reconfigure(errors="replace")  # a terminal may not know every character


def _end_tidily_on_signals() -> None:
    """Let the signals that end a process unwind it, so that nothing of it stays behind.

    A pull stops its download, a bar gives the cursor back, the engine stops.
    """
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _end)


def _end(number: int, _frame: FrameType | None) -> None:
    raise _Ended(128 + number)


def _forget_stdout() -> None:
    """Send to nowhere what is still to be written to a stdout that does not take it."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
