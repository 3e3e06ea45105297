"""Official clients, old, new and Node, through the gateway in front of a scripted provider."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.live.environments import ROOT, needs, new_python, node, old_python
from tests.live.served import Served, model, upstream

from deltaweir.testing import (
    Drop,
    Pause,
    Peer,
    chat_events,
    error_answer,
    error_event,
    json_answer,
    stream_answer,
)
from deltaweir.testing.faults import Answer, Step
from deltaweir.wire.sse import DONE, encode

pytestmark = [pytest.mark.live, pytest.mark.timeout(120)]

CLIENTS = ROOT / "tests/live/clients"
TEXT = "Hello there"
CALLS: list[list[Any]] = [
    [0, "call_a", "weather", ""],
    [0, None, None, '{"city": '],
    [0, None, None, '"Paris"}'],
    [1, "call_b", "weather", ""],
    [1, None, None, '{"city": "Rome"}'],
]
"""The pieces of two tool calls: index, id, name, and a part of the arguments."""


def chunk(index: int, delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    """Return the event of one choice."""
    choice = {"index": index, "delta": delta, "finish_reason": finish, **more}
    base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return encode(json.dumps({**base, "choices": [choice]}).encode())


def called(piece: list[Any]) -> dict[str, Any]:
    """Return the delta that brings a piece of a tool call."""
    index, identity, name, arguments = piece
    if identity is None:
        return {"tool_calls": [{"index": index, "function": {"arguments": arguments}}]}
    function = {"name": name, "arguments": arguments}
    call = {"index": index, "id": identity, "type": "function", "function": function}
    return {"tool_calls": [call]}


def scored(token: str) -> dict[str, Any]:
    """Return the log probability of a token."""
    entry = {"token": token, "logprob": -0.5, "bytes": [*token.encode()], "top_logprobs": []}
    return {"content": [entry], "refusal": None}


def answers() -> dict[str, Answer]:
    """Return what the provider says, by the model that is asked."""
    role = {"role": "assistant", "content": ""}
    begun = chat_events("Hel", finish=None, done=False)
    message = {"role": "assistant", "content": TEXT, "refusal": None}
    whole = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
    }
    two = [(0, role), (1, role)]
    two += [(index, {"content": piece}) for piece in ("Hel", "lo") for index in (0, 1)]
    tools: list[Step] = [chunk(0, {"role": "assistant", "content": None})]
    tools += [chunk(0, called(piece)) for piece in CALLS]
    scores: list[Step] = [chunk(0, role)]
    scores += [chunk(0, {"content": one}, logprobs=scored(one)) for one in ("Hel", "lo")]
    ends = [chunk(index, {}, "stop") for index in (0, 1)]
    return {
        "plain": stream_answer(chat_events("Hel", "lo", " there", usage=(7, 3))),
        "whole": json_answer(whole),
        "two": stream_answer([*(chunk(*one) for one in two), *ends, DONE]),
        "tools": stream_answer([*tools, chunk(0, {}, "tool_calls"), DONE]),
        "scored": stream_answer([*scores, chunk(0, {}, "stop", logprobs=None), DONE]),
        "limited": error_answer(
            429,
            "slow down",
            code="rate_limit_exceeded",
            headers={"retry-after": "7", "x-should-retry": "false"},
        ),
        "refusing": error_answer(400, "no such city", code="invalid_value", param="tools"),
        "broken": stream_answer([*begun, error_event("it fell over", code="overloaded")]),
        "dying": [*stream_answer(begun, end=False), Drop()],
        "endless": [*stream_answer(begun, end=False), Pause()],
    }


@pytest.fixture
def provider() -> Iterator[dict[str, Peer]]:
    """A provider for each model."""
    with contextlib.ExitStack() as stack:
        yield {name: stack.enter_context(Peer(answer)) for name, answer in answers().items()}


@pytest.fixture
def served(provider: dict[str, Peer], tmp_path: Path) -> Iterator[Served]:
    """A gateway in front of them."""
    tables = [upstream(name, peer.base_url) for name, peer in provider.items()]
    models = [model(name, [name]) for name in provider]
    with Served(tmp_path, "".join([*tables, *models])) as gateway:
        yield gateway


def run(*command: Any) -> dict[str, Any]:
    """Run a client's script and return what it said."""
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


