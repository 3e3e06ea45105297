"""A hundred requests at once with one key, whose budget is for ten."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests.live.provider import Play, Provider
from tests.live.readers import Reading, read
from tests.live.served import Served, model, upstream

import deltaweir
from deltaweir.stores.sqlite_keys import SqliteKeys

pytestmark = [pytest.mark.live, pytest.mark.timeout(120)]

REQUESTS, ENOUGH_FOR = 100, 10
PLAYS = [Play(1000 + number, 60, 0.005, usage=False) for number in range(REQUESTS)]
DELTA = max(deltaweir.count_tokens(PLAYS[0].piece(index)) for index in range(60))
"""Tokens of the longest delta."""


def asked(play: Play) -> dict[str, Any]:
    """Return the body of a request."""
    return {"model": "m", "messages": [{"role": "user", "content": play.prompt}]}


def operate(served: Served, *arguments: str) -> str:
    """Say something about keys, as an operator does; return what is answered."""
    command = [sys.executable, "-m", "deltaweir", "keys", *arguments]
    done = subprocess.run(
        [*command, "--config", served.config],
        capture_output=True,
        text=True,
        check=True,
        cwd=served.folder,
    )
    return done.stdout.strip()


async def at_once(folder: Path, config: str, budget: int) -> tuple[Served, list[Reading]]:
    """Make a key and ask for all at once with it; return the gateway, ended, and what came."""
    async with Provider() as provider:
        tables = upstream("provider", provider.base_url) + model("m", ["provider"])
        served = Served(folder, config + tables)
        made = ("create", "--name", "ten", "--budget", f"{budget}tok")
        key = await asyncio.to_thread(operate, served, *made)  # before any worker looks for keys
        await asyncio.to_thread(served.__enter__)
        try:
            asking = [read(served.address, asked(play), key=key) for play in PLAYS]
            readings = await asyncio.gather(*asking)
        finally:
            await asyncio.to_thread(served.stop)
    return served, readings


@pytest.mark.parametrize("workers", [1, 2] if sys.platform != "win32" else [1])
def test_a_budget_for_ten_is_not_spent_twice(tmp_path: Path, workers: int) -> None:
    """By a delta a stream at most; the ledger and the key's account agree with what was sent."""
    answers = [deltaweir.count_tokens(play.text) for play in PLAYS]
    prompts = [deltaweir.count_prompt(asked(play)["messages"], model="m") for play in PLAYS]
    budget = ENOUGH_FOR * (max(answers) + max(prompt.tokens for prompt in prompts))
    config = f'[server]\nauth = "keys"\nworkers = {workers}\n'
    with asyncio.Runner(debug=False) as runner:
        served, readings = runner.run(at_once(tmp_path, config, budget))
    begun = [number for number, reading in enumerate(readings) if reading.status == 200]
    for reading in readings:
        if reading.status != 200:
            assert reading.status == 429
            assert reading.error is not None
            assert reading.error["code"] == "insufficient_quota"
    for number in begun:
        assert PLAYS[number].text.startswith(readings[number].text)
        assert readings[number].done
    sent = sum(
        prompts[number].tokens + deltaweir.count_tokens(readings[number].text) for number in begun
    )
    assert sent <= budget
    assert sent > budget * 0.9, "next to nothing was sent"
    rows = served.rows(len(begun))
    spent = sum(
        sum(filter(None, (one.prompt_tokens, one.completion_tokens)))
        for one in [row.tally for row in rows]
    )
    assert sent <= spent <= budget + len(begun) * DELTA
    with SqliteKeys(tmp_path / "deltaweir.db") as keys:
        (record,) = keys.records()
        assert keys.spent(record.id, record.terms.quotas, time.time()) == [spent]
