"""Plans: from a request to the engine's calls, and every refusal on the way."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deltaweir.errors import ContextLengthExceeded, InvalidRequest
from deltaweir.schema.request import chat_request, text_request
from deltaweir.sources.local.prompts import LONGEST_TOKEN, Abilities
from deltaweir.sources.local.request import Plan, plan_chat, plan_text

MODEL = Abilities(name="m", vocabulary=100, tools=True, infill=None, context=10_000)
USER = [{"role": "user", "content": "hi"}]
TOOL = {"type": "function", "function": {"name": "f"}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}}


def chat(**fields: Any) -> Plan:
    """Plan a chat completion."""
    return plan_chat(chat_request({"messages": USER, **fields}), MODEL)


def text(**fields: Any) -> Plan:
    """Plan a text completion."""
    return plan_text(text_request({"prompt": "hi", **fields}), MODEL)


def body(plan: Plan, call: int = 0) -> dict[str, Any]:
    """Return what the engine is sent."""
    sent: dict[str, Any] = json.loads(plan.calls[call].body)
    return sent


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"temperature": 0.5}, {"temperature": 0.5}),
        ({"top_p": 0.9}, {"top_p": 0.9}),
        ({"presence_penalty": 1.0}, {"presence_penalty": 1.0, "repeat_last_n": 2**17}),
        ({"frequency_penalty": -1.0}, {"frequency_penalty": -1.0, "repeat_last_n": 2**17}),
        ({"logit_bias": {"7": -100, "٣": 5}}, {"logit_bias": {"7": -100.0, "3": 5.0}}),
        ({"max_tokens": 5}, {"max_tokens": 5}),
        ({"max_tokens": 2**40}, {"max_tokens": 2**31 - 1}),
        ({"max_tokens": 0}, {"max_tokens": 1}),
        ({"top_k": 5, "min_p": 0.1}, {"top_k": 5, "min_p": 0.1}),
        ({"seed": 7}, {"seed": 7}),
        ({"seed": -1}, {"seed": 2**31 - 1}),
    ],
)
@pytest.mark.parametrize("plan", [chat, text])
def test_sampling_fields_reach_the_engine(
    plan: Any, given: dict[str, Any], sent: dict[str, Any]
) -> None:
    """Both endpoints pass them on in the engine's words."""
    assert sent.items() <= body(plan(**given)).items()


