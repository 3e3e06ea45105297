"""Whole processes: how they end with streams running, and what damaged weights do to them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deltaweir.models.weights import Weights

DEADLINE_S = 40.0

HEAD = """
import asyncio, gc, os, signal, sys, threading, time
from deltaweir.client.blocking import Client
client = Client()
def begin(n=1, **more):
    return client.completions.create(
        model="smollm2", prompt="Once upon a time", max_tokens=2000, n=n, stream=True, **more)
"""


def run(script: str, *, head: str = HEAD) -> subprocess.CompletedProcess[str]:
    """Run a script in a process of its own."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", head + script],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


@pytest.fixture(autouse=True)
def _pulled(smollm2: Weights) -> None:
    """No script here waits for a download."""


ENDINGS = {
    "with streams running": """
kept = [begin(n=2), begin(), begin(n=6)]
next(kept[0]); next(kept[1])
""",
    "with streams dropped": "for _ in range(3): next(begin())",
    "with a stream never read": "kept = begin()",
    "with a daemon blocked in a read": """
stream = begin(); next(stream)
def read():
    for _ in stream: pass
threading.Thread(target=read, daemon=True).start()
time.sleep(0.2)
""",
    "with a thread that closes a stream": """
stream = begin(); next(stream)
def read():
    for _ in stream: pass
    assert not stream.complete and stream.stopped_by == "reader"
reader = threading.Thread(target=read); reader.start()
time.sleep(0.2); stream.close()
""",
    "with an abandoned async stream": """
from deltaweir.client.asynchronous import AsyncClient
async def main():
    stream = await AsyncClient().completions.create(
        model="smollm2", prompt="Once", max_tokens=2000, stream=True)
    await anext(stream)
    return stream
kept = asyncio.run(main())
""",
    "right after loading": """
from deltaweir.client.embedded import weights_of
from deltaweir.sources.local.answer import load
load(weights_of("smollm2"))
""",
}


@pytest.mark.parametrize("script", ENDINGS.values(), ids=ENDINGS)
def test_a_process_ends_cleanly(script: str) -> None:
    """With exit code 0 and not a word on stderr, whatever still runs."""
    ended = run(script)
    assert (ended.returncode, ended.stderr, ended.stdout) == (0, "", "")


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_an_interruption_ends_the_stream_and_keeps_what_came() -> None:
    """SIGINT in the middle of a wait raises KeyboardInterrupt; the process goes on."""
    ended = run("""
stream = begin()
try:
    for count, chunk in enumerate(stream):
        if count == 5: threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
except KeyboardInterrupt:
    print(stream.usage.completion_tokens >= 5, bool(stream.text), stream.stopped_by)
""")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == "True True reader\n"


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_an_interruption_that_nobody_catches_ends_the_process() -> None:
    """With the trace of KeyboardInterrupt and nothing else."""
    ended = run("""
for count, chunk in enumerate(begin()):
    if count == 5: os.kill(os.getpid(), signal.SIGINT)
""")
    assert ended.returncode == -signal.SIGINT
    assert ended.stderr.strip().endswith("KeyboardInterrupt")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forking is safe on Linux only")
@pytest.mark.parametrize("asks", [True, False])
def test_a_forked_child_loads_anew_and_ends_as_it_wants(asks: bool) -> None:
    """The engine's threads do not exist in it, and nothing may wait for them."""
    ended = run(f"""
def ask(): return client.completions.create(
    model="smollm2", prompt="Once", max_tokens=4, temperature=0).choices[0].text
said = ask()
child = os.fork()
if child == 0:
    {"assert ask() == said" if asks else ""}
    sys.exit(3)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), ask() == said)
""")
    assert (ended.returncode, ended.stderr, ended.stdout) == (0, "", "3 True\n")


def test_the_environment_of_other_programs_stays_as_it_was() -> None:
    """What the engine needs to read at its import is gone afterwards."""
    ended = run("""
next(begin())
print(os.environ.get("OMP_WAIT_POLICY"))
""")
    assert ended.stdout == "None\n"


DAMAGED = """
import sys
from deltaweir.client.blocking import Client
from deltaweir.errors import DeltaweirError
try:
    reply = Client().completions.create(
        model=sys.argv[1], prompt="Once", max_tokens=4, logprobs=1)
    print("answered", reply.usage.completion_tokens)
except DeltaweirError as error:
    print(type(error).__name__, error)
"""


def damaged(path: Path) -> str:
    """Ask damaged weights, and return what a process of its own says."""
    ended = subprocess.run(
        [sys.executable, "-c", DAMAGED, os.fspath(path)],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


@pytest.mark.parametrize("filler", [b"\0", b"\xff"])
def test_weights_of_garbage_do_not_kill_the_process(
    smollm2: Weights, tmp_path: Path, filler: bytes
) -> None:
    """The head tells nothing of it: the model babbles, or its scores are no numbers."""
    whole = smollm2.path.read_bytes()
    kept = len(whole) - 95_000_000
    path = tmp_path / "garbage.gguf"
    path.write_bytes(whole[:kept] + filler * (len(whole) - kept))
    assert damaged(path).startswith("answered")


def test_weights_that_are_cut_off_are_refused(smollm2: Weights, tmp_path: Path) -> None:
    """In one line, before the engine sees them."""
    path = tmp_path / "cut.gguf"
    path.write_bytes(smollm2.path.read_bytes()[:5_000_000])
    said = damaged(path)
    assert said.startswith("ModelCorrupt")
    assert said.count("\n") == 1
