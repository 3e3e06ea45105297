"""Counting before, reporting afterwards: POST /v1/count and GET /v1/usage."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from starlette.requests import Request
from tests.gateway.conftest import (
    CHAT,
    STORY,
    TEXT,
    Running,
    asking,
    configured,
    hello,
    opened,
    request,
    running,
    served,
    until,
)
from tests.gateway.test_embed import ask

import deltaweir
from deltaweir.gateway.config.file import LedgerConfig
from deltaweir.gateway.routes import reports
from deltaweir.gateway.routes.reports import report_json
from deltaweir.usage_report import GROUPS, Line, day_of, report

COUNT = "/v1/count"
USAGE = "/v1/usage"
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tell the weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def usage(gateway: Running, **query: Any) -> dict[str, Any]:
    """Return the report of a gateway."""
    status, _, raw = request(gateway, f"{USAGE}?{urlencode(query)}", method="GET")
    assert status == 200
    told: dict[str, Any] = json.loads(raw)
    return told


@pytest.mark.parametrize(
    ("path", "more"),
    [
        (CHAT, {}),
        (CHAT, {"messages": [{"role": "system", "content": "Be terse."}, *STORY]}),
        (CHAT, {"messages": [{"role": "user", "content": "日本語 🎈 don't\n\n  x"}]}),
        (CHAT, {"n": 2}),
        (TEXT, {}),
        (TEXT, {"prompt": "日本語 🎈 don't\n\n  x"}),
        (TEXT, {"prompt": "<|im_start|>user"}),
        (TEXT, {"prompt": ["one prompt", "and another"]}),
        (TEXT, {"prompt": [1, 2, 3, 4]}),
    ],
)
def test_a_count_equals_what_the_engine_reads(
    gateway: Running, path: str, more: dict[str, Any]
) -> None:
    """What is counted before is what the same request then uses."""
    body = asking(path, max_tokens=1, **more)
    status, _, raw = request(gateway, COUNT, {**body, "deltaweir": {"tag": "x"}})
    counted = json.loads(raw)
    assert (status, set(counted)) == (200, {"prompt_tokens", "source", "cost_usd"})
    used = json.loads(request(gateway, path, body)[2])["usage"]
    assert counted["prompt_tokens"] == used["prompt_tokens"]
    assert (counted["source"], counted["cost_usd"]) == ("official", 0.0)


def test_a_count_without_a_model_is_the_first_ones(gateway: Running) -> None:
    """As a completion without a model is."""
    body = hello()
    del body["model"]
    assert json.loads(request(gateway, COUNT, body)[2])["prompt_tokens"] == 33


def test_a_count_is_priced_as_configured() -> None:
    """The price of the configuration holds, the fee for a request included."""
    with running(model={"price": {"input": 2, "output": 9}}) as server:
        counted = json.loads(request(server, COUNT, hello())[2])
    assert counted["cost_usd"] == 2 * counted["prompt_tokens"] / 10**6


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        (b"{", 400, None),
        (b"[" * 50_000, 400, None),
        (b"[]", 400, None),
        ({}, 400, "messages"),
        (hello(model="gpt-9"), 404, "model"),
        (hello(model=5), 400, "model"),
        (hello(messages="hi"), 400, "messages"),
        ({"prompt": {"a": 1}}, 400, "prompt"),
        (b"x" * 200_000, 413, None),
    ],
)
def test_what_cannot_be_counted(
    gateway: Running, body: Any, status: int, param: str | None
) -> None:
    """It is refused as the completion itself would be."""
    got, headers, raw = request(gateway, COUNT, body)
    error = json.loads(raw)["error"]
    assert (got, error["param"], headers["content-type"]) == (status, param, "application/json")
    assert set(error) == {"message", "type", "param", "code"}


@pytest.mark.parametrize(("path", "method"), [(COUNT, "GET"), (USAGE, "POST"), (USAGE, "DELETE")])
def test_other_methods(gateway: Running, path: str, method: str) -> None:
    """They are 405 in OpenAI's form."""
    status, _, raw = request(gateway, path, method=method)
    assert (status, json.loads(raw)["error"]["code"]) == (405, "not_allowed")


