"""The page in a real browser, in front of a gateway whose provider says what a test wrote.

Three fixtures, which `tests.live.conftest` offers to all live tests: ``browser``, headless
Chromium for the tests of one module; ``page``, a tab that fails its test on any error in the
console and any violation of the page's policy, and of which a picture is kept; ``open_page``, which
makes further tabs like it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.live.environments import LIVE, chromium, needs
from tests.live.served import Served, model, upstream

from deltaweir.testing import Peer, Request, chat_events, stream_answer
from deltaweir.testing.faults import Answer, Step

FLAGS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update"]
PICTURES = LIVE / "pictures"
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 375, "height": 740}
WAIT_MS = 20_000
PRICE = "price = { input = 1, output = 2 }"
"""Dollars for a million tokens; see the table ``[[models]]``."""
_EXPECTED = ("Failed to load resource",)
"""What Chromium itself writes of every answer that refuses, and of a network that is away."""
_TELL = """addEventListener("securitypolicyviolation", (event) =>
    console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`))"""


class Speaker(Peer):
    """A provider that answers each prompt as a test wrote, and any other with its own words.

    Attributes:
        answers: What is answered to the last message of a request, by its text.
        asked: The bodies of the requests, in the order of arrival.
    """

    def __init__(self, answers: Mapping[str, Answer] | None = None) -> None:
        super().__init__([])
        self.answers: dict[str, Answer] = dict(answers or {})

    @property
    def asked(self) -> list[Any]:
        """The bodies of the requests so far."""
        return [json.loads(one.body) for one in self.requests]

    def answer_to(self, request: Request) -> Answer:
        """Return what the prompt is answered with."""
        prompt = json.loads(request.body)["messages"][-1]["content"]
        return self.answers.get(prompt) or spoken(f"You said: {prompt}")

    def say(self, prompt: str, text: str, **options: Any) -> None:
        """Answer a prompt with a text, word by word; options as for `spoken`."""
        self.answers[prompt] = spoken(text, **options)


def spoken(text: str, *, then: Sequence[Step] = (), **options: Any) -> Answer:
    """Return the answer that streams a text word by word.

    Args:
        text: What it says.
        then: Steps behind the last word, before the end.
        **options: As for `chat_events`.
    """
    events = chat_events(*words(text), **options)
    at = 1 + len(words(text))
    return stream_answer([*events[:at], *then, *events[at:]])


def words(text: str) -> list[str]:
    """Return the pieces of a text that a provider sends as chunks of their own."""
    return re.findall(r"\s*\S+|\s+$", text)


class Front(NamedTuple):
    """A gateway with its provider."""

    speaker: Speaker
    served: Served

    @property
    def address(self) -> str:
        """Where the page is."""
        return self.served.base_url.removesuffix("/v1") + "/"


def fronted(
    folder: Path, *, server: str = "", more: str = "", key: str = "none"
) -> Iterator[Front]:
    """Run a gateway in front of a scripted provider, for a fixture to yield from.

    Its models are ``talker``, with a price, and ``watched``, with the guard ``standard``.

    Args:
        folder: Where its configuration and its ledger lie.
        server: Lines of ``[server]``.
        more: Further tables.
        key: What the provider is sent as key.
    """
    with Speaker() as speaker:
        config = "\n".join(
            [
                f"[server]\n{server}",
                upstream("stage", speaker.base_url, f'api_key = "{key}"'),
                model("talker", ["stage"], PRICE),
                model("watched", ["stage"], 'guard = "standard"'),
                more,
            ]
        )
        with Served(folder, config) as served:
            yield Front(speaker, served)


class Tabs:
    """Makes tabs, and gathers what goes wrong in them.

    Args:
        browser: Playwright's.

    Attributes:
        faults: What was wrong so far, in any tab.
    """

    def __init__(self, browser: Any) -> None:
        self._browser = browser
        self.faults: list[str] = []
        self.pages: list[Any] = []
        self._contexts: list[Any] = []

    def __call__(self, address: str = "", *, beside: Any = None, **options: Any) -> Any:
        """Open a tab.

        Args:
            address: Where it goes; empty leaves it blank.
            beside: Another tab whose cookies and storage it shares.
            **options: As for Playwright's ``new_context``; the size of a desktop unless said.
        """
        context = beside.context if beside else self._context(**options)
        page = context.new_page()
        page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        page.on("console", self._heard)
        self.pages.append(page)
        if address:
            page.goto(address)
        return page

    def _context(self, **options: Any) -> Any:
        context = self._browser.new_context(**{"viewport": DESKTOP, **options})
        context.set_default_timeout(15_000)
        context.add_init_script(_TELL)
        self._contexts.append(context)
        return context

    def _heard(self, message: Any) -> None:
        if message.type in {"error", "warning"} and not message.text.startswith(_EXPECTED):
            self.faults.append(f"{message.type}: {message.text}")

    def close(self, name: str) -> None:
        """Keep pictures under a name, and close all tabs."""
        for number, page in enumerate(self.pages):
            if not page.is_closed():
                picture(page, name if number == 0 else f"{name}-{number}")
        for context in self._contexts:
            context.close()


def expect(what: Any) -> Any:
    """Return what asserts something of a tab's part, and waits for it; see Playwright's own."""
    playwright = pytest.importorskip("playwright.sync_api", reason="make test-live installs it")
    playwright.expect.set_options(timeout=WAIT_MS)
    return playwright.expect(what)


def picture(page: Any, name: str) -> None:
    """Keep a picture of a tab as ``.live/pictures/NAME.png``."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"{re.sub(r'[^a-z0-9_-]+', '-', name.lower())}.png")


@pytest.fixture(name="browser", scope="module")
def browser_fixture() -> Iterator[Any]:
    """Headless Chromium, for the tests of a module; its loop runs so long in this thread."""
    playwright = pytest.importorskip("playwright.sync_api", reason="make test-live installs it")
    program = needs(chromium(), "Chromium")
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=str(program), args=FLAGS)
        yield running
        running.close()


@pytest.fixture(name="open_page")
def open_page_fixture(browser: Any, request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    """Opens tabs; a test fails for what is wrong in any of them."""
    tabs = Tabs(browser)
    yield tabs
    tabs.close(request.node.name)
    assert tabs.faults == []


@pytest.fixture(name="page")
def page_fixture(open_page: Callable[..., Any]) -> Any:
    """A blank tab of the size of a desktop."""
    return open_page()
