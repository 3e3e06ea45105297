"""Connections that are cut after every single event: what clients and browsers make of them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.gateway.fronts import Front, fronted
from tests.live.cutting import Cutting
from tests.live.environments import chromium, needs

from deltaweir import AsyncClient, Client
from deltaweir.testing import Pause, Peer, chat_events, stream_answer

pytestmark = [pytest.mark.live, pytest.mark.timeout(180)]

FLAGS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update"]
WORDS = [f" w{number}" for number in range(1, 13)]
TEXT = "".join(WORDS)
STREAM = stream_answer(chat_events(*WORDS, usage=(3, 20)))
PROMPT: list[dict[str, Any]] = [{"role": "user", "content": "Hi"}]


@pytest.fixture(scope="module")
def front() -> Iterator[Front]:
    """A gateway that all tests here share."""
    with fronted() as one:
        yield one


def blocking(base_url: str) -> tuple[str, Any]:
    """Return text and usage of a stream, read by the blocking client."""
    with (
        Client(base_url=base_url, api_key="none", resume=True) as client,
        client.chat.completions.create(model="m", messages=PROMPT, stream=True) as stream,
    ):
        said = [chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices]
        assert stream.complete
        assert stream.text == "".join(said)
        return stream.text, stream.usage


def awaiting(base_url: str) -> tuple[str, Any]:
    """Return the same, read by the client that awaits."""

    async def read() -> tuple[str, Any]:
        async with AsyncClient(base_url=base_url, api_key="none", resume=True) as client:
            stream = await client.chat.completions.create(model="m", messages=PROMPT, stream=True)
            async with stream:
                async for _ in stream:
                    pass
            assert stream.complete
            return stream.text, stream.usage

    return asyncio.run(read())


@pytest.mark.parametrize("client", [blocking, awaiting])
@pytest.mark.parametrize("reset", [True, False])
@pytest.mark.parametrize("events", [1, 2, 3])
def test_a_client_goes_on_after_every_cut(
    front: Front, client: Callable[[str], tuple[str, Any]], events: int, *, reset: bool
) -> None:
    """Text and usage are those of a stream that nobody cut; the upstream is asked once."""
    with Peer(STREAM, STREAM) as peer, Cutting(front.port, events=None) as cutting:
        front.before(peer)
        uncut = client(cutting.base_url)
        assert uncut[0] == TEXT
        cutting.events, cutting._reset = events, reset
        assert client(cutting.base_url) == uncut
        assert cutting.cuts >= len(WORDS) // events
        assert len(peer.requests) == 2


@pytest.mark.parametrize("client", [blocking, awaiting])
def test_fifty_clients_go_on_at_once(
    front: Front, client: Callable[[str], tuple[str, Any]]
) -> None:
    """Each gets its own stream, whole."""
    with Peer(*[STREAM] * 50) as peer, Cutting(front.port, events=2) as cutting:
        front.before(peer)
        got: list[Any] = []
        threads = [
            threading.Thread(target=lambda: got.append(client(cutting.base_url))) for _ in range(50)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert [text for text, _ in got] == [TEXT] * 50
        assert len(peer.requests) == 50


@pytest.mark.parametrize("during", [True, False])
def test_a_browser_goes_on_after_every_event(front: Front, tmp_path: Path, *, during: bool) -> None:
    """An EventSource, cut after each event, gets each once, and stops by itself at the end."""
    playwright = pytest.importorskip("playwright.sync_api", reason="make test-live installs it")
    program = needs(chromium(), "Chromium")
    pause = Pause()
    steps: list[Any] = [*chat_events(*WORDS, usage=(3, 20))]
    if during:
        steps.insert(4, pause)
    with (
        Peer(stream_answer(steps)) as peer,
        Cutting(front.port, retry_ms=20, reset=False) as cutting,
        playwright.sync_playwright() as driver,
    ):
        front.before(peer)
        browser = driver.chromium.launch(executable_path=str(program), args=FLAGS)
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{cutting.port}/healthz")
        page.evaluate(_READ)
        page.wait_for_function("window.numbers.length > 2")
        pause.release()
        page.wait_for_function("window.over", timeout=60_000)
        numbers, text = page.evaluate("[window.numbers, window.said]")
        browser.close()
    assert text == TEXT
    assert numbers == [*range(1, len(numbers) + 1)]
    assert cutting.cuts >= len(WORDS)
    assert len(peer.requests) == 1


_READ = """async () => {
    window.numbers = []; window.said = ""; window.over = false;
    const asked = {
        model: "m", stream: true, messages: [{role: "user", content: "Hi"}],
        deltaweir: {resume: true},
    };
    const answer = await fetch("/v1/chat/completions", {
        method: "POST", body: JSON.stringify(asked),
    });
    const stream = answer.headers.get("x-deltaweir-stream-id");
    const source = new EventSource("/v1/streams/" + stream);
    source.onmessage = (event) => {
        window.numbers.push(Number(event.lastEventId.split(":")[1]));
        if (event.data === "[DONE]") return;
        for (const choice of JSON.parse(event.data).choices)
            window.said += choice.delta.content ?? "";
    };
    source.onerror = () => {
        window.over = source.readyState === EventSource.CLOSED;
    };
}"""
