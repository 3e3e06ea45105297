"""Programs that use a client, blocking and awaiting, and the events that a provider sends them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import deltaweir
from deltaweir.testing import Peer

STOP = {"index": 0, "delta": {}, "finish_reason": "stop"}


class Blocking:
    """A program that blocks."""

    client: Any = deltaweir.Client

    def run(self, function: Callable[..., Any], **fields: Any) -> Any:
        """Make a call and wait for it."""
        return function(**fields)

    def read(self, stream: Any, look: Callable[[Any, Any], None] = lambda *_: None) -> list[Any]:
        """Read a stream to its end, looking at it with each chunk."""
        chunks = []
        with stream:
            for chunk in stream:
                look(stream, chunk)
                chunks.append(chunk)
        return chunks

    def frames(self, stream: Any) -> list[bytes]:
        """Read a stream's frames."""
        return list(stream.sse())

    def gone(self, peer: Peer) -> bool:
        """Tell whether the connection is closed soon."""
        return peer.wait_gone()


class Awaiting(Blocking):
    """An asyncio program."""

    client = deltaweir.AsyncClient

    def __init__(self, runner: asyncio.Runner) -> None:
        self._run = runner.run

    def run(self, function: Callable[..., Any], **fields: Any) -> Any:
        """Make a call and await it."""
        return self._run(function(**fields))

    def read(self, stream: Any, look: Callable[[Any, Any], None] = lambda *_: None) -> list[Any]:
        """Read a stream to its end, looking at it with each chunk."""

        async def read() -> list[Any]:
            chunks = []
            async with stream:
                async for chunk in stream:
                    look(stream, chunk)
                    chunks.append(chunk)
            return chunks

        return self._run(read())

    def frames(self, stream: Any) -> list[bytes]:
        """Read a stream's frames."""

        async def read() -> list[bytes]:
            return [frame async for frame in stream.sse()]

        return self._run(read())

    def gone(self, peer: Peer) -> bool:
        """Tell whether the connection is closed soon, while the loop runs."""
        gone: bool = self._run(asyncio.to_thread(peer.wait_gone))
        return gone


def used(prompt: int, completion: int) -> dict[str, int]:
    """Return a usage as a provider sends it."""
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


def said(content: str, index: int = 0, **delta: Any) -> dict[str, Any]:
    """Return a choice that says something."""
    return {"index": index, "delta": {"content": content, **delta}, "finish_reason": None}


def chat(*choices: Any, **more: Any) -> bytes:
    """Return the event of a chunk."""
    body = {"id": "i", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o"}
    return f"data: {json.dumps({**body, 'choices': list(choices), **more})}\n\n".encode()


def written(text: str, reason: str | None = None, index: int = 0, **more: Any) -> bytes:
    """Return the event of a chunk of a text completion."""
    choice = {"index": index, "text": text, "finish_reason": reason}
    body = {"id": "i", "object": "text_completion", "created": 1, "model": "gpt-4o"}
    return f"data: {json.dumps({**body, 'choices': [choice], **more})}\n\n".encode()


DONE = b"data: [DONE]\n\n"
