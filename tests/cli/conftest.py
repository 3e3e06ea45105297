"""The command line under test: as a program with pipes, and as a program on a terminal."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

DEADLINE_S = 30.0
Environment = dict[str, str]


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


def command(*arguments: str) -> list[str]:
    """Return the command as a list of arguments, run by this Python."""
    return [sys.executable, "-m", "deltaweir", *arguments]


def surroundings(more: Environment | None = None) -> Environment:
    """Return this process's environment without what would change the answers."""
    dropped = ("NO_COLOR", "TERM", "COLUMNS", "LINES", "DELTAWEIR_PROMPT", "PYTHONIOENCODING")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    # no test writes to the history of whoever runs it
    return {**kept, "TERM": "xterm-256color", "DELTAWEIR_HISTORY": "off", **(more or {})}


def run(*arguments: str, stdin: bytes | None = None, env: Environment | None = None) -> Ended:
    """Run a command with pipes until it ends; without stdin it gets an empty one."""
    done = subprocess.run(
        command(*arguments),
        input=stdin or b"",
        capture_output=True,
        env=surroundings(env),
        timeout=DEADLINE_S,
        check=False,
    )
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())


class Terminal:
    """A command on a terminal of its own.

    Args:
        arguments: The command's arguments.
        columns: The terminal's width.
        env: Variables to set.
        stdin: A descriptor that takes the place of the terminal's input.
        stdout: A descriptor that takes the place of the terminal's output.
    """

    def __init__(
        self,
        *arguments: str,
        columns: int = 80,
        env: Environment | None = None,
        stdin: int | None = None,
        stdout: int | None = None,
    ) -> None:
        """Start the command."""
        import fcntl
        import pty
        import termios

        self._controller, end = pty.openpty()
        fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        self.written = ""
        self._process = subprocess.Popen(
            command(*arguments),
            stdin=end if stdin is None else stdin,
            stdout=end if stdout is None else stdout,
            stderr=end,
            env=surroundings(env),
            start_new_session=True,
        )
        os.close(end)

    def until(self, text: str) -> None:
        """Wait until the command has written a text, and forget what came up to it."""
        deadline = time.monotonic() + DEADLINE_S
        while text not in self.written:
            assert self._read(deadline), f"ended without {text!r}: {self.written[-300:]!r}"
        self.written = self.written.partition(text)[2]

    def type(self, text: str) -> None:
        """Type on the keyboard."""
        os.write(self._controller, text.encode())

    def signal(self, number: int = signal.SIGINT) -> None:
        """Send a signal, as Ctrl-C does."""
        self._process.send_signal(number)

    def end(self) -> int:
        """Wait until the command ends, and return its exit code."""
        deadline = time.monotonic() + DEADLINE_S
        while self._read(deadline):
            pass
        return self._process.wait(DEADLINE_S)

    def close(self) -> None:
        """Take the terminal away."""
        self._process.kill()
        self._process.wait()
        os.close(self._controller)

    @property
    def screen(self) -> list[str]:
        """What a person sees of what was written since the last wait."""
        return rendered(self.written)

    def _read(self, deadline: float) -> bool:
        left = deadline - time.monotonic()
        assert left > 0, f"nothing more came: {self.written[-300:]!r}"
        if not select.select([self._controller], [], [], left)[0]:
            return True
        try:
            piece = os.read(self._controller, 65536)
        except OSError:  # how Linux says that the other end is closed
            return False
        self.written += piece.decode("utf-8", "replace")
        if b"\x1b[6n" in piece:  # where the cursor is, asked before an input line is drawn
            self.type("\x1b[1;1R")
        return bool(piece)


def rendered(written: str) -> list[str]:
    r"""Return the lines that a terminal shows, of text with \r, \n and ESC [K."""
    lines = []
    for line in written.replace("\r\n", "\n").split("\n"):
        shown = ""
        for part in line.split("\r"):
            *erasing, last = part.split("\x1b[K")
            kept = "".join(erasing) if erasing else shown
            begun = "".join(erasing) + last
            shown = begun + ("" if erasing else kept[len(begun) :])
        lines.append(shown)
    return lines


Start = Callable[..., Terminal]


@pytest.fixture(name="run", scope="session")
def run_fixture() -> Callable[..., Ended]:
    """Return the function that runs a command with pipes."""
    return run


@pytest.fixture
def terminal() -> Iterator[Start]:
    """Return a function that starts a command on a terminal, which is taken away at the end."""
    pytest.importorskip("pty", reason="Windows has no pseudo-terminals of this kind")
    with contextlib.ExitStack() as stack:

        def start(*arguments: str, **options: object) -> Terminal:
            started = Terminal(*arguments, **options)  # type: ignore[arg-type]
            stack.callback(started.close)
            return started

        yield start
