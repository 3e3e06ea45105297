"""A conversation on a terminal: live Markdown, editing, commands, and Ctrl-C at every stage."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Start, Terminal
from tests.client.resumable import ResumablePeer, after

from deltaweir.testing import Pause, Peer, chat_events, json_answer, stream_answer

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")

MARKDOWN = (
    "# Title\n\nSome **bold** text\x1b[2J.\n\n"
    "```python\nx = 1\n```\n\n| a | b |\n|---|--:|\n| 1 | 2 |\n"
)
PLAIN = MARKDOWN.replace("\x1b", "").replace("\n", "\r\n")
READY = "m · "
"""What stands below an input line that waits."""


def said(text: str) -> Sequence[Any]:
    """Return an answer in pieces of a few letters."""
    pieces = [text[place : place + 5] for place in range(0, len(text), 5)]
    return stream_answer(chat_events(*pieces, usage=(3, 4)))


def stuck(*texts: str) -> tuple[Sequence[Any], Pause]:
    """Return an answer that says so much and then nothing for ever."""
    pause = Pause()
    events = chat_events(*texts)[: 1 + len(texts)] if texts else []
    head, *_ = stream_answer([])
    return [head, *stream_answer(events)[1 : 1 + len(events)], pause], pause


def converse(terminal: Start, peer: Peer, *options: str, **more: Any) -> Terminal:
    """Start a conversation with a peer."""
    return terminal(
        "chat", "--base-url", peer.base_url, "--api-key", "x", "-m", "m", *options, **more
    )


def questions(peer: Peer) -> list[list[str]]:
    """Return what the messages of each request say."""
    return [
        [message["content"] for message in json.loads(request.body)["messages"]]
        for request in peer.requests
        if request.method == "POST"
    ]


def test_a_conversation(terminal: Start, tmp_path: Path) -> None:
    """Answers are laid out, lines are edited, commands are obeyed, and the past is kept."""
    kept = tmp_path / "state" / "history"
    with Peer(said(MARKDOWN), said("Again."), said("Last.")) as peer:
        started = converse(terminal, peer, env={"DELTAWEIR_HISTORY": os.fspath(kept)})
        started.until("nothing used yet")
        started.type("one\x1b\rtwo\r")
        started.until("\x1b[1;4mTitle")
        started.until("\x1b[1mbold\x1b[0m text[2J.")
        started.until("x = \x1b[36m1")
        started.until("─┼─")
        started.until("tokens (provider")
        started.until("3 + 4 tokens")
        started.type("\x1b[A\r")
        started.until("Again.")
        started.until("6 + 8 tokens")
        started.type("/usage\r")
        started.until("2 answers · 6 + 8 tokens · cost unknown")
        started.until(READY)
        started.type(f"/save {tmp_path / 'talk.md'}\r")
        started.until("Saved in")
        started.until(READY)
        started.type("/retyr\r")
        started.until("Did you mean /retry?")
        started.until(READY)
        started.type("/system Be kind.\r")
        started.until(READY)
        started.type("//x\r")
        started.until("Last.")
        started.until(READY)
        started.type("\x04")
        assert started.end() == 0
    assert questions(peer)[:2] == [["one\ntwo"], ["one\ntwo", MARKDOWN, "one\ntwo"]]
    assert questions(peer)[2][0] == "Be kind."
    assert questions(peer)[2][-1] == "/x"
    assert MARKDOWN.strip() in (tmp_path / "talk.md").read_text()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert "+one\n+two\n" in kept.read_text()


@pytest.mark.parametrize("options", [(), ("--no-markdown",)])
def test_what_is_typed_ahead_is_asked_next(terminal: Start, options: tuple[str, ...]) -> None:
    """Enter sends while an answer arrives too, as soon as that has ended."""
    pause = Pause()
    begin, word, *rest = chat_events("One", " two.", usage=(3, 4))
    with Peer(stream_answer([begin, word, pause, *rest]), said("Again.")) as peer:
        started = converse(terminal, peer, *options)
        started.until(READY)
        started.type("first\r")
        started.until("One")
        started.type("second\r")
        pause.release()
        started.until("Again.")
        started.until(READY)
        started.type("\x04")
        assert started.end() == 0
    assert questions(peer) == [["first"], ["first", "One two.", "second"]]


def test_ctrl_c_at_every_stage(terminal: Start) -> None:
    """It clears the line, stops a wait, stops an answer and keeps what came; twice it leaves."""
    waits, at_first = stuck()
    breaks, at_half = stuck("# Half", "\n\nan ans")
    with Peer(waits, breaks, said("Whole.")) as peer:
        started = converse(terminal, peer)
        started.until("nothing used yet")
        started.type("half a line")
        started.until("half a line")
        started.type("\x03")
        started.type("first\r")
        assert at_first.reached.wait(10)
        started.until("waiting ...")
        started.signal()
        started.until(READY)
        started.type("second\r")
        started.until("an ans")
        assert at_half.reached.wait(10)
        started.signal()
        started.until("not complete")
        started.until(READY)
        started.type("third\r")
        started.until("Whole.")
        started.until(READY)
        started.type("\x03")
        started.until("once more leaves")
        started.until(READY)
        started.type("\x03")
        assert started.end() == 130
    assert "Traceback" not in started.written
    assert questions(peer) == [
        ["first"],
        ["second"],
        ["second", "# Half\n\nan ans", "third"],
    ]


@pytest.mark.parametrize("variable", ["NO_COLOR", "TERM", "--no-markdown"])
def test_plain_text(terminal: Start, variable: str) -> None:
    """Without colours, or on a dumb terminal, or where so asked, an answer is its text alone."""
    env = {"NO_COLOR": {"NO_COLOR": "1"}, "TERM": {"TERM": "dumb"}}.get(variable, {})
    options = ["--no-markdown"] if variable == "--no-markdown" else []
    with Peer(said(MARKDOWN)) as peer:
        started = converse(terminal, peer, *options, env=env)
        started.until("Ask something")
        if variable != "TERM":
            started.until("nothing used yet")
        started.type("one\n" if variable == "TERM" else "one\r")
        started.until(PLAIN)
        started.until("tokens")
        started.until("> " if variable == "TERM" else READY)
        started.type("\x04")
        assert started.end() == 0
        if variable == "TERM":
            assert "\x1b" not in started.written


def test_one_answer(terminal: Start) -> None:
    """It stays the text that it is, unless Markdown is asked for."""
    with Peer(said(MARKDOWN), said(MARKDOWN)) as peer:
        plain = converse(terminal, peer, "Say it.")
        assert plain.end() == 0
        assert PLAIN in plain.written
        laid_out = converse(terminal, peer, "--markdown", "Say it.")
        assert laid_out.end() == 0
    assert "─┼─" in laid_out.written
    assert "# Title" not in laid_out.written


def test_stdout_gets_answers_alone(terminal: Start, tmp_path: Path) -> None:
    """With stdout in a file the input line is on the terminal, and --json stays JSON."""
    for options in (["--json"], ["--markdown"]):
        with (tmp_path / "out").open("wb") as file, Peer(said(MARKDOWN)) as peer:
            started = converse(terminal, peer, *options, "--no-stats", stdout=file.fileno())
            started.until("nothing used yet")
            started.type("hello\r")
            started.until("3 + 4 tokens")
            started.type("\x04")
            assert started.end() == 0
        written = (tmp_path / "out").read_bytes()
        if options == ["--markdown"]:
            assert written == MARKDOWN.encode()
        else:
            kinds = {json.loads(line)["object"] for line in written.splitlines()}
            assert kinds == {"chat.completion.chunk"}


def test_a_resumed_answer(terminal: Start) -> None:
    """A lost connection is told between the blocks, and the answer is laid out all the same."""
    events = chat_events("# One\n\ntw", "o **three", "** four", usage=(3, 4))
    with ResumablePeer(events, after(3)) as peer:
        started = converse(terminal, peer)
        started.until("nothing used yet")
        started.type("go\r")
        started.until("connection lost; resumed at event 4\r\n")
        started.until("two \x1b[1mthree\x1b[0m four")
        started.until(READY)
        started.type("\x04")
        assert started.end() == 0


def test_models_are_switched(terminal: Start) -> None:
    """/model completes names, asks another one from then on, and says where prompts go."""
    listed = json_answer({"object": "list", "data": [{"id": "m"}, {"id": "other"}]})
    with Peer(listed, said("Hello.")) as peer:
        started = converse(terminal, peer)
        started.until("nothing used yet")
        started.type("/model o")
        started.until("other")
        started.type("\t\r")
        started.until("a server on this machine, other")
        started.until("other · nothing used yet")
        started.type("hi\r")
        started.until("Hello.")
        started.until("other · 3 + 4 tokens")
        started.type("/quit\r")
        assert started.end() == 0
    assert json.loads(peer.requests[-1].body)["model"] == "other"
