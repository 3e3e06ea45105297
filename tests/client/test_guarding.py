"""A call's guard: its prompt checked, its rules compiled, and what its weir tells."""

from __future__ import annotations

from typing import Any

import pytest

from deltaweir import Guard, Rule
from deltaweir.client.destination import Settings, changed
from deltaweir.client.guarding import (
    UNGUARDED,
    Guarded,
    GuardedWeir,
    guard_in,
    guarded,
    ready_policy,
    stops_of,
    with_policy,
)
from deltaweir.errors import GuardBlocked, InvalidRule, StreamFailed
from deltaweir.guard.guard import StreamGuard
from deltaweir.guard.policy import NOTHING
from deltaweir.schema.request import chat_request
from deltaweir.types import ChatRequest, Choice, Chunk, Delta

WORD = Rule(id="word", literals=("tomato",))
OTHER = Rule(id="other", literals=("potato",))
UNUSABLE = Rule(id="bad", regex="a+b", scope=("refusal",))
REQUEST = ChatRequest(messages=[{"role": "user", "content": "a tomato"}])


def said(content: str) -> Chunk:
    """Return a chunk that says something."""
    return Chunk(choices=[Choice(delta=Delta(content=content))])


def test_a_call_without_rules_is_as_it_came() -> None:
    """The request is the same object, and its answer has no guard."""
    request, guard = guarded(REQUEST, NOTHING)
    assert request is REQUEST
    assert guard is UNGUARDED
    assert guard.stream() is None
    assert not guard.reads_answers


def test_the_calls_guard_and_its_clients_add_up() -> None:
    """Either may be missing."""
    settings = Settings(guard=ready_policy(WORD))
    both = guard_in({"guard": OTHER}, settings)
    assert {rule.id for rule in both.rules} == {"word", "other"}
    assert guard_in({}, settings).rules == settings.guard.rules
    assert [rule.id for rule in guard_in({"guard": OTHER}, Settings()).rules] == ["other"]
    assert not guard_in({"guard": None}, Settings())


def test_rules_are_compiled_before_a_stream_begins() -> None:
    """One that cannot be used is refused, whatever texts it looks at."""
    for unusable in (UNUSABLE, [WORD, UNUSABLE]):
        with pytest.raises(InvalidRule):
            ready_policy(unusable)
        with pytest.raises(InvalidRule):
            guard_in({"guard": unusable}, Settings())
        with pytest.raises(InvalidRule):
            with_policy({"guard": unusable})


def test_an_option_becomes_a_policy() -> None:
    """It replaces the client's guard, or takes it away; where it is not given that stays."""
    settings = Settings(guard=ready_policy(WORD))
    other = changed(settings, with_policy({"guard": OTHER}))
    assert [rule.id for rule in other.guard.rules] == ["other"]
    assert not changed(settings, with_policy({"guard": None})).guard
    assert changed(settings, with_policy({"max_retries": 1})).guard is settings.guard


def test_a_prompt_is_checked_and_told_of() -> None:
    """Replaced in a copy, or refused."""
    policy = ready_policy(Guard([WORD], scope="prompt"))
    request, guard = guarded(REQUEST, policy)
    assert request.messages == [{"role": "user", "content": "a [REDACTED:word]"}]
    assert REQUEST.messages == [{"role": "user", "content": "a tomato"}]
    stream = guard.stream()
    assert stream is not None
    assert stream.verdicts == guard.verdicts
    assert [(one.rule, one.choice) for one in guard.verdicts] == [("word", None)]
    with pytest.raises(GuardBlocked):
        guarded(REQUEST, ready_policy(Guard([WORD], "block", scope="prompt")))


def test_a_guard_of_prompts_alone_reads_no_answers() -> None:
    """Its weir shows what it found, and lets all text through."""
    policy = ready_policy(Guard([WORD], scope="prompt"))
    assert not policy.reads_answers
    assert ready_policy(Guard([WORD], scope="refusal")).reads_answers
    _, guard = guarded(REQUEST, policy)
    weir = GuardedWeir(Chunk, StreamGuard(policy, guard.verdicts))
    chunk = said("a tomat")
    assert weir.feed(chunk, 0.0) == (chunk,)
    assert chunk.choices[0].delta.content == "a tomat"
    assert (weir.verdicts, weir.withheld_chars) == (guard.verdicts, 0)


def test_a_weir_tells_what_its_guard_found() -> None:
    """Also of an answer."""
    guard = Guarded(ready_policy(WORD), ()).stream()
    assert guard is not None
    weir = GuardedWeir(Chunk, guard)
    (shown,) = weir.feed(said("a tomato"), 0.0)
    assert shown.choices[0].delta.content == "a [REDACTED:word]"
    assert [(one.rule, one.offset) for one in weir.verdicts] == [("word", 2)]
    assert weir.withheld_chars == len("tomato")


@pytest.mark.parametrize(
    ("action", "message"), [("redact", "bad [REDACTED:word]!"), ("block", "bad "), ("flag", None)]
)
@pytest.mark.parametrize("scope", ["content", "reasoning", "tool_args", "prompt"])
def test_an_error_does_not_repeat_what_may_not_leave(
    action: str, message: str | None, scope: str
) -> None:
    """In whatever text the rules look for it; those of prompts alone hide nothing of answers."""
    rule = Rule(id="word", literals=("tomato",), action=action, scope=(scope,))  # type: ignore[arg-type]
    policy = ready_policy(rule)
    error = StreamFailed("bad tomato!")
    GuardedWeir(Chunk, StreamGuard(policy)).clean(error)
    expected = "bad tomato!" if message is None or scope == "prompt" else message
    assert (error.message, str(error)) == (expected, expected)


@pytest.mark.parametrize(
    ("fields", "stops"),
    [
        ({}, ()),
        ({"stop": None}, ()),
        ({"stop": "END"}, ("END",)),
        ({"stop": ["a", "b"]}, ("a", "b")),
        ({"stop_token_ids": [1]}, None),
        ({"stop": "END", "stop_regex": "[0-9]"}, None),
    ],
)
def test_where_a_request_lets_its_answer_end(fields: dict[str, Any], stops: Any) -> None:
    """The reader's stops are known to the guard, or known to be unknown."""
    request = chat_request({"messages": [{"role": "user", "content": "hi"}], **fields})
    assert stops_of(request) == stops
    _, guard = guarded(request, ready_policy(Guard([WORD])))
    assert guard.stops == stops
