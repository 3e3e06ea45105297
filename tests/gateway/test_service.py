"""The gateway's ledger: opened once, by whoever comes first, and honest when it cannot be."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from tests.gateway.conftest import CHAT, configured, hello, rows_in
from tests.gateway.test_embed import ask

import deltaweir
from deltaweir.gateway import account_book
from deltaweir.stores.sqlite import SqliteLedger

HELLO = json.dumps(hello()).encode()


def damaged(path: Path) -> None:
    """Make a file that is no ledger."""
    path.write_bytes(b"This is no database. " * 1000)


def newer(path: Path) -> None:
    """Make a ledger of a version that is not known here."""
    SqliteLedger(path).close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")


def a_directory(path: Path) -> None:
    """Make a directory where the file should be."""
    path.mkdir()


UNUSABLE = pytest.mark.parametrize(
    ("make", "code"),
    [
        (damaged, "ledger_damaged"),
        (newer, "ledger_too_new"),
        (a_directory, "ledger_unavailable"),
        (None, "ledger_unavailable"),
    ],
)


def unusable(tmp_path: Path, make: Callable[[Path], None] | None) -> Path:
    """Return the directory of a ledger that cannot be opened."""
    directory = tmp_path / "private-folder"
    if make is not None:
        directory.mkdir()
        make(directory / "deltaweir.db")
    return directory


@UNUSABLE
async def test_a_ledger_that_cannot_be_opened_is_503(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, make: Any, code: str
) -> None:
    """A mounted gateway says so to each request, but where it lies only to its log, once."""
    app = deltaweir.asgi(configured(unusable(tmp_path, make)))
    with caplog.at_level(logging.ERROR):
        for path, body in ((CHAT, HELLO), ("/v1/usage", b""), (CHAT, HELLO)):
            status, _, raw = await ask(app, path, body=body)
            error = json.loads(raw)["error"]
            assert (status, error["code"]) == (503, code)
            assert "private-folder" not in error["message"]
    assert [("private-folder" in record.getMessage()) for record in caplog.records] == [True]


async def test_a_ledger_that_can_be_opened_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once its directory is there, requests are answered without a new start."""
    monkeypatch.setattr(account_book, "RETRY_S", 0.01)
    app = deltaweir.asgi(configured(tmp_path / "later"))
    assert (await ask(app, CHAT, body=HELLO))[0] == 503
    (tmp_path / "later").mkdir()
    await asyncio.sleep(0.02)
    assert (await ask(app, CHAT, body=HELLO))[0] == 200


async def test_a_ledger_that_is_damaged_later(tmp_path: Path) -> None:
    """A report of it is 503, without its path."""
    folder = tmp_path / "private-folder"
    folder.mkdir()
    app = deltaweir.asgi(configured(folder))
    assert (await ask(app, "/v1/usage"))[0] == 200
    damaged(folder / "deltaweir.db")
    status, _, raw = await ask(app, "/v1/usage")
    assert status == 503
    assert b"private-folder" not in raw


@UNUSABLE
def test_the_command_fails_at_its_start(tmp_path: Path, make: Any, code: str) -> None:
    """It names what is wrong, without a traceback, and exits before it listens.

    A folder that does not exist is a mistake in the configuration (2), all else is not (1).
    """
    folder = unusable(tmp_path, make)
    config = tmp_path / "deltaweir.toml"
    config.write_text(
        f'[server]\nport = 0\n[[models]]\nname = "smollm2"\nembedded = "smollm2"\n'
        f'[ledger]\nurl = "sqlite:///{(folder / "deltaweir.db").as_posix()}"\n',
        "utf-8",
    )
    command = [sys.executable, "-m", "deltaweir", "serve", "--config", str(config)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=40, check=False, cwd=tmp_path
    )
    assert done.returncode == (2 if make is None else 1), code
    assert "private-folder" in done.stderr
    assert "Traceback" not in done.stderr
    assert "serving" not in done.stderr


async def test_a_locked_ledger_holds_up_no_other_request(tmp_path: Path) -> None:
    """Opening waits for another process's lock in a thread of its own; the loop goes on."""
    SqliteLedger(tmp_path / "deltaweir.db").close()
    app = deltaweir.asgi(configured(tmp_path))
    with contextlib.closing(
        sqlite3.connect(tmp_path / "deltaweir.db", isolation_level=None)
    ) as other:
        other.execute("BEGIN IMMEDIATE")
        opening = asyncio.ensure_future(ask(app, "/v1/usage"))
        longest, began = 0.0, time.perf_counter()
        while not opening.done():
            last = time.perf_counter()
            assert (await ask(app, "/healthz"))[0] == 200
            await asyncio.sleep(0.01)
            longest = max(longest, time.perf_counter() - last)
        waited = time.perf_counter() - began
        other.execute("ROLLBACK")
    status, _, _ = opening.result()
    assert (status in (200, 503), longest < max(0.5, waited / 2)) == (True, True)


def writers() -> int:
    """Return how many ledgers are open in this process."""
    return sum(thread.name == "deltaweir-ledger" for thread in threading.enumerate())


def test_several_loops_of_a_host_share_one_ledger(tmp_path: Path) -> None:
    """Threads with loops of their own, all first at once, open it once and lose no row."""
    config = configured(tmp_path)
    app = Starlette(routes=[Mount("/llm", deltaweir.asgi(config))])
    before, at_once = writers(), threading.Barrier(4)
    statuses: list[int] = []

    def host() -> None:
        at_once.wait()
        statuses.append(asyncio.run(ask(app, f"/llm{CHAT}", body=HELLO))[0])
        statuses.append(asyncio.run(ask(app, "/llm/v1/usage"))[0])

    threads = [threading.Thread(target=host) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 8
    assert writers() == before + 1
    assert asyncio.run(ask(app, "/llm/v1/usage"))[0] == 200
    rows = rows_in(config)
    assert len(rows) == 4
    assert all(row.closed and row.closed.ending == "complete" for row in rows)
