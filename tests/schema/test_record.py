"""Records are values with attributes and items, and nothing a peer sends can break them."""

from __future__ import annotations

import copy
import json
import operator
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaweir.errors import DeltaweirError, InvalidRequest, StreamFailed
from deltaweir.schema.record import Record, plain
from deltaweir.types import (
    ChatRequest,
    Choice,
    Chunk,
    Delta,
    Reply,
    StreamOptions,
    TextChunk,
    TextReply,
    TextRequest,
    Usage,
)

KINDS: list[type[Record]] = [Chunk, TextChunk, Reply, TextReply, ChatRequest, TextRequest]

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=12,
)
NAMES = st.sampled_from(
    [
        "choices", "delta", "content", "index", "usage", "tool_calls", "function", "logprobs",
        "items", "keys", "get", "model_dump", "invalid", "__class__", "__dict__", "__aside__",
        "__reduce_ex__", "__struct_fields__", "provider", "", "messages", "prompt", "role",
    ]
)  # fmt: skip
LIKELY = st.recursive(
    JSON,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
EXTRA = st.dictionaries(
    st.sampled_from(["items", "keys", "__class__", "model_dump", "provider", "a b", "_x"]),
    JSON,
    max_size=3,
)


def outcome(read: Callable[[Any], Record], value: Any) -> Record | DeltaweirError:
    """Return what reading gives: a record, or an error of ours."""
    try:
        return read(value)
    except DeltaweirError as error:
        return error


def pickled(record: Any) -> Any:
    """Return a record after a journey through pickle."""
    return pickle.loads(pickle.dumps(record))  # noqa: S301  # our own bytes


def chunk() -> Chunk:
    """Return a chunk with a text."""
    return Chunk(choices=[Choice(delta=Delta(content="hi"))], created=7, id="chatcmpl-1", model="m")


def test_fields_are_attributes_and_items() -> None:
    """Every field can be read as an attribute, an item and with `get`."""
    one = chunk()
    assert one.choices[0].delta.content == "hi"
    assert one["choices"][0]["delta"]["content"] == "hi"
    assert one.get("id") == "chatcmpl-1"
    assert list(one) == one.keys() == ["choices", "created", "id", "model", "object"]


def test_null_is_not_there() -> None:
    """A known field that holds null is not found, unless the protocol requires its key."""
    one = chunk()
    assert one.usage is None
    assert "usage" not in one
    assert one.get("usage", 5) == 5
    assert 5 not in one
    with pytest.raises(KeyError, match="usage"):
        one["usage"]
    assert one.choices[0]["finish_reason"] is None
    assert "finish_reason" in one.choices[0]


def test_a_field_nobody_knows_is_missing() -> None:
    """What was never sent raises AttributeError, as on any object."""
    with pytest.raises(AttributeError, match="nothing"):
        chunk().nothing  # type: ignore[attr-defined]  # noqa: B018


def test_dict_and_dump_agree() -> None:
    """`dict` keeps records inside, `model_dump` is plain all the way down."""
    one = chunk()
    assert dict(one)["choices"] == one.choices
    assert dict(one.items()) == dict(one)
    assert one.model_dump()["choices"] == [
        {"delta": {"content": "hi"}, "finish_reason": None, "index": 0}
    ]
    assert "finish_reason" not in one.model_dump(exclude_none=True)["choices"][0]


def test_json_is_compact_unless_indented() -> None:
    """`model_dump_json` writes one line, or as many as an indent asks for."""
    delta = Delta(content="é")
    assert delta.model_dump_json() == '{"content":"é"}'
    assert delta.model_dump_json(indent=2) == '{\n  "content": "é"\n}'


def test_equality_is_by_class_and_fields() -> None:
    """Records are equal when class, known and unknown fields are."""
    assert chunk() == chunk()
    assert chunk() != Chunk()
    assert chunk() != chunk().model_dump()
    assert not operator.eq(chunk(), chunk().model_dump())
    assert Delta.model_validate({"x": 1}) != Delta()
    with pytest.raises(TypeError, match="unhashable"):
        hash(chunk())


def test_repr_shows_what_is_there() -> None:
    """The repr names the class and the fields that hold something."""
    assert repr(Delta(content="a", role="assistant")) == "Delta(content='a', role='assistant')"


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickled])
def test_copies_are_equal(copied: Any) -> None:
    """Copies and pickles keep known and unknown fields, whatever a program has put there."""
    one = chunk()
    one.created = "soon"  # type: ignore[assignment]  # a program's own business
    one.note = Usage(total_tokens=3)  # type: ignore[attr-defined]
    again = copied(one)
    assert again == one
    assert again is not one
    again.id = "other"
    assert one.id == "chatcmpl-1"


