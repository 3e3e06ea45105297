"""A database in memory, and connections to it that lose messages, lose answers, or deliver late."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.stores.lossy import Fate

from deltaweir.stores import postgres_books as sql
from deltaweir.stores.failures import StoreUnavailable, StoreUnsure
from deltaweir.stores.postgres_line import PostgresLine

Record = tuple[str, dict[str, str]]


class Server:
    """A server that knows the statements of keys' limits, and does what they say."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}

    def held(self, names: list[str]) -> dict[str, Record]:
        """Return records as they are."""
        return {name: self.records[name] for name in names if name in self.records}

    def commit(self, told: dict[str, Any]) -> tuple[bool, float, dict[str, Record] | None]:
        """Write all, or return all as it is."""
        wanted = told["records"]
        versions = [self.records.get(one["name"], ("", {}))[0] for one in wanted]
        if versions != [one["seen"] for one in wanted]:
            return False, 1000.6, self.held([one["name"] for one in wanted])
        for one in wanted:
            if "fields" in one:
                self.records[one["name"]] = told["commit"], one["fields"]
        return True, 1000.6, None


class Line(PostgresLine):
    """A connection to such a server.

    Args:
        server: The server.

    Attributes:
        fates: What becomes of the next messages that write; after them all is well.
        late: What is still to come.
        asked: How many messages there were.
    """

    def __init__(self, server: Server) -> None:
        super().__init__("postgresql://host/ledger")
        self.fates: list[Fate] = []
        self.late: list[dict[str, Any]] = []
        self.asked = 0
        self._server = server

    def ask(
        self,
        statements: str,
        told: Mapping[str, Any] | None = None,
        *,
        wait_s: float,
        begins: bool = False,
    ) -> list[tuple[Any, ...]]:
        """Answer what limits ask, and what they write if fate will."""
        assert wait_s > 0
        self.asked += 1
        if statements == sql.NOW:
            return [(1000.5,)]
        if statements == sql.TIDY:
            return []
        assert told is not None
        if statements == sql.OF_KEY:
            starts = tuple(f"{told[one]}:" for one in ("pots", "rates"))
            records = self._server.records.items()
            return [(name, *one) for name, one in records if name.startswith(starts)]
        document = json.loads(told["told"])
        if begins:
            return [(self._server.held(document["names"]),)]
        return [self._written(document)]

    def _written(self, told: dict[str, Any]) -> tuple[bool, float, dict[str, Record] | None]:
        fate = self.fates.pop(0) if self.fates else "heard"
        if fate == "refused":
            raise StoreUnavailable("no connection")
        if fate == "late":
            self.late.append(told)
        found = self._server.commit(told) if fate in {"heard", "unheard"} else None
        if fate != "heard" or found is None:
            raise StoreUnsure("no answer")
        return found

    def deliver(self) -> None:
        """Let what is late come."""
        while self.late:
            self._server.commit(self.late.pop(0))
