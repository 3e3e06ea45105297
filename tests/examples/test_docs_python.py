"""What README and docs show in Python runs as it stands there.

Examples without a model of their own ask a gateway in front of a scripted provider, which the
environment names; those that say ``import openai`` get our package by that name, as the pages
promise that it works. `tests/live/test_docs.py` has the default model and the real packages.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import io
import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.examples.blocks import ROOT, Block, blocks
from tests.gateway.conftest import Running, served

import deltaweir
from deltaweir.gateway.config.file import (
    Config,
    LedgerConfig,
    ModelConfig,
    ServerConfig,
    UpstreamConfig,
)
from deltaweir.testing import Peer, Request, chat_events, json_answer, stream_answer
from deltaweir.testing.faults import Answer
from deltaweir.wire.sse import DONE, encode

GATEWAY = "http://127.0.0.1:8080"
"""Where the pages say that a gateway is."""
NOTEBOOK = "notebooks.md"
"""A page whose blocks are cells of one notebook."""
SETTINGS = ("api_base", "api_key", "organization", "proxy")
WORDS = ("A weir ", "is a low dam ", "across a river. ", "It measures, ", "and it controls.")
NAMES = ("gpt-4o-mini", "gpt-3.5-turbo", "qwen2.5-coder-0.5b", "code-davinci-002")
"""The models that the pages ask for, the first one where they name none."""
USED = {"prompt_tokens": 9, "completion_tokens": 16, "total_tokens": 25}


class Provider(Peer):
    """Tells a story to whoever asks, streamed or whole, as chat or as text."""

    def answer_to(self, request: Request) -> Answer:
        """Return the story."""
        streamed = json.loads(request.body).get("stream")
        if request.target.endswith("/chat/completions"):
            if streamed:
                return stream_answer(chat_events(*WORDS, usage=(9, 16)))
            message = {"role": "assistant", "content": "".join(WORDS)}
            return json_answer(whole("chat.completion", {"message": message}))
        if streamed:
            chunks = [whole("text_completion", {"text": word}) for word in WORDS]
            return stream_answer([*(encode(json.dumps(one).encode()) for one in chunks), DONE])
        return json_answer(whole("text_completion", {"text": "".join(WORDS)}))


def whole(kind: str, said: dict[str, Any]) -> dict[str, Any]:
    """Return a reply that says something, or a chunk that says all of it."""
    choice = {"index": 0, **said, "finish_reason": "stop" if "message" in said else None}
    base = {"id": "cmpl-1", "object": kind, "created": 1, "model": "scripted"}
    if said.get("text", "").endswith("controls."):
        choice["finish_reason"] = "stop"
    return {**base, "choices": [choice], "usage": USED}


@pytest.fixture(name="gateway", scope="module")
def gateway_fixture() -> Iterator[Running]:
    """A gateway that serves every name that the pages ask for."""
    with Provider([]) as provider:
        config = Config(
            server=ServerConfig(port=0),
            upstreams=(UpstreamConfig(name="stage", base_url=provider.base_url, proxy=""),),
            models=tuple(ModelConfig(name=name, upstreams=("stage",)) for name in NAMES),
            ledger=LedgerConfig(url=""),
        )
        with served(config) as one:
            yield one


@pytest.fixture(name="surroundings")
def surroundings_fixture(
    gateway: Running, smollm2: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """Where an example finds itself: a folder of its own, a provider, a line that is typed."""
    address = f"http://127.0.0.1:{gateway.port}"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_BASE_URL", f"{address}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "unused")
    monkeypatch.setenv("DELTAWEIR_MODEL", NAMES[0])
    monkeypatch.setitem(sys.modules, "openai", deltaweir)
    monkeypatch.setattr(sys, "argv", ["example.py"])
    monkeypatch.setattr(sys, "stdin", io.StringIO("What is a weir?\n"))
    for name in SETTINGS:
        monkeypatch.setattr(deltaweir, name, getattr(deltaweir, name))
    return address


def examples() -> list[Any]:
    """Return what is run by itself; the cells of a notebook are one example."""
    found: dict[str, list[Block]] = defaultdict(list)
    for block in blocks("python"):
        if block.runs and not is_test(block):
            found[block.page.name if block.page.name == NOTEBOOK else block.id].append(block)
    return [pytest.param(cells, id=cells[0].id) for cells in found.values()]


def is_test(block: Block) -> bool:
    """Tell whether a block is a file for pytest."""
    return re.fullmatch(r"(test_\w+|conftest)\.py", block.title or "") is not None


def run(block: Block, names: dict[str, Any], address: str) -> None:
    """Run a block as Python or a notebook would, its line numbers those of its page."""
    code = block.text.replace(GATEWAY, address)
    if "openai." in code and "import" not in code:
        names["openai"] = deltaweir  # two lines to compare, of programs that are not shown
    tree = ast.increment_lineno(ast.parse(code), block.line - 1)
    compiled = compile(tree, block.page, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = eval(compiled, names)  # noqa: S307  # our own pages
    if inspect.iscoroutine(result):
        asyncio.run(result)


@pytest.mark.parametrize("cells", examples())
def test_an_example_runs(surroundings: str, cells: list[Block]) -> None:
    """It ends well in a folder of its own, without anything beside it."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for cell in cells:
        run(cell, names, surroundings)
    if "app" in names:
        answers = asyncio.run(asked(names["app"]))
        assert answers, "no route of the application was asked"
    if "refused" in names:
        # nobody knows what this provider takes
        names["client"] = names["client"].with_options(budget="1usd")
        body = asyncio.run(answer(names["app"], "POST", "/chat", {}, b'{"message": "Hi"}'))
        assert json.loads(body)["error"]["code"] == "invalid_request"


