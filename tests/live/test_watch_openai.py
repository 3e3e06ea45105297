"""`watch` around the real openai packages, old and new, on a server that never ends what is cut."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.live.environments import ROOT, needs, new_python, old_python

from deltaweir.testing import (
    Pause,
    Peer,
    chat_events,
    error_event,
    json_answer,
    stream_answer,
)
from deltaweir.testing.faults import Step
from deltaweir.wire.sse import encode

pytestmark = [pytest.mark.live, pytest.mark.timeout(120)]

WHOLE = stream_answer(chat_events("Hello", " there", usage=(9, 2), model="gpt-4o"))
REPLY = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": []}
PRICE = 9 * 2.5e-6 + 2 * 1e-5


def endless(*, text: bool = False) -> list[Step]:
    """Return a stream of four tokens that never ends."""
    base: dict[str, Any] = {"id": "c", "created": 1, "model": "davinci-002"}
    words = ("One two", " three four")
    events: list[Step] = chat_events(*words, finish=None, done=False, model="gpt-4o")
    if text:
        chunks = [
            {"object": "text_completion", "choices": [{"text": word, "index": 0}]} for word in words
        ]
        events = [encode(json.dumps(base | chunk).encode()) for chunk in chunks]
    return stream_answer([*events, Pause()], end=False)


def run(script: str, peer: Peer, python: Path) -> dict[str, Any]:
    """Run a client's script with the package of another Python, and return what it said."""
    asked = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    folder = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    command = [sys.executable, str(ROOT / "tests/live/clients" / script), peer.base_url, folder]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdin is not None
        lines = list[str]()
        for line in process.stdout:
            lines.append(line)
            if line == "left?\n":
                gone = peer.wait_gone(peer.requests[-1].connection, timeout_s=5)
                print("yes" if gone else "no", file=process.stdin, flush=True)
        errors = process.stderr.read()
    assert (process.returncode, errors) == (0, "")
    said: dict[str, Any] = json.loads(lines[-1])
    return said


def test_todays_openai() -> None:
    """Chat and text, sync and async, cut, broken, left: its own objects, and our account."""
    python = needs(new_python(), "the current openai package")
    answers = [
        WHOLE,
        endless(),
        endless(text=True),
        stream_answer([*chat_events("Hi", finish=None, done=False), error_event("overloaded")]),
        stream_answer(chat_events("Hi", finish=None, done=False)),
        json_answer(REPLY),
        endless(),
        WHOLE,
        endless(),
        stream_answer([*chat_events(finish=None, done=False), Pause()], end=False),
    ]
    with Peer(*answers) as peer:
        said = run("watched_new.py", peer, python)
        assert len(peer.requests) == len(answers)  # a coroutine that is not awaited sends nothing
    chunk = ["ChatCompletionChunk"]
    assert said == {
        "sync": ["Hello there", [9, 2], pytest.approx(PRICE), None, True, chunk],
        "attributes": ["", "Hello", " there", None],
        "cut": ["One two", [1, 4], pytest.approx(2.5e-6 + 4e-5), "budget", False, chunk, True],
        "cut class": True,
        "cut end": ["length", None],
        "texts": ["One two", [None, 4], None, "budget", False, ["Completion"], True],
        "texts class": True,
        "texts end": ["length", ""],
        "error": ["APIError", "Hi"],
        "truncated": "Hi",
        "whole": "got a value of type ChatCompletion, expected a stream of chunks; call with "
        "stream=True",
        "thread": [3, "reader", False, True],
        "async": ["Hello there", [9, 2], pytest.approx(PRICE), None, True, chunk],
        "async cut": ["One two", [None, 4], None, "budget", False, chunk, True],
        "async close": ["StopAsyncIteration", True],
        "tasks": 1,
    }


def test_openai_before_1_0() -> None:
    """Chat and text, sync and async, whole and cut: its own objects, and our account."""
    python = needs(old_python(), "openai 0.28.1")
    cuts = [endless(), endless(text=True)]
    with Peer(WHOLE, *cuts, WHOLE, endless()) as peer:
        said = run("watched_old.py", peer, python)
    chunk = ["OpenAIObject"]
    assert said == {
        "sync": ["Hello there", [9, 2], pytest.approx(PRICE), None, True, chunk],
        "cut": ["One two", [1, 4], pytest.approx(2.5e-6 + 4e-5), "budget", False, chunk, True],
        "cut end": ["length", {}],
        "texts": ["One two", [None, 4], None, "budget", False, chunk, True],
        "texts end": ["length", ""],
        "async": ["Hello there", [9, 2], pytest.approx(PRICE), None, True, chunk],
        "async cut": ["One two", [None, 4], None, "budget", False, chunk, True],
    }
