"""A scripted HTTP server on loopback, for the tests of programs that stream."""

from __future__ import annotations

import contextlib
import itertools
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from deltaweir.testing.faults import (
    Answer,
    Drop,
    HalfClose,
    NeverRead,
    Pause,
    Request,
    Reset,
    Step,
    Trickle,
    Tunnel,
)

_TICK_S = 0.005
_PATIENCE_S = 10.0


class _LeftError(Exception):
    """The other side has gone, or the script says to go."""


class Peer:
    """Serve scripted answers on a port of its own, on any number of connections.

    Each request gets the next answer, whichever connection it comes by; after the last answer
    it is given again. A connection is kept until the other side or a step ends it. ::

        with Peer(stream_answer(chat_events("Hi"))) as peer:
            deltaweir.Client(base_url=peer.base_url, api_key="x")...
        assert peer.requests[0].headers["authorization"] == "Bearer x"

    Args:
        answers: What is said, in this order.
        host: The address to serve on; ``::1`` for IPv6.
        certificate: A PEM file with a certificate and its key, for TLS.
    """

    def __init__(
        self, *answers: Answer, host: str = "127.0.0.1", certificate: Path | None = None
    ) -> None:
        self.requests: list[Request] = []
        """What came, in the order of arrival."""
        self.sent_bytes = 0
        """How much the other sides have taken, over all connections."""
        self._answers = list(answers)
        self._taking = threading.Lock()
        self._given = 0
        self._gone: list[threading.Event] = []
        self._stopped = False
        self._threads: list[threading.Thread] = []
        self._tls: ssl.SSLContext | None = None
        self._host = host
        if certificate is not None:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(certificate)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, 0), family=family)
        self.port: int = self._listener.getsockname()[1]

    @property
    def base_url(self) -> str:
        """The address to give to a client."""
        scheme = "http" if self._tls is None else "https"
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{scheme}://{host}:{self.port}/v1"

    @property
    def connections(self) -> int:
        """How many connections were made."""
        return len(self._gone)

    def wait_gone(self, connection: int = 0, *, timeout_s: float = _PATIENCE_S) -> bool:
        """Wait until the other side has left a connection, by its number; tell if it did."""
        return _wait(lambda: len(self._gone) > connection, timeout_s) and self._gone[
            connection
        ].wait(timeout_s)

    def wait_requests(self, count: int, *, timeout_s: float = _PATIENCE_S) -> bool:
        """Wait until so many requests have come; tell whether they did in time.

        Args:
            count: How many in all.
            timeout_s: Seconds to wait.
        """
        return _wait(lambda: len(self.requests) >= count, timeout_s)

    def answer_to(self, request: Request) -> Answer:  # noqa: ARG002  for others to look at
        """Return what a request is answered with: the next answer."""
        return self._take()

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopped = True
        for thread in self._threads:  # the first makes the others
            thread.join(_PATIENCE_S)
        self._listener.close()

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _accept(self) -> None:
        for number in itertools.count():
            while not _readable(self._listener):
                if self._stopped:
                    return
            sock, _ = self._listener.accept()
            self._gone.append(threading.Event())
            self._start(self._serve, sock, number)

    def _serve(self, sock: socket.socket, number: int) -> None:
        """Serve one connection until either side leaves."""
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if isinstance(self._peeked(), NeverRead):
                _Connection(self, sock, number).play(self._take()[1:], "")
                while not self._stopped and not _left(sock):
                    time.sleep(_TICK_S)
                return
            if self._tls is not None:
                sock.settimeout(_PATIENCE_S)
                sock = self._tls.wrap_socket(sock, server_side=True)
            _Connection(self, sock, number).serve()
        except (OSError, ValueError, _LeftError):  # ValueError: what came is no HTTP
            pass
        finally:
            sock.close()
            self._gone[number].set()

    def _peeked(self) -> Step | None:
        with self._taking:
            answer = self._answers[min(self._given, len(self._answers) - 1)]
        return answer[0] if answer else None

    def _take(self) -> Answer:
        with self._taking:
            answer = self._answers[min(self._given, len(self._answers) - 1)]
            self._given += 1
        return answer


