"""``--budget``: the answer is cut at the token, and the last line says what was used."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from deltaweir.client.counting import count_prompt, count_tokens
from deltaweir.testing import Peer, chat_events, stream_answer

Run = Callable[..., Any]
STORY = ("-m", "smollm2", "-t", "0", "Write a long story about a river.")
WORDS = [f" word{number}" for number in range(40)]
ANSWER = "".join(WORDS)
PROMPT = [{"role": "user", "content": "Say it."}]


def ask(run: Run, peer: Peer, *arguments: str, model: str = "gpt-4o") -> Any:
    """Ask a provider."""
    where = ("--base-url", peer.base_url, "--api-key", "x", "-m", model)
    return run("chat", *where, *arguments, "Say it.")


@pytest.mark.parametrize("tokens", [1, 20])
def test_an_answer_is_cut_at_the_token(run: Run, smollm2: Any, tokens: int) -> None:
    """The embedded model's answer has exactly so many tokens, and the exit code says cut."""
    ended = run("chat", *STORY, "--budget", f"{tokens}tok")
    assert ended.code == 3
    line = ended.err.splitlines()[-1]
    assert re.match(rf"\d+ \+ {tokens} tokens \(engine\) · \$0 · ", line)
    assert line.endswith(" · cut by the budget")
    assert ended.out.endswith("\n")
    assert count_tokens(ended.out.removesuffix("\n"), "smollm2") == tokens


def test_a_completion_is_cut_likewise(run: Run, smollm2: Any) -> None:
    """A text completion keeps the same budget."""
    ended = run("complete", "-m", "smollm2", "-t", "0", "1 2 3 4", "--budget", "5tok")
    assert ended.code == 3
    assert " + 5 tokens (engine) · $0 · " in ended.err
    assert ended.err.rstrip().endswith("cut by the budget")


@pytest.mark.parametrize("budget", ["500tok", "0.02usd", "500tok,0.02usd"])
def test_a_budget_that_is_enough(run: Run, smollm2: Any, budget: str) -> None:
    """A budget that is not reached changes nothing; what costs nothing reaches no sum."""
    short = ("complete", "-m", "smollm2", "-t", "0", "--max-tokens", "4", "1 2 3 4")
    ended = run(*short, "--budget", budget)
    assert (ended.code, ended.out) == (0, run(*short).out)
    assert " + 4 tokens (engine)" in ended.err
    assert "budget" not in ended.err


def test_the_smaller_of_two_limits_says_who_cut(run: Run, smollm2: Any) -> None:
    """An answer that --max-tokens ends before its budget is complete, not cut."""
    ended = run("chat", *STORY, "--budget", "20tok", "--max-tokens", "6")
    assert ended.code == 0
    assert " + 6 tokens (engine)" in ended.err
    assert "budget" not in ended.err


def test_json(run: Run, smollm2: Any) -> None:
    """With --json the last chunk ends by length, and the exit code is the same."""
    ended = run("chat", *STORY, "--budget", "20tok", "--json")
    assert ended.code == 3
    chunks = [json.loads(line) for line in ended.out.splitlines()]
    assert all(chunk["choices"] for chunk in chunks)
    reasons = [chunk["choices"][0]["finish_reason"] for chunk in chunks]
    assert reasons[-1] == "length"
    assert set(reasons[:-1]) == {None}
    text = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)
    assert count_tokens(text, "smollm2") == 20
    assert len(ended.err.splitlines()) == 1


@pytest.mark.parametrize("command", ["chat", "complete"])
@pytest.mark.parametrize(
    "budget", ["", "20", "tok", "1.5tok", "-5tok", "1e9tok", "nanusd", "infusd", "-1usd", "5 eur"]
)
def test_a_budget_that_is_none(run: Run, command: str, budget: str) -> None:
    """What is no budget is refused before anything is asked, with an example of one."""
    ended = run(command, "-m", "smollm2", "hello", f"--budget={budget}")
    assert (ended.code, ended.out) == (2, "")
    assert f"got {budget!r}, expected a limit such as 500tok or 0.02usd" in ended.err
    assert len(ended.err.splitlines()) == 2


def test_a_provider_is_cut(run: Run) -> None:
    """A provider's answer is cut by our count, inside a delta, and the provider is left."""
    with Peer(stream_answer(chat_events("one two", " three four five", *WORDS))) as peer:
        ended = ask(run, peer, "--budget", "4tok")
    assert (ended.code, ended.out) == (3, "one two three four\n")
    line = ended.err.splitlines()[-1]
    prompt = count_prompt(PROMPT, "gpt-4o").tokens
    assert line.startswith(f"{prompt} + 5 tokens (counted, 1 of them not shown) · cost unknown")
    assert line.endswith(" · cut by the budget")


def test_a_budget_in_money(run: Run) -> None:
    """A sum of money is for prompt and answer together, at the model's price."""
    with Peer(stream_answer(chat_events(*WORDS))) as peer:
        ended = ask(run, peer, "--budget", "0.0001usd", model="openai/gpt-4o")
    assert ended.code == 1  # a server on this machine has no price in the list
    assert "price is not known" in ended.err
    assert peer.requests == []


def test_a_provider_that_tells_its_usage(run: Run) -> None:
    """The provider's figure stands first, and ours beside it with the difference."""
    counted = count_tokens(ANSWER, "gpt-4o")
    for generated, shown in ((counted + 7, f"{counted}: +7"), (counted, f"{counted}")):
        events = chat_events(*WORDS, usage=(9, generated))
        with Peer(stream_answer(events)) as peer:
            ended = ask(run, peer)
        assert ended.code == 0
        line = ended.err.splitlines()[-1]
        assert line.startswith(f"9 + {generated} tokens (provider, we counted {shown}) · ")
        asked = json.loads(peer.requests[0].body)
        assert asked["stream_options"] == {"include_usage": True}
        assert "budget" not in asked


@pytest.mark.parametrize(
    ("model", "source"), [("gpt-4o", "counted"), ("nobody-knows-it", "estimated")]
)
def test_a_provider_that_tells_nothing(run: Run, model: str, source: str) -> None:
    """Without a figure of the provider's the line says that we counted, and how sure it is."""
    with Peer(stream_answer(chat_events(*WORDS))) as peer:
        ended = ask(run, peer, model=model)
    assert (ended.code, ended.out) == (0, f"{ANSWER}\n")
    prompt = count_prompt(PROMPT, model).tokens
    counted = count_tokens(ANSWER, model)
    assert ended.err.splitlines()[-1].startswith(f"{prompt} + {counted} tokens ({source}) · ")
