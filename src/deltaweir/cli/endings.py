"""How every command ends: with the right exit code, and never with a traceback."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import ParamSpec

import typer

from deltaweir.cli.show import say
from deltaweir.errors import DeltaweirError

P = ParamSpec("P")

COMPLETE, ERROR, USAGE, CUT, INTERRUPTED = 0, 1, 2, 3, 130
"""Exit codes; the last is what a shell reports of a program that Ctrl-C ended."""


def fail(error: DeltaweirError) -> int:
    """Explain an error on stderr, and return the exit code it calls for."""
    say(f"deltaweir: {error}")
    return ERROR


def ends_well(command: Callable[P, None]) -> Callable[P, None]:
    """Turn what may end a command into its exit code and at most a few lines on stderr."""

    @functools.wraps(command)
    def ending(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except DeltaweirError as error:
            raise typer.Exit(fail(error)) from error
        except KeyboardInterrupt as error:
            raise typer.Exit(INTERRUPTED) from error
        except BrokenPipeError as error:  # whoever read the answer has enough of it
            _forget_stdout()
            raise typer.Exit(COMPLETE) from error

    return ending


def _forget_stdout() -> None:
    """Send to nowhere what is still to be written to a stdout that nobody reads."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
