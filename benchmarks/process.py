"""A script of this directory in a process of its own, asked line by line."""

from __future__ import annotations

import contextlib
import os
import subprocess


class Process(contextlib.ExitStack):
    """A script of this directory in a process of its own, which ends with the block.

    Args:
        python: Its interpreter.
        arguments: The script and what it is told.
        variables: Of its environment, beside those of this process.
    """

    def __init__(self, python: str, *arguments: str, **variables: str) -> None:
        super().__init__()
        # no proxy of the user's stands between two ends of loopback
        environ = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
        process = subprocess.Popen(  # noqa: S603  # scripts of this directory
            [python, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environ | variables,
        )
        self.enter_context(process)
        self.callback(process.kill)
        assert process.stdin is not None
        assert process.stdout is not None
        self._in, self._out = process.stdin, process.stdout

    def line(self) -> str:
        """Wait for its next line."""
        line = self._out.readline().decode().strip()
        assert line, "the process has ended"
        return line

    def ask(self, line: str) -> str:
        """Send it a line and return its answer."""
        self._in.write(f"{line}\n".encode())
        self._in.flush()
        return self.line()
