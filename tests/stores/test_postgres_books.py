"""Records of limits in PostgreSQL: what is said of a transaction, and how records are read."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytest.importorskip("psycopg", reason="needs the package's extra postgres")

from deltaweir.leases import Pot
from deltaweir.rates import Bucket
from deltaweir.stores import postgres_books as sql
from deltaweir.stores.versioned_books import Memory, VersionedBooks

POT = Pot("k", "tokens", "day", 86_400)


def told_of(books: VersionedBooks, memory: Memory, *, begun: bool = False) -> tuple[str, Any]:
    """Return the statements that write a transaction, and the document that they take."""
    statements, told = sql.commit(memory, books.changes(), "a:1", 1.0, begun=begun)
    return statements, json.loads(told["told"])


def test_a_transaction_says_what_was_seen_and_what_shall_be() -> None:
    """Records that were only read have no fields; the process's own is always written."""
    memory = Memory("", "a")
    memory.known["rate:k:requests"] = {b"v": b"b:7", b"weight": b"1", b"at": b"2"}
    books = memory.begin(lambda _: {})
    books.bucket("k", "requests")
    books.book(POT, 5)
    statements, told = told_of(books, memory)
    assert statements == "SELECT * FROM deltaweir.key_commit(%(told)s::jsonb)"
    assert told == {
        "commit": "a:1",
        "patience": "800",
        "durable": True,
        "waits": True,
        "records": [
            {"name": "holder:a", "seen": "", "fields": {}, "lasts_s": 30 * 86_400},
            {"name": "rate:k:requests", "seen": "b:7"},
            {
                "name": "pot:k:tokens:day:86400",
                "seen": "",
                "fields": {"spent": "5"},
                "lasts_s": 9 * 86_400,
            },
        ],
    }


def test_rates_alone_wait_for_no_disk() -> None:
    """Nor does a look at a budget; and whoever holds something waits for nobody."""
    memory = Memory("", "a")
    books = memory.begin(lambda _: {})
    books.standing(POT, 0)
    books.fill("k", "tokens", Bucket(1, 2))
    statements, told = told_of(books, memory, begun=True)
    assert statements.endswith("; COMMIT")
    assert (told["durable"], told["waits"]) == (False, False)


def test_records_are_read_as_they_are_written() -> None:
    """With their version; one that was made and never written is none."""
    records = {"a": ("h:1", {"spent": "5", "@h": "7 9"}), "b": ("", {})}
    flat = [b"v", b"h:1", b"spent", b"5", b"@h", b"7 9"]
    assert sql.flat(records, ["a", "b", "c"]) == [flat, [], []]


def test_a_moment_is_not_for_ever() -> None:
    """The server takes 0 for no bound."""
    assert json.loads(sql.hold(["a"], 0.0001)["told"])["patience"] == "1"
