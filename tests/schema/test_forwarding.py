"""Chunks that are passed on: the bytes that came go out, and none is misread for another."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.hiding import Hiding

from deltaweir.errors import StreamFailed
from deltaweir.schema.chunk import Chunk, TextChunk
from deltaweir.schema.forwarding import (
    MOST_MISSES,
    AnyForwarded,
    ForwardedChunk,
    ForwardedTextChunk,
    Forwarder,
    Splicer,
    frame_of,
)
from deltaweir.schema.reading import fields_of
from deltaweir.schema.record import Record
from deltaweir.schema.text_frames import Frame
from deltaweir.schema.unread import take_out_unread, take_out_unread_of
from deltaweir.weir import Weir

KINDS: list[tuple[type[AnyForwarded], type[Chunk | TextChunk]]] = [
    (ForwardedChunk, Chunk),
    (ForwardedTextChunk, TextChunk),
]
NASTY = [
    '"}',
    '"content":"B"',
    '"},"finish_reason":null}]}',
    '\\","content":"x',
    "\\",
    '\\"',
    "\n\r\t\0\x1f\x7f",
    "\u2028\U0001f600",
    '"obfuscation":"abc"}',
    '{"choices":[{"delta":{"content":"inside"}}]}',
    "[" * 9,
]
TEXTS = st.sampled_from(["a", "Hello", " world", "", *NASTY]) | st.text(max_size=6)
ANYWHERE = [None, 5, 0.5, True, "", "a", "secret words", [], ["x"], {}, {"content": "B"}, 10**30]
CHUNK_NAMES = ["obfuscation", "service_tier", "x", "token_ids", "content", "raw", "(raw)", 'o"k']
CHOICE_NAMES = ["text", "stop_reason", "content", "obfuscation", "token_ids", "retold", "items"]
DELTA_NAMES = ["name", "token_ids", "obfuscation", "delta"]


class Style:
    """How a server writes JSON: with blanks or none, and with more escapes or fewer.

    Args:
        blanks: What stands behind commas and colons.
        escapes: Writes a text.
    """

    def __init__(self, blanks: tuple[str, str], escapes: Callable[[str], str]) -> None:
        self._comma, self._colon = "," + blanks[0], blanks[1] + ":" + blanks[0]
        self._escapes = escapes

    def write(self, value: Any) -> str:
        """Return a value as JSON; pairs in the order they have."""
        if isinstance(value, Mapping):
            pairs = (
                f"{json.dumps(name)}{self._colon}{self.write(inner)}"
                for name, inner in value.items()
            )
            return "{" + self._comma.join(pairs) + "}"
        if isinstance(value, list):
            return "[" + self._comma.join(map(self.write, value)) + "]"
        return self._escapes(value) if isinstance(value, str) else json.dumps(value)


def spelled_out(text: str) -> str:
    """Return a text with each of its characters escaped."""
    units = text.encode("utf-16-be")
    pairs = zip(units[::2], units[1::2], strict=True)
    return '"' + "".join(f"\\u{high:02x}{low:02X}" for high, low in pairs) + '"'


BLANKS = st.sampled_from([("", ""), (" ", ""), ("\t ", " "), ("\n", "")])
USUAL: list[Callable[[str], str]] = [
    json.dumps,
    lambda text: json.dumps(text, ensure_ascii=False),
    lambda text: json.dumps(text).replace("/", "\\/"),
]


def unknown(names: Sequence[str]) -> st.SearchStrategy[dict[str, Any]]:
    """Return unknown fields of a record."""
    return st.dictionaries(st.sampled_from(names), st.sampled_from(ANYWHERE), max_size=2)


class Written:
    """One chunk as a server wrote it.

    Attributes:
        data: Its bytes.
        fields: What they say.
    """

    def __init__(self, style: Style, fields: dict[str, Any]) -> None:
        self.fields = fields
        self.data = style.write(fields).encode()


@st.composite
def streams(draw: st.DrawFn, *, plain: bool = False) -> tuple[bool, list[Written]]:
    """Return whether a stream is one of text completions, and its chunks; most are much alike.

    Args:
        draw: Draws.
        plain: Whether all bring one text and have no unknown fields.
    """
    text = draw(st.booleans())
    style = Style(draw(BLANKS), draw(st.sampled_from(USUAL if plain else [*USUAL, spelled_out])))
    more = st.just({}) if plain else unknown(CHUNK_NAMES[0 if text else 2 :])
    of_choice = st.just({}) if plain else unknown(CHOICE_NAMES[1 if text else 0 :])
    of_delta = st.just({}) if plain else unknown(DELTA_NAMES)
    envelope = {"id": "c1", "created": 5, "model": draw(st.sampled_from(["m", "a/b"]))}
    envelope |= draw(more)
    filled = draw(st.booleans()) and (plain is False or not text)
    hidden, apart = draw(of_delta), draw(of_choice)
    count = 1 if plain else draw(st.sampled_from([1, 1, 1, 2]))
    order = draw(st.randoms(use_true_random=False))
    outer, inner = draw(st.booleans()), draw(st.booleans())

    def shuffled(fields: dict[str, Any], *, wanted: bool) -> dict[str, Any]:
        names = list(fields)
        if wanted:
            order.seed(len(names))  # all chunks of a stream have one order
            order.shuffle(names)
        return {name: fields[name] for name in names}

    def choice(index: int) -> dict[str, Any]:
        if not plain and draw(st.integers(0, 7)) == 0:
            apart.update(draw(of_choice))
            hidden.update(draw(of_delta))
        said = draw(TEXTS.filter(bool) if plain else TEXTS)
        delta: dict[str, Any] = {"content": said, **hidden}
        if not plain and draw(st.integers(0, 9)) == 0:
            delta["role"] = "assistant"
        brought = {"text": said} if text else {"delta": delta}
        end = None if plain else draw(st.sampled_from([None, None, None, None, "stop"]))
        return shuffled(
            {"index": index, **brought, "logprobs": None, "finish_reason": end, **apart},
            wanted=inner,
        )

    chunks = []
    for _ in range(draw(st.integers(1, 5))):
        fields = {**envelope, "choices": [choice(index) for index in range(count)]}
        if filled:
            fields["obfuscation"] = "aZ9" * draw(st.integers(0, 5))
        if not plain and draw(st.integers(0, 9)) == 0:
            fields |= draw(st.sampled_from([{"usage": {"completion_tokens": 3}}, {"x": [1]}]))
        chunks.append(Written(style, shuffled(fields, wanted=outer)))
    return text, chunks


def known(value: Any) -> Any:
    """Return all known fields of a record."""
    if isinstance(value, Record):
        return {one.name: known(getattr(value, one.name)) for one in fields_of(type(value))}
    return [known(one) for one in value] if isinstance(value, list) else value


def plainly(data: bytes, *, text: bool = False) -> Any:
    """Return what the plain record reads; None where it refuses."""
    try:
        return known((TextChunk if text else Chunk).model_validate_json(data))
    except StreamFailed:
        return None


def forwarded(forwarder: Forwarder, data: bytes) -> Any:
    """Return what a forwarder reads; None where it refuses."""
    try:
        return known(forwarder.read(data))
    except StreamFailed:
        return None


def forwarder_of(*, text: bool = False, guarded: bool = False) -> Forwarder:
    """Return a forwarder."""
    return Forwarder(KINDS[text][0], guarded=guarded)


def chat(content: str, after: str = "", **more: Any) -> bytes:
    """Return a chunk with an unknown field, so that its shape is learned."""
    choice = {"index": 0, "delta": {"content": content}, "finish_reason": None}
    fields = {"id": "c1", "choices": [choice], "x": 5, **more}
    return json.dumps(fields, separators=(",", ":")).encode()[:-1] + after.encode() + b"}"


# --- what is read, and what goes out ---------------------------------------------------------


@given(streams(), st.booleans())
def test_a_chunk_is_read_as_ever_and_goes_out_as_it_came(
    stream: tuple[bool, list[Written]], guarded: bool
) -> None:
    """However a server writes its chunks, they say what the plain record reads, byte for byte."""
    text, chunks = stream
    forwarder, splicer = forwarder_of(text=text, guarded=guarded), Splicer()
    for one in chunks:
        chunk = forwarder.read(one.data)
        assert known(chunk) == plainly(one.data, text=text)
        assert guarded or splicer.data(chunk) == one.data


@given(streams(), st.lists(TEXTS, min_size=6, max_size=6))
def test_one_splice_changes_the_text_alone(
    stream: tuple[bool, list[Written]], told: list[str]
) -> None:
    """Where a chunk's text was replaced, all else of it is said as before, if by its bytes."""
    text, chunks = stream
    forwarder, splicer = forwarder_of(text=text), Splicer()
    for one, other in zip(chunks, told, strict=False):
        chunk = forwarder.read(one.data)
        data = retold(splicer, chunk, other)
        if data is None:
            continue
        choice = one.fields["choices"][0]
        (choice if text else choice["delta"])["text" if text else "content"] = other
        assert json.loads(data) == one.fields