def refused(*kinds: str) -> dict[str, list[Any]]:
    """Return what each error says, by class, status, code, param, retry-after, text before."""
    limited, refusing, broken, dying, nobody = kinds
    return {
        "limited": [limited, 429, "rate_limit_exceeded", None, "7", ""],
        "refusing": [refusing, 400, "invalid_value", "tools", None, ""],
        "broken": [broken, None, "overloaded", None, None, "Hel"],
        "dying": [dying, None, "upstream_truncated", None, None, "Hel"],
        "nobody": [nobody, 404, "model_not_found", "model", None, ""],
    }


SAID: dict[str, Any] = {
    "plain": [TEXT],
    "empty choices": 0,
    "finish": "stop",
    "account": 3,
    "usage": [7, 3],
    "whole": TEXT,
    "two": ["Hello", "Hello"],
    "tool pieces": CALLS,
    "scored": ["Hel", "lo"],
}
"""What every client finds."""
WHOLE_CALLS = [["weather", '{"city": "Paris"}'], ["weather", '{"city": "Rome"}']]


def left(provider: dict[str, Peer], count: int) -> None:
    """See that each stream that was left by its client was left by the gateway too."""
    peer = provider["endless"]
    assert peer.connections == count
    assert all(peer.wait_gone(number) for number in range(count))


def test_todays_openai(served: Served, provider: dict[str, Peer]) -> None:
    """Streams, the helper, tools, choices, log probabilities, usage, errors, aborts."""
    python = needs(new_python(), "the current openai package")
    said = run(python, CLIENTS / "through_new.py", served.base_url)
    done = ["content.done"]
    assert said == {
        **SAID,
        "usage before": 0,
        "helper": {
            "plain": [[TEXT], ["stop"], done, 3],
            "tools": [
                [WHOLE_CALLS],
                ["tool_calls"],
                ["tool_calls.function.arguments.done"],
                None,
            ],
            "two": [["Hello", "Hello"], ["stop", "stop"], done, None],
            "scored": [["Hello"], ["stop"], [*done, "logprobs.content.done"], None],
        },
        "errors": refused(
            "RateLimitError", "BadRequestError", "APIError", "APIError", "NotFoundError"
        ),
        "async": TEXT,
    }
    left(provider, 3)


def test_openai_before_1_0(served: Served, provider: dict[str, Peer]) -> None:
    """The same by 0.28.1, which has no helper, and drops what it does not know of an error."""
    python = needs(old_python(), "openai 0.28.1")
    said = run(python, CLIENTS / "through_old.py", served.base_url)
    errors = refused(
        "RateLimitError", "InvalidRequestError", "APIError", "APIError", "InvalidRequestError"
    )
    errors["limited"][2] = None
    for inside in ("broken", "dying"):
        errors[inside][1:3] = [200, None]
    assert said == {**SAID, "errors": errors, "async": TEXT}
    left(provider, 1)


def test_the_node_client(served: Served, provider: dict[str, Peer]) -> None:
    """The same by the official Node client and its helper."""
    folder = needs(node(), "Node.js and the openai package for it")
    said = run("node", CLIENTS / "through_node.mjs", folder, served.base_url)
    assert said == {
        **SAID,
        "usage before": 0,
        "helper": {
            "plain": [[TEXT], ["stop"], 3],
            "tools": [[WHOLE_CALLS], ["tool_calls"], None],
            "two": [["Hello", "Hello"], ["stop", "stop"], None],
            "scored": [["Hello"], ["stop"], None],
        },
        "errors": refused(
            "RateLimitError", "BadRequestError", "APIError", "APIError", "NotFoundError"
        ),
        "aborted": "APIUserAbortError",
    }
    left(provider, 2)
