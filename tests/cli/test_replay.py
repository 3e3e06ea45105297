"""``deltaweir replay`` and ``--record``: what was shown is shown again, and its end is honest."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deltaweir.recording import End, Failure, Header, end_line, event_line, header_line
from deltaweir.testing import Drop, Peer, chat_events, error_answer, stream_answer

Run = Callable[..., Any]

USAGE = {"prompt_tokens": 39, "completion_tokens": 2, "total_tokens": 41}


def recorded(path: Path, *texts: str, end: End | None = None) -> str:
    """Return the path of a recording that brings these texts."""
    header = Header(kind="chat", model="gpt-4o", began="2026-01-31T12:34:56Z")
    events = [{"index": 0, "delta": {"content": text}, "finish_reason": None} for text in texts]
    lines = [
        header_line(header),
        *(event_line(at, json.dumps({"choices": [one]}).encode()) for at, one in enumerate(events)),
    ]
    path.write_bytes(b"".join([*lines, *([] if end is None else [end_line(end)])]))
    return str(path)


def test_a_recording_is_shown_as_an_answer(run: Run, tmp_path: Path) -> None:
    """The text is on stdout; stderr says what it is, and what it took then."""
    file = recorded(tmp_path / "r", "Hel", "lo", end=End(at=9, end="complete", usage=USAGE))
    ended = run("replay", file)
    assert (ended.code, ended.out) == (0, "Hello\n")
    first, last = ended.err.splitlines()
    assert first == "recording of gpt-4o, made 2026-01-31 12:34 UTC; nothing is asked"
    assert last.startswith("39 + 2 tokens (recorded) · $0 · ")
    assert run("replay", file, "--no-stats", "--speed", "max").err.splitlines() == [first]


def test_chunks_are_shown_as_json(run: Run, tmp_path: Path) -> None:
    """With --json each chunk is a line."""
    file = recorded(tmp_path / "r", "Hel", "lo", end=End(at=2, end="complete"))
    lines = run("replay", file, "--json", "--speed", "0").out.splitlines()
    assert [json.loads(line)["choices"][0]["delta"]["content"] for line in lines] == ["Hel", "lo"]


@pytest.mark.parametrize(
    ("end", "code", "says"),
    [
        (End(at=1, end="budget", usage=USAGE), 3, "cut by the budget"),
        (End(at=1, end="blocked", usage=USAGE), 3, "(recorded)"),
        (End(at=1, end="abandoned"), 1, "whoever read the answer stopped it"),
        (End(at=1, end="failed", error=Failure(message="it broke")), 1, "deltaweir: it broke"),
        (None, 1, "breaks off before the stream's end"),
    ],
)
def test_it_ends_as_it_did(run: Run, tmp_path: Path, end: End | None, code: int, says: str) -> None:
    """A cut is a cut, a failure a failure, and what breaks off is not complete."""
    ended = run("replay", recorded(tmp_path / "r", "Hi", end=end))
    assert (ended.code, ended.out) == (code, "Hi\n")
    assert says in ended.err


def test_it_is_guarded_and_limited(run: Run, tmp_path: Path) -> None:
    """--guard and --budget hold as for an answer."""
    file = recorded(tmp_path / "r", "to jane@exam", "ple.com", end=End(at=1, end="complete"))
    guarded = run("replay", file, "--guard", "pii")
    assert "jane" not in guarded.out
    assert run("replay", file, "--budget", "1tok").code == 3


def test_a_recording_is_a_model(run: Run, tmp_path: Path) -> None:
    """`--model replay:FILE` answers whatever is asked, though it be a file of weights by name."""
    file = recorded(tmp_path / "r.gguf", "Hello", end=End(at=1, end="complete"))
    ended = run("chat", "hi", "--model", f"replay:{file}")
    assert (ended.code, ended.out) == (0, "Hello\n")


def test_what_cannot_be_played_is_said(run: Run, tmp_path: Path) -> None:
    """A missing file, another file, and a speed that is none."""
    ended = run("replay", str(tmp_path / "none"))
    assert (ended.code, ended.out) == (1, "")
    assert "there is no recording" in ended.err
    (tmp_path / "other").write_text("hello\n")
    assert "line 1: this is no recording" in run("replay", str(tmp_path / "other")).err
    wrong = run("replay", str(tmp_path / "other"), "--speed", "fast")
    assert wrong.code == 2
    assert "expected a factor such as 2 or 0.5, or max" in wrong.err


@pytest.mark.parametrize("command", ["chat", "complete"])
def test_an_answer_is_recorded(run: Run, tmp_path: Path, command: str) -> None:
    """--record makes a file that replay plays; the prompt is not in it."""
    file = tmp_path / "r.jsonl"
    answer = stream_answer(chat_events("Hel", "lo"))
    if command == "complete":
        text = b'data: {"choices":[{"index":0,"text":"Hello","finish_reason":"stop"}]}\n\n'
        answer = stream_answer([text])
    with Peer(answer) as peer:
        ask = (command, "planted", "--model", "m", "--base-url", peer.base_url, "--api-key", "x")
        asked = run(*ask, "--record", str(file))
        again = run(*ask, "--record", str(file))
    assert (asked.code, asked.out) == (0, "Hello\n")
    assert again.code == 1
    assert "there is a file already; remove it" in again.err
    assert "planted" not in file.read_text(encoding="utf-8")
    assert run("replay", str(file), "--speed", "max").out == "Hello\n"


def test_a_broken_answer_is_recorded_as_such(run: Run, tmp_path: Path) -> None:
    """What broke off does so again."""
    file = tmp_path / "r.jsonl"
    broken = [*stream_answer(chat_events("Hel", finish=None, done=False), end=False), Drop()]
    with Peer(broken) as peer:
        fields = ("--model", "m", "--base-url", peer.base_url, "--api-key", "x")
        asked = run("chat", "hi", *fields, "--record", str(file))
    again = run("replay", str(file))
    assert (asked.code, asked.out) == (again.code, again.out) == (1, "Hel\n")


def test_a_conversation_is_recorded_into_a_folder(
    tmp_path: Path, terminal: Callable[..., Any]
) -> None:
    """A conversation has many answers, so that a file for one is refused."""
    started = terminal("chat", "--record", str(tmp_path / "r.jsonl"))
    assert started.end() == 2
    assert "name a folder that exists" in started.written


@pytest.mark.parametrize("command", ["chat", "complete"])
def test_an_answer_is_recorded_where_none_can_be_resumed(
    run: Run, tmp_path: Path, command: str
) -> None:
    """The refusal that nobody sees leaves no recording in the way of the second try."""
    file = tmp_path / "r.jsonl"
    text = b'data: {"choices":[{"index":0,"text":"Hello","finish_reason":"stop"}]}\n\n'
    answer = chat_events("Hel", "lo") if command == "chat" else [text]
    refused = error_answer(400, "resume needs a store", code="resume_needs_store")
    with Peer(refused, stream_answer(answer)) as peer:
        ask = (command, "hi", "--model", "m", "--base-url", peer.base_url, "--api-key", "x")
        asked = run(*ask, "--record", str(file))
    assert (asked.code, asked.out) == (0, "Hello\n")
    assert run("replay", str(file), "--speed", "max").out == "Hello\n"


def test_a_second_refusal_is_said(run: Run) -> None:
    """A server that refuses without being asked for anything is heard."""
    refused = error_answer(400, "resume needs a store", code="resume_needs_store")
    with Peer(refused, refused) as peer:
        where = ("--model", "m", "--base-url", peer.base_url, "--api-key", "x")
        ended = run("chat", "hi", *where)
    assert ended.code == 1
    assert "resume needs a store" in ended.err


@pytest.mark.parametrize("command", [("replay",), ("chat", "hi", "--model")])
def test_a_recorded_refusal_is_played_once_and_said(
    run: Run, tmp_path: Path, command: tuple[str, ...]
) -> None:
    """No recording is asked anew, whatever it failed with."""
    failure = Failure(message="needs a store", status=400, code="resume_needs_store")
    file = recorded(tmp_path / "r", "Hi", end=End(at=1, end="failed", error=failure))
    ended = run(*command, file if command == ("replay",) else f"replay:{file}")
    assert (ended.code, ended.out) == (1, "Hi\n")
    assert "needs a store" in ended.err