async def asked(app: Any) -> list[bytes]:
    """Ask an application of a page what the page asks it."""
    said = {"message": "Say hello."}
    answers = []
    for path in [route.path for route in app.routes]:
        if path == "/chat":
            answers.append(await answer(app, "POST", path, {}, json.dumps(said).encode()))
            assert answers[-1].endswith(b"data: [DONE]\n\n")
        if path == "/llm":
            key = {"authorization": "Bearer token-of-ann"}
            answers.append(await answer(app, "GET", f"{path}/v1/models", key))
            assert json.loads(answers[-1])["data"]
            assert b"invalid_api_key" in await answer(app, "GET", f"{path}/v1/models", {})
    return answers


async def answer(
    app: Any, method: str, path: str, headers: dict[str, str], body: bytes = b""
) -> bytes:
    """Ask an ASGI application once, and return the body of its answer."""
    heads = {"content-type": "application/json", **headers}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in heads.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000),
    }
    sent, told = [], False
    gone = asyncio.Event()

    async def receive() -> dict[str, Any]:
        nonlocal told
        if told:
            await gone.wait()
        told = True
        return {"type": "http.request", "body": body}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message.get("body", b""))

    await app(scope, receive, send)
    gone.set()
    return b"".join(sent)


def test_the_tests_of_a_page_pass(surroundings: str, tmp_path: Path) -> None:
    """What is shown as files for pytest asks the real server for what is missing, and plays it."""
    for block in blocks("python"):
        if is_test(block):
            (tmp_path / str(block.title)).write_text(block.text, "utf-8")
    # the package that the tests import; theirs is not installed here
    (tmp_path / "openai.py").write_text("from deltaweir import *\n", "utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\n", "utf-8")
    plain = [*("-p", "no:cacheprovider"), *("-p", "no:asyncio"), *("-p", "no:hypothesispytest")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *plain],
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=tmp_path,
        env={**os.environ, "DELTAWEIR_RECORD": "once", "PYTHONPATH": ".", "PYTHONUTF8": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_bot_is_the_example() -> None:
    """The page on the chat bot shows what lies in the examples."""
    (shown,) = [block.text for block in blocks("python") if block.title == "bot.py"]
    assert (ROOT / "examples" / "bot.py").read_text("utf-8").endswith(shown)


def test_most_examples_run() -> None:
    """The tests above have found what they are about, and hardly anything is left out."""
    assert len(examples()) > 25
    assert sum(not block.runs for block in blocks()) <= 3
