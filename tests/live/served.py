"""A gateway in a process of its own, and what can be seen of it from outside."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple, Self
from urllib.parse import urlsplit

from prometheus_client.parser import text_string_to_metric_families

from deltaweir.accounts import Row
from deltaweir.stores.sqlite import SqliteLedger

CHAT = "/v1/chat/completions"
PATIENCE_S = 30.0
INSPECTED = Path(__file__).with_name("inspected.py")
"""The command, but it tells on SIGUSR1 what it still holds."""


class Answer(NamedTuple):
    """One HTTP answer, whole."""

    status: int
    headers: dict[str, str]
    """By their names in lower case."""
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def events(self) -> list[Any]:
        """What the events of a stream say, in order; ``[DONE]`` as this text."""
        lines = [line[6:] for line in self.body.splitlines() if line.startswith(b"data: ")]
        return [one.decode() if one == b"[DONE]" else json.loads(one) for one in lines]


class Served:
    """`deltaweir serve` with a configuration; a context manager that ends it.

    Args:
        folder: Where configuration and ledger lie.
        config: The configuration, TOML; its port is chosen here.
        environment: Further variables.
        inspected: Whether `holds` will be asked.
        port: Where it listens; 0 is a free port, which `address` tells.

    Attributes:
        printed: What it wrote to stdout so far.
        said: What it wrote to stderr so far.
    """

    def __init__(
        self,
        folder: Path,
        config: str,
        *,
        environment: Mapping[str, str] | None = None,
        inspected: bool = False,
        port: int = 0,
    ) -> None:
        self.folder = folder
        self.config = folder / "deltaweir.toml"
        self.config.write_text(config)
        entry = [str(INSPECTED)] if inspected else ["-m", "deltaweir"]
        self._command = [sys.executable, *entry, "serve", "--config", str(self.config)]
        self._command += ["--port", str(port)]
        self.environment = {**os.environ, **(environment or {})}
        self.printed: list[str] = []
        self.said: list[str] = []
        self.base_url = ""

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            self._command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env=self.environment,
        )
        pipes = ((self.process.stdout, self.printed), (self.process.stderr, self.said))
        self._readers = [threading.Thread(target=_gather, args=pipe) for pipe in pipes]
        for reader in self._readers:
            reader.start()
        self.base_url = next(word for word in self.said_line("http").split() if "http" in word)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End it, as a signal would, and look that it ended well."""
        if self.process.returncode is None:
            self.process.terminate()
        for reader in self._readers:
            reader.join(60)
        assert self.process.wait(60) == 0, "".join(self.said)
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        parts = urlsplit(self.base_url)
        assert parts.hostname
        assert parts.port
        return parts.hostname, parts.port

    def ask(
        self,
        body: Mapping[str, Any] | None = None,
        path: str = CHAT,
        *,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request, a GET where it has no body, and read its whole answer."""
        sent = {"content-type": "application/json", **(headers or {})}
        if key is not None:
            sent["authorization"] = f"Bearer {key}"
        with contextlib.closing(http.client.HTTPConnection(*self.address, timeout=60)) as line:
            data = None if body is None else json.dumps(body)
            line.request("GET" if body is None else "POST", path, data, sent)
            response = line.getresponse()
            headed = {name.lower(): value for name, value in response.getheaders()}
            read = b""
            with contextlib.suppress(http.client.IncompleteRead):
                read = response.read()
            return Answer(response.status, headed, read)

    def said_line(self, text: str) -> str:
        """Wait for a line on stderr with a text, and return it."""
        found: list[str] = []

        def is_there() -> bool:
            found[:] = [line for line in self.said if text in line]
            return bool(found) or self.process.poll() is not None

        until(is_there)
        assert found, self.said
        return found[0]

    def row(self, tag: str) -> Row:
        """Wait until the one stream with a tag has its end in the ledger, and return its row."""
        (row,) = self.rows(1, tag=tag)
        return row

    def rows(self, count: int, *, tag: str | None = None) -> list[Row]:
        """Wait until so many streams have their end in the ledger, and return their rows."""
        found: list[Row] = []

        def are_there() -> bool:
            with SqliteLedger(self.folder / "deltaweir.db", read_only=True) as ledger:
                rows = ledger.rows()
            found[:] = [row for row in rows if tag in {None, row.opened and row.opened.tag}]
            return len(found) >= count and all(row.closed for row in found)

        until(are_there)
        assert len(found) == count
        return found

    def metrics(self, key: str | None = None) -> dict[str, float]:
        """Return what each metric comes to, summed over its labels."""
        sums: dict[str, float] = {}
        text = self.ask(path="/metrics", key=key).body.decode()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
        return sums

    def holds(self) -> dict[str, int]:
        """Return how many tasks and objects an inspected gateway holds, some by their class."""
        asked = len([line for line in self.said if line.startswith("holds ")])
        self.process.send_signal(signal.SIGUSR1)
        told: list[str] = []

        def is_told() -> bool:
            told[:] = [line for line in self.said if line.startswith("holds ")]
            return len(told) > asked

        until(is_told)
        held: dict[str, int] = json.loads(told[-1].removeprefix("holds "))
        return held

    @property
    def files(self) -> int:
        """How many files and sockets it has open."""
        return sum(1 for _ in Path(f"/proc/{self.process.pid}/fd").iterdir())

    @property
    def memory_kib(self) -> int:
        """How much memory it has, in KiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1])


def until(condition: Callable[[], bool], *, patience_s: float = PATIENCE_S) -> None:
    """Wait for a condition, in small polls."""
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def upstream(name: str, base_url: str, more: str = "") -> str:
    """Return the table of an upstream."""
    return f'[[upstreams]]\nname = "{name}"\nbase_url = "{base_url}"\nproxy = ""\n{more}\n'


def model(name: str, upstreams: Sequence[str], more: str = "") -> str:
    """Return the table of a model that upstreams answer."""
    return f'[[models]]\nname = "{name}"\nupstreams = {json.dumps(list(upstreams))}\n{more}\n'


@contextlib.contextmanager
def running(command: Sequence[str | Path], **options: Any) -> Iterator[Iterable[str]]:
    """Run another program, and yield the lines that it writes; it ends with the block."""
    piped: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, **options}
    with subprocess.Popen(
        [str(part) for part in command], stdin=subprocess.PIPE, text=True, **piped
    ) as process:
        try:
            yield process.stdout or ()
        finally:
            process.terminate()
            process.communicate(timeout=60)


def _gather(pipe: IO[str], lines: list[str]) -> None:
    lines.extend(iter(pipe.readline, ""))
