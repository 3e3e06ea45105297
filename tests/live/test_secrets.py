"""Keys and texts of a gateway's whole run are found in nothing that it writes or says."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.live.served import CHAT, Answer, Served, model, until, upstream

from deltaweir.testing import (
    Drop,
    Pause,
    Peer,
    Reset,
    chat_events,
    error_answer,
    error_event,
    json_answer,
    stream_answer,
    unused_port,
)
from deltaweir.testing.faults import Answer as Steps
from deltaweir.wire.sse import DONE, encode

pytestmark = [
    pytest.mark.live,
    pytest.mark.timeout(120),
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGHUP"),
]

UPSTREAM_KEYS = {
    "cookie": "cookiekey0123456789",
    "header": "headerkey0123456789",
    "query": "querykey0123456789",
    "literal": "sk-literalkey0123456789",
}
PROMPT, ANSWER = "marlinprompt", "heronanswer"
"""Words of which every prompt has the one, and every answer the other."""
ECHO = f"{' '.join(UPSTREAM_KEYS.values())} was sent with {PROMPT}, and I was at {ANSWER}"
"""What an upstream says that repeats all it knows."""
HELLO = [{"role": "user", "content": f"Say {PROMPT} to jane.doe@example.com"}]
CARD = "4111 1111 1111 1111"


def chunk(text: str) -> bytes:
    """Return the event of some content."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return encode(json.dumps({**base, "choices": [choice]}).encode())


def answers() -> dict[str, Steps]:
    """Return what upstreams say, well or not, by the model that is asked."""
    whole = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": ANSWER},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
    }
    begun = chat_events(ANSWER, finish=None, done=False)
    page = f"<html><body>{ECHO}</body></html>".encode()
    html = {"content-type": "text/html"}
    return {
        "well": stream_answer(chat_events(ANSWER, " and on", usage=(7, 3))),
        "whole": json_answer(whole),
        "planted": stream_answer(chat_events(ANSWER, f" {CARD[:9]}", f"{CARD[9:]} ok")),
        **{
            f"status{status}": error_answer(
                status, ECHO, code=f"code {ECHO}", param=ECHO, headers={"x-should-retry": "false"}
            )
            for status in (302, 400, 401, 403, 404, 413, 422, 429, 500, 503)
        },
        "moved": stream_answer([b""], status=307, headers={"location": f"http://{ECHO}/"}),
        "event": stream_answer([*begun, error_event(ECHO, code=ECHO)]),
        "first": stream_answer([error_event(ECHO, code="x")]),
        "flat": stream_answer([*begun, error_event(ECHO, flat=True)]),
        "under200": json_answer({"error": {"message": ECHO, "type": ECHO, "code": ECHO}}),
        "page": stream_answer([page], headers=html, framing="length"),
        "page502": stream_answer([page], headers=html, framing="length", status=502),
        "garbage": stream_answer([*begun, f"data: {{{ECHO}\n\n".encode()]),
        "odd": stream_answer([*begun, encode(json.dumps({"choices": ECHO}).encode())]),
        "odder": stream_answer([encode(json.dumps({"choices": [{"delta": ECHO}]}).encode())]),
        "oddest": json_answer({"choices": [{"message": ECHO, "index": ECHO}], "usage": ECHO}),
        "nojson": stream_answer(
            [ECHO.encode()], headers={"content-type": "application/json"}, framing="length"
        ),
        "head": [f"HTTP/1.1 200 {ECHO}\r\n{ECHO}\r\n\r\n".encode(), Drop()],
        "half": stream_answer([*begun, chunk(ANSWER)[:-9], b"\xc3"]),
        "cut": [*stream_answer(begun, end=False), Drop()],
        "reset": [*stream_answer(begun, end=False), Reset()],
        "early": stream_answer([*begun]),
        "silent": [*stream_answer(begun, end=False), Pause()],
        "mute": [Pause()],
        "done": stream_answer([DONE]),
    }


CONFIG = """
[server]
auth = "keys"
log = "json"
passthrough = ["/v1/embeddings"]
[guards.strict]
rules = "strict.toml"
"""
RULES = f"""
[[rules]]
id = "card"
literals = ["{CARD}"]
[[rules]]
id = "prompts"
literals = ["forbidden {PROMPT}"]
scope = ["prompt"]
action = "block"
[[rules]]
id = "answers"
literals = ["{ANSWER} and"]
action = "block"
"""


