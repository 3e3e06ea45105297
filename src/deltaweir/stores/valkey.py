"""One connection to a Valkey or Redis server, lent to one thread at a time.

Each call says how long it may take. Where that passes, the connection is given up: an answer that
comes late would be taken for the next one's. A server that left somebody who had time without an
answer is left alone for `ALONE_S`, so that not everybody waits for it, one after the other.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from deltaweir.errors import InvalidRequest
from deltaweir.stores.failures import LedgerBusy, StoreUnavailable, StoreUnsure
from deltaweir.stores.valkey_url import Address

PATIENT_S = 0.25
"""Who waits for less says nothing about the server by giving up, in seconds."""
CONNECT_S = 0.03
"""Who waits for less does not connect, since that may look a name up, in seconds."""
ALONE_S = 0.5
"""How long a server that does not answer is left alone, in seconds."""


class Script:
    """A program in Lua that the server runs as one step.

    Args:
        text: The program.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        # what the server calls it; no secret depends on it
        self.digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class ValkeyLine:
    """Ask a server, from any thread of the process that made this.

    Args:
        address: Where it is.
        ca_file: Certificates to trust instead of the system's, a PEM file.

    Raises:
        InvalidRequest: The package's extra is not installed.
    """

    def __init__(self, address: Address, *, ca_file: str | None = None) -> None:
        self._shown = address.shown
        self._connection = _connection(address, ca_file)
        self._using = threading.Lock()
        self._process = os.getpid()
        self._connected = False
        self._alone_until = 0.0
        self.openings = 0
        """How often it was connected; what was read before the last time may be another's."""

    def __repr__(self) -> str:
        return f"ValkeyLine({self._shown!r})"

    def call(self, *command: str | bytes | float, wait_s: float) -> Any:
        """Return what the server answers to a command.

        Args:
            *command: Its words.
            wait_s: Seconds to wait at most.

        Raises:
            LedgerBusy: Another thread has used the connection for too long.
            StoreUnsure: The server was told, and has not answered.
            StoreUnavailable: It cannot be reached, or refuses the command; nothing was done.
        """
        deadline = time.monotonic() + wait_s
        with self._mine(wait_s):
            return self._answer(command, deadline, wait_s)

    def run(
        self, script: Script, keys: Sequence[str], values: Sequence[Any], *, wait_s: float
    ) -> Any:
        """Return what a script answers; raises as `call` does.

        Args:
            script: The script, which is sent when the server does not know it yet.
            keys: The names of what it touches.
            values: What else it is told.
            wait_s: Seconds to wait at most.
        """
        from valkey.exceptions import NoScriptError

        deadline = time.monotonic() + wait_s
        told = (len(keys), *keys, *values)
        with self._mine(wait_s):
            try:
                return self._answer(("EVALSHA", script.digest, *told), deadline, wait_s)
            except StoreUnavailable as error:
                if not isinstance(error.__cause__, NoScriptError):
                    raise
            return self._answer(("EVAL", script.text, *told), deadline, wait_s)

    def close(self) -> None:
        """Close the connection; it stays closed."""
        if self._process == os.getpid():
            with self._using:
                self._drop()
                self._process = -1

    @contextlib.contextmanager
    def _mine(self, wait_s: float) -> Iterator[None]:
        if not self._using.acquire(timeout=wait_s):
            raise LedgerBusy(f"the store {self._shown} is in use by another thread")
        try:
            yield
        finally:
            self._using.release()

    def _answer(self, command: Sequence[Any], deadline: float, wait_s: float) -> Any:
        from valkey.exceptions import (
            BusyLoadingError,
            MasterDownError,
            ReadOnlyError,
            ResponseError,
            ValkeyError,
        )

        self._connect(deadline, wait_s)
        try:
            self._connection.send_command(*command)
            if not self._connection.can_read(timeout=max(0.001, deadline - time.monotonic())):
                self._give_up(wait_s)
                raise StoreUnsure(f"the store {self._shown} has not answered in {wait_s:.3g} s")
            return self._connection.read_response()
        except BusyLoadingError as error:
            self._drop()
            raise StoreUnavailable(f"the store {self._shown} is not there yet") from error
        except ResponseError as error:
            if isinstance(error, ReadOnlyError | MasterDownError):
                self._drop()  # a name may lead to another server now
            raise StoreUnavailable(f"the store {self._shown} refuses: {_brief(error)}") from error
        except ValkeyError as error:
            self._drop()
            raise StoreUnsure(f"the store {self._shown} went away: {_brief(error)}") from error

    def _connect(self, deadline: float, wait_s: float) -> None:
        from valkey.exceptions import ValkeyError

        if self._process != os.getpid():
            raise StoreUnavailable(
                f"the store {self._shown} was closed, or open when this process was forked"
            )
        if self._connected and self._is_there():
            return
        now = time.monotonic()
        if now < self._alone_until or wait_s < CONNECT_S:
            raise StoreUnavailable(f"the store {self._shown} cannot be reached at the moment")
        left = max(0.001, deadline - now)
        self._connection.socket_timeout = self._connection.socket_connect_timeout = left
        try:
            self._connection.connect()
        except ValkeyError as error:
            self._drop()
            if time.monotonic() >= deadline:  # who is refused has not waited
                self._give_up(wait_s)
            raise StoreUnavailable(
                f"the store {self._shown} cannot be reached: {_brief(error)}"
            ) from error
        self._connected = True
        self.openings += 1

    def _is_there(self) -> bool:
        """Return whether the server has not hung up, so that it can be told something."""
        from valkey.exceptions import ValkeyError

        with contextlib.suppress(ValkeyError):
            if not self._connection.can_read(timeout=0):
                return True
        self._drop()  # nothing was asked: what it says is that it goes
        return False

    def _give_up(self, wait_s: float) -> None:
        self._drop()
        if wait_s >= PATIENT_S:
            self._alone_until = time.monotonic() + ALONE_S

    def _drop(self) -> None:
        self._connected = False
        self._connection.disconnect()


def _connection(address: Address, ca_file: str | None) -> Any:
    """Return the library's connection, which has no types."""
    try:
        connection: Any = importlib.import_module("valkey.connection")
    except ImportError as error:
        raise InvalidRequest(
            "a store needs the extra valkey: pip install 'deltaweir[valkey]'", param="store.url"
        ) from error
    options: dict[str, Any] = {
        "db": address.database,
        "username": address.user,
        "password": address.password,
        # who the library is would be told in two trips of their own
        "lib_name": None,
        "lib_version": None,
    }
    if address.path:
        return connection.UnixDomainSocketConnection(path=address.path, **options)
    options |= {"host": address.host, "port": address.port, "socket_keepalive": True}
    if address.encrypted:
        options |= {"ssl_check_hostname": True, "ssl_ca_certs": ca_file}
        return connection.SSLConnection(**options)
    return connection.Connection(**options)


def _brief(error: Exception) -> str:
    """Return what a server or a socket says, in one line that is not long."""
    return " ".join(str(error).split())[:200]
