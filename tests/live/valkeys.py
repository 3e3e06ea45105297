"""A Valkey or Redis server of one's own, which can be killed, frozen and started again."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self
from urllib.parse import quote

import pytest

from deltaweir.testing.ports import unused_port

PROGRAMS = ("valkey-server", "redis-server")
_PATIENCE_S = 20.0


def program() -> str:
    """Return the server's program; skips the test where this machine has none."""
    found = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if found is None:
        pytest.skip(f"this machine has none of {', '.join(PROGRAMS)}")
    return found


class Valkey:
    """A server on 127.0.0.1, whose port stays the same however often it starts.

    Args:
        folder: Where its data lie.
        append_only: Whether each write is on disk before it is answered; without, all is lost
            with `kill`.
        password: What clients must give; None for none.
        arguments: More of the program's options.

    Attributes:
        port: Where it listens.
        process: The program, as it was started last.
    """

    def __init__(
        self,
        folder: Path,
        *,
        append_only: bool = True,
        password: str | None = None,
        arguments: Sequence[str] = (),
    ) -> None:
        self.port = unused_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._password = password
        self._folder = folder
        kept = "yes" if append_only else "no"
        self._command = [program(), "--port", str(self.port), "--bind", "127.0.0.1"]
        self._command += ["--save", "", "--appendonly", kept, "--appendfsync", "always"]
        self._command += ["--dir", str(folder), "--logfile", "valkey.log"]
        if password is not None:
            self._command += ["--requirepass", password]
        self._command += arguments

    @property
    def url(self) -> str:
        """What `[store] url` is set to."""
        secret = "" if self._password is None else f":{quote(self._password, safe='')}@"
        return f"valkey://{secret}127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        assert self.process is None, "it runs"
        self._folder.mkdir(parents=True, exist_ok=True)
        self.process = subprocess.Popen(
            self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + _PATIENCE_S
        while not self._answers():
            assert self.process.poll() is None, self._log()
            assert time.monotonic() < deadline, self._log()
            time.sleep(0.01)

    def kill(self) -> None:
        """End it as ``kill -9`` does, without a word to anybody."""
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.wait(_PATIENCE_S)

    def freeze(self) -> None:
        """Stop it where it stands: connections stay, and nothing answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Keep it frozen for a block."""
        self.freeze()
        try:
            yield
        finally:
            self.thaw()

    @contextlib.contextmanager
    def gone(self) -> Iterator[None]:
        """Kill it, and start it again after a block."""
        self.kill()
        try:
            yield
        finally:
            self.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _signal(self, number: int) -> None:
        assert self.process is not None, "it does not run"
        os.kill(self.process.pid, number)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as line:
                if self._password is not None:
                    line.sendall(f'AUTH "{self._password}"\r\n'.encode())
                    line.recv(64)
                line.sendall(b"PING\r\n")
                return line.recv(64).startswith(b"+PONG")
        except OSError:  # not yet
            return False

    def _log(self) -> str:
        path = self._folder / "valkey.log"
        return path.read_text() if path.exists() else "it did not start"


@pytest.fixture(name="valkey")
def valkey_fixture(tmp_path: Path) -> Iterator[Valkey]:
    """Return a server that runs, and keeps what it was told when it is killed."""
    with Valkey(tmp_path / "valkey") as server:
        yield server
