"""A PostgreSQL server of one's own, which can be killed, frozen and started again."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from deltaweir.testing.ports import unused_port

PASSWORD = "open/sesame"  # noqa: S105  # of a server that lives as long as a test
_FOLDERS = "/usr/lib/postgresql/*/bin", "/opt/homebrew/opt/postgresql*/bin"
_PATIENCE_S = 30.0
_SETTINGS = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
fsync = off
shared_buffers = 16MB
max_connections = 60
"""


def programs() -> Path:
    """Return the folder of the server's programs; skips the test where this machine has none."""
    on_path = shutil.which("initdb")
    found = [Path(on_path).resolve().parent] if on_path else []  # beside it lie the others
    for pattern in _FOLDERS:
        found += sorted(Path("/").glob(pattern.removeprefix("/")), reverse=True)
    if not found:
        pytest.skip("this machine has no PostgreSQL server")
    return found[0]


class Postgres:
    """A server on 127.0.0.1, whose port stays the same however often it starts.

    Data are kept over `kill`: the system has what the server has written. It refuses to run as
    root, who has it run as the user ``postgres``, in a folder outside of what only root may read.

    Args:
        folder: Where its data lie, unless root starts it.

    Attributes:
        port: Where it listens.
        process: The program, as it was started last.
    """

    def __init__(self, folder: Path) -> None:
        self._programs = programs()
        self._removed: Path | None = None
        self._user: dict[str, Any] = {}
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            folder = self._removed = Path(tempfile.mkdtemp(prefix="deltaweir-postgres-"))
            self._user = {"user": "postgres", "group": "postgres", "extra_groups": []}
            shutil.chown(folder, "postgres", "postgres")
        else:
            folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._data = folder / "data"
        self.port = unused_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """What ``[ledger] url`` is set to."""
        return self.url_of("postgres")

    def url_of(self, database: str, *, user: str = "postgres", password: str = PASSWORD) -> str:
        """Return the URL of one of its databases."""
        secret = f":{password.replace('/', '%2F')}" if password else ""
        return f"postgresql://{user}{secret}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        assert self.process is None, "it runs"
        if not self._data.exists():
            self._create()
        deadline = time.monotonic() + _PATIENCE_S
        while not self._started(deadline):  # the memory of one that was killed may linger
            assert time.monotonic() < deadline, self._log()

    def kill(self) -> None:
        """End it as ``kill -9`` does, all of its processes, without a word to anybody."""
        process = self.process
        if process is None:
            return
        for one in self._processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)
        process.wait(_PATIENCE_S)
        self.process = None

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

    def ask(self, query: str, *, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Return what a query answers."""
        import psycopg

        with psycopg.connect(self.url_of(database), autocommit=True) as connection:
            cursor = connection.execute(query.encode())
            return cursor.fetchall() if cursor.description else []

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        if self._removed is not None:
            shutil.rmtree(self._removed)

    def _create(self) -> None:
        secret = self._folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        command = [f"{self._programs}/initdb", "--no-sync", "--username=postgres"]
        command += ["--auth=scram-sha-256", f"--pwfile={secret}", "-D", f"{self._data}"]
        command += ["--encoding=UTF8", "--locale=C.UTF-8"]
        subprocess.run(command, check=True, capture_output=True, cwd=self._folder, **self._user)
        settings = self._data / "postgresql.conf"
        settings.write_text(f"{settings.read_text()}{_SETTINGS}port = {self.port}\n")

    def _started(self, deadline: float) -> bool:
        command = [f"{self._programs}/postgres", "-D", f"{self._data}"]
        with (self._folder / "log").open("ab") as log:
            process: subprocess.Popen[bytes] = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self._folder, **self._user
            )
        self.process = process
        while time.monotonic() < deadline:
            if process.poll() is not None:
                self.process = None
                return False
            if self._answers():
                return True
            time.sleep(0.02)
        return False

    def _answers(self) -> bool:
        command = [f"{self._programs}/pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(command, check=False).returncode == 0

    def _signal(self, number: int) -> None:
        for one in self._processes():
            with contextlib.suppress(ProcessLookupError):  # one that served a client has ended
                os.kill(one, number)

    def _processes(self) -> list[int]:
        """Return the server's processes, its own first: it starts no other once it is stopped."""
        assert self.process is not None, "it does not run"
        listed = subprocess.run(
            ["ps", "-A", "-o", "pid=,ppid="],  # noqa: S607  # wherever a system has it
            check=True,
            capture_output=True,
            text=True,
        )
        pairs = [tuple(map(int, line.split())) for line in listed.stdout.splitlines()]
        own = self.process.pid
        return [own, *(process for process, parent in pairs if parent == own)]

    def _log(self) -> str:
        path = self._folder / "log"
        return path.read_text() if path.exists() else "it did not start"


@pytest.fixture(name="postgres", scope="module")
def postgres_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """Return a server that runs, for a module's tests; who kills it starts it again."""
    with Postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture
def database(postgres: Postgres) -> Iterator[str]:
    """Return the URL of an empty database of one's own."""
    name = f"ledger_{os.urandom(6).hex()}"
    postgres.ask(f"CREATE DATABASE {name}")
    yield postgres.url_of(name)
    postgres.ask(f"DROP DATABASE {name} WITH (FORCE)")
