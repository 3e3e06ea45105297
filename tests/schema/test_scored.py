"""Entries are taken off a choice, list by list, and put on another."""

from __future__ import annotations

from typing import Any

import pytest

from deltaweir.schema.scored import (
    Token,
    brings_entries,
    is_scored,
    lists,
    put_entries_on,
    take_entries_off,
)
from deltaweir.types import Choice, TextChoice, TokenLogprob

ENTRIES = [{"token": "a", "logprob": -1.0, "bytes": [97]}, {"token": "b", "logprob": -2.0}]
FULL = {
    "delta": {"token_ids": [4]},
    "logprobs": {"content": ENTRIES, "refusal": ENTRIES[1:], "reasoning_content": ENTRIES},
    "token_ids": [3],
}
ROWS = {
    "text_offset": [0, 1],
    "token_logprobs": [None, -1.0],
    "tokens": ["a", "b"],
    "top_logprobs": [None, {"b": -1.0}],
}


@pytest.mark.parametrize(
    "choice",
    [
        Choice.model_validate(FULL),
        TextChoice.model_validate({"logprobs": ROWS, "token_ids": [1]}),
        TextChoice.model_validate({"logprobs": {**ROWS, "top_logprobs": None}}),
        TextChoice.model_validate({"logprobs": {"content": ENTRIES}}),
    ],
)
def test_entries_move_from_one_choice_to_others(choice: Any) -> None:
    """What is taken off and put on again, in two parts, is what was there."""
    before = type(choice).model_validate(choice.model_dump())
    taken = {name: [token.value for token in tokens] for name, tokens in lists(choice)}
    assert brings_entries(choice)
    take_entries_off(choice)
    assert not brings_entries(choice)
    assert list(lists(choice)) == []
    put_entries_on(choice, {name: values[:1] for name, values in taken.items()})
    put_entries_on(choice, {name: values[1:] for name, values in taken.items() if values[1:]})
    assert choice == before


def test_tokens_are_read_with_their_bytes() -> None:
    """Known and unknown lists are read alike; what are no bytes is none."""
    choice = Choice.model_validate(FULL)
    read = {name: [token[1:] for token in tokens] for name, tokens in lists(choice)}
    both = [("a", b"a"), ("b", None)]
    assert read == {
        "content": both,
        "refusal": both[1:],
        "reasoning_content": both,
        "token_ids": [("", None)],
        "delta.token_ids": [("", None)],
    }
    for odd in ([300], "ab", 10**12):
        entry = {"token": "a", "bytes": odd}
        choice = Choice.model_validate({"logprobs": {"reasoning_content": [entry]}})
        assert list(lists(choice)) == [("reasoning_content", [Token(entry, "a", None)])]


def test_what_can_be_read_of_a_token() -> None:
    """Its bytes tell, where there are any; a part of a character is illegible."""
    assert Token(None, "\\xe2", b"a\xe2").legible == "a\ufffd"
    assert Token(None, "b", None).legible == "b"


def test_lists_of_unequal_length() -> None:
    """A row has what there is for its token."""
    choice = TextChoice.model_validate({"logprobs": {"tokens": ["a", "b"], "text_offset": [7]}})
    ((_, tokens),) = lists(choice)
    assert [token.value for token in tokens] == [([7], [], ["a"], []), ([], [], ["b"], [])]


@pytest.mark.parametrize(
    ("name", "value", "scored"),
    [
        ("content", [TokenLogprob.model_validate(ENTRIES[0]), {"token": "b"}], True),
        ("reasoning_content", [], True),
        ("more", [{"token": "b"}], False),
        ("content", {"token": "b"}, False),
        ("content", [{"token": 1}], False),
        ("content", ["b"], False),
    ],
)
def test_only_lists_of_tokens_are_scored(name: str, value: Any, scored: bool) -> None:
    """Anything else under an unknown name is not taken for log probabilities."""
    assert is_scored(name, value) is scored


def test_what_cannot_be_read_is_no_list() -> None:
    """Unknown fields of another form bring no entries, but are taken off with the others."""
    odd = {"logprobs": {"reasoning_content": ["x"]}, "token_ids": "x", "delta": {"token_ids": 1}}
    choice = Choice.model_validate(odd)
    assert list(lists(choice)) == []
    take_entries_off(choice)
    assert choice == Choice()
