"""What stands between client and provider in bench_forwarding.py, each in processes of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from deltaweir.testing.ports import unused_port

HERE = Path(__file__).parent
START_S = 30.0
_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100

_GATEWAY = """
[server]
port = {port}
workers = {workers}
[[upstreams]]
name = "pacer"
base_url = "http://127.0.0.1:{upstream}/v1"
[[models]]
name = "gpt-4o-mini"
upstreams = ["pacer"]
[[models]]
name = "guarded"
upstreams = ["pacer"]
upstream_model = "gpt-4o-mini"
guard = "standard"
[ledger]
url = "sqlite:///{folder}/deltaweir.db"
"""
_NGINX = """
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/log error;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  upstream pacer {{ server 127.0.0.1:{upstream}; keepalive 1024; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://pacer; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off;
    }}
  }}
}}
"""


def nginx() -> str | None:
    """Return where nginx is; None where it is not installed."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


class Between(contextlib.ExitStack):
    """A server between client and provider, which ends with the block.

    Args:
        kind: ``relay``, ``nginx`` or ``gateway``.
        upstream: The provider's port.
        folder: Where its files may lie.
        workers: Of a gateway.
    """

    def __init__(self, kind: str, upstream: int, folder: Path, *, workers: int = 1) -> None:
        super().__init__()
        self.port = unused_port()
        folder = folder / f"{kind}-{self.port}"
        folder.mkdir()
        given = {"port": self.port, "upstream": upstream, "folder": folder, "workers": workers}
        if kind == "relay":
            command = [sys.executable, str(HERE / "relay.py"), str(self.port), str(upstream)]
        elif kind == "nginx":
            (folder / "nginx.conf").write_text(_NGINX.format(**given))
            command = [nginx() or "nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")]
        else:
            (folder / "deltaweir.toml").write_text(_GATEWAY.format(**given))
            serve = ["serve", "--config", str(folder / "deltaweir.toml")]
            command = [sys.executable, "-m", "deltaweir", *serve]
        environ = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
        self._said = folder / "said"
        said = self.enter_context(self._said.open("wb"))
        self._process = subprocess.Popen(  # noqa: S603  # as written above
            command, stderr=said, env=environ
        )
        self.enter_context(self._process)
        self.callback(self._process.terminate)
        self._wait(told=kind == "gateway")

    def cpu(self) -> float:
        """Return CPU seconds, user and system, of all its processes so far."""
        return sum(sum(map(int, _stat(pid)[11:13])) for pid in self._pids()) / _TICKS

    def memory(self) -> int:
        """Return resident bytes of all its processes."""
        page = os.sysconf("SC_PAGE_SIZE")
        return sum(int(_stat(pid)[21]) * page for pid in self._pids())

    def _pids(self) -> list[int]:
        return [*_family(self._process.pid)]

    def _wait(self, *, told: bool) -> None:
        """Wait until it answers; one that says so may listen earlier."""
        deadline = time.monotonic() + START_S
        while not (b"/v1" in self._said.read_bytes() if told else self._listens()):
            assert self._process.poll() is None, self._said.read_text()
            assert time.monotonic() < deadline, "the server does not start"
            time.sleep(0.05)

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port)).close()
        except OSError:
            return False
        return True


def _family(pid: int) -> Iterator[int]:
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from _family(int(child))


def _stat(pid: int) -> list[str]:
    """Return the fields of a process's line behind its name."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
