"""What a guard hides reaches no client: the official ones, a terminal, a watched stream."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from tests.live.environments import ROOT, needs, new_python, node, old_python
from tests.live.planted import (
    AFTER,
    BEFORE,
    SECRETS,
    Field,
    Planted,
    every_cut,
    every_end,
    gathered,
    leaked,
    raw,
)

import deltaweir
from deltaweir.testing import Peer

pytestmark = [pytest.mark.live, pytest.mark.timeout(120)]

MODEL = "qwen2.5-coder-0.5b"
ADDRESS = SECRETS["email"]
ASKED = f"Repeat this line exactly: My address is {ADDRESS}"
PLACES: dict[Field, str] = {
    "content": "content",
    "reasoning_content": "reasoning_content",
    "logprobs": "content",
    "arguments": "tool_calls.function.arguments",
}
"""Where in a delta the text of a field stands."""
REPLACED = re.compile(r"(\[REDACTED:\w+\])?")
CLIENTS = ROOT / "tests/live/clients"


def planted() -> list[Planted]:
    """Return the answers that a client reads; the first without a guard."""
    found = [Planted("email", "content", (BEFORE, ADDRESS, AFTER))]
    for field in PLACES:
        for rule in SECRETS:
            found += every_cut(rule, field)
            found += every_end(rule, field, "length")
    for rule in SECRETS:
        found += every_end(rule, "content", "death")
    return found


ANSWERS = planted()


@contextlib.contextmanager
def route(provider: str) -> Iterator[str]:
    """Serve a route that guards what a provider streams; give its base URL.

    The first request, which names the model 0, is not guarded.
    """
    clients = [
        deltaweir.AsyncClient(base_url=provider, api_key="x", max_retries=0, guard=guard)
        for guard in (None, "standard")
    ]

    async def chat(request: Request) -> Response:
        asked = await request.json()
        client = clients[asked["model"] != "0"]
        return deltaweir.sse_response(await client.chat.completions.create(**asked))

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        for client in clients:
            await client.close()

    app = Starlette(
        routes=[Route("/v1/chat/completions", chat, methods=["POST"])], lifespan=lifespan
    )
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/v1"
    finally:
        server.should_exit = True
        thread.join(20)


def read(command: Sequence[Any], requests: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Run a client's script, and return what came of each request."""
    done = subprocess.run(
        [str(part) for part in command],
        input=json.dumps(requests),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    came = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(came) == len(requests)
    return came


def requests_of(answers: Sequence[Planted]) -> list[dict[str, Any]]:
    """Return a request for each answer; its model is the answer's number."""
    messages = [{"role": "user", "content": "Whom do I write to?"}]
    return [{"model": str(number), "messages": messages} for number in range(len(answers))]


def check(answers: Sequence[Planted], came: Sequence[dict[str, Any]]) -> None:
    """Check what came of all answers: nothing of a secret, all of what stands around it."""
    assert leaked(came[0], ADDRESS), "without a guard it must arrive, or this test sees nothing"
    for answer, one in zip(answers[1:], came[1:], strict=True):
        assert not leaked(one, answer.secret), answer
        check_around(answer, one)


def check_around(answer: Planted, came: dict[str, Any]) -> None:
    """Check that what is harmless arrived, and how the stream ended."""
    texts = gathered(came["chunks"])
    shown = texts[f"choices.delta.{PLACES[answer.field]}"]
    scored = texts.get("choices.logprobs.content.token")
    before, _, _ = raw(answer.rule, answer.field)
    assert (came["error"] is not None) == (answer.end == "death"), (answer, came["error"])
    if answer.field == "arguments":  # the standard blocks there
        assert texts["choices.delta.tool_calls.function.name"] == "send"
        assert shown == before, answer
    elif answer.end == "stop":
        assert shown == f"{BEFORE}[REDACTED:{answer.rule}]{AFTER}", answer
    else:
        assert shown.startswith(BEFORE), answer
        assert REPLACED.fullmatch(shown, len(BEFORE)), answer
    if answer.field == "logprobs":
        assert scored == (BEFORE + AFTER if answer.end == "stop" else BEFORE), answer
    if answer.end == "stop":
        finish = "content_filter" if answer.field == "arguments" else "stop"
        assert came["chunks"][-1]["choices"][0]["finish_reason"] == finish


@pytest.mark.parametrize("name", ["openai before 1.0", "today's openai", "the Node client"])
def test_no_client_of_a_route_ever_reads_a_secret(name: str) -> None:
    """However a provider cuts it, wherever it stands, and wherever the answer ends."""
    scripts: dict[str, Any] = {
        "openai before 1.0": (old_python(), CLIENTS / "guarded.py"),
        "today's openai": (new_python(), CLIENTS / "guarded.py"),
        "the Node client": (node(), CLIENTS / "guarded.mjs"),
    }
    place, script = scripts[name]
    found = needs(place, name)
    with Peer(*(answer.answer() for answer in ANSWERS)) as peer, route(peer.base_url) as base_url:
        if script.suffix == ".mjs":
            command = ["node", script, found, base_url]
        else:
            command = [found, script, base_url]
        came = read(command, requests_of(ANSWERS))
        asked = [json.loads(request.body)["model"] for request in peer.requests]
    assert asked == [str(number) for number in range(len(ANSWERS))]
    check(ANSWERS, came)
    for answer, one in zip(ANSWERS[1:], came[1:], strict=True):
        if answer.end == "stop":
            told = one["chunks"][-1]["deltaweir"]["guard"]
            assert [verdict["rule"] for verdict in told] == [answer.rule], answer


@pytest.mark.parametrize("awaiting", [False, True])
@pytest.mark.parametrize("name", ["openai before 1.0", "today's openai"])
def test_no_reader_of_a_watched_stream_ever_reads_a_secret(name: str, awaiting: bool) -> None:
    """The packages' own objects, made anew where they would bring a part of it."""
    python = needs(old_python() if name == "openai before 1.0" else new_python(), name)
    asked = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    folder = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    # the second way shares all but its waits with the first
    answers = [one for one in ANSWERS if one.field == "content"] if awaiting else ANSWERS
    with Peer(*(answer.answer() for answer in answers)) as peer:
        command = [sys.executable, CLIENTS / "guarded.py", peer.base_url, folder]
        check(answers, read([*command, *["async"] * awaiting], requests_of(answers)))


def asked_in_a_terminal(folder: Path, *options: str) -> tuple[int, str, str]:
    """Ask the default model to repeat an address; return exit code, answer, and the last line."""
    command = [sys.executable, "-m", "deltaweir", "chat", "--model", MODEL, *options]
    command += ["--temperature", "0", "--max-tokens", "60", ASKED]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, cwd=folder
    )
    return done.returncode, done.stdout, done.stderr.splitlines()[-1]


