"""Other people's chunks: read alike whatever they are, and never another error than ours."""

from __future__ import annotations

import contextlib
import enum
import json
import types
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.client.foreign_objects import KINDS, STREAMS, Old, Strict, chat, ours, text, usage

from deltaweir.client.classic_objects import ClassicObject
from deltaweir.client.foreign import chunk_of, likened, tells_all
from deltaweir.errors import StreamFailed
from deltaweir.types import Choice, Chunk, Delta, TextChoice, TextChunk, Usage

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False) | st.text("ab"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["choices", "delta", "index", "content", "usage", "text", "a", "error"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", STREAMS)
def test_every_kind_reads_alike(kind: str, name: str) -> None:
    """A chunk reads as the same record whatever object it is."""
    for data in STREAMS[name]:
        assert chunk_of(KINDS[kind](data)) == chunk_of(data)


def test_a_chunk_reads_as_its_record() -> None:
    """What is read is what the data says, unknown fields too."""
    chunk = chunk_of(chat("Hi", provider="x", usage=usage(1, 2, cost=3)))
    assert isinstance(chunk, Chunk)
    assert (chunk.id, chunk.model, chunk.choices[0].delta.content) == ("c1", "gpt-4o", "Hi")
    assert chunk.usage == Usage.model_validate(usage(1, 2, cost=3))
    assert chunk["provider"] == "x"
    assert isinstance(chunk_of(text("Hi")), TextChunk)


def test_nothing_is_shared() -> None:
    """A record that is changed leaves the original alone, also when that is a record."""
    for kind in KINDS.values():
        original = kind(chat("Hi"))
        chunk = chunk_of(original)
        assert isinstance(chunk, Chunk)
        chunk.choices[0].delta.content = "Ho"
        assert chunk_of(original) == chunk_of(chat("Hi"))


def test_other_names() -> None:
    """Reasoning under another name is reasoning; one that is no text is kept as it is."""
    chunks = [chunk_of(chat({"reasoning": value})) for value in ("Hm", {"effort": 1})]
    deltas = [chunk.choices[0].delta for chunk in chunks if isinstance(chunk, Chunk)]
    assert deltas[0] == Delta(reasoning="Hm")
    assert deltas[1]["reasoning"] == {"effort": 1}


def test_kinds_that_are_not_told() -> None:
    """A chunk without object and choices is of the kind that its stream is."""
    assert type(chunk_of({"id": "x", "choices": []})) is Chunk
    assert type(chunk_of({"id": "x", "choices": []}, kind=TextChunk)) is TextChunk
    assert type(chunk_of({"choices": [{"text": ""}]})) is TextChunk


def test_odd_objects() -> None:
    """Properties, texts that are enumerations, mappings and tuples are read as well."""

    class End(enum.StrEnum):
        STOP = "stop"

    class Properties:
        __slots__ = ()
        choices = (types.MappingProxyType({"index": 0, "finish_reason": End.STOP}),)
        id = "p"

    assert chunk_of(Properties()) == Chunk(id="p", choices=[Choice(finish_reason="stop")])


def test_usage_without_figures_is_none() -> None:
    """An empty usage is no usage, but one of zeros is."""
    assert chunk_of(chat("a", usage={})).usage is None
    assert chunk_of(chat("a", usage=usage(0, 0))).usage == Usage()


class Hostile:
    """An object that cannot be read."""

    @property
    def choices(self) -> Any:
        """Raise."""
        raise ZeroDivisionError


def deep() -> Any:
    """Return what is nested too deeply."""
    value: Any = "x"
    for _ in range(150):
        value = [value]
    return chat("a", deep=value)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (("id", "c1"), "got a tuple as a chunk: expected an object with choices"),
        ("text", "got a str"),
        (None, "got a NoneType"),
        (object(), "got a object"),
        ({"type": "content.delta"}, "expected choices or usage"),
        (chat({"content": 5}), "`int`"),
        ({"choices": 5}, "TypeError"),
        ({"choices": [5]}, "reading it raised"),
        ({"choices": [{"message": {"content": "secret"}}]}, "stream=True"),
        ({"error": {"message": "overloaded", "code": "busy"}}, "the stream broke off: overloaded"),
        ({"error": {"code": 5}}, "did not say why"),
        (Hostile(), "reading it raised ZeroDivisionError"),
        (deep(), "nested deeper"),
    ],
)
def test_what_is_no_chunk(value: Any, said: str) -> None:
    """What is no chunk fails with our error, which says what came and holds none of it."""
    with pytest.raises(StreamFailed) as caught:
        chunk_of(value)
    assert said in str(caught.value)
    assert str(caught.value) == caught.value.message
    assert "secret" not in str(caught.value)


