"""However a reply is cut into chunks, the chunks add up to the reply."""

from __future__ import annotations

import base64
import itertools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaweir.schema.builder import build_reply, build_text_reply
from deltaweir.types import (
    Chunk,
    Delta,
    FunctionDelta,
    Reply,
    ReplyBuilder,
    TextChunk,
    TextReply,
    ToolCallDelta,
)

DATA = Path(__file__).parent.parent / "data"
RECORDED = Path(__file__).parents[3] / "shared" / "data" / "recorded_streams.json"

WORDS = st.text(min_size=1, max_size=9)
CALL = st.fixed_dictionaries({"name": WORDS, "arguments": st.text(max_size=9)})
TOKEN = st.fixed_dictionaries(
    {"token": WORDS, "logprob": st.floats(-9, 0), "top_logprobs": st.just([])}
)
TOKENS = st.lists(TOKEN, min_size=1, max_size=3)
MESSAGE = st.fixed_dictionaries(
    {"content": st.none() | WORDS, "role": st.just("assistant")},
    optional={
        "reasoning_content": WORDS,
        "refusal": WORDS,
        "function_call": CALL,
        "thought_signature": WORDS,  # a field nobody knows
        "tool_calls": st.lists(
            st.fixed_dictionaries(
                {"id": WORDS, "type": st.just("function"), "function": CALL},
                optional={"signature": WORDS, "items": WORDS},
            ),
            min_size=1,
            max_size=3,
        ),
    },
)
CHOICE = st.fixed_dictionaries(
    {"message": MESSAGE, "finish_reason": st.sampled_from(["stop", "length", "tool_calls"])},
    optional={
        "logprobs": st.fixed_dictionaries({"content": TOKENS}, optional={"refusal": TOKENS}),
        "stop_reason": WORDS,  # another one
    },
)
ENVELOPE = {
    "id": "chatcmpl-1",
    "created": 5,
    "model": "m",
    "system_fingerprint": "fp",
    "provider": "p",
}
USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}

Lane = list[dict[str, Any]]
"""Pieces that must stay in order."""


def cut(draw: Callable[..., Any], whole: Any) -> list[Any]:
    """Cut a text or a list at any places, also into empty pieces."""
    places = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=3)))
    ends = [0, *places, len(whole)]
    return [whole[a:b] for a, b in itertools.pairwise(ends)]


def call_lane(draw: Callable[..., Any], call: dict[str, Any]) -> Lane:
    """Cut a function call: the name, then its arguments in pieces."""
    pieces = cut(draw, call["arguments"])
    return [{"name": call["name"]}, *({"arguments": piece} for piece in pieces)]


def lanes_of(draw: Callable[..., Any], choice: dict[str, Any]) -> list[Lane]:
    """Cut one choice into lanes, whose pieces may interleave in any way."""
    message, lanes = choice["message"], list[Lane]()
    for name in ("content", "reasoning_content", "refusal", "thought_signature"):
        if message.get(name) is not None:
            lanes.append([{"delta": {name: piece}} for piece in cut(draw, message[name])])
    if "function_call" in message:
        pieces = call_lane(draw, message["function_call"])
        lanes.append([{"delta": {"function_call": piece}} for piece in pieces])
    for at, call in enumerate(message.get("tool_calls", ())):
        head = {k: v for k, v in call.items() if k != "function"}
        calls = [head, *({"function": piece} for piece in call_lane(draw, call["function"]))]
        lanes.append([{"delta": {"tool_calls": [{"index": at, **piece}]}} for piece in calls])
    for name, tokens in choice.get("logprobs", {}).items():
        lanes.append([{"logprobs": {name: piece}} for piece in cut(draw, tokens)])
    return [[{"delta": {"role": "assistant"}}], *lanes]


def shuffled(draw: Callable[..., Any], lanes: list[Lane]) -> Lane:
    """Interleave lanes in any way that keeps each in order."""
    order = draw(st.permutations([at for at, lane in enumerate(lanes) for _ in lane]))
    waiting = [iter(lane) for lane in lanes]
    return [next(waiting[at]) for at in order]