def test_an_address_that_a_model_repeats_is_redacted(tmp_path: Path) -> None:
    """In a terminal: by the preset; and a rule of one's own that blocks ends the answer."""
    code, shown, last = asked_in_a_terminal(tmp_path)
    assert ADDRESS in shown, "the model does not repeat the address: nothing can be told"
    assert (code, "redacted" in last) == (0, False)

    code, hidden, last = asked_in_a_terminal(tmp_path, "--guard", "standard")
    assert hidden == shown.replace(ADDRESS, "[REDACTED:email]")
    assert (code, last.endswith(" · 1 redacted")) == (0, True)

    rules = tmp_path / "rules.toml"
    rules.write_text(
        '[[rules]]\nid = "mail"\nregex = "[a-z.]{1,20}@[a-z.]{1,20}"\naction = "block"\n'
    )
    code, cut, last = asked_in_a_terminal(tmp_path, "--guard", str(rules))
    assert cut.strip() == shown.partition(ADDRESS)[0].strip()
    assert (code, last.endswith("cut by the guard (mail)")) == (3, True)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """A gateway that guards the default model; its base URL."""
    config = tmp_path / "deltaweir.toml"
    models = "".join(
        f'[[models]]\nname = "{name}"\nembedded = "{MODEL}"\n{guard}\n'
        for name, guard in (("open", ""), ("guarded", 'guard = "standard"'))
    )
    config.write_text(models)
    command = [sys.executable, "-m", "deltaweir", "serve", "--config", str(config), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        try:
            assert process.stderr is not None
            yield next(
                word for line in process.stderr for word in line.split() if word.startswith("http")
            )
        finally:
            process.terminate()
            _, rest = process.communicate(timeout=60)
    assert process.returncode == 0, rest


def test_a_gateway_hides_what_a_model_repeats(served: str) -> None:
    """From today's openai, with log probabilities too, and wherever ``max_tokens`` cuts."""
    python = needs(new_python(), "today's openai")
    asked = {
        "model": "guarded",
        "messages": [{"role": "user", "content": ASKED}],
        "temperature": 0,
        "max_tokens": 60,
    }
    scored = {**asked, "logprobs": True, "top_logprobs": 2}
    short = [{**asked, "max_tokens": most} for most in range(1, 12)]
    requests = [{**asked, "model": "open"}, asked, scored, *short]
    control, *guarded = read([python, CLIENTS / "guarded.py", served], requests)
    text = gathered(control["chunks"])["choices.delta.content"]
    assert ADDRESS in text, "the model does not repeat the address: nothing can be told"
    hidden = text.replace(ADDRESS, "[REDACTED:email]")
    for one in guarded:
        assert one["error"] is None
        assert not leaked(one, ADDRESS)
        assert hidden.startswith(gathered(one["chunks"])["choices.delta.content"])
    start = text.index(ADDRESS)
    for one in guarded[:2]:
        assert gathered(one["chunks"])["choices.delta.content"] == hidden
        assert one["chunks"][-1]["deltaweir"]["guard"] == [
            {
                "rule": "email",
                "action": "redact",
                "choice": 0,
                "field": "content",
                "offset": start,
                "length": len(ADDRESS),
            }
        ]
        assert one["chunks"][-1]["deltaweir"]["withheld_chars"] == len(ADDRESS)
    tokens = gathered(guarded[1]["chunks"])["choices.logprobs.content.token"]
    # a token that is in part the space before it goes with the address
    assert tokens.replace(" ", "") == text.replace(ADDRESS, "").replace(" ", "")
