"""Our clients stream from servers over HTTP: our own, and one that nobody here wrote."""

from __future__ import annotations

import secrets
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

import deltaweir
from deltaweir.client.embedded import weights_of

MODEL = "qwen2.5-coder-0.5b"
SUM: list[dict[str, str]] = [{"role": "user", "content": "What's 1+1? Answer in one word."}]
pytestmark = [pytest.mark.live, pytest.mark.timeout(180)]

# llama.cpp's own HTTP server, by way of xllamacpp, in a process of its own
_LLAMA = """
import sys, xllamacpp
wanted = xllamacpp.CommonParams()
wanted.model.path, wanted.api_keys, wanted.port = sys.argv[1], [sys.argv[2]], 0
wanted.n_ctx, wanted.n_parallel, wanted.ui, wanted.verbosity = 4096, 2, False, 0
wanted.cpuparams.n_threads = 1
server = xllamacpp.Server(wanted)
print(server.listening_address, flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module", params=["ours", "llama.cpp"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Any]]:
    """A server's address and key."""
    key = secrets.token_hex(8)
    if request.param == "ours":
        command = [sys.executable, "-m", "deltaweir", "serve", "-m", MODEL, "--port", "0"]
    else:
        command = [sys.executable, "-c", _LLAMA, str(weights_of(MODEL).path), key]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=tmp_path_factory.mktemp("served"),  # where its ledger lies
    ) as process:
        try:
            assert process.stdout is not None
            words = (word for line in process.stdout for word in line.split())
            address = next(word for word in words if word.startswith("http")).rstrip("/")
            base_url = address if address.endswith("/v1") else f"{address}/v1"
            yield {"base_url": base_url, "api_key": key}
        finally:
            process.terminate()


def test_a_stream_a_whole_reply_and_the_models(server: dict[str, Any]) -> None:
    """The blocking client streams, waits for whole replies, and lists models."""
    with deltaweir.Client(**server) as client:
        assert len(client.models.list().data) == 1
        with client.chat.completions.create(
            messages=SUM,
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
        ) as stream:
            roles = [chunk.choices[0].delta.role for chunk in stream if chunk.choices]
        assert roles[0] == "assistant"
        assert (stream.text, stream.finish_reason, stream.complete) == ("2", "stop", True)
        assert stream.usage is not None
        assert stream.usage.completion_tokens in (1, 2)
        reply = client.chat.completions.create(messages=SUM, temperature=0)
        assert reply.choices[0].message.content == "2"
        texts = client.completions.create(
            prompt="1, 2, 3,", temperature=0, max_tokens=4, stream=True
        )
        assert "".join(chunk.choices[0].text for chunk in texts).strip().startswith("4")


async def test_the_client_that_awaits(server: dict[str, Any]) -> None:
    """The asyncio client streams, and leaves a stream without waiting for its end."""
    async with deltaweir.AsyncClient(**server) as client:
        async with await client.chat.completions.create(
            messages=SUM, temperature=0, stream=True
        ) as stream:
            chunks = [chunk async for chunk in stream]
        assert (stream.text, stream.complete) == ("2", True)
        assert len(chunks) >= 2
        story = await client.chat.completions.create(
            messages=[{"role": "user", "content": "Tell me a long story."}], stream=True
        )
        await anext(story)
        await story.close()
        assert not story.complete


def test_refusals_are_typed(server: dict[str, Any]) -> None:
    """A prompt that is too long, and a request that is malformed, raise our own errors."""
    with deltaweir.Client(**server, max_retries=0) as client:
        for messages in ([{"role": "user", "content": "a " * 20_000}], "no list"):
            with pytest.raises(deltaweir.BadRequestError):
                client.chat.completions.create(messages=messages)


def test_a_wrong_key_is_refused(server: dict[str, Any]) -> None:
    """A server that checks keys refuses ours with a typed error that does not show it."""
    client = deltaweir.Client(base_url=server["base_url"], api_key="wrong-key-of-ours")
    # our own server checks no keys, and knows no model of this name
    refused = (deltaweir.AuthenticationError, deltaweir.NotFoundError)
    with client, pytest.raises(refused) as caught:
        client.chat.completions.create(model="x", messages=SUM)
    assert "wrong-key-of-ours" not in str(caught.value)
