"""What ``deltaweir serve`` writes to standard error where lines are JSON."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import DEADLINE_S, command, surroundings

from deltaweir.testing import unused_port

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="it is stopped by a signal")

FILE = """
[server]
port = 0
log = "json"
workers = {workers}
[[upstreams]]
name = "away"
base_url = "http://127.0.0.1:{port}/v1"
[[models]]
name = "m"
upstreams = ["away"]
"""


def configuration(path: Path, workers: int) -> str:
    """Write a configuration, and return its file."""
    file = path / "deltaweir.toml"
    file.write_text(FILE.format(workers=workers, port=unused_port()), "utf-8")
    return str(file)


@pytest.mark.parametrize("workers", [1, 2])
def test_every_line_is_an_object(tmp_path: Path, workers: int) -> None:
    """Ours, uvicorn's, those of failures and those that are only said; with workers too."""
    served = subprocess.Popen(
        command("serve", "--config", configuration(tmp_path, workers)),
        stderr=subprocess.PIPE,
        text=True,
        env=surroundings(),
        cwd=tmp_path,
    )
    assert served.stderr is not None
    try:
        lines = [json.loads(served.stderr.readline())]
        port = int(lines[0]["message"].partition("127.0.0.1:")[2].partition("/")[0])
        for method, path in (("GET", "/nowhere"), ("POST", "/v1/chat/completions")):
            with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port)) as client:
                body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "Hi"}]})
                client.request(method, path, body)
                client.getresponse().read()
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port)) as client:
            client.putrequest("no method", "/")  # uvicorn says that this is no request
            client.endheaders()
            client.getresponse().read()
    finally:
        served.send_signal(signal.SIGTERM)
        rest = served.communicate(timeout=DEADLINE_S)[1]
    lines += map(json.loads, rest.splitlines())
    loggers = {one.get("logger") for one in lines}
    assert {"deltaweir.gateway", "deltaweir.stream", "uvicorn.error"} <= loggers
    assert lines[0]["message"].startswith("serving m at http://127.0.0.1:")
    assert lines[0]["logger"] == "deltaweir.gateway"
    assert all({"time", "level", "logger", "message"} <= one.keys() for one in lines)
    assert [one["status"] for one in lines if one.get("message") == "refused"] == [404]
    assert [one["ending"] for one in lines if "ending" in one] == ["failed"]


def test_a_start_that_fails_is_an_object_too(run: Any, tmp_path: Path) -> None:
    """It says why at level CRITICAL, and the exit code is 1."""
    file = configuration(tmp_path, 1)
    (tmp_path / "deltaweir.db").write_bytes(b"no database" * 1000)
    ended = run("serve", "--config", file)
    assert ended.code == 1
    (line,) = map(json.loads, ended.err.splitlines())
    assert line["level"] == "CRITICAL"
    assert "deltaweir.db" in line["message"]
