"""Several workers at one address, as processes that share a socket and a supervisor."""

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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

DEADLINE_S = 20.0
FILE = """
[server]
port = 0
workers = 2
[[upstreams]]
name = "u"
base_url = "http://127.0.0.1:9/v1"
[[models]]
name = "a"
upstreams = ["u"]
"""
MORE = '[[models]]\nname = "b"\nupstreams = ["u"]\n'
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows runs one process")


class Serving:
    """The command with two workers.

    Args:
        path: Its configuration.
    """

    def __init__(self, path: Path) -> None:
        """Start the command."""
        command = [sys.executable, "-m", "deltaweir", "serve", "--config", str(path)]
        # in a group of its own, so that a signal for the group does not reach the tests
        self.process = subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, cwd=path.parent, start_new_session=True
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)

    def said(self, text: str) -> str:
        """Wait for a line with a text, and return it."""
        found: list[str] = []

        def is_there() -> bool:
            found[:] = [line for line in self.lines if text in line]
            return bool(found) or self.process.poll() is not None

        until(is_there)
        assert found, self.lines
        return found[0]

    @property
    def workers(self) -> set[int]:
        """The ids of the workers' processes."""
        listed = subprocess.run(
            ["ps", "-A", "-ww", "-o", "pid=,ppid=,args="],  # noqa: S607  where it is differs
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        fields = [line.split(maxsplit=2) for line in listed.splitlines()]
        return {
            int(pid)
            for pid, parent, args in fields
            if int(parent) == self.process.pid and "spawn_main" in args
        }

    @contextlib.contextmanager
    def connected(self) -> Iterator[http.client.HTTPConnection]:
        """Give a connection of one's own."""
        port = int(self.said("serving").split("127.0.0.1:")[1].split("/")[0])
        one = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
        with contextlib.closing(one):
            yield one

    def ask(self, path: str, body: Any = None) -> Any:
        """Ask on a connection of its own, and return the answer's JSON."""
        with self.connected() as one:
            one.request("GET" if body is None else "POST", path, body and json.dumps(body))
            return json.loads(one.getresponse().read())

    def models(self) -> list[str]:
        """Return the names of the models."""
        return [model["id"] for model in self.ask("/v1/models")["data"]]

    def each(self) -> list[list[str]]:
        """Ask each worker for its models, while the others are held up."""
        answers = []
        workers = self.workers
        for one in workers:
            others = workers - {one}
            for other in others:
                os.kill(other, signal.SIGSTOP)
            try:
                answers.append(self.models())
            finally:
                for other in others:
                    os.kill(other, signal.SIGCONT)
        return answers

    def end(self) -> None:
        """End what is left."""
        self.process.kill()
        self.process.wait()
        self._reader.join()  # the workers have ended too, since they hold stderr open
        assert self.process.stderr is not None
        self.process.stderr.close()


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, in small polls."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a file with a configuration."""
    path = tmp_path / "deltaweir.toml"
    path.write_text(FILE, "utf-8")
    return path


@pytest.fixture
def serving(path: Path) -> Iterator[Serving]:
    """Run the command, and end it."""
    one = Serving(path)
    try:
        yield one
    finally:
        one.end()


def test_the_life_of_a_supervisor(serving: Serving, path: Path) -> None:
    """Both workers answer; one that is killed comes back; both reload; both drain."""
    assert "with 2 workers" in serving.said("serving a at http://127.0.0.1:")
    assert serving.each() == [["a"], ["a"]]

    first = serving.workers
    killed = min(first)
    os.kill(killed, signal.SIGKILL)
    assert f"(process {killed}) has died: ended by signal 9; starting another" in serving.said(
        "died"
    )
    assert serving.models() == ["a"]

    path.write_text("[server]\nprot = 1")
    serving.process.send_signal(signal.SIGHUP)
    serving.said("not reloaded, all stays as it was")
    path.write_text(FILE.replace("workers = 2", "workers = 3") + MORE)
    serving.process.send_signal(signal.SIGHUP)
    assert "needs a restart: server.workers" in serving.said("reloaded: added model b")
    until(lambda: len(serving.workers) == 2)
    assert killed not in serving.workers
    until(lambda: serving.each() == [["a", "b"]] * 2)

    # a terminal's Ctrl-C goes to workers too, and must not count for them
    os.killpg(serving.process.pid, signal.SIGINT)
    assert serving.process.wait(DEADLINE_S) == 0
    assert len(serving.lines) == 5, serving.lines


@pytest.mark.live  # it takes long
def test_workers_do_not_outlive_it(serving: Serving) -> None:
    """A supervisor that is killed takes its workers with it, though it cannot tell them."""
    serving.said("serving")
    serving.process.kill()
    began = time.monotonic()
    serving.end()
    assert time.monotonic() - began < 5


@pytest.mark.live  # it takes long
def test_workers_that_cannot_start(serving: Serving, path: Path) -> None:
    """Why is told once, and the command fails."""
    serving.end()
    ledger = path.parent / "folder.db"
    ledger.mkdir()
    path.write_text(FILE + '[ledger]\nurl = "sqlite:///folder.db"\n')
    other = Serving(path)
    try:
        assert other.process.wait(DEADLINE_S) == 1
    finally:
        other.end()
    (line,) = other.lines
    assert line.startswith("deltaweir: worker ")
    assert f"does not start: the ledger {ledger} cannot be used" in line


@pytest.mark.live  # it takes long
def test_embedded_models_are_in_one_process(serving: Serving, path: Path) -> None:
    """Workers answer from it, by its own counts, for nothing; it may come later, and come back."""
    serving.said("serving a")
    path.write_text(FILE + '[[models]]\nname = "m"\nembedded = "smollm2"\n')
    before = serving.workers
    serving.process.send_signal(signal.SIGHUP)
    serving.said("added model m")
    until(lambda: len(serving.workers) == 3)
    (models,) = serving.workers - before
    for _ in range(3):
        assert_answers(serving)
    os.kill(models, signal.SIGKILL)
    assert f"the embedded model (process {models}) has died" in serving.said("died")
    assert_answers(serving)


def assert_answers(serving: Serving) -> None:
    """Make sure that the embedded model answers."""
    messages = [{"role": "user", "content": "Say hello."}]
    body = {"model": "m", "messages": messages, "max_tokens": 4}
    reply = serving.ask("/v1/chat/completions", body)
    assert reply["usage"]["completion_tokens"] == 4, reply
    assert reply["deltaweir"]["cost_usd"] == 0


@pytest.mark.live  # it takes long
def test_a_second_signal_does_not_wait(serving: Serving, path: Path) -> None:
    """After the first a stream goes on; the second ends it, with an error that says so."""
    serving.end()
    path.write_text(
        '[server]\nport = 0\nworkers = 2\n[[models]]\nname = "m"\nembedded = "smollm2"\n'
    )
    other = Serving(path)
    try:
        messages = [{"role": "user", "content": "Tell me a very long story."}]
        body = {"model": "m", "messages": messages, "max_tokens": 3000, "stream": True}
        body["temperature"] = 0  # by chance an answer may be short
        with other.connected() as one:
            one.request("POST", "/v1/chat/completions", json.dumps(body))
            answer = one.getresponse()
            answer.readline()
            other.process.terminate()
            for _ in range(20):
                assert answer.readline()
            other.process.terminate()
            assert b'"error"' in answer.read()
        assert other.process.wait(DEADLINE_S) == 0
    finally:
        other.end()