@given(streams(plain=True), st.lists(TEXTS, min_size=6, max_size=6))
def test_the_commonest_chunks_never_need_an_encoding(
    stream: tuple[bool, list[Written]], told: list[str]
) -> None:
    """One that brings a text and nothing else is spliced, however it is written."""
    text, chunks = stream
    forwarder, splicer = forwarder_of(text=text), Splicer()
    for one, other in zip(chunks, told, strict=False):
        assert retold(splicer, forwarder.read(one.data), other) is not None


def retold(splicer: Splicer, chunk: AnyForwarded, text: str) -> bytes | None:
    """Return a chunk's bytes once its text is another."""
    choice: Any = chunk.choices[0]
    if isinstance(chunk, Chunk):
        choice.delta.content = text or None
    else:
        choice.text = text
    chunk.retold = True
    return splicer.data(chunk)


@given(streams())
def test_a_guard_lets_nothing_pass_that_it_cannot_read(
    stream: tuple[bool, list[Written]],
) -> None:
    """Of what leaves a guarded weir nothing need be taken out, learned shape or not."""
    text, chunks = stream
    kind, plain = KINDS[text]
    forwarder, splicer = forwarder_of(text=text, guarded=True), Splicer()
    weir: Weir[Any] = Weir(kind, guard=Hiding("ll", "content"))
    for one in chunks:
        for shown in weir.feed(forwarder.read(one.data), 0.0):
            data = splicer.data(shown) or msgspec.json.encode(shown.model_dump())
            again = plain.model_validate_json(data)
            choices: Any = again.choices
            assert not take_out_unread_of(again)
            assert not any(map(take_out_unread, choices))