def configured(folder: Path, peers: dict[str, Peer]) -> str:
    """Return the configuration, in which upstream keys stand in all the ways there are."""
    (folder / "strict.toml").write_text(RULES)
    tables = [CONFIG]
    keys = (
        f'api_key = "{UPSTREAM_KEYS["literal"]}"',
        'headers = {"x-api-key" = "env:HEADER", cookie = "env:COOKIE"}',
        f'query = {{"key" = "{UPSTREAM_KEYS["query"]}"}}',
        "timeouts = {headers = 1, first_content = 1, stall = 1}",
    )
    closed = f"http://127.0.0.1:{unused_port()}/v1"
    places = {**{name: peer.base_url for name, peer in peers.items()}, "nobody": closed}
    for name, base_url in places.items():
        tables.append(upstream(name, base_url, "\n".join(keys)))
        tables.append(model(name, [name], 'guard = "standard"' if name == "well" else ""))
    tables.append(model("strict", ["well"], 'guard = "strict"'))
    tables.append(model("cards", ["planted"], 'guard = "strict"'))
    tables.append(model("short", ["well"], 'budget = "1tok"'))
    tables.append(model("embeddings", ["status500"]))
    return "".join(tables)


class Overheard:
    """What a gateway was told in secret, and what was heard of it.

    Attributes:
        errors: Bodies and headers of refusals, and of streams that broke off, by what was asked.
        replies: Those of answers that went well.
    """

    def __init__(self, served: Served, key: str) -> None:
        self.errors: dict[str, str] = {}
        self.replies: dict[str, str] = {}
        self._served = served
        self._key = key

    def ask(self, what: str, body: Any, path: str = CHAT, **options: Any) -> Answer:
        """Ask, and keep what was answered."""
        answer = self._served.ask(body, path, **{"key": self._key, **options})
        text = "\n".join([str(answer.headers), answer.body.decode(errors="replace")])
        failed = answer.status >= 300 or '"error"' in text
        (self.errors if failed else self.replies)[what] = text
        return answer


@pytest.fixture
def peers() -> Iterator[dict[str, Peer]]:
    """The upstreams."""
    with contextlib.ExitStack() as stack:
        yield {name: stack.enter_context(Peer(answer)) for name, answer in answers().items()}


def operate(served: Served, *arguments: str) -> str:
    """Say something about keys, as an operator does; return what is answered."""
    command = [sys.executable, "-m", "deltaweir", "keys", *arguments]
    done = subprocess.run(
        [*command, "--config", served.config],
        capture_output=True,
        text=True,
        check=True,
        cwd=served.folder,
        env=served.environment,
    )
    return done.stdout.strip()


def made(served: Served, *options: str) -> str:
    """Make a key."""
    return operate(served, "create", "--name", "someone", *options)


def ask_everything(heard: Overheard, models: list[str]) -> None:
    """Ask for all that goes well, and all that does not."""
    asked = {"messages": HELLO, "user": "jane"}
    with ThreadPoolExecutor(16) as pool:  # many of them wait for a clock, or for another try
        waiting = [
            pool.submit(heard.ask, f"{name} {how}", {"model": name, "stream": how, **asked})
            for name in models
            for how in (True, False)
        ]
    for one in waiting:
        one.result()
    good = {"model": "well", "messages": HELLO}
    wrong: dict[str, Any] = {
        "a budget": {**good, "model": "short", "stream": True},
        "an unknown model": {**good, "model": "nonsense"},
        "no messages": {**good, "messages": PROMPT},
        "an odd message": {**good, "messages": [{"role": PROMPT, "content": {PROMPT: PROMPT}}]},
        "an odd number": {**good, "temperature": PROMPT, "max_tokens": PROMPT, "n": PROMPT},
        "odd options": {**good, "deltaweir": {"budget": "nonsense"}},
        "odder options": {**good, "deltaweir": {"nonsense": PROMPT}, "stream_options": PROMPT},
        "an odd guard": {**good, "deltaweir": {"guard": "nonsense"}},
        "a blocked prompt": {
            **good,
            "model": "strict",
            "messages": [{"role": "user", "content": f"forbidden {PROMPT}"}],
        },
        "a blocked answer": {**good, "model": "strict", "stream": True},
        "a redacted answer": {**good, "model": "cards", "stream": True},
        "embeddings": {"model": "embeddings", "input": PROMPT},
    }
    for what, body in wrong.items():
        heard.ask(what, body, "/v1/embeddings" if what == "embeddings" else CHAT)
    heard.ask("a text", {"model": "well", "prompt": PROMPT}, "/v1/completions")
    heard.ask("a count", good, "/v1/count")
    heard.ask("an odd count", {**good, "messages": PROMPT}, "/v1/count")
    for path in ("/v1/models", "/v1/models/nonsense", "/v1/usage", "/v1/nothing", "/openapi.json"):
        heard.ask(path, None, path)