def test_a_deep_copy_shares_nothing() -> None:
    """A deep copy can be changed without changing the first."""
    one = Chunk.model_validate({"x": {"a": [1]}, "items": [2]})
    two = copy.deepcopy(one)
    two["x"]["a"].append(2)
    two["items"].append(3)
    assert one.model_dump()["x"] == {"a": [1]}
    assert one["items"] == [2]


def test_a_pickle_of_another_release_is_read() -> None:
    """A known field that this release does not know any more becomes an unknown one."""
    rebuild, arguments = Delta(content="a").__reduce__()
    kind, fields, unknown = arguments
    assert rebuild(kind, {**fields, "gone": 1}, unknown) == Delta.model_validate(
        {"content": "a", "gone": 1}
    )


@given(EXTRA, EXTRA, EXTRA)
def test_unknown_fields_survive(top: Any, choice: Any, delta: Any) -> None:
    """Unknown fields at every level, whatever their names, are dumped and pickled as they came."""
    value = {"id": "1", "choices": [{"delta": {"content": "x", **delta}, **choice}], **top}
    one = Chunk.model_validate_json(json.dumps(value))
    for same in (one, pickled(one), copy.copy(one), copy.deepcopy(one)):
        dumped = json.loads(same.model_dump_json())
        assert {name: dumped[name] for name in top} == top
        assert {name: dumped["choices"][0][name] for name in choice} == choice
        assert dumped["choices"][0]["delta"] == {"content": "x", **delta}
        assert same.model_extra == top
        assert all(same[name] == top[name] for name in top)


def test_unknown_fields_are_attributes() -> None:
    """An unknown field is an attribute, unless Python needs its name; then it is an item."""
    one = Delta.model_validate({"mood": "good", "items": 1, "keys": 2})
    assert one.mood == "good"  # type: ignore[attr-defined]
    assert one["items"] == 1
    assert dict(one) == {"mood": "good", "items": 1, "keys": 2}
    assert one.model_extra == {"mood": "good", "items": 1, "keys": 2}
    one.mood = "bad"  # type: ignore[attr-defined]
    assert one["mood"] == "bad"


@pytest.mark.parametrize("kind", KINDS)
@given(st.binary(max_size=40) | st.text(max_size=40) | LIKELY.map(json.dumps))
def test_garbage_is_one_error_or_none(kind: type[Record], text: bytes | str) -> None:
    """Any text gives a record that can be used, or the error of its class, and no other."""
    one = outcome(kind.model_validate_json, text)
    if isinstance(one, DeltaweirError):
        assert type(one) is kind.invalid
    else:
        again = kind.model_validate_json(one.model_dump_json())
        assert again.model_dump() == one.model_dump()
        assert repr(pickled(one)) == repr(one)


@pytest.mark.parametrize("kind", KINDS)
@given(LIKELY)
def test_garbage_as_plain_data_is_one_error_or_none(kind: type[Record], value: Any) -> None:
    """Any plain data gives a record, or the error of its class, and no other."""
    one = outcome(kind.model_validate, value)
    if isinstance(one, DeltaweirError):
        assert type(one) is kind.invalid
    else:
        assert one == kind.model_validate(one.model_dump())


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"null",
        b"7",
        b'"text"',
        b"{",
        b"\xff",
        b"\xef\xbb\xbf{}",
        b'{"id":"\\ud800"}',
        '{"id":"\ud800"}',
        b'{"id":NaN}',
        b'{"created":1e999}',
        b'{"choices":{}}',
        b'{"choices":[1]}',
        b'{"choices":[{"delta":[]}]}',
        b'{"choices":[{"delta":{"content":1}}]}',
        b'{"id":5}',
        b"[" * 100_000,
        b'{"x":' + b"[" * 100_000,
        b'{"x":' + b"[" * 400 + b"]" * 400 + b"}",
        b'{"deltaweir":{"x":' + b"[" * 400 + b"]" * 400 + b"}}",
        '{"deltaweir":{"x":' + "[" * 400 + "]" * 400 + "}}",
    ],
    ids=repr,
)
def test_malformed_text_is_refused(text: bytes | str) -> None:
    """What is no JSON object, has a wrong type or nests without end is the stream's failure."""
    with pytest.raises(StreamFailed):
        Chunk.model_validate_json(text)