@pytest.mark.parametrize("guarded", [False, True])
def test_a_learned_shape_keeps_unknown_fields_that_a_guard_may_pass(guarded: bool) -> None:
    """Figures stay where they were; words go, in the first chunk as in all that follow."""
    forwarder, splicer = forwarder_of(guarded=guarded), Splicer()
    weir: Weir[Any] = Weir(ForwardedChunk, guard=Hiding("zzz") if guarded else None)
    for text in "abc":
        (shown,) = weir.feed(forwarder.read(chat(text, verbose="words")), 0.0)
        data = json.loads(splicer.data(shown) or shown.model_dump_json())
        assert (data["choices"][0]["delta"]["content"], data["x"]) == (text, 5)
        assert ("verbose" in data) is not guarded


@pytest.mark.parametrize(
    ("where", "first"),
    [("choice", ""), ("choice", None), ("chunk", ""), ("chunk", None), ("delta", "")],
)
def test_what_only_looks_like_filling_is_no_place_for_words(where: str, first: Any) -> None:
    """A field of that name elsewhere may begin empty; what it holds later does not pass."""
    forwarder, splicer = forwarder_of(guarded=True), Splicer()
    weir: Weir[Any] = Weir(ForwardedChunk, guard=Hiding("zzz"))
    name = 'o"obfuscation' if where == "chunk" else "obfuscation"
    for text, filling in (("a", first), ("b", first), ("c", "secret")):
        fields = json.loads(chat(text))
        choice = fields["choices"][0]
        {"choice": choice, "chunk": fields, "delta": choice["delta"]}[where][name] = filling
        data = json.dumps(fields, separators=(",", ":")).encode()
        (shown,) = weir.feed(forwarder.read(data), 0.0)
        assert "secret" not in str(splicer.data(shown) or shown.model_dump_json())


