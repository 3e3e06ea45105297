"""A chat in a terminal goes on through a dropped connection and a gateway's restart."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.live.balancers import HAProxy, Nginx
from tests.live.cutting import Cutting
from tests.live.served import Served, model, until, upstream
from tests.live.valkeys import Valkey

from deltaweir.testing import Pause, Peer, chat_events, stream_answer

pytestmark = pytest.mark.live

WORDS = [f"word{number} " for number in range(1, 31)]


class Chat:
    """`deltaweir chat` with one question, and what it has written so far."""

    def __init__(self, base_url: str) -> None:
        command = [sys.executable, "-m", "deltaweir", "chat", "Hi", "--model", "m"]
        self.process = subprocess.Popen(
            [*command, "--base-url", base_url, "--api-key", "none"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.printed = b""
        self.said = b""
        self._threads = [threading.Thread(target=one) for one in (self._print, self._say)]
        for thread in self._threads:
            thread.start()

    def _print(self) -> None:
        assert self.process.stdout is not None
        while data := self.process.stdout.read1(4096):  # type: ignore[attr-defined]
            self.printed += data

    def _say(self) -> None:
        assert self.process.stderr is not None
        while data := self.process.stderr.read1(4096):  # type: ignore[attr-defined]
            self.said += data

    def has_printed(self, word: str) -> None:
        """Wait until a word has come."""
        until(lambda: word.encode() in self.printed)

    def ended(self) -> int:
        """Wait for its end, and return its status."""
        status = self.process.wait(60)
        for thread in self._threads:
            thread.join(60)
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()
        return status


@pytest.mark.parametrize("balancer", [HAProxy, Nginx])
def test_a_chat_survives(
    tmp_path: Path, valkey: Valkey, balancer: Callable[..., HAProxy | Nginx]
) -> None:
    """Its connection is dropped, its gateway restarted, and dropped again: it prints all, once."""
    pauses = [Pause(), Pause(), Pause()]
    role, *content = chat_events(*WORDS, finish=None, done=False)
    steps = [role, *content[:10], pauses[0], *content[10:20], pauses[1], *content[20:25]]
    steps += [pauses[2], *content[25:], *chat_events(usage=(3, 60))[1:]]
    with contextlib.ExitStack() as stack:
        peer = stack.enter_context(Peer(stream_answer(steps)))
        config = f"{upstream('u', peer.base_url)}{model('m', ['u'])}[store]\nurl = '{valkey.url}'\n"
        served = []
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            served.append(stack.enter_context(Served(tmp_path / name, config)))
        places = [f"{host}:{port}" for host, port in (one.address for one in served)]
        front = stack.enter_context(balancer(tmp_path / "balancer", places))
        cutting = stack.enter_context(Cutting(front.port, events=None))
        chat = Chat(cutting.base_url)
        chat.has_printed("word10 ")
        cutting.cut()
        until(lambda: chat.said.count(b"resumed") >= 1 or _reads(served))
        pauses[0].release()
        chat.has_printed("word20 ")

        (running,) = [one for one in served if one.metrics()["deltaweir_streams_running"]]
        running.process.terminate()  # it drains: what runs there goes on to its end
        until(lambda: running.ask(path="/readyz").status == 503)
        cutting.cut()
        pauses[1].release()
        chat.has_printed("word25 ")
        pauses[2].release()
        assert chat.ended() == 0, chat.said
        assert chat.printed.decode().split() == [word.strip() for word in WORDS]
        assert b"connection lost; resumed at event" in chat.said
        assert len(peer.requests) == 1


def _reads(served: list[Served]) -> bool:
    """Tell whether a stream is read by its id."""
    return any(one.metrics()["deltaweir_stream_readers"] for one in served)
