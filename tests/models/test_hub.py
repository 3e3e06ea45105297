"""The hub delivers, goes on where it was, and gives short reasons when it does not.

The hub here is a server on this machine that speaks as much of the protocol as is used.
"""

from __future__ import annotations

import hashlib
import http.server
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from deltaweir.models import hub_download
from deltaweir.models.catalogue import HubSource
from deltaweir.models.hub import Hub, reason_of
from deltaweir.models.sources import SourceFailed

CONTENT = bytes(range(256)) * 40
SOURCE = HubSource(repo="owner/tiny", file="tiny.gguf")


class _Handler(http.server.BaseHTTPRequestHandler):
    content = CONTENT
    etag = hashlib.sha256(CONTENT).hexdigest()
    status = 200
    ranges: ClassVar[list[str | None]]

    def _head(self, status: int, length: int) -> None:
        self.send_response(status)
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("ETag", f'"{self.etag}"')
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def do_HEAD(self) -> None:
        self._head(self.status, len(self.content))

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.ranges.append(wanted)
        first = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(self.content) - first))
        self.end_headers()
        self.wfile.write(self.content[first:])

    def log_message(self, *arguments: object) -> None:
        """Stay silent."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[_Handler]]:
    """Serve a hub on this machine for one test; its settings can be changed."""

    class Handler(_Handler):
        ranges: ClassVar[list[str | None]] = []

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    _use(f"http://127.0.0.1:{server.server_port}", monkeypatch=monkeypatch)
    yield Handler
    server.shutdown()
    server.server_close()
    thread.join()


def _use(endpoint: str, *, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)


def _fetch(build: Any, folder: Path) -> tuple[bytes, list[int]]:
    done: list[int] = []
    path = Hub(SOURCE).fetch(build.entry(CONTENT), folder=folder, advance=done.append)
    return path.read_bytes(), done


def test_a_file_is_downloaded(build: Any, hub: type[_Handler], tmp_path: Path) -> None:
    """The bytes arrive, asked for once and from the start."""
    assert _fetch(build, tmp_path)[0] == CONTENT
    assert hub.ranges == [None]


def test_a_download_goes_on_where_it_was(build: Any, hub: type[_Handler], tmp_path: Path) -> None:
    """Only the missing bytes are asked for, and only they need room on the disk."""
    entry = build.entry(CONTENT)
    assert Hub(SOURCE).needs(entry, folder=tmp_path) == len(CONTENT)
    (tmp_path / f"{entry.sha256[:16]}.part").write_bytes(CONTENT[:1000])
    assert Hub(SOURCE).needs(entry, folder=tmp_path) == len(CONTENT) - 1000
    content, done = _fetch(build, tmp_path)
    assert content == CONTENT
    assert hub.ranges == ["bytes=1000-"]
    assert done[0] == 1000


def test_a_partial_file_that_is_too_long_is_begun_anew(
    build: Any, hub: type[_Handler], tmp_path: Path
) -> None:
    """What cannot be the start of the file is thrown away."""
    (tmp_path / f"{build.entry(CONTENT).sha256[:16]}.part").write_bytes(CONTENT + b"x")
    assert _fetch(build, tmp_path)[0] == CONTENT
    assert hub.ranges == [None]


def test_another_file_is_refused_before_it_is_downloaded(
    build: Any, hub: type[_Handler], tmp_path: Path
) -> None:
    """Another size or another checksum is seen from the first answer alone."""
    hub.etag = "0" * 64
    with pytest.raises(SourceFailed, match="holds another file of the same size") as caught:
        _fetch(build, tmp_path)
    assert caught.value.corrupt
    hub.content = CONTENT[:-1]
    with pytest.raises(SourceFailed, match="holds another file of 10,239 bytes"):
        _fetch(build, tmp_path)
    assert hub.ranges == []


def test_a_status_is_told(build: Any, hub: type[_Handler], tmp_path: Path) -> None:
    """A hub in trouble is not taken for a missing connection."""
    hub.status = 503
    with pytest.raises(SourceFailed, match="answers with status 503"):
        _fetch(build, tmp_path)


def test_a_hub_that_is_not_there_is_no_connection(
    build: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A port nobody listens on is given up at once."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    _use(f"http://127.0.0.1:{port}", monkeypatch=monkeypatch)
    with pytest.raises(SourceFailed, match=r"^no connection$"):
        _fetch(build, tmp_path)


def test_the_offline_switch_is_obeyed(
    build: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HF_HUB_OFFLINE keeps the library from asking."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(SourceFailed, match="switched off by HF_HUB_OFFLINE"):
        _fetch(build, tmp_path)


def test_the_download_ends_with_the_process_that_started_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the pull is killed, its standard input closes, and the program goes too."""
    program = Path(hub_download.__file__)
    arguments = ["owner/tiny", "tiny.gguf", str(tmp_path / "part"), "1", "0" * 64]
    with socket.create_server(("127.0.0.1", 0)) as silent:
        _use(f"http://127.0.0.1:{silent.getsockname()[1]}", monkeypatch=monkeypatch)
        command = [sys.executable, "-P", str(program), *arguments]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
            connection, _ = silent.accept()
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(4) == 1
            connection.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a full device")
def test_a_full_disk_is_an_error_of_the_system(
    build: Any, hub: type[_Handler], tmp_path: Path
) -> None:
    """No room is not blamed on the hub."""
    assert hub.ranges == []
    (tmp_path / f"{build.entry(CONTENT).sha256[:16]}.part").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        _fetch(build, tmp_path)


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ("", "failed"),
        ("ModuleNotFoundError: No module named 'huggingface_hub'", "the package huggingface_hub"),
        ("httpx.ConnectError: [SSL: CERTIFICATE_VERIFY_FAILED] https://u:p@host", "certificate"),
        ("requests.exceptions.ProxyError: u:p@proxy", "the proxy refuses"),
        ("x.errors.RepositoryNotFoundError: 401\nFor more: see\n", "no such file"),
        ("x.ConnectTimeout: timed out", "no connection"),
        ("  x\nrequests.exceptions.HTTPError: 502 Server Error: Bad", "answers with status 502"),
        ("a.b.OddError: https://u:p@host/", "failed (OddError)"),
    ],
)
def test_reasons_are_short_and_hold_no_address(log: str, reason: str) -> None:
    """Each kind of failure has words of our own."""
    assert reason in reason_of(log)
    assert "u:p" not in reason_of(log)
