"""Streams in routes of one's own, and the whole gateway mounted in another application."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount

import deltaweir
from deltaweir.client.streams import AsyncStream, Stream
from deltaweir.errors import ConnectionFailed, InvalidRequest, StreamFailed
from deltaweir.gateway.config.file import embedded_config, load_config
from deltaweir.testing import AsyncScript, Script
from deltaweir.types import Choice, Chunk, Delta, Reply
from deltaweir.weir import Weir


def chunk(text: str = "", end: str | None = None) -> Chunk:
    """Return a chunk with a text or an end."""
    return Chunk(id="c", choices=[Choice(delta=Delta(content=text or None), finish_reason=end)])


def opened(*steps: Any, blocking: bool = False) -> Any:
    """Return a stream over a script, for a program that blocks or awaits, and its source."""
    script: Any = (Script if blocking else AsyncScript)(steps)
    kind: Any = Stream if blocking else AsyncStream
    return kind(script, Reply, weir=Weir(Chunk), request_id="req_1"), script


async def ask(
    app: Any, path: str = "/", *, body: bytes = b"", hang_up: bool = False, **scope: Any
) -> tuple[int, dict[str, str], bytes]:
    """Call an application once, without any server, and return what it sent."""
    sent = list[dict[str, Any]]()
    inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    inbox.put_nowait({"type": "http.request", "body": body, "more_body": False})
    if hang_up:
        inbox.put_nowait({"type": "http.disconnect"})

    async def send(message: Any) -> None:
        sent.append(message)
        await asyncio.sleep(0)

    whole = {
        "type": "http",
        "method": "POST" if body else "GET",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [],
        "http_version": "1.1",
        "scheme": "http",
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 1),
        **scope,
    }
    await app(whole, inbox.get, send)
    if not sent:
        return 0, {}, b""
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, b"".join(one.get("body", b"") for one in sent[1:])


@pytest.mark.parametrize("blocking", [False, True])
async def test_a_stream_as_a_response(blocking: bool) -> None:
    """Either kind of stream becomes a response that a framework takes for its own."""
    stream, script = opened(chunk("a"), chunk(end="stop"), blocking=blocking)
    response = deltaweir.sse_response(stream, headers={"x-mine": "1"})
    assert isinstance(response, Response)
    status, headers, body = await ask(response)
    assert (status, headers["x-mine"], headers["x-request-id"]) == (200, "1", "req_1")
    assert headers["content-type"].startswith("text/event-stream")
    frames = body.split(b"\n\n")
    assert json.loads(frames[0][6:])["choices"][0]["delta"]["content"] == "a"
    assert "deltaweir" in json.loads(frames[1][6:])
    assert frames[2] == b"data: [DONE]"
    assert script.closed


async def test_what_fails_before_the_first_chunk_has_its_status() -> None:
    """An error that comes first is no event of a stream that looks well."""
    stream, _ = opened(InvalidRequest("no", param="messages"))
    status, _, body = await ask(deltaweir.sse_response(stream))
    assert (status, json.loads(body)["error"]["param"]) == (400, "messages")


@pytest.mark.parametrize(
    ("steps", "told"),
    [((), "the provider could not be reached"), ((chunk("a"),), "the provider's connection broke")],
)
async def test_where_the_provider_is_stands_in_the_log_alone(
    caplog: pytest.LogCaptureFixture, steps: Sequence[Any], told: str
) -> None:
    """A reader learns no address of a network that is not theirs."""
    stream, _ = opened(*steps, ConnectionFailed("no connection to 10.0.0.5:8000: refused"))
    _, headers, body = await ask(deltaweir.sse_response(stream))
    error = json.loads(body.removesuffix(b"\n\n").rpartition(b"data: ")[2])["error"]
    assert (error["message"], error["code"]) == (told, "connection_failed")
    assert b"10.0.0.5" not in body
    assert "no connection to 10.0.0.5:8000: refused (req_1)" in caplog.text
    assert headers["x-request-id"] == "req_1"


async def test_what_fails_later_is_an_error_event() -> None:
    """A stream that breaks off says so, and never that it is done."""
    stream, _ = opened(chunk("a"), StreamFailed("broken"))
    status, _, body = await ask(deltaweir.sse_response(stream))
    assert status == 200
    assert json.loads(body.split(b"\n\n")[1][6:])["error"]["code"] == "upstream_failed"
    assert b"[DONE]" not in body


async def test_a_reader_who_hangs_up_closes_the_source() -> None:
    """Nobody computes for a client that is gone."""
    stream, script = opened(*[chunk("a")] * 1000)
    await ask(deltaweir.sse_response(stream), hang_up=True)
    assert script.closed
    assert stream.stopped_by == "reader"


def hosted(**options: Any) -> Starlette:
    """Return an application that mounts the gateway, and never runs its lifespan."""
    gateway = deltaweir.asgi(embedded_config("smollm2"), **options)
    return Starlette(routes=[Mount("/llm", gateway)])


async def test_the_gateway_under_a_prefix() -> None:
    """Mounted, its routes answer under the prefix, streams too."""
    status, _, body = await ask(hosted(), "/llm/v1/models")
    assert (status, json.loads(body)["data"][0]["id"]) == (200, "smollm2")
    question = {
        "messages": [{"role": "user", "content": "Say hello."}],
        "max_tokens": 2,
        "stream": True,
    }
    status, _, body = await ask(
        hosted(), "/llm/v1/chat/completions", body=json.dumps(question).encode()
    )
    assert status == 200
    assert body.endswith(b"data: [DONE]\n\n")


async def _nobody(request: Request) -> str | None:
    await asyncio.sleep(0)
    return None


@pytest.mark.parametrize(
    ("authorize", "status"),
    [
        (lambda request: request.headers.get("x-user"), 401),
        (lambda request: "somebody", 200),
        (_nobody, 401),
    ],
)
async def test_the_host_decides_who_may_ask(authorize: Any, status: int) -> None:
    """What `authorize` refuses is 401, on every route that tells or costs something."""
    app = hosted(authorize=authorize)
    for path in ("/llm/v1/models", "/llm/v1/models/smollm2"):
        assert (await ask(app, path))[0] == status
    asked = await ask(app, "/llm/v1/chat/completions", body=b"{}")
    assert asked[0] == (401 if status == 401 else 400)
    assert (await ask(app, "/llm/healthz"))[0] == 200


def test_a_configuration_from_a_file(tmp_path: Path) -> None:
    """Every key has a default, and names of models are the file's."""
    path = tmp_path / "deltaweir.toml"
    path.write_text(
        '[server]\nport = 9000\n[[models]]\nname = "local"\nembedded = "smollm2"\n', "utf-8"
    )
    config = load_config(path)
    assert (config.server.port, config.server.host) == (9000, "127.0.0.1")
    assert [model.name for model in config.models] == ["local"]
    path.write_text("[server]\ndrain_s = 1\n", "utf-8")
    assert load_config(path).models == embedded_config().models


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[server]\nprot = 1", "unknown key 'prot' in server; did you mean port"),
        ("[sever]\nport = 1", "unknown key 'sever' in the file; did you mean server"),
        ('[[models]]\nnme = "x"\nembedded = "y"', "did you mean name"),
        ("[server]\nport = 'x'", "Expected `int`"),
        ("[server", "is not TOML"),
    ],
)
def test_a_mistake_in_a_file_is_explained(tmp_path: Path, text: str, message: str) -> None:
    """A key that is unknown or of another type is named, with the nearest known one."""
    path = tmp_path / "deltaweir.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(InvalidRequest) as caught:
        deltaweir.asgi(path)
    assert message in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """A configuration that cannot be read is a typed error."""
    with pytest.raises(InvalidRequest, match="cannot read"):
        deltaweir.asgi(str(tmp_path / "none.toml"))


async def test_what_is_no_stream_of_ours() -> None:
    """It is refused where it is given, with what to do about it."""

    async def create() -> Any:
        raise AssertionError

    asking = create()
    for stream, hint in (
        (asking, "awaited"),
        (iter([chunk("a")]), r"watch\(\)"),
        (Reply(), r"a Reply, .*stream=True"),
        (None, "NoneType"),
    ):
        with pytest.raises(InvalidRequest, match=hint) as caught:
            deltaweir.sse_response(stream)  # type: ignore[arg-type]
        assert caught.value.param == "stream"
    with pytest.raises(RuntimeError, match="cannot reuse"):  # it ended before it asked anybody
        await asking
