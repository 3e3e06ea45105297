"""The documentation as a site: it builds without a warning, needs nobody else, and can be read."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from tests.live.browsing import DESKTOP, PHONE, picture
from tests.live.environments import ROOT, needs, node
from tests.live.test_docs import site_fixture

__all__ = ["site_fixture"]

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

FETCHED = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src"}
"""What a browser fetches by itself, by the attribute that says from where."""
WIDTHS = {"desktop": DESKTOP, "phone": PHONE}


class Fetches(HTMLParser):
    """Gathers where a page fetches something from."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at one element."""
        self.found += [value or "" for name, value in attrs if name == FETCHED.get(tag)]


@pytest.fixture(name="built", scope="module")
def built_fixture(site: tuple[Path, str]) -> tuple[Path, str]:
    """The site as ``make docs`` builds it: its folder, and where it is served."""
    needs(Path("mkdocs") if importlib.util.find_spec("mkdocs") else None, "mkdocs")
    folder, origin = site
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder],
        capture_output=True,
        text=True,
        cwd=ROOT,
        # a proxy that is not there: whatever looked for a network would fail
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "HTTPS_PROXY": "http://127.0.0.1:9"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return folder, origin


def test_nothing_comes_from_elsewhere(built: tuple[Path, str]) -> None:
    """No page names a script, a style, a font or a picture of another host."""
    pages = [*built[0].rglob("*.html")]
    assert len(pages) > 35
    for page in pages:
        fetches = Fetches()
        fetches.feed(page.read_text("utf-8"))
        assert fetches.found
        assert not [one for one in fetches.found if "//" in one], page.name
    for style in built[0].rglob("*.css"):
        assert "url(http" not in style.read_text("utf-8")
        assert "@import" not in style.read_text("utf-8")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_the_front_page_can_be_read(
    built: tuple[Path, str], open_page: Callable[..., Any], width: str, scheme: str
) -> None:
    """It fits its window, asks nobody else, and a picture of it is kept."""
    page = open_page(viewport=WIDTHS[width], color_scheme=scheme)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{built[1]}/index.html")
    page.get_by_role("heading", name="Why Deltaweir").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= WIDTHS[width]["width"]
    assert not [url for url in asked if not url.startswith((built[1], "data:"))]
    picture(page, f"docs-{width}-{scheme}")


@pytest.mark.parametrize("way", ["served", "from a disk"])
def test_the_search_finds(built: tuple[Path, str], open_page: Callable[..., Any], way: str) -> None:
    """A word leads to its page, with a server and without one."""
    start = built[1] if way == "served" else built[0].as_uri()
    page = open_page(f"{start}/index.html")
    page.get_by_role("textbox", name="Search").fill("truststore")
    page.locator(".md-search-result__link").first.click()
    page.get_by_role("heading", name="Proxies and certificates").wait_for()


def test_the_reference_has_signatures(built: tuple[Path, str], page: Any) -> None:
    """Public names stand there with their arguments, though the package loads them lazily."""
    page.goto(f"{built[1]}/reference/clients.html")
    text = page.inner_text("article")
    for shown in ("Client(", "base_url: str | None = None", "A provider's address", "close()"):
        assert shown in text
    picture(page, "docs-reference")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_read_it(
    built: tuple[Path, str], open_page: Callable[..., Any], scheme: str
) -> None:
    """Nothing that axe-core looks for is a serious fault on pages of each kind."""
    program = needs(node(), "Node") / "node_modules/axe-core/axe.min.js"
    page = open_page(color_scheme=scheme)
    for name in ("index", "browser", "gateway", "reference/clients"):
        page.goto(f"{built[1]}/{name}.html")
        page.evaluate(program.read_text() + "\n;0")
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
        assert not [one["id"] for one in found if one["impact"] in {"serious", "critical"}], name