@st.composite
def cut_replies(draw: Callable[..., Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return a reply, and chunks of which it is the sum."""
    choices = draw(st.lists(CHOICE, min_size=1, max_size=3))
    lanes = list[Lane]()
    for index, choice in enumerate(choices):
        choice["index"] = index
        last = {k: choice[k] for k in ("finish_reason", "stop_reason") if k in choice}
        lane = [*shuffled(draw, lanes_of(draw, choice)), last]
        lanes.append([{"index": index, **piece} for piece in lane])
    chunks: list[dict[str, Any]] = []
    for piece in shuffled(draw, lanes):
        before = chunks[-1]["choices"] if chunks else []
        if before and draw(st.booleans()):
            before.append(piece)
        else:
            chunks.append({**ENVELOPE, "choices": [piece]})
    chunks.append({**ENVELOPE, "choices": [], "usage": USAGE})
    return {**ENVELOPE, "choices": choices, "usage": USAGE}, chunks


@given(cut_replies())
def test_chunks_add_up_however_they_are_cut(case: tuple[dict[str, Any], list[Any]]) -> None:
    """Texts, calls, logprobs and unknown fields, in any order of choices, give the reply."""
    whole, chunks = case
    assert build_reply(map(Chunk.model_validate, chunks)) == Reply.model_validate(whole)


@given(cut_replies())
def test_looking_early_changes_nothing(case: tuple[dict[str, Any], list[Any]]) -> None:
    """A reply may be built after every chunk; each is the sum of what came so far."""
    _, chunks = case
    builder = ReplyBuilder(Reply)
    for count, chunk in enumerate(chunks, 1):
        builder.add(Chunk.model_validate(chunk))
        assert builder.build() == build_reply(map(Chunk.model_validate, chunks[:count]))


@given(st.data(), st.lists(WORDS, min_size=1, max_size=3))
def test_text_completions_add_up(data: st.DataObject, words: list[str]) -> None:
    """Texts and the four lists of logprobs of a completion give the reply, cut anywhere."""
    lanes, choices = list[Lane](), list[dict[str, Any]]()
    for index, word in enumerate(words):
        rows: dict[str, list[Any]] = {"tokens": list(word), "text_offset": [*range(len(word))]}
        scores: dict[str, list[Any]] = {
            "token_logprobs": [None] * len(word),
            "top_logprobs": [{"a": -1.0}] * len(word),
        }
        choices.append({"index": index, "text": word, "finish_reason": "stop"})
        choices[-1]["logprobs"] = {**rows, **scores}
        places = [*range(len(word))]
        pieces = [
            {
                "text": "".join(word[at] for at in piece),
                "logprobs": {
                    name: [column[at] for at in piece] for name, column in (rows | scores).items()
                },
            }
            for piece in cut(data.draw, places)
        ]
        lanes.append([{"index": index, **piece} for piece in pieces])
        lanes[-1][-1]["finish_reason"] = "stop"
    chunks = [{"id": "cmpl-1", "choices": [piece]} for piece in shuffled(data.draw, lanes)]
    whole = {"id": "cmpl-1", "choices": choices}
    assert build_text_reply(map(TextChunk.model_validate, chunks)) == TextReply.model_validate(
        whole
    )


@pytest.mark.parametrize(
    "stream", json.loads((DATA / "streams.json").read_bytes()), ids=lambda s: str(s["name"])
)
def test_streams_of_the_projects_own(stream: dict[str, Any]) -> None:
    """Streams as servers send them add up to what the same server returns at once."""
    built = build_reply(map(Chunk.model_validate, stream["chunks"]))
    assert built == Reply.model_validate(stream["reply"])


def recorded() -> list[dict[str, Any]]:
    """Return the recorded provider streams, none where they are not at hand."""
    if not RECORDED.exists():
        return []
    streams: list[dict[str, Any]] = json.loads(RECORDED.read_bytes())["streams"]
    return streams


@pytest.mark.skipif(not RECORDED.exists(), reason="the recordings lie beside the repository only")
@pytest.mark.parametrize("stream", recorded(), ids=lambda s: str(s["name"]))
def test_recorded_streams(stream: dict[str, Any]) -> None:
    """Real provider streams add up to what the official accumulator builds from them."""
    events = base64.b64decode(stream["input_b64"]).split(b"\n\n")
    payloads = [event.removeprefix(b"data: ") for event in events if event.strip()]
    reply = build_reply(map(Chunk.model_validate_json, payloads[:-1]))
    assert payloads[-1] == b"[DONE]"
    assert [_summary(choice) for choice in reply.choices] == stream["expected_choices"]
    assert reply.usage is not None
    assert reply.usage.total_tokens == stream["usage"]["total_tokens"]
    assert (reply.model, reply.system_fingerprint) == (
        stream["model"],
        stream["system_fingerprint"],
    )


def _summary(choice: Any) -> dict[str, Any]:
    message, logprobs = choice.message, choice.get("logprobs", {})
    return {
        "index": choice.index,
        "finish_reason": choice.finish_reason,
        "content": message.content,
        "refusal": message.refusal,
        "tool_calls": [
            {"id": call.id, "name": call.function.name, "arguments": call.function.arguments}
            for call in message.tool_calls or ()
        ],
        "n_logprobs_content": len(logprobs.get("content", ())),
        "n_logprobs_refusal": len(logprobs.get("refusal", ())),
    }


def _chunk(delta: Delta, **choice: Any) -> Chunk:
    one = Chunk.model_validate({"choices": [{"index": 0, **choice}]})
    one.choices[0].delta = delta
    return one


def test_text_and_finish_reason_are_read_on_the_way() -> None:
    """The first choice's text and end can be read while the stream runs."""
    builder = ReplyBuilder(Reply)
    assert (builder.text(), builder.finish_reason) == ("", None)
    builder.add(_chunk(Delta(content="a"), index=1))
    assert (builder.text(), builder.text(1)) == ("", "a")
    builder.add(_chunk(Delta(), index=1, finish_reason="length"))
    assert builder.finish_reason == "length"
    builder.add(_chunk(Delta(content="b")))
    assert builder.text() == "b"
    assert builder.finish_reason is None


def test_a_completion_without_logprobs_has_none() -> None:
    """What no chunk brought, the reply does not have."""
    chunks = [TextChunk.model_validate({"choices": [{"text": text}]}) for text in "ab"]
    (choice,) = build_text_reply(chunks).choices
    assert (choice.text, choice.logprobs) == ("ab", None)
    assert build_text_reply([]) == TextReply()


def test_a_repeated_name_is_said_once() -> None:
    """Some servers repeat a function's whole name in every piece."""
    pieces = [FunctionDelta(name="f", arguments="{"), FunctionDelta(name="f", arguments="}")]
    for field in ("function_call", "tool_calls"):
        chunks = []
        for piece in pieces:
            delta = Delta(function_call=piece)
            if field == "tool_calls":
                delta = Delta(tool_calls=[ToolCallDelta(index=0, function=piece)])
            chunks.append(_chunk(delta))
        message = build_reply(chunks).choices[0].message.model_dump()
        call = message[field] if field == "function_call" else message[field][0]["function"]
        assert call == {"arguments": "{}", "name": "f"}


def test_audio_adds_up() -> None:
    """Sound and transcript join, its id and expiry are the last ones said."""
    pieces: list[dict[str, Any]] = [
        {"id": "a", "data": "AA"},
        {"data": "BB", "transcript": "hi"},
        {"id": "a", "expires_at": 5, "format": None},
    ]
    reply = build_reply(_chunk(Delta(audio=piece)) for piece in pieces)
    assert reply.choices[0].message.audio == {
        "id": "a",
        "data": "AABB",
        "transcript": "hi",
        "expires_at": 5,
        "format": None,
    }


def test_unknown_fields_of_other_types_merge() -> None:
    """Unknown lists chain, mappings merge, of what has mixed types the last one counts."""
    pieces: list[dict[str, Any]] = [
        {"parts": [1], "filter": {"hate": {"filtered": False}}, "mixed": 1, "top": "x"},
        {"parts": [2], "filter": {"hate": {"severity": "safe"}}, "mixed": "a"},
    ]
    reply = build_reply(
        Chunk.model_validate({"choices": [{"index": 0, "delta": {}, **piece}]}) for piece in pieces
    )
    assert reply.choices[0].model_extra == {
        "parts": [1, 2],
        "filter": {"hate": {"filtered": False, "severity": "safe"}},
        "mixed": "a",
        "top": "x",
    }


def test_a_later_null_does_not_take_an_unknown_field_away() -> None:
    """What a server has said of the whole reply stays said."""
    reply = build_reply(Chunk.model_validate({"x": value}) for value in (1, None))
    assert reply.model_extra == {"x": 1}


def test_unknown_fields_of_logprobs_and_functions_survive() -> None:
    """The smallest records keep what they do not know as well."""
    choice = {
        "index": 0,
        "logprobs": {"content": [], "scale": "ln"},
        "delta": {"function_call": {"name": "f", "note": "n"}},
    }
    built = build_reply([Chunk.model_validate({"choices": [choice]})]).choices[0].model_dump()
    assert built["logprobs"] == {"content": [], "scale": "ln"}
    assert built["message"]["function_call"]["note"] == "n"


def test_the_work_grows_with_the_number_of_chunks() -> None:
    """Twice the chunks take twice the function calls, not four times."""
    assert _calls(400) < 2.2 * _calls(200)


def _calls(count: int) -> int:
    chunks = [
        Chunk.model_validate(
            {
                "choices": [
                    {
                        "index": 0,
                        "delta": {"content": "a", "x": "b", "reasoning_content": "c"},
                        "message": {"role": "assistant", "content": "a" * at},
                    }
                ]
            }
        )
        for at in range(count)
    ]
    calls = 0

    def counted(frame: Any, event: str, argument: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(counted)
    try:
        build_reply(chunks)
    finally:
        sys.setprofile(before)
    return calls
