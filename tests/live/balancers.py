"""nginx and HAProxy with the configurations of ``deploy/``, as programs of one's own."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Self

import pytest

from deltaweir.testing.ports import unused_port

DEPLOY = Path(__file__).parents[2] / "deploy"
NAMES = "gateway-a:8080", "gateway-b:8080"
"""What the configurations call the gateways."""
_PATIENCE_S = 20.0
_SYSTEM = os.pathsep.join(("/usr/sbin", "/usr/local/sbin"))
"""Where Debian has them, and who is not root does not look."""


class Balancer:
    """A balancer before two gateways; a context manager that ends it.

    Args:
        folder: Where its files lie.
        gateways: The addresses of the gateways.
        changed: What is written otherwise than in ``deploy/``: texts by those they replace.

    Attributes:
        port: Where it listens.
        process: The program.
    """

    program: ClassVar[str]
    file: ClassVar[str]

    def __init__(
        self, folder: Path, gateways: Sequence[str], changed: Mapping[str, str] | None = None
    ) -> None:
        self.port = unused_port()
        self._path = _installed(self.program)
        self._folder = folder
        self._log = folder / "log"
        self._config = folder / self.file
        folder.mkdir(parents=True)
        text = (DEPLOY / self.file).read_text()
        places = {**dict(zip(NAMES, gateways, strict=True)), **self._moved(), **(changed or {})}
        for written, meant in places.items():
            assert written in text, written
            text = text.replace(written, meant)
        self._config.write_text(text)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return "127.0.0.1", self.port

    @property
    def log(self) -> str:
        """What it has logged."""
        return self._log.read_text()

    def reload(self) -> None:
        """Have it read its configuration again, and wait until a new process serves."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(self._command(), stdout=log, stderr=log)
        self._until(self._answers)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(_PATIENCE_S)

    def _moved(self) -> dict[str, str]:
        """Return what has another place here, by what the configuration says."""
        raise NotImplementedError

    def _command(self) -> list[str]:
        raise NotImplementedError

    def _answers(self) -> bool:
        with contextlib.closing(http.client.HTTPConnection(*self.address, timeout=5)) as line:
            try:
                line.request("GET", "/healthz")
                return line.getresponse().status == http.client.OK
            except OSError:  # not yet
                return False

    def _until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while not condition():
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.01)


class Nginx(Balancer):
    """nginx."""

    program = "nginx"
    file = "nginx.conf"

    def reload(self) -> None:
        """Have it read its configuration again, and wait until old workers only finish."""
        told = self.log.count("gracefully shutting down")
        subprocess.run([*self._call, "-s", "reload"], check=True, capture_output=True)
        self._until(lambda: self.log.count("gracefully shutting down") > told)

    @property
    def _call(self) -> list[str]:
        return [self._path, "-p", str(self._folder), "-c", str(self._config)]

    def _command(self) -> list[str]:
        return [*self._call, "-g", "daemon off;"]

    def _moved(self) -> dict[str, str]:
        folder = self._folder
        own = f"pid {folder}/pid; error_log {folder}/log notice;"
        if hasattr(os, "geteuid") and os.geteuid() == 0:  # else workers cannot enter the folder
            own += " user root;"
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        files = "".join(f" {kind}_temp_path {folder}/{kind};" for kind in kinds)
        return {
            "worker_processes auto;": f"worker_processes 2; {own}",
            "worker_rlimit_nofile 65536;": "",  # more than everybody may have
            "worker_connections 16384;": "worker_connections 500;",
            "http {": "http {" + files,
            "/dev/stdout": f"{folder}/access",
            "listen 8080;": f"listen 127.0.0.1:{self.port};",
        }


class HAProxy(Balancer):
    """HAProxy."""

    program = "haproxy"
    file = "haproxy.cfg"

    def reload(self) -> None:
        """Have it read its configuration again, and wait until a new process serves."""
        told = self.log.count("forked")
        self.process.send_signal(signal.SIGUSR2)
        self._until(lambda: self.log.count("forked") > told and self._answers())

    def _command(self) -> list[str]:
        return [self._path, "-W", "-db", "-f", str(self._config)]

    def _moved(self) -> dict[str, str]:
        return {"bind :8080": f"bind 127.0.0.1:{self.port}"}


def _installed(program: str) -> str:
    """Return a program's path; without it the test is skipped, but in CI it fails."""
    found = shutil.which(program) or shutil.which(program, path=_SYSTEM)
    if found is None:
        reason = f"this machine has no {program}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


KINDS: list[type[Balancer]] = [Nginx, HAProxy]
"""All of them."""