@given(value=JSON)
def test_anything(value: Any) -> None:
    """Whatever is read, a record or our error comes."""
    with contextlib.suppress(StreamFailed):
        assert isinstance(chunk_of(value), Chunk | TextChunk)


def cut() -> Chunk:
    """Return a chunk as a budget leaves it."""
    return Chunk(id="c1", choices=[Choice(delta=Delta(content="H"), finish_reason=None)])


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("object", "ours")])
def test_likened(kind: str) -> None:
    """A chunk of ours becomes an object of the original's kind, inside as well."""
    original = KINDS[kind](chat("Hi"))
    made = likened(original, cut())
    assert type(made) is type(original)
    assert chunk_of(made) == cut()
    if kind != "dict":
        assert made.choices[0].delta.content == "H"
        assert made.choices[0].finish_reason is None


def test_where_there_is_no_such_object() -> None:
    """Our own record stands in, which has items and attributes."""
    for original in (types.SimpleNamespace(id="x"), Strict(chat("Hi")), Chunk(id="x")):
        chunk = cut()
        assert likened(original, chunk) is chunk


def test_a_model_may_be_constructed_where_it_does_not_validate() -> None:
    """A class that refuses a chunk without an end may still construct one."""

    class Lenient(Strict):
        @classmethod
        def model_construct(cls, **values: Any) -> Any:
            return Old.construct_from(values)

    made = likened(Lenient(text("Hi")), TextChunk(choices=[TextChoice(text="H")]))
    assert made.choices[0].text == "H"


def test_a_dict_keeps_order_and_nulls() -> None:
    """A dict has the keys of its stream, null where there is nothing, in the stream's order."""
    original = chat("Hi", usage=None, system_fingerprint="fp")
    made = likened(original, cut())
    assert list(made) == list(original)
    assert (made["usage"], made["system_fingerprint"]) == (None, None)
    assert list(made["choices"][0]) == list(original["choices"][0])
    assert made["choices"][0]["logprobs"] is None


def test_a_chunk_of_the_classic_surface() -> None:
    """It stays a dict with attributes, in the order that its stream has."""
    original = ClassicObject.construct_from(chat("Hi", usage=None))
    made = likened(original, cut())
    assert type(made) is type(made.choices[0].delta) is ClassicObject
    assert json.loads(json.dumps(made)) == made
    assert (list(made)[: len(original)], made.usage) == (list(original), None)


def test_reasoning_keeps_its_name() -> None:
    """Reasoning is called what the stream calls it."""
    shorter = Chunk(choices=[Choice(delta=Delta(reasoning="H")), Choice(index=1)])
    made = likened(chat({"reasoning": "Hm"}), shorter)
    assert [choice["delta"] for choice in made["choices"]] == [{"reasoning": "H"}, {}]


class Pydantic:
    """A model as pydantic has it: fields, extra fields, and private attributes apart."""

    __slots__ = ("__dict__", "__pydantic_extra__", "__pydantic_private__")

    def __init__(self, extra: dict[str, Any] | None = None, /, **fields: Any) -> None:
        self.__dict__.update(fields)
        self.__pydantic_extra__ = extra
        self.__pydantic_private__: dict[str, Any] | None = None


def test_extra_fields_are_data_whatever_they_are_called() -> None:
    """A server may call a field anything; only attributes with an underscore are not read."""
    delta = Pydantic({"_raw": "x"}, content="a", _aside=1)
    assert isinstance(chunk := chunk_of({"choices": [{"delta": delta}]}), Chunk)
    assert chunk.choices[0].delta.model_dump() == {"content": "a", "_raw": "x"}
    assert chunk_of(ours(chat({"content": "a", "_raw": "x"}))) == chunk_of(
        chat({"content": "a", "_raw": "x"})
    )


def test_which_objects_tell_all() -> None:
    """What has words where nobody reads is told from what has none."""

    class Slotted:
        __slots__ = ("content",)

    private, attributed = Pydantic(content="a"), Old(content="a")
    private.__pydantic_private__ = {"_text": "x"}
    attributed.__dict__["text"] = "x"
    for delta, known in (
        ({"content": "a", "_raw": ["x", ("y", None)]}, True),
        (Delta(content="a"), True),
        (Pydantic({"_raw": "x"}, content="a", _aside=object()), True),
        (Pydantic(content="a", _aside=""), True),
        (Pydantic(content="a", _aside="x"), False),
        (Pydantic({"_raw": Pydantic(_aside=["x"])}), False),
        (private, False),
        (types.SimpleNamespace(content="a"), True),
        (types.SimpleNamespace(content="a", _aside="x"), False),
        (Old(content="a"), True),
        (attributed, False),
        (Slotted(), False),
        (types.MappingProxyType({"content": "a"}), False),
    ):
        assert tells_all({"choices": [Pydantic(delta=delta)]}) is known
