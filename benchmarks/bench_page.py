"""The page: its size, its first paint on an idle and on a busy gateway, and a long answer's frames.

Needs Chromium and the extra ``live``. Without options all is measured; ``--rounds`` says how often
the page is opened.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.util
import os
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.crowd import check, crowd
from benchmarks.measure import heading, rounds, row
from benchmarks.process import Process
from tests.live.browsing import FLAGS, fronted
from tests.live.environments import chromium
from tests.live.served import Served, model, upstream
from tests.live.test_page_speed import SHAPES, WATCH, Seen

from deltaweir.gateway.page.assets import assets
from deltaweir.testing import chat_events, stream_answer

HERE = Path(__file__).parent
SIZE_BAR_KB = 150
STREAMS, PAUSE_MS, CONTENTS = 200, 20, 1_000
PAINTED = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
READY = """() => new Promise((resolve) => {
  const look = () => document.querySelector("#chat:not([hidden], [inert]) textarea")
    ? resolve(performance.now()) : requestAnimationFrame(look);
  look();
})"""


def size() -> None:
    """Add up the files, compressed, by the folder they lie in."""
    parts: Counter[str] = Counter()
    for path, asset in assets().by_path.items():
        folder, slash, _ = path.partition("/")
        parts[folder if slash else "the rest"] += len(asset.compressed)
    print("kB by gzip: " + ", ".join(f"{name} {size / 1000:.1f}" for name, size in parts.items()))
    print(f"all of it: {parts.total() / 1000:.1f} kB (bar {SIZE_BAR_KB})", flush=True)


def opened(browser: Any, address: str, count: int, what: str) -> None:
    """Open the page with an empty cache, again and again."""
    paints, ready = [], []
    for _ in rounds(what, count):
        page = browser.new_page()
        page.goto(address, wait_until="commit")
        ready.append(page.evaluate(READY))
        paints.append(page.evaluate(PAINTED))
        page.close()
    row(f"{what}: first paint", paints)
    row(f"{what}: one can write", ready)


@contextlib.contextmanager
def busy(port: int) -> Iterator[None]:
    """Let 200 streams run, each with 50 chunks a second."""
    over = threading.Event()

    async def read() -> None:
        while not over.is_set():
            readers = await crowd(
                port, "paced", streams=STREAMS, contents=CONTENTS, pause_ms=PAUSE_MS, within_s=1.0
            )
            for one in readers:
                await one.done
                check(one, CONTENTS)

    thread = threading.Thread(target=asyncio.run, args=(read(),))
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def paints(browser: Any, count: int) -> None:
    """Measure the first paint, with and without load."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Process(sys.executable, str(HERE / "pacer.py")) as pacer,
    ):
        config = upstream("pacer", f"http://127.0.0.1:{pacer.line()}/v1") + model(
            "paced", ["pacer"]
        )
        with Served(Path(folder), config) as served:
            address = served.base_url.removesuffix("/v1") + "/"
            heading("opening the page", "ms")
            opened(browser, address, count, "idle")
            with busy(served.address[1]):
                opened(browser, address, count, f"beside {STREAMS} streams")


def answers(browser: Any) -> None:
    """Measure the frames of answers of 20,000 tokens, as fast as they come."""
    with tempfile.TemporaryDirectory() as folder:
        for front in fronted(Path(folder)):
            for shape, pieces in SHAPES.items():
                front.speaker.answers[shape] = stream_answer(chat_events(*pieces))
                page = browser.new_page()
                page.goto(front.address)
                page.evaluate(WATCH)
                page.get_by_label("Message").fill(shape)
                page.keyboard.press("Enter")
                page.locator(".turn:not(.streaming) .actions").wait_for(timeout=240_000)
                print(f"{len(pieces)} tokens, {shape}: {Seen(**page.evaluate('window.seen'))}")
                page.close()


def main() -> None:
    """Measure all."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=10)
    count: int = options.parse_args().rounds
    os.environ.setdefault("NO_PROXY", "127.0.0.1")
    size()
    program = chromium()
    if program is None or importlib.util.find_spec("playwright") is None:
        print("the rest needs Chromium and the extra live: make test-live says what is missing")
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=FLAGS)
        paints(browser, count)
        answers(browser)
        browser.close()


if __name__ == "__main__":
    main()
