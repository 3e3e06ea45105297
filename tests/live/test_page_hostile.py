"""Whatever a model writes, nothing of it runs, nothing is loaded, and the page stays what it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.live.browsing import Front, fronted, picture
from tests.live.test_page_chat import answer, ask, ended

from deltaweir.testing import chat_events, stream_answer

pytestmark = [pytest.mark.live, pytest.mark.timeout(180)]

HOSTILE = (Path(__file__).parents[1] / "data/hostile_answer.md").read_text()
"""Ways in which pages were broken into."""
LARGE = {
    "brackets": "[" * 100_000,
    "quotes": ">" * 100_000,
    "links": "[a](" * 25_000,
    "images": "![" * 50_000,
    "stars": "*a **b " * 14_000,
    "ticks": "`" * 100_000,
    "nested lists": "".join("  " * depth + "- x\n" for depth in range(300)),
    "a wide table": "|" + "a|" * 2_000 + "\n|" + "-|" * 2_000 + "\n|" + "b|" * 2_000,
    "a long table": "|a|b|\n|-|-|\n" + "|1|2|\n" * 5_000,
    "one word": "x" * 100_000,
    "definitions": "".join(f"[d{number}]: https://x.example/{number}\n" for number in range(3_000)),
    "entities": "&amp;" * 20_000,
    "addresses": "https://x.example/ " * 5_000,
}
"""What keeps bad readers busy for ever."""


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """A gateway that all tests here share."""
    yield from fronted(tmp_path_factory.mktemp("gateway"))


def pieces(text: str, size: int) -> list[str]:
    """Cut a text into pieces of a size."""
    return [text[at : at + size] for at in range(0, len(text), size)]


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_nothing_of_an_answer_runs(front: Front, page: Any, size: int) -> None:
    """However it is cut: no script, no foreign address, no name or form of the page's own."""
    outside: list[str] = []
    page.on("request", lambda one: None if front.address in one.url else outside.append(one.url))
    front.speaker.answers["hostile"] = stream_answer(chat_events(*pieces(HOSTILE, size)))
    page.goto(front.address)
    ask(page, "hostile")
    ended(page)
    assert page.evaluate("window.ran") is None
    for link in answer(page).get_by_role("link").all():
        assert link.get_attribute("href").startswith(("https://", "http://", "mailto:"))
        assert link.get_attribute("rel") == "noopener noreferrer nofollow"
    names = "[...document.querySelectorAll('.block *')].flatMap((one) => one.getAttributeNames())"
    allowed = {"href", "target", "rel", "class", "type", "tabindex", "aria-label", "role", "dir"}
    assert set(page.evaluate(names)) <= allowed
    classes = "[...document.querySelectorAll('.block [class]')].map((one) => one.className)"
    assert set(page.evaluate(classes)) <= {
        "code-box",
        "code-comment",
        "code-figure",
        "code-head",
        "code-text",
        "code-word",
        "copy",
        "lines",
        "table-box",
        "table-box long",
    }
    tags = "[...document.querySelectorAll('.block *')].map((one) => one.localName)"
    assert not {"img", "svg", "form", "input", "style", "iframe", "script"} & set(
        page.evaluate(tags)
    )
    assert page.evaluate("document.getElementById('main').localName") == "main"
    assert page.evaluate("document.baseURI").startswith(front.address)
    assert outside == []
    assert "<script>window.ran = 1</script>" in answer(page).inner_text()
    picture(page, f"hostile-{size}")


@pytest.mark.parametrize("name", LARGE)
def test_no_text_keeps_the_page_busy(front: Front, page: Any, name: str) -> None:
    """It is shown, and the page answers to a key soon after."""
    front.speaker.answers[name] = stream_answer(chat_events(*pieces(LARGE[name], 2_000)))
    page.goto(front.address)
    ask(page, name)
    ended(page)
    page.locator("#log").focus()
    page.keyboard.press("?")
    assert page.locator("#help-dialog").is_visible()
