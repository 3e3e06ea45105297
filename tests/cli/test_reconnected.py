"""``deltaweir chat`` and ``complete`` over a connection that breaks: what is shown, and said."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from tests.cli.conftest import Start, command, surroundings
from tests.client.resumable import ResumablePeer, after, refusing

from deltaweir.testing import Pause, Peer, chat_events, error_answer, stream_answer

Run = Callable[..., Any]
EVENTS = chat_events("Hel", "lo, ", "wörld", usage=(3, 4))


def where(peer: Peer) -> tuple[str, ...]:
    """Return the options that lead to a peer."""
    return ("--base-url", peer.base_url, "--api-key", "x", "-m", "m")


def test_a_broken_connection(run: Run) -> None:
    """The answer is whole, and one line says what happened."""
    with ResumablePeer(EVENTS, after(3), after(1)) as peer:
        ended = run("chat", *where(peer), "Say it.")
    assert (ended.code, ended.out) == (0, "Hello, wörld\n")
    first, *said, _ = ended.err.splitlines()
    assert first.endswith("a server on this machine, m")
    assert said == [
        "connection lost; resumed at event 4",
        "connection lost; resumed at event 5",
    ]
    wish = json.loads(peer.requests[0].headers["x-deltaweir"])
    assert wish == {"on_disconnect": "cancel", "resume": True}


def test_a_break_before_the_end(run: Run) -> None:
    """It is told as well where nothing was missing but the end."""
    with ResumablePeer(EVENTS, after(6)) as peer:
        ended = run("chat", *where(peer), "--no-stats", "Say it.")
    assert ended.out == "Hello, wörld\n"
    assert ended.err.splitlines()[1:] == ["connection lost; resumed at event 7"]


def test_on_a_terminal(terminal: Start) -> None:
    """It stands on a line of its own."""
    with ResumablePeer(EVENTS, after(3)) as peer:
        shown = terminal("chat", *where(peer), "Say it.")
        assert shown.end() == 0
    assert shown.screen[1:4] == ["Hello, ", "connection lost; resumed at event 4", "wörld"]


def test_on_a_terminal_before_the_end(terminal: Start) -> None:
    """Where only the end was missing there is no empty line."""
    with ResumablePeer(EVENTS, after(6)) as peer:
        shown = terminal("chat", *where(peer), "--no-stats", "Say it.")
        assert shown.end() == 0
    assert shown.screen[1:] == ["Hello, wörld", "connection lost; resumed at event 7", ""]


def test_what_cannot_be_resumed(run: Run) -> None:
    """The answer so far is shown, and the error says why there is no more."""
    with ResumablePeer(EVENTS, after(3), refusing(410)) as peer:
        ended = run("chat", *where(peer), "Say it.")
    assert (ended.code, ended.out) == (1, "Hello, \n")
    assert "could not be resumed: asked for what follows event 3" in ended.err


def test_a_server_that_cannot_resume(run: Run) -> None:
    """Nobody asked for it, so it is done without."""
    refusal = error_answer(400, "no store", code="resume_needs_store")
    with Peer(refusal, stream_answer(EVENTS)) as peer:
        ended = run("chat", *where(peer), "Say it.")
    assert (ended.code, ended.out) == (0, "Hello, wörld\n")
    assert len(ended.err.splitlines()) == 2
    assert ["x-deltaweir" in request.headers for request in peer.requests] == [True, False]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption(number: signal.Signals) -> None:
    """It stops the generation on the server too, before the command has ended."""
    pause = Pause()
    with ResumablePeer(EVENTS, lambda steps: [*steps[:4], pause]) as peer:
        program = subprocess.Popen(
            command("chat", *where(peer), "Say it."),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=surroundings(),
        )
        assert program.stdout is not None
        assert program.stdout.read(6) == b"Hello,"
        program.send_signal(number)
        program.communicate(timeout=30)  # a slow machine, and two looks of a second
        assert program.returncode in (130, 128 + number)
        assert len(peer.stops) == 1


@pytest.mark.parametrize("elsewhere", [False, True])
def test_the_environments_key_goes_to_no_other_server(run: Run, *, elsewhere: bool) -> None:
    """It is sent where its own address is named, or none is."""
    with Peer(stream_answer(chat_events("Hi", usage=(3, 4)))) as peer:
        env = {"DELTAWEIR_API_KEY": "kept"}
        if elsewhere:
            env["DELTAWEIR_BASE_URL"] = "https://elsewhere.example/v1"
        run("chat", "--base-url", peer.base_url, "-m", "m", "Say it.", env=env)
        sent = peer.requests[0].headers.get("authorization")
    assert sent == (None if elsewhere else "Bearer kept")


def test_a_servers_recording_is_asked_for_there(run: Run) -> None:
    """With an address a name such as replay:x means a recording of that server."""
    with Peer(stream_answer(chat_events("Hi", usage=(3, 4)))) as peer:
        where = ("--base-url", peer.base_url, "--api-key", "x", "-m", "replay:x")
        assert run("chat", *where, "Say it.").out == "Hi\n"
        assert json.loads(peer.requests[0].body)["model"] == "replay:x"