class _Connection:
    """One connection of a peer."""

    def __init__(self, peer: Peer, sock: socket.socket, number: int) -> None:
        self._peer = peer
        self._sock = sock
        self._number = number
        self._buffer = b""

    def serve(self) -> None:
        """Answer requests until either side leaves."""
        while True:
            request = self._request()
            with self._peer._taking:  # noqa: SLF001  # one with its peer
                self._peer.requests.append(request)
            self.play(self._peer.answer_to(request), request.target)

    def play(self, answer: Answer, target: str) -> None:
        """Do one step after the other."""
        for step in answer:
            self._do(step, target)

    def _request(self) -> Request:
        while b"\r\n\r\n" not in self._buffer:
            self._more()
        head, _, body = self._buffer.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = [line.partition(": ") for line in lines]
        headers = {name.lower(): value for name, _, value in pairs}
        method, target, _ = first.split(" ")
        length = int(headers.get("content-length", "0"))
        while len(body) < length:
            self._buffer = b""
            self._more()
            body += self._buffer
        self._buffer = body[length:]
        body = body[:length]
        raw = b"%b\r\n\r\n%b" % (head, body)
        return Request(self._number, method, target, headers, body, raw)

    def _more(self) -> None:
        """Wait for bytes."""
        while not _readable(self._sock):
            if self._peer._stopped:  # noqa: SLF001
                raise _LeftError
        data = self._sock.recv(65536)
        if not data:
            raise _LeftError
        self._buffer += data

    def _do(self, step: Step, target: str) -> None:
        match step:
            case bytes():
                self._send(step)
            case Trickle():
                for at in range(len(step.data)):
                    self._send(step.data[at : at + 1])
            case Pause():
                self._pause(step)
            case Reset():
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                raise _LeftError
            case HalfClose():
                self._sock.shutdown(socket.SHUT_WR)
            case Tunnel():
                self._tunnel(target)
            case Drop() | NeverRead():
                raise _LeftError

    def _send(self, data: bytes) -> None:
        """Send, at the pace of the other side, and take note of how much it took."""
        view = memoryview(data)
        while view:
            self._sock.settimeout(_TICK_S)
            try:
                sent = self._sock.send(view[:65536])
            except TimeoutError:
                if self._peer._stopped:  # noqa: SLF001
                    raise _LeftError from None
                continue
            with self._peer._taking:  # noqa: SLF001
                self._peer.sent_bytes += sent
            view = view[sent:]

    def _pause(self, pause: Pause) -> None:
        pause.reached.set()
        while not pause.over.wait(_TICK_S):
            if self._peer._stopped or _left(self._sock):  # noqa: SLF001
                raise _LeftError

    def _tunnel(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        with contextlib.closing(
            socket.create_connection((host.strip("[]"), int(port)), _PATIENCE_S)
        ) as there:
            self._send(b"HTTP/1.1 200 Connected\r\n\r\n")
            self._sock.settimeout(_PATIENCE_S)
            ways = {self._sock: there, there: self._sock}
            while not self._peer._stopped:  # noqa: SLF001
                for source in select.select(list(ways), [], [], _TICK_S)[0]:
                    data = source.recv(65536)
                    if not data:
                        raise _LeftError
                    ways[source].sendall(data)


def _wait(happened: Callable[[], bool], timeout_s: float) -> bool:
    ends = time.monotonic() + timeout_s
    while not happened():
        if time.monotonic() > ends:
            return False
        time.sleep(_TICK_S)
    return True


def _readable(sock: socket.socket) -> bool:
    if isinstance(sock, ssl.SSLSocket) and sock.pending():
        return True
    return bool(select.select([sock], [], [], _TICK_S)[0])


def _left(sock: socket.socket) -> bool:
    """Tell whether the other side has closed, though what it sent before is not read."""
    if not hasattr(select, "POLLRDHUP"):
        sock.settimeout(0.0)
        try:
            return not socket.socket.recv(sock, 1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
    poll = select.poll()
    poll.register(sock, select.POLLRDHUP)
    return bool(poll.poll(0))
