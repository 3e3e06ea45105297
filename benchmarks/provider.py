"""A provider on loopback, in a process of its own, that writes prepared chunks and computes none.

Started as a script it prints its port, and ends when its stdin does. ``/at-once/v1`` is a
base_url whose streams come as fast as they are read; under ``/paced/v1`` each chunk is a write of
its own, a thousand a second.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time

AT_ONCE = 20_000
PACED = 2_000
"""Chunks of one stream of either kind."""
PER_SECOND = 1_000

_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"x-request-id: req_0123456789\r\ntransfer-encoding: chunked\r\n\r\n"
)
_LAST_WORDS = b"data: [DONE]\n\n"


def event(number: int, *, last: bool) -> bytes:
    """Return a chunk as OpenAI sends it today, null fields and all."""
    choice = {"index": 0, "delta": {} if last else {"content": f" word{number}"}, "logprobs": None}
    chunk = {
        "id": "chatcmpl-B1x2y3z4B1x2y3z4B1x2y3z4B1x2",
        "object": "chat.completion.chunk",
        "created": 1795500000,
        "model": "gpt-4o-mini-2024-07-18",
        "service_tier": "default",
        "system_fingerprint": "fp_0123456789",
        "choices": [{**choice, "finish_reason": "stop" if last else None}],
        "usage": None,
    }
    return b"data: %b\n\n" % json.dumps(chunk, separators=(",", ":")).encode()


def pieces(count: int) -> list[bytes]:
    """Return the pieces of a stream of so many chunks, framed as they go over the wire."""
    events = [event(number, last=number == count - 1) for number in range(count)]
    return [b"%x\r\n%b\r\n" % (len(one), one) for one in [*events, _LAST_WORDS]]


def serve(sock: socket.socket) -> None:
    """Answer the requests of one connection."""
    at_once = _HEAD + b"".join(pieces(AT_ONCE)) + b"0\r\n\r\n"
    paced = pieces(PACED)
    with sock, sock.makefile("rb") as lines:
        while first := lines.readline():
            length = 0
            while (line := lines.readline()) not in (b"\r\n", b""):
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            lines.read(length)
            if b"/paced/" not in first:
                sock.sendall(at_once)
                continue
            sock.sendall(_HEAD)
            _pace(sock, paced)
            sock.sendall(b"0\r\n\r\n")


def _pace(sock: socket.socket, paced: list[bytes]) -> None:
    began = time.monotonic()
    for number, piece in enumerate(paced, 1):
        sock.sendall(piece)
        time.sleep(max(0.0, began + number / PER_SECOND - time.monotonic()))


def leave() -> None:
    """End with whoever started this."""
    sys.stdin.read()
    os._exit(0)


def main() -> None:
    """Serve until stdin ends."""
    threading.Thread(target=leave, daemon=True).start()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            sock, _ = listener.accept()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=serve, args=(sock,), daemon=True).start()


if __name__ == "__main__":
    main()
