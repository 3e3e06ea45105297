"""With a guard, generated text does not pass by fields that it does not read."""

from __future__ import annotations

from typing import Any

import pytest

from deltaweir.schema.unread import take_out_unread, take_out_unread_of
from deltaweir.types import Choice, Chunk, TextChoice, TextChunk

ENTRY = {"token": "a", "logprob": -1.0}


@pytest.mark.parametrize(
    ("choice", "left"),
    [
        ({"delta": {"content": "a", "reasoning_details": [{"text": "x"}]}}, {"content": "a"}),
        ({"delta": {"audio": {"transcript": "x"}}}, {}),
        ({"delta": {"reasoning": {"text": "x"}}}, {}),
        ({"delta": {"reasoning": ["x"]}}, {}),
        ({"delta": {"reasoning": "x", "reasoning_content": "y"}}, {"reasoning_content": "y"}),
        ({"delta": {"token_ids": "x"}}, {}),
        ({"delta": {"items": "x"}}, {}),
        (
            {"delta": {"tool_calls": [{"index": 1, "custom": {"input": "x"}}]}},
            {"tool_calls": [{"index": 1}]},
        ),
        (
            {"delta": {"tool_calls": [{"index": 1, "function": {"name": "f", "more": "x"}}]}},
            {"tool_calls": [{"index": 1, "function": {"name": "f"}}]},
        ),
        (
            {"delta": {"function_call": {"name": "f", "more": "x"}}},
            {"function_call": {"name": "f"}},
        ),
        ({"delta": {}, "message": {"content": "x"}}, {}),
        ({"delta": {}, "text": "x"}, {}),
    ],
)
def test_what_no_guard_reads_is_taken_out(choice: dict[str, Any], left: dict[str, Any]) -> None:
    """What may hold generated text and is no text that a guard gets does not stay."""
    read = Choice.model_validate(choice)
    assert take_out_unread(read) is True
    assert read == Choice.model_validate({"delta": left})
    assert take_out_unread(read) is False


@pytest.mark.parametrize(
    "choice",
    [
        {"delta": {"content": "a", "reasoning": "b", "refusal": "c", "role": "assistant"}},
        {"delta": {"reasoning": "b", "reasoning_content": "b"}},
        {"delta": {"reasoning": "b", "reasoning_content": ""}},
        {"delta": {"token_ids": [1]}, "token_ids": [2], "stop_reason": 3},
        {"delta": {"tool_calls": [{"id": "x"}, {"function": {"name": "f", "arguments": "{}"}}]}},
        {"delta": {}, "logprobs": {"content": [ENTRY], "reasoning_content": [ENTRY]}},
    ],
)
def test_what_a_guard_reads_stays(choice: dict[str, Any]) -> None:
    """Texts, names, token ids and other unknown fields of a choice are left."""
    read = Choice.model_validate(choice)
    assert take_out_unread(read) is False
    assert read == Choice.model_validate(choice)


@pytest.mark.parametrize("unknown", [{"more": "x"}, {"reasoning_content": "x"}, {"more": [ENTRY]}])
def test_unknown_log_probabilities(unknown: dict[str, Any]) -> None:
    """Of these only lists of entries by the name of a field are read."""
    chat = Choice.model_validate({"logprobs": {"content": [ENTRY], **unknown}})
    assert take_out_unread(chat)
    assert chat == Choice.model_validate({"logprobs": {"content": [ENTRY]}})
    text = TextChoice.model_validate({"text": "a", "message": "x", "logprobs": unknown})
    assert take_out_unread(text)
    assert text == TextChoice.model_validate({"text": "a", "logprobs": {}})


@pytest.mark.parametrize("kind", [Choice, TextChoice, Chunk, TextChunk])
def test_fields_beside_the_text(kind: Any) -> None:
    """Of unknown ones figures stay, and what is known to be the server's own."""
    kept = {"a": 1, "b": 0.5, "c": None, "d": "", "provider": "x", "timings": {"ms": 1}}
    gone = {"e": "x", "f": ["x"], "g": {"x": 1}, "output_ids": [1], "x_groq": {"debug": "x"}}
    read = kind.model_validate(kept | gone)
    take = take_out_unread if kind in {Choice, TextChoice} else take_out_unread_of
    assert take(read) is True
    assert read.model_extra == kept
    assert take(read) is False


def test_token_ids_beside_the_choices() -> None:
    """Nobody can tell which text they are of."""
    chunk = Chunk.model_validate({"choices": [], "token_ids": [1]})
    assert take_out_unread_of(chunk) is True
    assert chunk == Chunk()
