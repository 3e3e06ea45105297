"""One row a stream, with the right figures, whoever ends it and however."""

from __future__ import annotations

import contextlib
import json
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.gateway.conftest import (
    CHAT,
    DEADLINE_S,
    STORY,
    TEXT,
    Running,
    asking,
    configured,
    events,
    hello,
    opened,
    request,
    rows_in,
    running,
    served,
    until,
)

from deltaweir.accounts import Row
from deltaweir.gateway.config.file import Config, LedgerConfig
from deltaweir.gateway.ledger.rows import tally_of
from deltaweir.gateway.runs.runs import Run
from deltaweir.meter.account import Account
from deltaweir.schema.chunk import Usage

KILLS = 5
AT_ONCE = 3


def frames(connection: socket.socket, count: int) -> bytes:
    """Read a stream up to a number of events, or to its end."""
    got = b""
    while got.count(b"data: ") < count or not got.endswith(b"\n\n"):
        piece = connection.recv(1)
        if not piece:
            break
        got += piece
    return got


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("path", [CHAT, TEXT])
def test_a_stream_leaves_a_row(gateway: Running, path: str, *, stream: bool) -> None:
    """It says who asked what of whom, and what came of it."""
    tag = f"one-{path}-{stream}"
    began = time.time()
    body = asking(path, stream=stream, user="ann", deltaweir={"tag": tag})
    assert request(gateway, path, body)[0] == 200
    row = gateway.ended(tag)
    assert row.opened is not None
    assert row.closed is not None
    assert (row.opened.model, row.opened.user) == ("smollm2", "ann")
    assert row.opened.endpoint == ("chat" if path == CHAT else "text")
    assert row.opened.streamed is stream
    prompt = json.loads(request(gateway, "/v1/count", body)[2])["prompt_tokens"]
    assert (row.tally.prompt_tokens, row.tally.completion_tokens) == (prompt, 4)
    assert (row.tally.cost_pico, row.tally.source) == (0, "engine")
    assert (row.closed.ending, row.closed.finish_reason) == ("complete", "length")
    assert not row.presumed
    assert row.closed.first_content_s is not None
    assert row.closed.total_s is not None
    assert 0 < row.closed.first_content_s <= row.closed.total_s
    assert began <= row.opened.started <= row.closed.ended <= time.time()
    (attempt,) = row.attempts
    assert (attempt.number, attempt.upstream) == (1, "embedded smollm2")
    assert (attempt.tally, attempt.ending) == (row.tally, "complete")


def test_a_users_name_has_no_more_room_than_a_name_needs(gateway: Running) -> None:
    """It comes from a request, and stands in every row and report."""
    request(gateway, CHAT, hello(user="u" * 5000, deltaweir={"tag": "long-user"}))
    row = gateway.ended("long-user")
    assert row.opened is not None
    assert row.opened.user == "u" * 256


def test_a_cut_says_so_in_its_row(gateway: Running) -> None:
    """A budget's cut is an ending of its own."""
    request(gateway, CHAT, hello(deltaweir={"tag": "cut", "budget": "2tok"}))
    row = gateway.ended("cut")
    assert row.closed is not None
    assert (row.closed.ending, row.closed.finish_reason) == ("budget", "length")
    assert row.tally.completion_tokens == 2


@pytest.mark.parametrize("stream", [True, False])
def test_what_the_engine_refuses_has_failed(gateway: Running, *, stream: bool) -> None:
    """A prompt longer than the context got as far as the engine, so it has a row."""
    tag = f"failed-{stream}"
    long = [{"role": "user", "content": "a " * 9000}]
    body = hello(messages=long, stream=stream, deltaweir={"tag": tag})
    assert request(gateway, CHAT, body)[0] == 400
    row = gateway.ended(tag)
    assert row.closed is not None
    assert (row.closed.ending, row.closed.finish_reason) == ("failed", None)


@pytest.mark.parametrize(
    "body", [b"{", hello(model="gpt-9"), hello(temperature=9), hello(messages=[]), b"x" * 200_000]
)
def test_what_the_gateway_refuses_has_no_row(gateway: Running, body: Any) -> None:
    """Nothing was asked of any model."""
    before = len(gateway.rows())
    assert request(gateway, CHAT, body)[0] >= 400
    assert len(gateway.rows()) == before


