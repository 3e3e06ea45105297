"""Replies can be sent back: an assistant's message goes on with the conversation."""

from __future__ import annotations

from deltaweir.schema.request import chat_request, check_chat
from deltaweir.types import FunctionCall, Message, Reply, ToolCall


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
