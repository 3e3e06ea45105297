"""Every example runs as its docstring says, and shows what a person is to see."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
CODE_LINES = 20
NARROW = 62


def environment(warnings: str = "error") -> dict[str, str]:
    """Return what an example is started with: text in UTF-8, and no warning overlooked."""
    return {**os.environ, "PYTHONWARNINGS": warnings, "PYTHONUTF8": "1"}


def run(
    name: str, *arguments: str, typed: str = "", warnings: str = "error"
) -> tuple[list[str], str]:
    """Run an example to its good end and return the lines of stdout, and stderr."""
    done = subprocess.run(
        [sys.executable, EXAMPLES / name, *arguments],
        input=typed,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=environment(warnings),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines(), done.stderr


def check_stopwatch(lines: list[str]) -> None:
    """Check the two bars and their figures, as they stand in a README."""
    assert max(map(len, lines)) <= NARROW
    assert "\x1b" not in "".join(lines)
    waited, streamed = (line for line in lines if line.startswith("stream="))
    assert waited.count("░") > streamed.count("░")
    assert streamed.count("█") > waited.count("█") == 1
    assert re.search(r"The first text came \d+ times sooner\.", lines[-1])


def test_why_stream_draws_two_bars() -> None:
    """Without stream=True the bar is a wait, with it nearly all of it can be read."""
    lines, noise = run("why_stream.py", "--model", "smollm2", "--max-tokens", "40")
    assert re.fullmatch(r"def hello\(\):  \d+ tokens from smollm2", lines[0])
    check_stopwatch(lines)
    assert noise == ""


def test_live_text_acts_before_the_end() -> None:
    """The first sentence is shown while later ones are still being written."""
    lines, noise = run("live_text.py", "--model", "smollm2")
    times = [float(line.split(" s  ")[0]) for line in lines[1:]]
    assert len(times) > 2
    assert times[0] < times[-1] == max(times)
    assert lines[1].endswith(".")
    assert lines[-1].endswith("that was the whole answer")
    assert noise == ""


@pytest.mark.parametrize("name", ["bot.py", "async_bot.py"])
def test_a_bot_answers_until_the_input_ends(name: str) -> None:
    """Two questions get two answers, and the end of the input is no error."""
    lines, noise = run(name, "smollm2", typed="Say hello.\nSay goodbye.\n")
    prompts = [line for line in lines if line.startswith("> ")]
    assert len(prompts) == 3
    assert all(len(prompt) > len("> ") for prompt in prompts[:2])
    assert prompts[2] == "> "
    assert noise == ""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends Ctrl-C to a whole console")
def test_ctrl_c_ends_an_answer_and_then_the_bot() -> None:
    """After an interrupted answer the bot asks again; interrupted there, it leaves quietly."""
    with subprocess.Popen(
        [sys.executable, EXAMPLES / "bot.py", "smollm2"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as bot:
        assert bot.stdin
        assert bot.stdout
        assert bot.stderr
        try:
            bot.stdin.write(b"Write a very long story about a river.\n")
            bot.stdin.flush()
            shown = bot.stdout.read(6)
            bot.send_signal(signal.SIGINT)
            while not shown.endswith(b"\n> "):
                more = bot.stdout.read(1)
                assert more, bot.stderr.read().decode()
                shown += more
            bot.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                bot.wait(15)
            if bot.poll() is None:  # Python does not see a signal right before it waits for input
                bot.send_signal(signal.SIGINT)
            assert bot.wait() == 0
            assert bot.stderr.read() == b""
        finally:
            bot.kill()


def test_the_bot_has_twenty_lines() -> None:
    """What the docstring promises is counted: lines of code, without blank ones."""
    source = (EXAMPLES / "bot.py").read_text("utf-8")
    docstring = ast.parse(source).body[0].end_lineno
    assert len([line for line in source.splitlines()[docstring:] if line.strip()]) <= CODE_LINES


def test_errors_carry_what_a_program_needs() -> None:
    """Each error is shown with its data, and a closed stream keeps its text and its count."""
    lines, noise = run("errors.py")
    shown = "\n".join(lines)
    assert "param=temperature status=400 code=invalid_request" in shown
    assert "status=404 code=model_not_found" in shown
    assert "prompt_tokens=10001 context_tokens=4096" in shown
    kept = re.findall(r"text='\w.*'\.\.\.\n  usage=([1-9]\d*) tokens", shown)
    assert len(kept) == 2
    assert lines[-1] == "  complete=False stopped_by=reader"
    assert noise == ""


@pytest.mark.live
def test_why_stream_with_the_default_model() -> None:
    """The README's figures: hundreds of tokens, of which the first comes many times sooner."""
    lines, _ = run("why_stream.py")
    asked = re.fullmatch(r"def hello\(\):  (\d+) tokens from qwen2\.5-coder-0\.5b", lines[0])
    assert asked is not None
    assert 100 < int(asked[1]) <= 512
    check_stopwatch(lines)


@pytest.mark.live
def test_classic_snippets_run_unchanged() -> None:
    """One warning, chunks in the shape that was printed then, and text that grows."""
    lines, noise = run("classic.py", warnings="default")
    chunks, text = _chunks("\n".join(lines))
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas == [{"role": "assistant"}, {"content": "2"}, {}]
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert list(chunks[0]) == ["choices", "created", "id", "model", "object"]
    assert {chunk["model"] for chunk in chunks} == {"qwen2.5-coder-0.5b"}
    assert text.strip()
    assert noise.count("UserWarning") == 1


def _chunks(text: str) -> tuple[list[dict[str, Any]], str]:
    """Split what the classic example prints into its chunks and the text behind them."""
    decoder = json.JSONDecoder()
    chunks: list[dict[str, Any]] = []
    while text.startswith("{"):
        chunk, end = decoder.raw_decode(text)
        chunks.append(chunk)
        text = text[end:].removeprefix("\n")
    return chunks, text