@pytest.mark.parametrize("plan", [chat, text])
def test_the_engine_always_streams_and_counts(plan: Any) -> None:
    """Whole replies are added up from the same stream."""
    sent = body(plan())
    assert sent["stream"]
    assert sent["timings_per_token"]
    assert sent["return_progress"]
    assert sent["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize("plan", [chat, text])
def test_stop_sequences_stay_here(plan: Any) -> None:
    """The engine would lose the text it holds back for them at a limit."""
    assert "stop" not in body(plan(stop="a"))
    assert list(plan(stop="a").stop) == ["a"]
    assert list(plan(stop=["a", "b"]).stop) == ["a", "b"]
    assert list(plan().stop) == []


def test_limits_differ_by_endpoint() -> None:
    """Texts end after 16 tokens unless told, chats at the end of the context."""
    assert body(text())["max_tokens"] == 16
    assert body(chat())["max_tokens"] == -1
    assert body(chat(max_tokens=3, max_completion_tokens=4))["max_tokens"] == 4


def test_zero_tokens_mean_nothing_is_generated() -> None:
    """``max_tokens: 0`` is planned apart, in both endpoints."""
    assert chat(max_tokens=0).nothing
    assert text(max_tokens=0).nothing
    assert not chat().nothing


def test_every_choice_is_a_call_with_a_seed_of_its_own() -> None:
    """Also far above the number of slots."""
    plan = chat(n=9, seed=2**31 - 3)
    assert [call.choice for call in plan.calls] == [*range(9)]
    assert [body(plan, at)["seed"] for at in range(4)] == [2**31 - 3, 2**31 - 2, 2**31 - 1, 0]


def test_choices_of_several_prompts_are_numbered_by_prompt() -> None:
    """Prompt 0 has the first n choices, prompt 1 the next."""
    plan = text(prompt=["a", "b"], n=2, seed=5)
    assert [(call.choice, call.prompt) for call in plan.calls] == [(0, 0), (1, 0), (2, 1), (3, 1)]
    assert [body(plan, at)["prompt"] for at in range(4)] == ["a", "a", "b", "b"]
    assert [body(plan, at)["seed"] for at in range(4)] == [5, 6, 5, 6]


def test_many_choices_share_one_body() -> None:
    """A hundred choices of a long prompt do not cost a hundred copies of it."""
    shared = {id(call.shared) for call in chat(n=128).calls}
    assert len(shared) == 1


def test_logprobs_are_asked_for_in_the_engines_way() -> None:
    """The engine gives none at all when asked for none beside the token's own."""
    assert body(chat(logprobs=True))["top_logprobs"] == 1
    assert chat(logprobs=True).logprobs == 0
    assert body(chat(logprobs=True, top_logprobs=3))["top_logprobs"] == 3
    assert chat().logprobs is None
    assert body(text(logprobs=0))["logprobs"] == 1
    assert body(text(logprobs=5))["logprobs"] == 5
    assert "logprobs" not in body(text())


def test_best_of_generates_more_and_keeps_n() -> None:
    """It needs scores to choose by, which are shown to nobody who did not ask."""
    plan = text(best_of=3, n=2)
    assert (len(plan.calls), plan.best_of, plan.logprobs) == (3, 2, None)
    assert body(plan)["logprobs"] == 1
    assert text(best_of=2, n=2).best_of is None
    assert "logprobs" not in body(text(best_of=2, n=2))


def test_an_echo_is_planned_per_prompt() -> None:
    """Each prompt's choices begin with their own prompt."""
    assert text(prompt=["a", "b"], echo=True).echo == ["a", "b"]
    assert chat().echo == [""]


def test_continuous_usage_is_planned_where_it_was_asked_for() -> None:
    """Both endpoints take ``continuous_usage_stats``."""
    options = {"continuous_usage_stats": True}
    assert chat(stream=True, stream_options=options).continuous_usage
    assert text(stream=True, stream_options=options).continuous_usage
    assert not chat(stream=True, stream_options={"include_usage": True}).continuous_usage


@pytest.mark.parametrize("wanted", [{"type": "text"}, {"type": "json_object"}, SCHEMA])
def test_response_formats_reach_the_engine(wanted: dict[str, Any]) -> None:
    """All three kinds."""
    assert body(chat(response_format=wanted))["response_format"] == wanted


def test_tools_reach_the_engine_where_the_model_is_free() -> None:
    """Then nothing has to be forced or reworded."""
    plan = chat(tools=[TOOL], parallel_tool_calls=False)
    assert plan.tools is None
    assert body(plan)["tools"] == [TOOL]
    assert body(plan)["parallel_tool_calls"] is False


HARMLESS = {
    "modalities": ["text"],
    "store": False,
    "reasoning_effort": "none",
    "user": "u",
    "metadata": {"a": "b"},
    "service_tier": "auto",
    "safety_identifier": "s",
    "prompt_cache_key": "k",
}


def test_fields_that_change_no_answer_are_taken() -> None:
    """They are for the books of a provider, or ask for what is the case anyhow."""
    assert HARMLESS.keys().isdisjoint(body(chat(**HARMLESS)))


REFUSED: list[tuple[Any, dict[str, Any], str, str]] = [
    (chat, {"temperatur": 0}, "temperatur", "did you mean temperature"),
    (text, {"tok_k": 0}, "tok_k", "did you mean top_k"),
    (chat, {"zzz": 0}, "zzz", "unknown field 'zzz', which the embedded model cannot use$"),
    (chat, {"top_k": "5"}, "top_k", "type str, expected a number"),
    (chat, {"top_k": True}, "top_k", "type bool, expected a number"),
    (chat, {"min_p": float("inf")}, "min_p", "sensible number"),
    (chat, {"top_k": 2**31}, "top_k", "sensible number"),
    (chat, {"logit_bias": {"100": 1}}, "logit_bias", "token 100, but m knows tokens 0 to 99"),
    (chat, {"logit_bias": {"9" * 5000: 1}}, "logit_bias", "token 9{20}, but"),
    (text, {"suffix": "s"}, "suffix", "no tokens for filling in"),
    (text, {"prompt": [[1], [100]]}, "prompt", "token 100"),
    (text, {"prompt": ["a", ""]}, "prompt", "empty prompt"),
    (text, {"echo": True, "logprobs": 0}, "echo", "does not score prompts"),
    (text, {"echo": True, "prompt": [1]}, "echo", "token ids"),
    (text, {"best_of": 2, "stream": True}, "best_of", "best of several"),
    (chat, {"logprobs": True, "tools": [TOOL]}, "logprobs", "together with tools"),
    (chat, {"response_format": {}}, "response_format.type", "unknown type"),
    (
        chat,
        {"response_format": {"type": "json_schema"}},
        "response_format.json_schema",
        "no json_schema.schema",
    ),
    (
        chat,
        {"response_format": {"type": "json_schema", "json_schema": {"schema": 5}}},
        "response_format.json_schema",
        "expected a JSON schema",
    ),
    (
        chat,
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {"minItems": 9999}}}},
        "response_format.json_schema",
        "minItems above 1000",
    ),
    (chat, {"modalities": ["text", "audio"]}, "modalities", "anything but text"),
    (chat, {"audio": {"voice": "v"}}, "audio", "cannot speak"),
    (chat, {"store": True}, "store", "leave store out"),
    (chat, {"reasoning_effort": "high"}, "reasoning_effort", "different efforts"),
    (chat, {"verbosity": "low"}, "verbosity", "how verbose"),
    (chat, {"prediction": {"type": "content"}}, "prediction", "predicted"),
    (chat, {"moderation": {}}, "moderation", "moderate"),
    (chat, {"messages": []}, "messages", "at least one message"),
    (chat, {"n": 0}, "n", "n=0"),
    (text, {"temperature": 3}, "temperature", "temperature=3"),
]


@pytest.mark.parametrize(("plan", "fields", "param", "words"), REFUSED)
def test_what_cannot_be_done_is_refused(
    plan: Any, fields: dict[str, Any], param: str, words: str
) -> None:
    """The error names the field and says what was wanted; nothing is ignored in silence."""
    with pytest.raises(InvalidRequest, match=words) as caught:
        plan(**fields)
    assert caught.value.param == param


@pytest.mark.parametrize("plan", [chat, text])
def test_a_prompt_far_too_long_is_refused_before_the_engine_sees_it(plan: Any) -> None:
    """Ten megabytes cost a millisecond, not ten seconds and a gigabyte."""
    long = "x" * (10_001 * LONGEST_TOKEN)
    fields = {"prompt": long} if plan is text else {"messages": [{"role": "user", "content": long}]}
    with pytest.raises(ContextLengthExceeded, match="at least 10001 tokens"):
        plan(**fields)
