"""Somebody else's streams as sources: pulled one object at a time, and closed precisely.

A generator cannot be closed while it runs, so its closer leaves that to whoever pulls. Either
the closer sees that somebody pulls, or the puller sees that it was closed: each says its own
before it looks for the other's.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from deltaweir.errors import InvalidRequest
from deltaweir.schema.chunk import Usage
from deltaweir.schema.record import Record


def is_stream(value: Any) -> bool:
    """Tell whether a value can be pulled chunk by chunk, or awaited for what can."""
    if isinstance(value, str | bytes | bytearray | memoryview | Mapping | Record | type):
        return False
    # the models of pydantic can be iterated over, by field; a whole reply is one
    if hasattr(type(value), "model_fields") or hasattr(value, "choices"):
        return False
    return any(hasattr(value, name) for name in ("__iter__", "__aiter__", "__await__"))


def refused(value: Any) -> InvalidRequest:
    """Return the error for what is no stream."""
    got = "None" if value is None else f"a value of type {type(value).__name__}"
    return InvalidRequest(
        f"got {got}, expected a stream of chunks; call with stream=True", param="stream"
    )


class _Watched:
    """What both sources tell, and what they own."""

    usage: Usage | None = None
    """None: what the chunks report is the meter's to read."""
    said_done = False
    """False: the end of an iterator says nothing."""

    def __init__(self) -> None:
        self.answered = False
        """Whether a chunk has come."""
        self._closed = False
        self._owned: list[Any] = []

    def _own(self, stream: Any, iterator: Any) -> None:
        """Keep what must be closed; the last first."""
        own = [stream] if iterator is stream else [stream, iterator]
        # LiteLLM's wrapper may have no way to be closed, but the stream inside has
        inside = getattr(stream, "completion_stream", None)
        if inside is not None:
            own.insert(0, inside)
        self._owned = own


class WatchedSource(_Watched):
    """Somebody else's stream for a reader that blocks.

    Args:
        stream: What it iterates over.
    """

    def __init__(self, stream: Any) -> None:
        super().__init__()
        self._iterator: Iterator[Any] = stream if hasattr(stream, "__next__") else iter(stream)
        self._pulling = False
        self._own(stream, self._iterator)

    def receive(self, timeout_s: float | None) -> list[Any] | None:  # noqa: ARG002
        """Wait for the next object, however long; None is the end.

        Raises:
            Exception: What the stream raised itself.
        """
        self._pulling = True
        try:
            if self._closed:
                return None
            value = next(self._iterator)
        except StopIteration:
            return None
        except Exception:
            if self._closed:
                return None  # it died of that
            raise
        finally:
            self._pulling = False
            if self._closed:
                self._shut()
        self.answered = True
        return [value]

    def close(self) -> None:
        """Close the other stream; see `deltaweir.sources.source.AnySource.close`."""
        self._closed = True
        self._iterator = iter(())  # what has no close ends when nobody holds it
        if self._pulling:
            for thing in list(self._owned):
                _wake_reader(thing)
        self._shut()

    def _shut(self) -> None:
        while self._owned:
            try:
                thing = self._owned.pop()
            except IndexError:
                return  # another thread has it
            close = getattr(thing, "close", None)
            if close is None:
                continue
            pulling = self._pulling
            try:
                close()
            except ValueError:  # "generator already executing"
                if not pulling:
                    raise
                self._owned.append(thing)
                if self._pulling:
                    return  # whoever pulls looks when it is done


def _wake_reader(stream: Any) -> None:
    """End the wait of a thread for an HTTP response of httpx, as openai's streams have it.

    To close a socket wakes no thread that reads from it on Linux; to shut it down does. The
    socket is found by httpx's documented extension ``network_stream``.
    """
    extensions = getattr(getattr(stream, "response", None), "extensions", None) or {}
    network = extensions.get("network_stream")
    sock = None if network is None else network.get_extra_info("socket")
    if isinstance(sock, socket.socket):
        with contextlib.suppress(OSError):  # it is closed already
            socket.socket.shutdown(sock, socket.SHUT_RDWR)


class AsyncWatchedSource(_Watched):
    """Somebody else's stream for a reader that awaits.

    Args:
        stream: An async iterable, or what must be awaited for one.
    """

    def __init__(self, stream: Any) -> None:
        super().__init__()
        self._awaited: Any = stream if hasattr(stream, "__await__") else None
        self._iterator: AsyncIterator[Any] | None = None
        self._puller: asyncio.Task[Any] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._woken = False
        self._cancelling = 0
        if self._awaited is None:
            self._iterate(stream)

    async def receive(self, timeout_s: float | None) -> list[Any] | None:  # noqa: ARG002
        """Wait for the next object, however long; None is the end.

        Raises:
            InvalidRequest: What was awaited is no stream.
            Exception: What the stream raised itself.
        """
        self._loop = asyncio.get_running_loop()
        self._puller = asyncio.current_task()
        self._cancelling = 0 if self._puller is None else self._puller.cancelling()
        try:
            value = None if self._closed else await self._next()
        except StopAsyncIteration:
            return None
        except asyncio.CancelledError:
            if self._was_woken():
                return None
            raise
        except Exception:
            if self._closed:
                return None  # it died of that
            raise
        finally:
            self._was_woken()
            self._puller = None
        if self._closed:
            return None
        self.answered = True
        return [value]

    def close(self) -> None:
        """End the wait for the other stream; `settle` closes it."""
        self._closed = True
        if self._puller is None:
            self._drop_awaited()
        elif self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake)

    async def settle(self) -> None:
        """Close the other stream once it was ended, unless a task pulls that will do so."""
        while self._closed and self._owned and self._puller is None:
            thing = self._owned.pop()
            close = getattr(thing, "aclose", None) or getattr(thing, "close", None)
            if close is not None:
                done = close()
                if inspect.isawaitable(done):
                    await done

    async def _next(self) -> Any:
        if self._iterator is None:
            stream = await self._awaited
            self._awaited = None
            if not is_stream(stream) or not hasattr(stream, "__aiter__"):
                raise refused(stream)
            self._iterate(stream)
        assert self._iterator is not None
        return await self._iterator.__anext__()

    def _iterate(self, stream: Any) -> None:
        self._iterator = stream if hasattr(stream, "__anext__") else aiter(stream)
        self._own(stream, self._iterator)

    def _wake(self) -> None:
        # as asyncio.timeout ends a wait: a cancellation that is taken back when it arrives
        if self._puller is not None and not self._woken:
            self._woken = self._puller.cancel()

    def _was_woken(self) -> bool:
        """Take our cancellation back; tell whether nobody else has cancelled as well."""
        if not self._woken or self._puller is None:
            return False
        self._woken = False
        return self._puller.uncancel() <= self._cancelling

    def _drop_awaited(self) -> None:
        """Close a coroutine that was never awaited, so that it never begins."""
        awaited, self._awaited = self._awaited, None
        end = getattr(awaited, "close", None) or getattr(awaited, "cancel", None)
        if end is not None:
            end()