def speak_raw(served: Served, key: str) -> str:
    """Send what no client sends; return the answers."""
    said = []
    head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
    for rest in (
        f"content-length: 20\r\n\r\n{{{PROMPT * 3}",
        f"content-length: 4\r\n\r\n{PROMPT}\r\n{PROMPT}\r\n\r\n",
        f"x-deltaweir: {PROMPT}\r\ncontent-length: 2\r\n\r\n{{}}",
        f"transfer-encoding: chunked\r\n\r\n{PROMPT}\r\n",
        f"{PROMPT}\r\n\r\n",
    ):
        with socket.create_connection(served.address, timeout=5) as line:
            line.sendall((head + rest).encode())
            line.shutdown(socket.SHUT_WR)
            with contextlib.suppress(OSError):
                while data := line.recv(65536):
                    said.append(data.decode(errors="replace"))
    return "".join(said)


def hear(served: Served, models: list[str], keys: dict[str, str]) -> Overheard:
    """Have the gateway do all that it can do, well and not; return what was answered."""
    heard = Overheard(served, keys["admin"])
    ask_everything(heard, models)
    asked = {"model": "well", "messages": HELLO, "stream": True}
    for _ in range(6):
        heard.ask("a limit", asked, key=keys["limited"])
    operate(served, "revoke", keys["revoked"])
    until(lambda: heard.ask("revoked", asked, key=keys["revoked"]).status == 401)
    for number, wrong in enumerate(("dw-0123", keys["admin"][:-1] + "x", f"{keys['admin']} x")):
        heard.ask(f"a wrong key {number}", asked, key=wrong)
    heard.errors["raw"] = speak_raw(served, keys["admin"])
    heard.replies["metrics"] = served.ask(path="/metrics", key=keys["admin"]).body.decode()
    served.process.send_signal(signal.SIGHUP)
    served.said_line("reload")
    served.config.write_text(served.config.read_text().replace("{headers =", "{haeders ="))
    served.process.send_signal(signal.SIGHUP)
    served.said_line("not reloaded")
    return heard


def test_secrets_are_in_nothing_that_a_gateway_writes(
    peers: dict[str, Peer], tmp_path: Path
) -> None:
    """Not in its log, its errors, its metrics, its ledger; through successes and all failures."""
    names = {"COOKIE": UPSTREAM_KEYS["cookie"], "HEADER": UPSTREAM_KEYS["header"]}
    with Served(tmp_path, configured(tmp_path, peers), environment=names) as served:
        keys = {
            "admin": made(served, "--admin"),
            "limited": made(served, "--budget", "40tok", "--rpm", "3"),
            "revoked": made(served),
        }
        until(lambda: served.ask(path="/v1/models", key=keys["revoked"]).status == 200)
        heard = hear(served, [*peers, "nobody"], keys)
    written = {
        "log": "".join(served.said),
        "stdout": "".join(served.printed),
        "metrics": heard.replies["metrics"],
    }
    for path in {*tmp_path.rglob("*")} - {served.config, tmp_path / "strict.toml"}:
        if path.is_file():
            written[path.name] = path.read_bytes().decode("latin-1")
    assert len(written["log"].splitlines()) > 100
    assert "deltaweir.db" in written
    said = heard.errors | heard.replies
    secret = [*UPSTREAM_KEYS.values(), *keys.values()]
    found = {(where, what) for what in secret for where, text in said.items() if what in text}
    found |= {
        (where, what)
        for what in [*secret, PROMPT, ANSWER, CARD]
        for where, text in written.items()
        if what in text
    }
    # what an upstream itself says of a prompt, its own client may read
    ours = {where: text for where, text in heard.errors.items() if "was sent with" not in text}
    found |= {(where, PROMPT) for where, text in ours.items() if PROMPT in text}
    assert not found
    assert len(ours) > 40
    assert len(heard.errors) > len(ours) + 10