@pytest.mark.parametrize("missing", ["finish_reason", "one of two"])
def test_chunks_without_the_key_that_clients_need_are_encoded_anew(missing: str) -> None:
    """Many servers forget it, and typed clients fail without it."""
    choices: list[dict[str, Any]] = [{"index": 0, "delta": {"content": "a"}}]
    if missing == "one of two":
        choices.append({"index": 1, "delta": {"content": "b"}, "finish_reason": None})
    chunk = forwarder_of().read(json.dumps({"id": "c1", "choices": choices}).encode())
    assert Splicer().data(chunk) is None


@pytest.mark.parametrize("name", ["raw", "retold", "(raw)", "(retold)"])
@pytest.mark.parametrize("value", ["c2VjcmV0", "no base64", True, None, {"a": 1}])
def test_a_server_may_have_fields_of_any_name(name: str, value: Any) -> None:
    """What we keep beside a chunk is not to be set by a peer, nor shown to one."""
    more = chat("a", **{name: value})
    for data in (more, more.replace(b'"x":5,', b"")):  # beside others, and alone
        chunk = forwarder_of().read(data)
        assert (chunk.raw, chunk.retold) == (data, False)
        assert chunk.model_dump().get(name) in (value, None)
    plain = forwarder_of().read(chat("a"))
    assert not {"raw", "retold", "(raw)", "(retold)"} & set(plain.model_dump())


# --- no chunk is misread ----------------------------------------------------------------------

INTO = [
    b'"content":"B"',
    b'"content":null,',
    b'"conten\\u0074":"C",',
    b',"conten\\u0074":"C"',
    b'"delta":{"content":"D"},',
    b',"choices":[]',
    b'"text":"T",',
    b'"',
    b"\\",
    b'"}',
    b"},",
    b'"obfuscation":"zz",',
    b',"obfuscation":"zz"',
    b'"obfuscat\\u0069on":"abc",',
    b'"role":"x",',
    b"\xff",
    b"\xed\xa0\x80",
    b"\\ud800",
    b"abc",
    b"null",
    b" ",
    b"\n",
    b"",
]
BASES = [
    chat("abc"),
    chat("abc", obfuscation="abc"),
    chat("abc", y={"obfuscation": "abc", "content": 5}),
    chat("abc", ',"conten\\u0074":"x"'),
    chat("abc").replace(b'"abc"', b'"abc","conten\\u0074":"abc"'),
    chat("abc").replace(b'"abc"', b'"abc","x":"\\\\"'),
    chat("abc", obfuscation="abc").replace(b'"abc"}}', b'"abc","obfuscation":"abc"}}'),
    chat("abc", model="a\\b", moderation={"a": 1}),
]
MARKS = b'"{}[]:,'


