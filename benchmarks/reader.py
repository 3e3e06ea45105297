"""One client in a process of its own: reads a stream for each line on stdin, and prints its CPU.

    python benchmarks/reader.py openai-sync

It imports nothing but the client it is told to, so that it runs in another environment too. A
line on stdin is the base_url to read from; the answer is a line of JSON: CPU seconds, user and
system, of the whole process while it read, and chunks.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

Read = Callable[[str], int]
"""Reads one stream from a base_url and returns how many chunks it had."""

ASKED: dict[str, Any] = {
    "model": "gpt-4o-mini",
    "messages": [{"role": "user", "content": "hi"}],
    "stream": True,
}


def blocking(kind: Any) -> Read:
    """Return what reads with a client that blocks."""
    client = kind(base_url="http://127.0.0.1/v1", api_key="sk-benchmark")

    def read(base_url: str) -> int:
        count = 0
        with client.with_options(base_url=base_url).chat.completions.create(**ASKED) as stream:
            for chunk in stream:
                if chunk.choices[0].delta.content or chunk.choices[0].finish_reason:
                    count += 1
        return count

    return read


def awaiting(kind: Any) -> Read:
    """Return what reads with a client that awaits, all on asyncio's own loop."""
    runner = asyncio.Runner()
    client = kind(base_url="http://127.0.0.1/v1", api_key="sk-benchmark")

    async def read(base_url: str) -> int:
        count = 0
        asked = client.with_options(base_url=base_url).chat.completions.create(**ASKED)
        async with await asked as stream:
            async for chunk in stream:
                if chunk.choices[0].delta.content or chunk.choices[0].finish_reason:
                    count += 1
        return count

    return lambda base_url: runner.run(read(base_url))


def bare(base_url: str) -> int:
    """Read with a socket and look at nothing but the number of events."""
    host, _, path = base_url.removeprefix("http://").partition("/")
    name, _, port = host.partition(":")
    count = 0
    with socket.create_connection((name, int(port))) as sock:
        sock.sendall(f"GET /{path} HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
        tail = b""
        while tail != b"0\r\n\r\n":
            data = sock.recv(65536)
            count += (tail[-1:] + data).count(b"\n\n")  # the two may come apart
            tail = (tail + data)[-5:]
    return count - 1  # [DONE] is no chunk


def reader(name: str) -> Read:
    """Return a reader by its name: ``bare``, or a package with ``-sync`` or ``-async``."""
    package, _, how = name.partition("-")
    if package == "bare":
        return bare
    module = importlib.import_module(package)
    if package == "openai":
        return blocking(module.OpenAI) if how == "sync" else awaiting(module.AsyncOpenAI)
    return blocking(module.Client) if how == "sync" else awaiting(module.AsyncClient)


def main() -> None:
    """Answer lines until there are no more."""
    read = reader(sys.argv[1])
    for line in sys.stdin:
        began = time.process_time()
        count = read(line.strip())
        print(json.dumps({"cpu": time.process_time() - began, "chunks": count}), flush=True)


if __name__ == "__main__":
    main()
