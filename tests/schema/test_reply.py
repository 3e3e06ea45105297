"""Replies can be sent back: an assistant's message goes on with the conversation."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from deltaweir.schema.builder import build_reply, build_text_reply
from deltaweir.schema.chunk import Choice, Chunk, Delta, TextChoice, TextChunk, Usage
from deltaweir.schema.reply import (
    FunctionCall,
    Message,
    Reply,
    ReplyChoice,
    TextReply,
    ToolCall,
    as_chunk,
)
from deltaweir.schema.request import chat_request, check_chat


def test_a_message_of_a_reply_goes_on_with_the_conversation() -> None:
    """A reply's message may stand in `messages` as it is."""
    message = Message(content="hi")
    request = chat_request({"messages": [{"role": "user", "content": "hello"}, message]})
    check_chat(request)
    assert request.messages[1] == {"content": "hi", "role": "assistant"}


def test_a_message_with_tool_calls_needs_no_content() -> None:
    """A message that only calls tools goes back with content null."""
    call = ToolCall(id="call_1", function=FunctionCall(name="f", arguments="{}"))
    request = chat_request({"messages": [Message(tool_calls=[call])]})
    check_chat(request)
    assert request.messages[0]["content"] is None


def test_an_empty_reply_is_whole_in_form() -> None:
    """A reply to which nothing came has the required keys all the same."""
    assert Reply().model_dump() == {
        "choices": [],
        "created": 0,
        "id": "",
        "model": "",
        "object": "chat.completion",
    }


TEXT = st.none() | st.sampled_from(["", "a", "two words", "\U0001f600\n"])
SAID = st.sampled_from(["a", "two words", "{}"])
WORDS = st.sampled_from(["", "a", "b"])
CALL = st.builds(FunctionCall, arguments=SAID, name=SAID)
MESSAGE = st.builds(
    Message,
    audio=st.none() | st.just({"id": "a1", "data": "AAAA", "transcript": "hi"}),
    content=TEXT,
    function_call=st.none() | CALL,
    reasoning_content=TEXT,
    refusal=st.none() | SAID,
    role=st.sampled_from(["assistant", "tool"]),
    tool_calls=st.none()
    | st.lists(
        st.builds(
            ToolCall,
            id=st.sampled_from(["c1", "c2"]),
            type=st.sampled_from(["function", "custom"]),
            function=st.none() | CALL,
        ),
        min_size=1,
        max_size=3,
    ),
)
END = st.sampled_from([None, "stop", "length", "tool_calls"])
ENVELOPE: dict[str, Any] = {
    "created": st.integers(0, 9),
    "deltaweir": st.none() | st.just({"source": "engine"}),
    "id": WORDS,
    "model": WORDS,
    "system_fingerprint": st.none() | st.just("fp"),
    "usage": st.none() | st.builds(Usage, completion_tokens=st.integers(0, 9)),
}


def numbered(choices: list[Any]) -> list[Any]:
    """Return choices with indexes of their own."""
    for index, choice in enumerate(choices):
        choice.index = index
    return choices


def listed(choice: Any) -> Any:
    """Return a few choices."""
    return st.lists(choice, max_size=3).map(numbered)


@given(
    st.builds(
        Reply,
        choices=listed(st.builds(ReplyChoice, finish_reason=END, message=MESSAGE)),
        moderation=st.none() | st.just({"flagged": False}),
        service_tier=st.none() | st.just("flex"),
        **ENVELOPE,
    )
)
def test_a_reply_as_one_chunk_says_the_same(reply: Reply) -> None:
    """Whoever reads chunks can read a whole reply: they add up to it again."""
    chunk = as_chunk(reply)
    assert isinstance(chunk, Chunk)
    assert build_reply([chunk]) == reply


@given(
    st.builds(
        TextReply,
        choices=listed(st.builds(TextChoice, finish_reason=END, text=WORDS)),
        **ENVELOPE,
    )
)
def test_a_text_reply_as_one_chunk_says_the_same(reply: TextReply) -> None:
    """So does that of a text completion."""
    chunk = as_chunk(reply)
    assert isinstance(chunk, TextChunk)
    assert build_text_reply([chunk]) == reply


def test_reasoning_keeps_its_servers_name() -> None:
    """A reply has it under the name that all know as well."""
    reply = Reply(choices=[ReplyChoice(message=Message(reasoning="because"))])
    chunk = as_chunk(reply)
    assert isinstance(chunk, Chunk)
    (choice,) = build_reply([chunk]).choices
    assert choice.message == Message(reasoning="because", reasoning_content="because")


def test_what_no_guard_has_read_is_not_in_the_chunk() -> None:
    """Log probabilities and unknown fields stay with the reply."""
    choice = {"message": {"content": "a", "x": "b"}, "logprobs": {"content": []}, "y": 1}
    reply = Reply.model_validate({"choices": [choice], "z": "c"})
    assert as_chunk(reply) == Chunk(choices=[Choice(delta=Delta(content="a", role="assistant"))])
