"""The official clients, old and new, stream from the gateway and see what they should."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from tests.live.environments import ROOT, needs, new_python, node, old_python

MODEL = "qwen2.5-coder-0.5b"
pytestmark = [pytest.mark.live, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def base_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a gateway that a process of its own serves."""
    command = [sys.executable, "-m", "deltaweir", "serve", "--model", MODEL, "--port", "0"]
    folder = tmp_path_factory.mktemp("served")  # where its ledger lies
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=folder) as process:
        try:
            assert process.stderr is not None
            yield next(
                word for line in process.stderr for word in line.split() if word.startswith("http")
            )
        finally:
            process.terminate()
            _, rest = process.communicate(timeout=60)
    assert process.returncode == 0, rest


def run(*command: Any) -> dict[str, Any]:
    """Run a client's script and return what it said."""
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=150, check=False
    )
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


def test_openai_before_1_0(base_url: str) -> None:
    """Openai 0.28.1 streams chat and text, sync and async, and raises its own errors."""
    python = needs(old_python(), "openai 0.28.1")
    said = run(python, ROOT / "tests/live/clients/old.py", base_url, MODEL)
    assert said.pop("completion")
    text = said["text"]
    assert text
    assert said == {
        "generator": True,
        "first": "assistant",
        "text": text,
        "finish": "length",
        "account": 5,
        "whole": text,
        "async": text,
        "models": [MODEL],
        "unknown model": "model_not_found",
        "no messages": "messages",
    }


def test_todays_openai(base_url: str) -> None:
    """The current package: create, helper, async, tools, logprobs, n=2, usage, errors, timeout."""
    python = needs(new_python(), "the current openai package")
    said = run(python, ROOT / "tests/live/clients/new.py", base_url, MODEL)
    text = said["text"]
    assert said.pop("completion")
    assert {"chunk", "content.delta", "content.done"} <= set(said.pop("events"))
    assert said == {
        "text": text,
        "finish": "length",
        "account": 5,
        "whole": text,
        "final": "2",
        "async": text,
        "usage": 5,
        "empty choices": 1,
        "n=2": [0, 1],
        "logprobs": [5, True],
        "tool": ["get_weather", ["city"]],
        "models": [MODEL],
        "unknown model": ["NotFoundError", "model_not_found", True],
        "no messages": ["BadRequestError", "invalid_request", True],
        "too long": ["BadRequestError", "context_length_exceeded", True],
        "timeout": "APITimeoutError",
    }


def test_the_node_client(base_url: str) -> None:
    """The official Node client streams, helps, reads usage, aborts, and raises its own errors."""
    folder = needs(node(), "Node.js and the openai package for it")
    said = run("node", ROOT / "tests/live/clients/node.mjs", folder, base_url, MODEL)
    text = said["text"]
    assert said == {
        "text": text,
        "finish": "length",
        "account": 5,
        "whole": text,
        "final": text,
        "usage": 5,
        "empty choices": 1,
        "models": [MODEL],
        "unknown model": ["NotFoundError", "model_not_found"],
    }
