"""A store in memory, and connections to it that lose commands, lose answers, or deliver late."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Literal

from deltaweir.stores.failures import StoreUnavailable, StoreUnsure
from deltaweir.stores.valkey import Script, ValkeyLine
from deltaweir.stores.versioned_books import Fields

Fate = Literal["heard", "refused", "unheard", "lost", "late"]
"""What becomes of a command: all is well; it is not sent; its answer is lost; it is lost itself;
it comes when nobody waits for it any more."""
Command = tuple[Sequence[str], Sequence[Any]]


class Server:
    """A server that knows one script, `COMMIT`, and does what that says."""

    def __init__(self) -> None:
        self.hashes: dict[str, Fields] = {}
        self.lasts: dict[str, int] = {}

    def read(self, name: str) -> Fields:
        """Return a hash."""
        return {**self.hashes.get(name, {})}

    def commit(self, command: Command) -> list[list[bytes]] | None:
        """Write all, or return all as it is."""
        names, values = command
        seen = [_raw(value) for value in values[: len(names)]]
        if seen != [self.read(name).get(b"v", b"") for name in names]:
            return [[*itertools.chain(*self.read(name).items())] for name in names]
        rest = iter(values[len(names) :])
        for name in names:
            lasts, sets, drops = (int(next(rest)) for _ in range(3))
            written = self.hashes.setdefault(name, {})
            for _ in range(sets):
                field = _raw(next(rest))
                written[field] = _raw(next(rest))
            for _ in range(drops):
                written.pop(_raw(next(rest)), None)
            if lasts:
                self.lasts[name] = lasts
            if not written:
                del self.hashes[name]
        assert next(rest, None) is None
        return None


class Line(ValkeyLine):
    """A connection to such a server.

    Args:
        server: The server.

    Attributes:
        fates: What becomes of the next commands; after them all is well.
        late: What is still to come.
    """

    def __init__(self, server: Server) -> None:
        self.fates: list[Fate] = []
        self.late: list[Command] = []
        self._server = server

    def call(self, *command: str | bytes | float, wait_s: float) -> Any:
        """Answer ``TIME`` and ``HGETALL``."""
        assert wait_s > 0
        if command[0] == "TIME":
            return [b"1000", b"500000"]
        return [*itertools.chain(*self._server.read(str(command[1])).items())]

    def run(
        self, script: Script, keys: Sequence[str], values: Sequence[Any], *, wait_s: float
    ) -> Any:
        """Answer `COMMIT`, if fate will."""
        assert "HSET" in script.text
        assert wait_s > 0
        fate = self.fates.pop(0) if self.fates else "heard"
        if fate == "refused":
            raise StoreUnavailable("no connection")
        if fate == "late":
            self.late.append((keys, values))
        found = None if fate in {"lost", "late"} else self._server.commit((keys, values))
        if fate != "heard":
            raise StoreUnsure("no answer")
        return [int(found is None), b"1000", b"600000", *(found or ())]

    def deliver(self) -> None:
        """Let what is late come."""
        while self.late:
            self._server.commit(self.late.pop(0))

    def close(self) -> None:
        """Do nothing: the server stays."""


def _raw(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