def test_a_price_of_ones_own() -> None:
    """What the configuration says a model costs stands in chunk and row, to the picodollar."""
    with running(model={"price": {"input": 0.15, "output": 0.6}}) as server:
        *chunks, _ = events(request(server, CHAT, hello(stream=True, deltaweir={"tag": "t"}))[2])
        row = server.ended("t")
    assert row.tally.prompt_tokens is not None
    cost = 150_000 * row.tally.prompt_tokens + 600_000 * 4
    assert row.tally.cost_pico == cost
    assert chunks[-1]["deltaweir"]["cost_usd"] == cost / 10**12


def test_several_choices_are_one_stream(gateway: Running) -> None:
    """With n=2 both answers' tokens are in one row, the prompt's once."""
    request(gateway, CHAT, hello(n=2, deltaweir={"tag": "two"}))
    row = gateway.ended("two")
    assert (row.tally.prompt_tokens, row.tally.completion_tokens) == (33, 8)


def check_abandoned(gateway: Running, read: int, tag: str, *, most: int) -> str:
    """Hang up after some chunks, and check the stream's one row; return its ending."""
    options = {"continuous_usage_stats": True}
    body = hello(
        stream=True,
        max_tokens=most,
        messages=STORY,
        stream_options=options,
        deltaweir={"tag": tag},
    )
    with opened(gateway, body) as connection:
        got = frames(connection, read) if read else b""
        (answer,) = gateway.server.gateway.runs or [None]
    row = gateway.ended(tag)
    assert row.closed is not None
    assert row.tally.completion_tokens is not None or not read
    if answer is not None:
        assert isinstance(answer, Run)
        usage = answer.usage
        assert row.tally.completion_tokens == (usage and usage.completion_tokens)
    *_, seen = [0, *(int(one.split(b",")[0]) for one in got.split(b'"completion_tokens":')[1:])]
    assert (row.tally.completion_tokens or 0) >= seen
    assert len(row.attempts) == 1
    assert row.closed.ending in ("abandoned", "complete")
    if row.closed.ending == "complete" or row.closed.finish_reason is not None:
        assert (row.tally.completion_tokens, row.closed.finish_reason) == (most, "length")
    return row.closed.ending


@pytest.mark.live  # it takes long
def test_a_client_killed_at_every_chunk(gateway: Running) -> None:
    """Wherever in a long stream the client goes, its row says so, with all it has seen."""
    for read in range(25):
        assert check_abandoned(gateway, read, f"killed-{read}", most=3000) == "abandoned"


def test_a_client_killed_near_the_end(gateway: Running) -> None:
    """Around a stream's last chunks it is complete or abandoned, never both, nor neither."""
    endings = [check_abandoned(gateway, read, f"late-{read}", most=5) for read in range(9)]
    assert endings[-1] == "complete"  # it has seen [DONE]


def test_a_client_that_leaves_a_whole_reply(gateway: Running) -> None:
    """A whole reply that nobody waits for is abandoned too."""
    with opened(gateway, hello(max_tokens=3000, messages=STORY, deltaweir={"tag": "left"})):
        until(lambda: bool(gateway.rows(tag="left")))
    row = gateway.ended("left")
    assert row.closed is not None
    assert row.closed.ending == "abandoned"


@pytest.mark.parametrize("times", [1, 2])
def test_a_stop_ends_the_rows_of_what_still_runs(tmp_path: Path, times: int) -> None:
    """A stream that the server ends has failed, whether it was given time or not."""
    config = configured(tmp_path, drain_s=0.1 if times == 1 else 20)
    body = hello(stream=True, max_tokens=3000, messages=STORY)
    with served(config) as server, opened(server, body) as connection:
        frames(connection, 3)
        for _ in range(times):
            server.stop()
        server.join()
    (row,) = rows_in(config)
    assert row.closed is not None
    assert (row.closed.ending, row.presumed) == ("failed", False)
    assert (row.tally.completion_tokens or 0) >= 2


def test_a_ledger_that_cannot_be_written_disturbs_no_stream(tmp_path: Path) -> None:
    """While another process holds the file, streams go on; their rows come later."""
    config = configured(tmp_path)
    with served(config) as server:
        with contextlib.closing(
            sqlite3.connect(tmp_path / "deltaweir.db", isolation_level=None)
        ) as other:
            other.execute("BEGIN IMMEDIATE")
            for _ in range(3):
                *_, last = events(request(server, CHAT, hello(stream=True))[2])
                assert last == "[DONE]"
            assert rows_in(config) == []
            other.execute("ROLLBACK")
        until(lambda: len(rows_in(config)) == 3)
    assert all(row.closed for row in rows_in(config))


