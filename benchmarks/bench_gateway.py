"""What the gateway adds to a stream: CPU per chunk, time to the first one, memory while idle."""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.measure import closing, heading, ratio, rounds, row
from benchmarks.process import Process
from benchmarks.serving import PACES

HERE = Path(__file__).parent
SERVERS = {"gateway": "the gateway", "bare": "a protocol that only writes"}
WAYS = {
    "singly": "a chunk in each turn of the loop",
    "together": "64 chunks in each turn of the loop",
    "paced": "a chunk a millisecond",
}
FIRST_BARS = {"p50": (0.5, 0.5), "p99": (0.99, 2.0)}
"""Added milliseconds to the first chunk, by their share."""
IDLE_BAR_KIB = 40
WARM_STREAMS = 20
_LAST = b"0\r\n\r\n"


class Served(Process):
    """One of the two servers, and what asks it.

    Args:
        name: Which.
        guard: The preset that the gateway guards with; empty for none.
    """

    def __init__(self, name: str, guard: str) -> None:
        super().__init__(sys.executable, str(HERE / "serving.py"), name, GUARD=guard)
        self.loop = self.line()
        self._port = int(self.line())

    def used(self) -> dict[str, float]:
        """Return CPU seconds and resident bytes of the server so far."""
        return {name: float(value) for name, value in json.loads(self.ask("")).items()}

    def connect(self) -> socket.socket:
        """Open a connection."""
        sock = socket.create_connection(("127.0.0.1", self._port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def stream(self, sock: socket.socket, model: str) -> tuple[float, int]:
        """Read a stream to its end; return the seconds to its first chunk, and its events."""
        began, first, events, tail = time.perf_counter(), 0.0, 0, b""
        sock.sendall(request(model))
        while tail != _LAST:
            data = sock.recv(65536)
            assert data, "the server has closed"
            if not first and b"data: " in data:
                first = time.perf_counter() - began
            events += (tail[-1:] + data).count(b"\n\n")  # the two may come apart
            tail = (tail + data)[-len(_LAST) :]
        return first, events


def request(model: str) -> bytes:
    """Return a request for one of the paces."""
    messages = [{"role": "user", "content": "hi"}]
    body = json.dumps({"model": model, "messages": messages, "stream": True}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def cpu(servers: dict[str, Served], way: str, count: int) -> None:
    """Compare the CPU of whole streams, the first to run changing each round."""
    costs: dict[str, list[float]] = {name: [] for name in servers}
    chunks = PACES[way].chunks
    with contextlib.ExitStack() as stack:
        socks = {name: stack.enter_context(one.connect()) for name, one in servers.items()}
        events = {one.stream(socks[name], way)[1] for name, one in servers.items()}
        # they may differ in a chunk for what a guard has held to the end
        assert max(events) - min(events) <= 1, events
        for number in rounds(WAYS[way], count):
            for name in servers if number % 2 else reversed(servers):
                before = servers[name].used()["cpu"]
                servers[name].stream(socks[name], way)
                costs[name].append(1_000_000 * (servers[name].used()["cpu"] - before) / chunks)
    heading(f"{WAYS[way]}, {chunks:,} chunks", "CPU µs per chunk")
    for name, values in costs.items():
        row(SERVERS[name], values)
    pairs = zip(costs["gateway"], costs["bare"], strict=True)
    row("added by the gateway", [ours - theirs for ours, theirs in pairs])
    closing(f"gateway / bare protocol, {way}", ratio(costs["gateway"], costs["bare"]), "none")


def first_chunk(servers: dict[str, Served], count: int) -> None:
    """Compare the time to the first chunk of requests on kept connections, in turn."""
    waits: dict[str, list[float]] = {name: [] for name in servers}
    with contextlib.ExitStack() as stack:
        socks = {name: stack.enter_context(one.connect()) for name, one in servers.items()}
        for _ in rounds("first chunks", count):
            for name, one in servers.items():
                waits[name].append(1000 * one.stream(socks[name], "short")[0])
    heading(f"time to the first chunk, {count} requests", "ms")
    for name, values in waits.items():
        row(SERVERS[name], values)
    for label, (share, bar) in FIRST_BARS.items():
        ours, theirs = (_quantile(waits[name], share) for name in ("gateway", "bare"))
        print(f"  {label}: {ours:.3g} ms by the gateway, {theirs:.3g} ms by the bare protocol")
        closing(f"added / {bar:g} ms, {label}", (ours - theirs) / bar, "1")


def idle(servers: dict[str, Served], streams: int) -> None:
    """Compare the resident memory of streams that have sent a chunk and wait for the next."""
    sizes: dict[str, float] = {}
    for name, one in servers.items():
        with contextlib.ExitStack() as stack:
            _open(one, stack, WARM_STREAMS)
            before = one.used()["rss"]
            if not before:
                print("\nmemory is not measured: this system has no /proc/self/statm")
                return
            _open(one, stack, streams)
            sizes[name] = (one.used()["rss"] - before) / streams / 1024
    heading(f"memory of an idle stream, {streams} at once", "KiB")
    for name, size in sizes.items():
        row(SERVERS[name], [size])
    closing(f"gateway / {IDLE_BAR_KIB} KiB", sizes["gateway"] / IDLE_BAR_KIB, "1")


def _open(served: Served, stack: contextlib.ExitStack, streams: int) -> None:
    for _ in range(streams):
        sock = stack.enter_context(served.connect())
        sock.sendall(request("idle"))
        while b"data: " not in sock.recv(65536):
            pass


def _quantile(values: list[float], share: float) -> float:
    return statistics.quantiles(values, n=1000, method="inclusive")[round(share * 1000) - 1]


def main() -> None:
    """Measure CPU, then time, then memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=11, help="of each comparison of CPU")
    parser.add_argument("--requests", type=int, default=1000, help="for the first chunk")
    parser.add_argument("--streams", type=int, default=500, help="that are idle at once")
    parser.add_argument("--guard", default="", help="a preset, such as standard; none by default")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        servers = {name: stack.enter_context(Served(name, arguments.guard)) for name in SERVERS}
        print(f"loops: {', '.join(f'{name} on {one.loop}' for name, one in servers.items())}")
        for way in WAYS:
            cpu(servers, way, arguments.rounds)
        first_chunk(servers, arguments.requests)
        idle(servers, arguments.streams)


if __name__ == "__main__":
    main()
