"""Prompts: what the engine is given, and what is refused before it looks."""

from __future__ import annotations

import pytest

from deltaweir.errors import ContextLengthExceeded, InvalidRequest
from deltaweir.schema.request import TextRequest
from deltaweir.sources.local.prompts import (
    LONGEST_TOKEN,
    Abilities,
    check_fits,
    echo_of,
    message_of,
    prompt_of,
    prompts_of,
)

MODEL = Abilities(name="m", vocabulary=100, tools=True, infill=("<P>", "<S>", "<M>"), context=10)


def test_text_parts_of_a_message_become_one_text() -> None:
    """Chat templates know texts only."""
    parts = [{"type": "text", "text": "a"}, {"type": "refusal", "refusal": "b"}]
    assert message_of({"role": "user", "content": parts}) == {"role": "user", "content": "ab"}


def test_a_message_of_plain_text_stays_as_it_is() -> None:
    """Nothing is copied or added."""
    message = {"role": "user", "content": "a", "name": "n"}
    assert message_of(message) is message


def test_a_part_that_is_no_text_is_refused() -> None:
    """An image is never left out in silence."""
    with pytest.raises(InvalidRequest, match="reads text only"):
        message_of({"role": "user", "content": [{"type": "image_url", "image_url": {}}]})


def test_older_function_calls_become_tool_calls() -> None:
    """Templates drop what they do not know, so history in the older form is reworded."""
    call = {"name": "f", "arguments": "{}"}
    said = message_of({"role": "assistant", "content": None, "function_call": call})
    answered = message_of({"role": "function", "name": "f", "content": "5"})
    assert said["tool_calls"] == [{"id": "call_f", "type": "function", "function": call}]
    assert "function_call" not in said
    assert (answered["role"], answered["tool_call_id"]) == ("tool", "call_f")


@pytest.mark.parametrize(
    ("param", "said"),
    [
        ("prompt", "x" * (11 * LONGEST_TOKEN)),
        ("prompt", list(range(11))),
        ("messages", [{"content": "x" * (11 * LONGEST_TOKEN)}, {"content": None}]),
    ],
)
def test_what_cannot_fit_by_its_length_alone_is_refused(param: str, said: object) -> None:
    """Both numbers are known without splitting the text into tokens."""
    with pytest.raises(ContextLengthExceeded, match="at least 11 tokens") as caught:
        check_fits(param, said, MODEL)
    assert (caught.value.prompt_tokens, caught.value.context_tokens) == (11, 10)
    assert caught.value.param == param


def test_what_may_fit_is_left_to_the_engine() -> None:
    """The bound never refuses a prompt that has few enough tokens; without a context, none."""
    check_fits("prompt", "x" * (10 * LONGEST_TOKEN), MODEL)
    check_fits("prompt", "x" * 10**6, MODEL._replace(context=None))


@pytest.mark.parametrize(
    ("prompt", "prompts"),
    [("a", ["a"]), (["a", "b"], ["a", "b"]), ([1, 2], [[1, 2]]), ([[1], [2, 3]], [[1], [2, 3]])],
)
def test_each_prompt_is_answered_by_itself(prompt: str | list[object], prompts: object) -> None:
    """One text, several texts, one list of ids, several lists of ids."""
    assert list(prompts_of(prompt)) == prompts


def test_a_suffix_puts_the_prompt_between_infill_tokens() -> None:
    """The model is shown what stands before and after, and writes the middle."""
    request = TextRequest(prompt="a", suffix="b")
    assert prompt_of("a", request, MODEL) == "<P>a<S>b<M>"


@pytest.mark.parametrize(
    ("request_", "model", "prompt", "words"),
    [
        (TextRequest(suffix="b"), MODEL._replace(infill=None), "a", "no tokens for filling in"),
        (TextRequest(suffix="b"), MODEL, [1], "suffix needs a prompt of text"),
        (TextRequest(), MODEL, [1, 100], "token 100, but m knows tokens 0 to 99"),
        (TextRequest(), MODEL, "", "empty prompt"),
    ],
)
def test_what_the_model_cannot_read_is_refused(
    request_: TextRequest, model: Abilities, prompt: str | list[int], words: str
) -> None:
    """Each refusal says what was wanted."""
    with pytest.raises(InvalidRequest, match=words):
        prompt_of(prompt, request_, model)


def test_an_echo_begins_with_the_prompt() -> None:
    """Only where it was asked for."""
    assert echo_of("a", TextRequest(echo=True)) == "a"
    assert echo_of("a", TextRequest()) == ""


@pytest.mark.parametrize(
    ("request_", "prompt", "words"),
    [
        (TextRequest(echo=True, logprobs=1), "a", "does not score prompts"),
        (TextRequest(echo=True), [1], "not of token ids"),
    ],
)
def test_an_echo_that_cannot_be_given_is_refused(
    request_: TextRequest, prompt: str | list[int], words: str
) -> None:
    """Scores of the prompt's tokens, and the text of ids, are not known here."""
    with pytest.raises(InvalidRequest, match=words):
        echo_of(prompt, request_)