def test_no_ledger_at_all(tmp_path: Path) -> None:
    """An empty URL keeps no rows, and disturbs nothing."""
    config = Config(
        server=configured(tmp_path).server,
        models=configured(tmp_path).models,
        ledger=LedgerConfig(url=""),
    )
    with served(config) as server:
        assert request(server, CHAT, hello())[0] == 200
    assert list(tmp_path.iterdir()) == []


def test_an_account_that_knows_nothing() -> None:
    """What ended before it was counted has no figures, rather than zeros."""
    tally = tally_of(Account(None, None, None, None, None))
    assert (tally.prompt_tokens, tally.completion_tokens, tally.cost_pico) == (None, None, None)


@contextlib.contextmanager
def process(directory: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Serve the small model in a process of its own; give the process and its port."""
    command = [sys.executable, "-m", "deltaweir", "serve", "-m", "smollm2", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=directory) as one:
        assert one.stderr is not None
        try:
            said = next(word for line in one.stderr for word in line.split() if "http" in word)
            yield one, int(said.split(":")[2].split("/")[0])
        finally:
            one.kill()


def streams(stack: contextlib.ExitStack, port: int, tag: str) -> None:
    """Start some long streams."""
    for _ in range(AT_ONCE):
        body = hello(stream=True, max_tokens=3000, messages=STORY, deltaweir={"tag": tag})
        raw = json.dumps(body).encode()
        connection = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S)
        stack.enter_context(connection)
        head = f"POST {CHAT} HTTP/1.1\r\nHost: h\r\nContent-Length: {len(raw)}\r\n\r\n"
        connection.sendall(head.encode() + raw)
        frames(connection, 2)


@pytest.mark.skipif(sys.platform == "win32", reason="its kill is no signal")
@pytest.mark.live  # it takes long
@pytest.mark.timeout(180)
def test_a_server_killed_among_its_streams(tmp_path: Path) -> None:
    """The next start closes what the dead one left, from the last checkpoint; none is double."""
    config = configured(tmp_path)
    left: dict[str, Row] = {}

    def check() -> None:
        rows = rows_in(config)
        assert len(rows) == len({row.stream_id for row in rows}) == len(left)
        for row in rows:
            before = left[row.stream_id]
            assert row.opened == before.opened
            assert row.tally == before.tally
            assert row.presumed
            assert row.closed is not None
            assert row.closed.ending == "failed"
            assert row.closed.ended == (before.checkpointed or before.opened.started)  # type: ignore[union-attr]

    for number in range(KILLS):
        with process(tmp_path) as (one, port), contextlib.ExitStack() as stack:
            if left:
                check()
            streams(stack, port, f"run-{number}")
            until(lambda tag=f"run-{number}", much=number % 2: _are_seen(config, tag, much))  # type: ignore[misc]
            one.kill()
            one.wait()
        left |= {row.stream_id: row for row in rows_in(config, tag=f"run-{number}")}
        assert len(left) == AT_ONCE * (number + 1)
    with process(tmp_path):
        check()
    command = [sys.executable, "-m", "deltaweir", "usage", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True)
    total = json.loads(done.stdout)["total"]
    assert total["streams"] == AT_ONCE * KILLS
    counted = sum(row.tally.completion_tokens or 0 for row in left.values())
    assert total["completion_tokens"] == counted > 0


def _are_seen(config: Config, tag: str, checkpoints: int) -> bool:
    """Tell whether all streams of a run have their rows on disk, with a checkpoint if wanted."""
    rows = rows_in(config, tag=tag)
    counted = [row.tally.completion_tokens for row in rows]
    return len(rows) == AT_ONCE and (not checkpoints or all(counted))


def test_figures_beyond_reason_are_cut() -> None:
    """A provider may send any number; a row and the sums of many must fit the database."""
    absurd = Usage(prompt_tokens=10**30, completion_tokens=-5, total_tokens=10**30)
    tally = tally_of(Account(absurd, "provider", 10**40, 7, absurd))
    assert (tally.prompt_tokens, tally.completion_tokens) == (2**40, 0)
    assert tally.cost_pico == 10**18
    assert tally.counted_tokens == 7
