"""Tell servers that a stream is to end for everyone, when its reader has left it.

A stream is closed from anywhere: by another thread, in a signal handler, while garbage is
collected. None of these may wait or take a lock, and starting a thread does both. So a thread
is started when a stream can first be stopped, and closing one only puts a request into a queue
that may be entered at any time. At the end of the program the streams that are still open are
closed, and what is under way is waited for, not long.
"""

from __future__ import annotations

import atexit
import logging
import os
import queue
import ssl
import threading
import time
import weakref
from typing import ClassVar

from deltaweir.errors import DeltaweirError
from deltaweir.net.blocking import Connection
from deltaweir.net.route import Route
from deltaweir.sources.source import AnySource

STOP_S = 2.0
"""Seconds in which a server must be told; one that hears nothing stops by itself a while later."""
_EXIT_S = STOP_S + 0.5

_log = logging.getLogger("deltaweir.client")


class Stop:
    """The request that ends one stream.

    It holds nothing that has a finaliser: the collector runs those of all that it drops, in any
    order, and what it had finalised would be of no more use here.

    Args:
        route: The way to its server.
        tls: Checks certificates; unused for plain HTTP.
        raw: The request as the server gets it.
    """

    def __init__(self, route: Route, tls: ssl.SSLContext | None, raw: bytes) -> None:
        self._route = route
        self._tls = tls
        self._raw = raw

    def deliver(self) -> None:
        """Send it, and wait until it was heard; nobody is told when it was not."""
        connection, ends = Connection(self._route, self._tls), time.monotonic() + STOP_S
        try:
            connection.open(STOP_S)
            connection.send(self._route.request(self._raw), ends - time.monotonic())
            connection.receive(ends - time.monotonic())
        except (OSError, DeltaweirError) as error:
            # the server stops by itself once nobody has read for a while
            _log.debug("a stream could not be stopped at once: %s", type(error).__name__)
        finally:
            connection.close()


class Stopper:
    """Send what ends streams, in threads of its own; one serves a process.

    Use `stopper` to get it.
    """

    def __init__(self) -> None:
        self.pid = os.getpid()
        """The process it serves: a fork has none of its threads."""
        self._queue: queue.SimpleQueue[Stop | None] = queue.SimpleQueue()
        self._streams: weakref.WeakValueDictionary[int, AnySource] = weakref.WeakValueDictionary()
        self._thread = threading.Thread(target=self._run, name="deltaweir-stopping", daemon=True)
        self._thread.start()
        atexit.register(self._exit)

    def watch(self, source: AnySource) -> None:
        """Close a source at the end of the program, should it still live then."""
        self._streams[id(source)] = source

    def send(self, stop: Stop) -> None:
        """Send a request soon; takes no lock that a finaliser or signal handler could meet."""
        self._queue.put(stop)

    def _run(self) -> None:
        threads: list[threading.Thread] = []
        while (stop := self._queue.get()) is not None:
            thread = threading.Thread(target=stop.deliver, name="deltaweir-stop", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # there can be no more threads
                stop.deliver()
                continue
            threads = [one for one in threads if one.is_alive()]
            threads.append(thread)
        ends = time.monotonic() + _EXIT_S
        for thread in threads:
            thread.join(max(0.0, ends - time.monotonic()))

    def _exit(self) -> None:
        """Close what is open, and wait for what is under way."""
        if os.getpid() != self.pid:
            return
        living = [reference() for reference in self._streams.valuerefs()]
        for source in filter(None, living):
            source.close()
        self._queue.put(None)
        self._thread.join(_EXIT_S)


class _Process:
    """What serves this process."""

    stopper: ClassVar[Stopper | None] = None


def stopper() -> Stopper:
    """Return what stops the streams of this process.

    Raises:
        RuntimeError: It cannot start its thread.
    """
    found = _Process.stopper
    if found is None or found.pid != os.getpid():
        # two threads may both make one, and each serves well
        found = _Process.stopper = Stopper()
    return found