@given(
    st.lists(st.sampled_from(BASES), min_size=1, max_size=2),
    st.lists(
        st.lists(
            st.tuples(st.integers(0, 80), st.sampled_from([0, 0, 1, 3]), st.sampled_from(INTO)),
            min_size=1,
            max_size=2,
        ),
        min_size=1,
        max_size=6,
    ),
    st.booleans(),
)
@settings(max_examples=120)
def test_no_shape_is_seen_in_a_chunk_of_another(
    bases: list[bytes], changes: list[list[tuple[int, int, bytes]]], guarded: bool
) -> None:
    """Whatever is put into, or taken out of, chunks like those before, they say what they say."""
    forwarder = forwarder_of(guarded=guarded)
    for base in bases:
        assert forwarded(forwarder, base) == plainly(base)
    for change in changes:
        data = bases[-1]
        for place, gone, piece in change:
            marks = [at for at, byte in enumerate(data) if byte in MARKS]
            start = marks[place % len(marks)] + place % 2
            data = data[:start] + piece + data[start + gone :]
        assert forwarded(forwarder, data) == plainly(data)
        frame = frame_of(forwarder_of().read(base))
        found = None if frame is None else frame.place(data)
        if found is not None and plainly(data) is not None:
            assert json.loads(b'"' + data[found[0] : found[1]] + b'"') == said(data)


def said(data: bytes) -> str:
    """Return the content that a chunk brings."""
    return Chunk.model_validate_json(data).choices[0].delta.content or ""


@pytest.mark.parametrize(
    "between",
    [
        b'"B","content":"C"',
        b'"B","conten\\u0074":"C"',
        b'"B\\"',
        b'"\\ud800"',
        b'"\xff"',
        b'"B\n"',
        b'""',
        b"null",
        b"7",
    ],
)
def test_what_stands_in_the_place_of_a_text_is_looked_at(between: bytes) -> None:
    """Between what all chunks of a shape have in common may stand anything."""
    forwarder = forwarder_of()
    for text in "aA":
        forwarder.read(chat(text))
    data = chat("@").replace(b'"@"', between)
    assert forwarded(forwarder, data) == plainly(data)


@pytest.mark.parametrize("text", ["abc", 'a"b', "\\"])
def test_what_breaks_off_is_no_chunk_of_a_known_shape(text: str) -> None:
    """Wherever it does, in its text or behind."""
    data = chat(text)
    forwarder, frame = forwarder_of(), frame_of(forwarder_of().read(data.replace(b',"x":5', b"")))
    forwarder.read(data)
    assert frame is not None
    for end in range(len(data)):
        assert frame.place(data[:end]) is None
        assert forwarded(forwarder, data[:end]) is None


@pytest.mark.parametrize(
    "told",
    [
        {"moderation": {"flagged": True}},
        {"usage": {"completion_tokens": 3}},
        {"deltaweir": {"source": "x"}},
    ],
)
def test_what_is_told_beside_a_text_is_read_each_time(told: dict[str, Any]) -> None:
    """Chunks that bring more than text have no shape, and no frame."""
    forwarder = forwarder_of()
    for text in "aAb":
        assert forwarded(forwarder, chat(text, **told)) == plainly(chat(text, **told))
    data = chat("a", **told).replace(b'"x":5,', b"").replace(b',"x":5', b"")
    assert frame_of(forwarder_of().read(data)) is None


def test_shapes_are_not_looked_for_without_end() -> None:
    """A stream whose chunks are all different is read at the cost of reading, and read right."""
    forwarder = forwarder_of()
    for at in range(3 * MOST_MISSES):
        data = chat("a", y={f"y{at}": at})
        assert forwarded(forwarder, data) == plainly(data)
        assert len(forwarder._shapes) <= MOST_MISSES