def test_dumps_take_the_options_that_programs_for_pydantic_give() -> None:
    """What did not come is never dumped, and a required null need not be."""
    one = Chunk.model_validate({"choices": [{"delta": {"content": "a"}}], "id": "c", "x": None})
    assert one.model_dump(exclude_unset=True) == one.model_dump()
    assert one.model_dump_json(exclude_unset=True) == one.model_dump_json()
    short = one.model_dump(exclude_none=True)
    assert json.loads(one.model_dump_json(exclude_none=True)) == short
    assert short["choices"] == [{"delta": {"content": "a"}, "index": 0}]


def test_whole_numbers_may_come_with_a_fraction() -> None:
    """As clocks give them to servers written in Python; a caller is told instead."""
    one = Chunk.model_validate_json(
        b'{"created":1746709563.492141,"usage":{"completion_tokens":7.0},"x":1.5}'
    )
    assert (one.created, one.usage, one["x"]) == (1746709563, Usage(completion_tokens=7), 1.5)
    assert type(one.created) is int
    for far in ("1e300", "-1e300"):
        with pytest.raises(StreamFailed, match="created"):
            Chunk.model_validate_json(b'{"created":%b}' % far.encode())
    with pytest.raises(StreamFailed):
        Chunk.model_validate({"created": float("nan")})
    with pytest.raises(InvalidRequest, match="max_tokens"):
        ChatRequest.model_validate({"messages": [], "max_tokens": 7.5})


def test_many_brackets_are_not_deep() -> None:
    """A long list of logprobs is read, though it has many brackets."""
    tokens = [{"token": "a", "logprob": -1.0, "top_logprobs": []} for _ in range(99)]
    value = {"choices": [{"logprobs": {"content": tokens}}]}
    one = Chunk.model_validate_json(json.dumps(value))
    assert one.choices[0].logprobs is not None
    assert len(one.choices[0].logprobs.content or ()) == 99


def test_null_for_a_field_that_cannot_be_null_is_not_there() -> None:
    """Servers write null for an absent list; the default stands in for it."""
    assert Chunk.model_validate_json('{"choices":null,"id":null}') == Chunk()
    kept = {"choices": [{"logprobs": {"content": [{"token": "a", "top_logprobs": None}]}}]}
    logprobs = Chunk.model_validate(kept).choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    assert logprobs.content[0].top_logprobs is None


def test_names_of_fields_are_texts() -> None:
    """Plain data with other keys is refused."""
    with pytest.raises(StreamFailed, match="names of fields"):
        Chunk.model_validate({1: 2})  # type: ignore[dict-item]


def test_nested_records_say_whose_fault_it_was() -> None:
    """A malformed request is its caller's fault at every level, and names the field."""
    with pytest.raises(InvalidRequest) as caught:
        ChatRequest.model_validate({"stream_options": {"include_usage": 3}})
    assert caught.value.param == "stream_options.include_usage"
    with pytest.raises(InvalidRequest):
        StreamOptions.model_validate_json("[]")


class Foreign:
    """An object like those of the openai package."""

    def model_dump(self, *, exclude_unset: bool) -> dict[str, Any]:
        """Return plain data, unset fields left out."""
        return {"role": "user"} if exclude_unset else {"role": "user", "x": None}


def test_plain_takes_all_that_callers_pass_for_json() -> None:
    """Records, mappings, tuples and objects like pydantic's become plain data."""
    assert plain({"a": (Delta(content="x"), Foreign(), None, 1.5)}) == {
        "a": [{"content": "x"}, {"role": "user"}, None, 1.5]
    }
    assert plain({50256: -100}) == {"50256": -100}
    assert plain(Foreign) is Foreign
    marker = object()
    assert plain(marker) is marker
