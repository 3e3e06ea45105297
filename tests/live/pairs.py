"""Two gateways on one store, each in a process of its own, and the provider they ask."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.live.served import Served, model, until, upstream
from tests.live.valkeys import Valkey

from deltaweir.testing import Pause, Peer, chat_events, stream_answer
from deltaweir.testing.faults import Answer, Request
from deltaweir.testing.ports import unused_port

WORDS = [f" {number}" for number in range(1, 21)]
ROLE, *CONTENT = chat_events(*WORDS, finish=None, done=False)
END = chat_events(usage=(3, 20))[1:]
WHOLE = stream_answer([ROLE, *CONTENT, *END])


class Provider(Peer):
    """A provider that answers as it was told last."""

    def __init__(self) -> None:
        super().__init__([])
        self.answer: Answer = WHOLE

    def answer_to(self, request: Request) -> Answer:
        """Return what was told."""
        return self.answer


class Gateway(Served):
    """A gateway whose port stays the same however often it starts."""

    def __init__(
        self, folder: Path, config: str, port: int, environment: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(folder, config, environment=environment)
        self.port = port
        self._command[-1] = str(port)

    @property
    def runs(self) -> int:
        """How many streams run here."""
        return int(self.metrics()["deltaweir_streams_running"])

    def again(self) -> Gateway:
        """Return one that takes its place."""
        return Gateway(self.folder, self.config.read_text(), self.port)

    def ended(self) -> None:
        """End it, unless it has ended."""
        if self.process.returncode is None:
            self.stop()

    def killed(self) -> None:
        """End it as ``kill -9`` does."""
        self.process.kill()
        self.process.wait()
        for reader in self._readers:
            reader.join(60)
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()


def configured(provider: Peer, valkey: Valkey, *, drain_s: float = 20) -> str:
    """Return the configuration of a gateway before a provider, with a store."""
    return (
        f"[server]\nheartbeat_s = 2\ndrain_s = {drain_s}\n"
        f"{upstream('u', provider.base_url)}{model('m', ['u'])}"
        f'[store]\nurl = "{valkey.url}"\n'
    )


def made(folder: Path, provider: Peer, valkey: Valkey, **server: float) -> list[Gateway]:
    """Return two gateways that are not started."""
    folders = [folder / name for name in ("a", "b")]
    for one in folders:
        one.mkdir(parents=True)
    config = configured(provider, valkey, **server)
    return [Gateway(one, config, unused_port()) for one in folders]


def started(stack: contextlib.ExitStack, gateways: list[Gateway]) -> list[Gateway]:
    """Start gateways, at once, and end in the end those that still run."""
    for one in gateways:
        stack.callback(one.ended)
    with ThreadPoolExecutor() as threads:
        return [*threads.map(Gateway.__enter__, gateways)]


def addresses(gateways: Sequence[Gateway]) -> list[str]:
    """Return where gateways listen."""
    return [f"127.0.0.1:{one.port}" for one in gateways]


def parted(gateways: list[Gateway]) -> tuple[Gateway, Gateway]:
    """Return which gateway runs the stream, and the other."""
    here, there = gateways
    until(lambda: here.runs + there.runs == 1)
    return (here, there) if here.runs else (there, here)


def paused(provider: Provider, *at: int) -> list[Pause]:
    """Have a provider stand still behind so many words; return the pauses."""
    pauses = [Pause() for _ in at]
    steps = [ROLE, *CONTENT]
    for number, pause in sorted(zip(at, pauses, strict=True), reverse=True):
        steps.insert(number + 1, pause)
    provider.answer = stream_answer([*steps, *END])
    return pauses


@pytest.fixture(name="provider", scope="module")
def provider_fixture() -> Iterator[Provider]:
    """Return a provider for all gateways."""
    with Provider() as provider:
        yield provider