# --- what is no chunk ------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["choices", "delta", "content", "text", "id", "index", "usage", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@given(st.binary(max_size=40) | JSON.map(lambda value: json.dumps(value).encode()), st.booleans())
@settings(max_examples=80)
def test_odd_input_is_the_streams_failure_or_a_chunk(data: bytes, text: bool) -> None:
    """Garbage of a server ends in an error of ours and in no other."""
    for guarded in (False, True):
        forwarder = forwarder_of(text=text, guarded=guarded)
        for _ in range(2):
            assert forwarded(forwarder, data) == plainly(data, text=text)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b'{"choices":5}',
        b'{"choices":[5]}',
        b'{"choices":[{"delta":{"content":5}}]}',
        b'{"choices":[{"delta":[]}]}',
        b'{"id":7}',
        b'{"id":"\xff"}',
        b'{"id":"\\ud800"}',
        b'{"created":1e999}',
        b'{"x":' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"choices":[]}{"choices":[]}',
    ],
    ids=lambda data: data[:30],
)
def test_what_is_no_chunk_is_refused(data: bytes) -> None:
    """Broken JSON, other types, half characters and depths without end are one typed error."""
    with pytest.raises(StreamFailed):
        forwarder_of().read(data)


# --- frames ----------------------------------------------------------------------------------


@given(streams(plain=True))
def test_a_frame_finds_the_text_of_every_chunk_like_it(stream: tuple[bool, list[Written]]) -> None:
    """What differs in a text, and in the filling that hides its length, has one frame."""
    text, chunks = stream
    forwarder = forwarder_of(text=text)
    frames = [frame_of(forwarder.read(one.data)) for one in chunks]
    for one, (was, frame) in itertools.product(chunks, zip(chunks, frames, strict=True)):
        if frame is None:
            assert b"\n" in was.data
            continue
        place = frame.place(one.data)
        fillable = was.fields.get("obfuscation") or not one.fields.get("obfuscation")
        assert (place is not None) or not fillable or frame.filling is None
        if place is not None:
            choice = one.fields["choices"][0]
            wanted = choice["text"] if text else choice["delta"]["content"]
            assert json.loads(b'"%b"' % one.data[place[0] : place[1]]) == wanted


@pytest.mark.parametrize(
    "change",
    [
        {"choices": [{"delta": {"role": "assistant", "content": "a"}, "finish_reason": None}]},
        {"choices": [{"delta": {"content": "a"}, "finish_reason": "stop"}]},
        {"choices": [{"delta": {"content": "a", "refusal": "b"}, "finish_reason": None}]},
        {"choices": [{"delta": {"content": ""}, "finish_reason": None}]},
        {"choices": [{"delta": {"content": "a"}}]},
        {"choices": []},
        {"x": 5},
    ],
)
def test_other_chunks_have_no_frame(change: dict[str, Any]) -> None:
    """Only one that brings one text, and says nothing else, is like all others but for it."""
    fields = json.loads(chat("a"))
    del fields["x"]
    assert isinstance(frame_of(forwarder_of().read(json.dumps(fields).encode())), Frame)
    assert frame_of(forwarder_of().read(json.dumps(fields | change).encode())) is None


def test_a_changed_chunk_has_the_frame_it_came_in() -> None:
    """What comes next comes in that, whatever was shown of this one."""
    chunk = forwarder_of().read(chat("a").replace(b',"x":5', b""))
    frame = frame_of(chunk)
    assert frame is not None
    assert isinstance(chunk, ForwardedChunk)
    chunk.choices[0].delta.content, chunk.retold = None, True
    again = frame_of(chunk)
    assert again is not None
    assert (again.before, again.after) == (frame.before, frame.after)
    chunk.raw = None
    assert frame_of(chunk) is None


def test_the_filling_of_a_known_shape_is_read() -> None:
    """A chunk that is not parsed has the filling it came with, so that it may be encoded."""
    forwarder = forwarder_of()
    for text, filling in (("a", "aZ"), ("b", "aZ9"), ("c", "")):
        chunk = forwarder.read(chat(text, obfuscation=filling))
        assert isinstance(chunk, Chunk)
        assert (chunk.obfuscation, chunk.choices[0].delta.content) == (filling, text)
