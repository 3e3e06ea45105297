"""What README and docs show, with the default model, the real openai packages, and Chromium.

`tests/examples/test_docs_python.py` has stand-ins for all three.
"""

from __future__ import annotations

import functools
import http.server
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.examples.blocks import Block, blocks
from tests.examples.test_docs_python import GATEWAY, gateway_fixture, is_test
from tests.gateway.conftest import Running
from tests.live.browsing import Front, fronted, spoken
from tests.live.environments import ROOT, needs, new_python, old_python

from deltaweir.testing import Pause

__all__ = ["gateway_fixture"]

pytestmark = [pytest.mark.live, pytest.mark.timeout(180)]

CERTIFICATE = ROOT / "tests" / "data" / "tls" / "localhost.pem"
FOLDERS = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
"""What nginx writes to, and would look for where only root may."""
FIRST = {"README.md", "index.md", "quickstart.md"}
"""The pages that somebody follows who has nothing but the default model."""
SMALL = "smollm2"
WITH_PACKAGE = "import sys; sys.path.append(sys.argv[1]); exec(sys.argv[2])"
KEPT = '<!doctype html><p id="answer"></p><script type="module" src="kept.js"></script>'


def asks_the_default_model(block: Block) -> bool:
    """Tell whether an example of a first page takes whatever model there is."""
    elsewhere = ("import openai", "openai.OpenAI(", "base_url", SMALL)
    asks = ".create(" in block.text and not any(word in block.text for word in elsewhere)
    return asks and block.page.name in FIRST


def shown(chosen: Callable[[Block], bool]) -> list[Any]:
    """Return the examples that a test is about."""
    return [
        pytest.param(block, id=block.id)
        for block in blocks("python")
        if block.runs and not is_test(block) and chosen(block)
    ]


@pytest.mark.parametrize("block", shown(asks_the_default_model))
def test_the_default_model_answers(block: Block, tmp_path: Path) -> None:
    """An example ends well in a process of its own, without anything beside it."""
    done = subprocess.run(
        [sys.executable, "-c", block.text],
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=tmp_path,
        env={**os.environ, "PYTHONUTF8": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("block", shown(lambda block: "import openai\n" in block.text))
def test_the_real_package_runs_it(
    gateway: Running, smollm2: Any, block: Block, tmp_path: Path
) -> None:
    """Programs for the openai package do what the pages say, today's and the old one's."""
    old = "openai.api_base" in block.text
    python = needs(old_python() if old else new_python(), "an openai package")
    where = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    folder = subprocess.run(where, capture_output=True, text=True, check=True).stdout.strip()
    code = block.text.replace(GATEWAY, f"http://127.0.0.1:{gateway.port}")
    done = subprocess.run(
        [sys.executable, "-c", WITH_PACKAGE, folder, code],
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=tmp_path,
        env={**os.environ, "PYTHONUTF8": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.parametrize("block", [*blocks("nginx", "haproxy")], ids=lambda one: one.id)
def test_a_balancer_takes_it(block: Block, tmp_path: Path) -> None:
    """What pages tell nginx and HAProxy is nothing that they refuse."""
    system = os.pathsep.join((os.environ["PATH"], "/usr/sbin", "/usr/local/sbin"))
    found = shutil.which(block.language, path=system)
    program = needs(Path(found) if found else None, block.language)
    path = tmp_path / "shown.cfg"
    if block.language == "nginx":
        text = block.text if "server {" in block.text else f"server {{\n{block.text}}}\n"
        text = re.sub(r"/etc/ssl/[\w.]+", str(CERTIFICATE), text)
        folders = "".join(f"{kind}_temp_path {tmp_path};" for kind in FOLDERS)
        head = f"pid {tmp_path}/pid; error_log stderr; events {{}}\n"
        path.write_text(f"{head}http {{ access_log off; {folders}\n{text}}}\n", "utf-8")
        command = [str(program), "-t", "-q", "-p", str(tmp_path), "-c", str(path)]
    else:
        front = "\nfrontend all\n    bind 127.0.0.1:8000\n    default_backend deltaweir\n"
        if "\nbackend" not in block.text:
            front += "\nbackend deltaweir\n    server one 127.0.0.1:1\n"
        path.write_text(block.text + front, "utf-8")
        command = [str(program), "-c", "-q", "-f", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(name="site", scope="module")
def site_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A folder that a server of its own shows, as somebody's site: the folder, and its origin."""
    folder = tmp_path_factory.mktemp("site")
    handler = functools.partial(_Quiet, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(name="front", scope="module")
def front_fixture(
    site: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Front]:
    """A gateway that lets the site in; what the page on browsers shows lies on the site."""
    folder, origin = site
    served = fronted(tmp_path_factory.mktemp("front"), server=f'cors_origins = ["{origin}"]')
    for front in served:
        address = front.address.removesuffix("/")
        for block in blocks("js", "html"):
            text = block.text.replace(GATEWAY, address)
            (folder / str(block.title)).write_text(text, "utf-8")
        (folder / "kept.html").write_text(KEPT, "utf-8")
        yield front


def test_a_page_of_ones_own_streams(front: Front, site: tuple[Path, str], page: Any) -> None:
    """Text and tokens arrive on a page of another origin, cut anywhere, letters of all kinds."""
    front.speaker.say("Say hello.", "Grüezi, 世界! A weir is a dam.", usage=(9, 12))
    page.goto(f"{site[1]}/page.html")
    page.get_by_role("button", name="Send").click()
    page.wait_for_function("cost.textContent === '12 tok'")
    assert page.inner_text("#answer") == "Grüezi, 世界! A weir is a dam."


def test_its_stop_button_stops(front: Front, site: tuple[Path, str], page: Any) -> None:
    """Aborting closes the connection, and the gateway that to the provider."""
    pause = Pause()
    front.speaker.answers["Go on."] = spoken("One two three", then=[pause])
    page.goto(f"{site[1]}/page.html")
    page.get_by_label("Message").fill("Go on.")
    page.get_by_role("button", name="Send").click()
    page.wait_for_function("answer.textContent.includes('three')")
    page.get_by_role("button", name="Stop").click()
    assert front.speaker.wait_gone(front.speaker.requests[-1].connection)
    pause.release()
    assert page.inner_text("#cost") == ""


def test_what_goes_wrong_is_shown(front: Front, site: tuple[Path, str], page: Any) -> None:
    """A provider's refusal is a sentence on the page."""
    page.route("**/v1/chat/completions", lambda route: route.fulfill(status=200, body=": hi\n\n"))
    page.goto(f"{site[1]}/page.html")
    page.get_by_role("button", name="Send").click()
    page.wait_for_function("cost.textContent === 'the stream broke off'")


def test_a_reload_loses_nothing(front: Front, site: tuple[Path, str], page: Any) -> None:
    """After a reload in mid-stream the page has the text from its beginning, and all the rest."""
    pause = Pause()
    front.speaker.answers["Tell it."] = spoken("Once upon a time there", then=[pause])
    page.goto(f"{site[1]}/kept.html")
    page.evaluate("import('./kept.js').then((kept) => void kept.begin('Tell it.'))")
    page.wait_for_function("answer.textContent.includes('there')")
    page.reload()
    page.wait_for_function("answer.textContent.includes('there')")
    pause.release()
    page.wait_for_function("answer.dataset.state === 'whole'")
    assert page.inner_text("#answer") == "Once upon a time there"
    assert page.evaluate("sessionStorage.getItem('stream')") is None
