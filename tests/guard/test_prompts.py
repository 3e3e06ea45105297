"""Prompts are checked before anything is sent."""

from __future__ import annotations

from typing import Any

import pytest

from deltaweir.errors import GuardBlocked
from deltaweir.guard.policy import policy_of
from deltaweir.guard.prompts import check_request
from deltaweir.guard.rules import Action, Rule
from deltaweir.schema.request import chat_request, text_request

BAD = Rule(id="word", literals=("bad",))


def policy(action: Action = "redact") -> Any:
    """Return a policy for prompts."""
    return policy_of([BAD], action=action, scope=("prompt",))


def test_texts_of_all_forms_are_redacted() -> None:
    """Strings, parts and arguments of earlier calls; names of things and images stay."""
    messages = [
        {"role": "user", "content": "a bad word"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "bad"},
                {"type": "image_url", "image_url": {"url": "data:,bad"}},
            ],
        },
        {
            "role": "assistant",
            "tool_calls": [
                {
                    "id": "bad",
                    "type": "function",
                    "function": {"name": "f", "arguments": '{"x": "b\\u0061d"}'},
                }
            ],
        },
    ]
    request = chat_request({"messages": messages, "temperature": 0.5})
    checked, verdicts = check_request(request, policy())
    assert checked.messages[0]["content"] == "a [REDACTED:word] word"
    assert checked.messages[1]["content"][0]["text"] == "[REDACTED:word]"
    assert checked.messages[1]["content"][1]["image_url"]["url"] == "data:,bad"
    call = checked.messages[2]["tool_calls"][0]
    assert call["id"] == "bad"
    assert call["function"]["arguments"] == '{"x": "[REDACTED:word]"}'
    assert checked.temperature == 0.5
    assert [found.field for found in verdicts] == [
        "messages[0].content",
        "messages[1].content[0].text",
        "messages[2].tool_calls[0].function.arguments",
    ]
    assert request.messages[0]["content"] == "a bad word"


@pytest.mark.parametrize("action", ["block", "truncate"])
def test_a_prompt_is_refused_with_what_refused_it(action: Action) -> None:
    """The error names the rule and the field, and nothing of the text."""
    request = text_request({"prompt": "my bad secret"})
    with pytest.raises(GuardBlocked, match="prompt matches word") as caught:
        check_request(request, policy(action))
    assert caught.value.status == 400
    assert caught.value.code == "content_filter"
    assert "secret" not in str(caught.value)


def test_flags_let_a_prompt_through() -> None:
    """They are told, and the text stays."""
    checked, verdicts = check_request(text_request({"prompt": ["ok", "bad"]}), policy("flag"))
    assert checked.prompt == ["ok", "bad"]
    assert [(found.field, found.choice) for found in verdicts] == [("prompt[1]", None)]


@pytest.mark.parametrize("prompt", [[1, 2], [[1], [2]]])
def test_a_prompt_of_tokens_is_refused(prompt: list[Any]) -> None:
    """No rule can read it."""
    with pytest.raises(GuardBlocked, match="tokens"):
        check_request(text_request({"prompt": prompt}), policy())


def test_without_rules_for_prompts_nothing_is_looked_at() -> None:
    """The very same request goes out."""
    request = text_request({"prompt": [1, 2]})
    assert check_request(request, policy_of([BAD])).request is request


def test_names_that_mean_data_in_a_message_are_read_elsewhere() -> None:
    """A tool's property may be called as a part of a message is."""
    properties = {name: {"description": f"a bad {name}"} for name in ("file", "id", "type")}
    tool = {"type": "function", "function": {"name": "f", "parameters": {"properties": properties}}}
    request = chat_request({"messages": [{"role": "user", "content": "hi"}], "tools": [tool]})
    checked, verdicts = check_request(request, policy())
    assert "bad" not in str(checked.tools)
    assert len(verdicts) == 3