def test_a_report_adds_rows_up(tmp_path: Path) -> None:
    """By day, model, key and user unless told, with their sum as the total."""
    with served(configured(tmp_path)) as server:
        for user, tag in (("ann", "x"), ("ann", "y"), ("bob", "x")):
            request(server, CHAT, hello(user=user, deltaweir={"tag": tag}))
        day = day_of(time.time())
        nothing: dict[str, Any] = dict.fromkeys((*GROUPS, "key_name"))
        group = nothing | {"day": day, "model": "smollm2"}
        free = {"cost_usd": 0.0, "unpriced": 0, "failed": 0}
        one = {"streams": 1, "prompt_tokens": 33, "completion_tokens": 4, **free}
        two = {"streams": 2, "prompt_tokens": 66, "completion_tokens": 8, **free}
        three = {"streams": 3, "prompt_tokens": 99, "completion_tokens": 12, **free}
        assert usage(server) == {
            "data": [group | {"user": "ann"} | two, group | {"user": "bob"} | one],
            "total": three,
        }
        assert usage(server, group_by="")["data"] == [nothing | three]
        by_tag = usage(server, group_by=" tag,tag ")["data"]
        assert by_tag == [nothing | {"tag": "x"} | two, nothing | {"tag": "y"} | one]
        assert usage(server, since="2020-01-01", until="2020-01-02") == {
            "data": [],
            "total": {
                "streams": 0,
                "prompt_tokens": 0,
                "completion_tokens": 0,
                "cost_usd": None,
                "unpriced": 0,
                "failed": 0,
            },
        }
        assert usage(server, since=day)["total"] == usage(server, until="2999-01-01")["total"]


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"group_by": "week"}, "group_by"),
        ({"group_by": "day,colour"}, "group_by"),
        ({"since": "yesterday"}, "since"),
        ({"until": "2026-13-01"}, "until"),
        ({"by": "key"}, "by"),
    ],
)
def test_a_report_nobody_can_make(gateway: Running, query: dict[str, str], param: str) -> None:
    """An unknown name or parameter, or a time that is none, is 400."""
    status, _, raw = request(gateway, f"{USAGE}?{urlencode(query)}", method="GET")
    assert (status, json.loads(raw)["error"]["param"]) == (400, param)


def test_a_report_that_is_too_long_is_refused(
    gateway: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says how to ask for less; one as long as may be is told."""
    for tag in ("long-1", "long-2"):
        request(gateway, CHAT, hello(deltaweir={"tag": tag}))
    lines = len(usage(gateway, group_by="tag")["data"])
    monkeypatch.setattr(reports, "MOST_LINES", lines)
    assert len(usage(gateway, group_by="tag")["data"]) == lines
    monkeypatch.setattr(reports, "MOST_LINES", lines - 1)
    status, _, raw = request(gateway, f"{USAGE}?group_by=tag", method="GET")
    error = json.loads(raw)["error"]
    assert (status, error["param"]) == (400, "group_by")
    assert "since" in error["message"]


@given(lines=st.lists(st.builds(Line), max_size=3))
def test_a_report_is_json(lines: list[Line]) -> None:
    """Piece by piece it is what it is as a whole."""
    told = report(lines, {"k": "alice"})
    assert json.loads(report_json(told)) == told


def test_running_streams_are_in_the_report(tmp_path: Path) -> None:
    """They count from their beginning, and their tokens from the first checkpoint on."""
    with served(configured(tmp_path, drain_s=0.1)) as server:
        body = hello(stream=True, max_tokens=3000, messages=STORY)
        with opened(server, body) as connection:
            connection.recv(10)
            assert usage(server)["total"]["streams"] == 1
            until(lambda: usage(server)["total"]["completion_tokens"] > 0)
            assert server.answers == 1


def test_without_a_ledger_there_is_nothing_to_report(tmp_path: Path) -> None:
    """It is 404, and says what to configure."""
    with served(replace(configured(tmp_path), ledger=LedgerConfig(url=""))) as server:
        status, _, raw = request(server, USAGE, method="GET")
    error = json.loads(raw)["error"]
    assert (status, error["code"]) == (404, "no_ledger")
    assert "[ledger] url" in error["message"]


async def test_a_hosts_user_sees_their_own_rows(tmp_path: Path) -> None:
    """Whom the host knows by name is the row's user, whatever the body says, and sees no other."""

    def name(asked: Request) -> str | None:
        return asked.headers.get("x-name")

    app = deltaweir.asgi(configured(tmp_path), authorize=name)
    for user in ("ann", "ann", "bob"):
        headers = [(b"x-name", user.encode())]
        body = json.dumps(hello(user="eve")).encode()
        assert (await ask(app, CHAT, body=body, headers=headers))[0] == 200
    for user, streams in (("ann", 2), ("bob", 1), ("eve", 0), ("", 0)):
        _, _, raw = await ask(app, USAGE, headers=[(b"x-name", user.encode())])
        told = json.loads(raw)
        assert told["total"]["streams"] == streams
        assert {line["user"] for line in told["data"]} <= {user}
    for path in (USAGE, COUNT):
        body = b"{}" if path == COUNT else b""
        assert (await ask(app, path, body=body))[0] == 401


async def test_counting_a_long_prompt_holds_up_no_other_request(tmp_path: Path) -> None:
    """The loop goes on while a prompt is counted."""
    app = deltaweir.asgi(configured(tmp_path))
    text = "The weir measures a stream, and controls it. " * 40_000
    body = json.dumps({"model": "smollm2", "prompt": text}).encode()
    await ask(app, COUNT, body=json.dumps({"prompt": "x"}).encode())  # the vocabulary is loaded
    began = time.perf_counter()
    counting = asyncio.ensure_future(ask(app, COUNT, body=body))
    longest, last = 0.0, began
    while not counting.done():
        await asyncio.sleep(0.001)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    assert counting.result()[0] == 200
    assert longest < (last - began) / 2
