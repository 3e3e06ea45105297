"""A real terminal: a program under tmux, whose screen can be read and resized."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

from tests.live.environments import needs

DEADLINE_S = 60.0


class Tmux:
    """The command under tmux, on a server of its own; a context manager.

    Args:
        arguments: The command's arguments.
        columns: The terminal's width.
        lines: Its height.
        env: Variables to set.
    """

    def __init__(
        self,
        *arguments: str,
        columns: int = 80,
        lines: int = 24,
        env: dict[str, str] | None = None,
    ) -> None:
        found = shutil.which("tmux")
        self._tmux = str(needs(None if found is None else Path(found), "tmux"))
        self._folder = tempfile.TemporaryDirectory(prefix="tmux-", ignore_cleanup_errors=True)
        self._socket = str(Path(self._folder.name) / "socket")
        variables = {"DELTAWEIR_HISTORY": "off", **(env or {})}
        given = [f"{name}={value}" for name, value in variables.items()]
        command = ["env", *given, sys.executable, "-m", "deltaweir", *arguments]
        # the shell's last words say how it ended, and keep the screen
        line = f"{shlex.join(command)}; echo ended $?; exec sleep 1000"
        size = ("-x", str(columns), "-y", str(lines))
        self._run("-f", os.devnull, "new-session", "-d", *size, line)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_rest: object) -> None:
        with contextlib.suppress(subprocess.CalledProcessError):
            self._run("kill-server")
        self._folder.cleanup()

    def type(self, text: str) -> None:
        """Type a text."""
        self._run("send-keys", "-l", text)

    def press(self, *keys: str) -> None:
        """Press keys by their names, such as Enter and C-c."""
        self._run("send-keys", *keys)

    def resize(self, columns: int, lines: int) -> None:
        """Give the terminal another size."""
        self._run("resize-window", "-x", str(columns), "-y", str(lines))

    def rows(self, *, escapes: bool = False) -> list[str]:
        """Return all rows, those too that have scrolled away, without empty ones at the end."""
        shown = self._run("capture-pane", "-p", "-S", "-", *(["-e"] if escapes else []))
        return shown.rstrip("\n").split("\n")

    def until(self, is_so: str | Callable[[str], bool]) -> str:
        """Wait until a text stands on the terminal, or something else is so; return it all."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            shown = "\n".join(self.rows())
            if is_so in shown if isinstance(is_so, str) else is_so(shown):
                return shown
            assert time.monotonic() < deadline, shown
            time.sleep(0.05)

    def ready(self) -> str:
        """Wait until an input line waits, with the status below it."""
        return self.until(lambda shown: shown.split("\n")[-1].count(" · ") > 0)

    def _run(self, *arguments: str) -> str:
        return subprocess.run(
            [self._tmux, "-S", self._socket, *arguments],
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=True,
        ).stdout


Start = Callable[..., Tmux]


@contextlib.contextmanager
def starting() -> Iterator[Start]:
    """Return a function that starts commands under tmux, which all end with the block."""
    with contextlib.ExitStack() as stack:
        yield lambda *arguments, **options: stack.enter_context(Tmux(*arguments, **options))
