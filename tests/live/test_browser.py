"""A page in a real browser streams from the example's route, and can stop it."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from tests.live.environments import ROOT, chromium, needs

pytestmark = [pytest.mark.live, pytest.mark.timeout(180)]

FLAGS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update"]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The address of the example, in a process of its own."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, str(ROOT / "examples/fastapi_chat.py"), "smollm2", str(port)]
    with subprocess.Popen(command) as process:
        try:
            yield _ready(f"http://127.0.0.1:{port}/", process)
        finally:
            process.terminate()


def _ready(address: str, process: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(address).close()  # noqa: S310  # our own address
        except OSError:
            time.sleep(0.05)
        else:
            return address
    pytest.fail("the example did not start")


@pytest.fixture
def page(address: str, tmp_path: Any) -> Iterator[Any]:
    """The example's page in headless Chromium; a picture of it is kept."""
    playwright = pytest.importorskip("playwright.sync_api", reason="make test-live installs it")
    program = needs(chromium(), "Chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(program), args=FLAGS)
        shown = browser.new_page()
        shown.goto(address)
        yield shown
        shown.screenshot(path=tmp_path / "page.png")
        browser.close()


def test_text_and_tokens_arrive(page: Any) -> None:
    """The answer grows on the page, and at its end the tokens stand below."""
    page.get_by_label("Message").fill("Count from one to twenty.")
    page.get_by_role("button", name="Send").click()
    page.wait_for_function("answer.textContent.length > 0")
    first = page.inner_text("#answer")
    page.wait_for_function("cost.textContent.includes('tok')", timeout=60_000)
    assert page.inner_text("#answer").startswith(first.strip()[:1])
    assert int(page.inner_text("#cost").split()[0]) > 1


def test_stop_ends_the_answer(page: Any) -> None:
    """After Stop nothing more arrives, and the next question is answered."""
    page.get_by_label("Message").fill("Tell me a very long story.")
    page.get_by_role("button", name="Send").click()
    page.wait_for_function("answer.textContent.length > 20")
    page.get_by_role("button", name="Stop").click()
    stopped = page.inner_text("#answer")
    page.wait_for_timeout(500)
    assert page.inner_text("#answer") == stopped
    page.get_by_label("Message").fill("Say hello.")
    page.get_by_role("button", name="Send").click()
    page.wait_for_function("cost.textContent.includes('tok')", timeout=60_000)


def test_what_broke_off_is_not_shown_as_whole(page: Any) -> None:
    """A stream without its end, and a refusal, are said so below the answer."""
    begun = 'data: {"choices": [{"index": 0, "delta": {"content": "Hel"}}]}\n\n'
    page.route("**/chat", lambda route: route.fulfill(body=begun))
    page.get_by_role("button", name="Send").click()
    page.wait_for_function("cost.textContent === 'the stream broke off'")
    assert page.inner_text("#answer") == "Hel"
    refusal = '{"error": {"message": "no such model", "code": "model_not_found"}}'
    page.route("**/chat", lambda route: route.fulfill(status=404, body=refusal))
    page.get_by_role("button", name="Send").click()
    page.wait_for_function("cost.textContent === 'no such model'")
