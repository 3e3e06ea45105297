"""``deltaweir chat`` and ``complete``: an answer to stdout, everything else to stderr."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import surroundings

from deltaweir.testing import Peer, chat_events, error_answer, stream_answer
from deltaweir.testing.ports import unused_port

Run = Callable[..., Any]
MODEL = ("-m", "smollm2", "-t", "0")
STATISTICS = re.compile(
    r"\d+ \+ \d+ tokens \(engine\) · \$0 · first token \d+\.\d\d s · whole \d+\.\d\d s · \d+ tok/s"
)


@pytest.fixture(scope="module", name="answer")
def answer_fixture(run: Run) -> Any:
    """Return what a short answer looks like."""
    return run("chat", *MODEL, "--max-tokens", "12", "Say hello.")


def test_an_answer(answer: Any) -> None:
    """The text and a line break are all of stdout; stderr says where from and what it took."""
    assert answer.code == 0
    assert answer.out.strip()
    assert answer.out.endswith("\n")
    first, last = answer.err.splitlines()
    assert first == "embedded smollm2, nothing leaves this machine"
    assert STATISTICS.fullmatch(last)


def test_the_prompt_through_a_pipe(run: Run, answer: Any) -> None:
    """A prompt that is piped in gets the same answer, with and without a byte order mark."""
    for piped, dash in ((b"Say hello.", []), (b"\xef\xbb\xbfSay hello.", ["-"])):
        ended = run("chat", *MODEL, "--max-tokens", "12", *dash, stdin=piped)
        assert ended.out == answer.out


def test_the_prompt_through_the_environment(run: Run, answer: Any) -> None:
    """DELTAWEIR_PROMPT is the prompt, as it stands there."""
    ended = run("chat", *MODEL, "--max-tokens", "12", env={"DELTAWEIR_PROMPT": "Say hello."})
    assert ended.out == answer.out


def test_without_statistics(run: Run, answer: Any) -> None:
    """--no-stats leaves the line out."""
    ended = run("chat", *MODEL, "--max-tokens", "12", "--no-stats", "Say hello.")
    assert ended.out == answer.out
    assert len(ended.err.splitlines()) == 1


def test_json(run: Run, answer: Any) -> None:
    """--json writes a chunk a line, whose texts are the answer."""
    ended = run("chat", *MODEL, "--max-tokens", "12", "--json", "Say hello.")
    chunks = [json.loads(line) for line in ended.out.splitlines()]
    texts = [chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks]
    assert "".join(texts).rstrip("\n") == answer.out.rstrip("\n")
    assert chunks[-1]["choices"][0]["finish_reason"]
    assert len(ended.err.splitlines()) == 1


def test_a_system_prompt_and_a_stop(run: Run) -> None:
    """--system makes the prompt longer, and --stop ends the answer before its text."""
    short = run("chat", *MODEL, "--max-tokens", "1", "Say hello.").err
    long = run("chat", *MODEL, "--max-tokens", "1", "-s", "Be terse. " * 20, "Say hello.").err

    def prompt_tokens(shown: str) -> int:
        return int(shown.splitlines()[1].split()[0])

    assert prompt_tokens(long) > prompt_tokens(short)
    listed = run("complete", *MODEL, "--stop", "5", "1 2 3 4").out
    assert "5" not in listed


def test_a_prompt_that_begins_with_a_dash(run: Run) -> None:
    """Behind -- a prompt may begin with a dash."""
    assert run("chat", *MODEL, "--max-tokens", "1", "--", "-x is what").code == 0


def test_nothing_asked_for(run: Run) -> None:
    """An answer of no tokens is an empty one, not an error."""
    ended = run("chat", *MODEL, "--max-tokens", "0", "hello")
    assert (ended.code, ended.out) == (0, "")
    assert " + 0 tokens (engine) · $0 · whole" in ended.err


def test_a_providers_model_without_a_provider(run: Run) -> None:
    """It is told how a provider is named."""
    none = dict.fromkeys(("DELTAWEIR_BASE_URL", "OPENAI_API_KEY"), "")
    ended = run("chat", "--model", "gpt-4o", "hi", env=none)
    assert (ended.code, ended.out) == (1, "")
    assert "no embedded model is called 'gpt-4o'; the catalogue has: qwen2.5" in ended.err
    assert ended.err.endswith("by --base-url, DELTAWEIR_BASE_URL or OPENAI_API_KEY.\n")


def test_complete(run: Run) -> None:
    """A completion writes the new text alone."""
    ended = run("complete", *MODEL, "--max-tokens", "4", "1 2 3 4")
    assert ended.code == 0
    assert ended.out
    assert "1 2 3 4" not in ended.out
    chunk = json.loads(
        run("complete", *MODEL, "--max-tokens", "1", "--json", "1 2").out.splitlines()[0]
    )
    assert chunk["object"] == "text_completion"


def test_a_suffix_that_the_model_cannot_do(run: Run) -> None:
    """A request that the model cannot answer is an error in one line."""
    ended = run("complete", *MODEL, "--suffix", "b", "a")
    assert ended.code == 1
    assert ended.err.splitlines()[1].startswith("deltaweir: smollm2 has no tokens")


def test_a_prompt_of_ten_megabytes(run: Run) -> None:
    """A prompt that does not fit is refused with both numbers."""
    ended = run("chat", *MODEL, stdin=b"word " * 2_000_000)
    assert ended.code == 1
    assert ended.out == ""
    refusal = r"the prompt has (at least )?\d{5,7} tokens, .* holds 4096; shorten"
    assert re.search(refusal, ended.err)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_any_encoding(run: Run, encoding: str) -> None:
    """Whatever the encoding, nothing breaks and the statistics can be read."""
    ended = (
        run("chat", *MODEL, "--max-tokens", "2", "hello", env={"PYTHONIOENCODING": encoding})
        if encoding != "latin-1"
        else run("chat", *MODEL, "--max-tokens", "2", "hello", env={"LC_ALL": "C", "LANG": "C"})
    )
    assert ended.code == 0
    separator = " | " if encoding == "ascii" else " · "
    assert f"(engine){separator}$0{separator}" in ended.err


def test_an_answer_on_a_terminal(terminal: Any, answer: Any) -> None:
    """A terminal sees the announcement, the answer and the statistics, and nothing else."""
    started = terminal("chat", *MODEL, "--max-tokens", "12", "Say hello.")
    assert started.end() == 0
    announced, *shown, last, empty = started.screen
    assert announced == "embedded smollm2, nothing leaves this machine"
    assert shown == answer.out.splitlines()
    assert STATISTICS.fullmatch(last)
    assert empty == ""


def test_loading_is_explained(terminal: Any) -> None:
    """While the model is loaded a terminal says so, but a dumb one, or a file, does not."""
    started = terminal("chat", *MODEL, "--max-tokens", "1", "hello")
    started.until("loading the model ...")
    assert started.end() == 0
    dumb = terminal("chat", *MODEL, "--max-tokens", "1", "hello", env={"TERM": "dumb"})
    assert dumb.end() == 0
    assert "loading" not in dumb.written
    assert "\x1b" not in dumb.written


def test_a_prompt_typed_to_a_dash(terminal: Any) -> None:
    """With - a person types the prompt, and is told how to end it."""
    started = terminal("chat", *MODEL, "--max-tokens", "1", "-")
    started.until("Ctrl-D")
    started.type("hello\n\x04")
    started.until("embedded smollm2")
    assert started.end() == 0


def test_stdout_to_a_file(terminal: Any, tmp_path: Path, answer: Any) -> None:
    """With stdout in a file the file gets the exact text, the terminal the rest."""
    with (tmp_path / "answer").open("wb") as file:
        started = terminal("chat", *MODEL, "--max-tokens", "12", "Say hello.", stdout=file.fileno())
        assert started.end() == 0
    assert (tmp_path / "answer").read_bytes() == answer.out.encode()
    assert os.linesep.join(started.screen).startswith("embedded smollm2")


def test_one_answer_is_light() -> None:
    """It loads neither an editor nor what lays out Markdown."""
    program = (
        "import sys; sys.argv = ['deltaweir', 'chat', '-m', 'm', 'hello']\n"
        "from deltaweir.cli import main\n"
        "try: main()\n"
        "except SystemExit as ending: code = ending.code\n"
        "heavy = {'prompt_toolkit', 'markdown_it', 'pygments', 'rich'}\n"
        "print(code, sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    with Peer(stream_answer(chat_events("Hi", usage=(3, 4)))) as peer:
        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=True,
            env=surroundings({"DELTAWEIR_BASE_URL": peer.base_url}),
        )
    assert done.stdout == "Hi\n"
    assert done.stderr.splitlines()[-1] == "0 []"


def test_what_nobody_answered_used_nothing(run: Run) -> None:
    """A refusal, and a server that is not there, have their error alone and no figures."""
    with Peer(error_answer(401, "a wrong key")) as peer:
        ended = run("chat", "--base-url", peer.base_url, "--api-key", "x", "-m", "m", "hello")
    assert (ended.code, ended.out) == (1, "")
    told = "deltaweir: the server answered 401: a wrong key (check the api_key)"
    assert ended.err.splitlines()[1:] == [told]
    nobody = f"http://127.0.0.1:{unused_port()}/v1"
    ended = run("chat", "--base-url", nobody, "-m", "m", "hello")
    assert "no connection" in ended.err
    assert "tokens" not in ended.err


@pytest.mark.live
def test_the_default_model(run: Run) -> None:
    """The default model answers the question of the README."""
    ended = run("chat", "-t", "0", "What's 1+1? Answer in one word.")
    assert ended.code == 0
    assert ended.out.strip() == "2"
    assert ended.err.startswith("embedded qwen2.5-coder-0.5b, nothing leaves this machine")
