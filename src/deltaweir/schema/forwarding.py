"""Chunks that a server of ours passes on: they remember the bytes they came in. Pure.

A chunk that nothing was taken from goes out as it came, fields that nobody here knows among
them; one whose text alone was changed, as one splice of the new text between what stood around
the old one. And since the chunks of a stream differ in little but their text, a chunk that has
the shape of an earlier one, byte for byte around its text, is not parsed again: replacing one
JSON string by another changes nothing else of what a text says.
"""

from __future__ import annotations

from typing import Any

import msgspec

from deltaweir.schema import content_parts
from deltaweir.schema.chunk import Choice, Chunk, Delta, TextChoice, TextChunk
from deltaweir.schema.text_frames import Frame, filling_of, place_of_text
from deltaweir.schema.texts import ELSEWHERE
from deltaweir.schema.unread import take_out_unread, take_out_unread_of

MOST_SHAPES = 4
"""Shapes that are kept of one stream: one for each choice of a few."""
MOST_MISSES = 8
"""Chunks in a row that had no known shape, after which none is learned any more."""

_SAME = (
    "created",
    "id",
    "model",
    "object",
    "obfuscation",
    "service_tier",
    "system_fingerprint",
)
_TEXT = msgspec.json.Decoder(str)
_ENCODER = msgspec.json.Encoder()


class ForwardedChunk(Chunk):
    """A chunk of a chat completion, with the bytes it came in.

    Attributes:
        raw: The bytes, as long as nothing but its text was changed; None from then on.
        retold: Whether its text was changed.
    """

    raw: bytes | None = msgspec.field(default=None, name="(raw)")
    retold: bool = msgspec.field(default=False, name="(retold)")


class ForwardedTextChunk(TextChunk):
    """A chunk of a text completion, with the bytes it came in; as `ForwardedChunk`."""

    raw: bytes | None = msgspec.field(default=None, name="(raw)")
    retold: bool = msgspec.field(default=False, name="(retold)")


AnyForwarded = ForwardedChunk | ForwardedTextChunk


class Splicer:
    """Give one stream's chunks the bytes in which they go out."""

    __slots__ = ("_frames",)

    def __init__(self) -> None:
        self._frames: list[Frame] = []

    def data(self, chunk: AnyForwarded) -> bytes | None:
        """Return a chunk's JSON by its own bytes; None where it must be encoded anew."""
        raw = chunk.raw
        if raw is None or not chunk.retold:
            return raw
        place = self._place(chunk, raw)
        if place is None:
            return None
        choice = chunk.choices[0]
        text = choice.text if isinstance(choice, TextChoice) else choice.delta.content
        return b"%b%b%b" % (raw[: place[0]], _ENCODER.encode(text or "")[1:-1], raw[place[1] :])

    def _place(self, chunk: AnyForwarded, raw: bytes) -> tuple[int, int] | None:
        for frame in self._frames:
            place = frame.place(raw)
            if place is not None:
                return place
        whole = type(chunk).model_validate_json(raw)
        place = place_of_text(whole, raw)
        if place is not None:
            frame = Frame(raw, place, filling=filling_of(whole))
            self._frames = [frame, *self._frames[: MOST_SHAPES - 1]]
        return place


class Forwarder:
    """Read the chunks of one stream that are to be passed on.

    Args:
        kind: The chunk type.
        guarded: Whether a guard reads the stream, so that fields it cannot read must not pass.
        shapes: Whether chunks of a known shape may go unparsed; not where each is changed.
    """

    def __init__(self, kind: type[AnyForwarded], *, guarded: bool, shapes: bool = True) -> None:
        self._kind = kind
        self._guarded = guarded
        self._shapes: list[_Shape] = []
        self._misses = 0 if shapes else MOST_MISSES

    def read(self, data: bytes) -> AnyForwarded:
        """Return the chunk that an event's data is.

        Raises:
            StreamFailed: It is no chunk.
        """
        for shape in self._shapes:
            known = shape.read(data)
            if known is not None:
                self._misses = 0
                return known
        chunk = self._kind.model_validate_json(data)
        if chunk.raw is not None:  # a field of the peer's has the name that ours has in JSON
            chunk = self._kind.model_validate(msgspec.json.decode(data))
        chunk.retold = False
        chunk.raw = data if _is_usual(chunk, data) else None
        if self._guarded and not _says_once(chunk, data):
            chunk.raw = None
        # one without unknown fields is read faster than compared
        if self._misses < MOST_MISSES and _has_unknown(chunk):
            self._learn(chunk)
        return chunk

    def _learn(self, chunk: AnyForwarded) -> None:
        self._misses += 1
        shape = _Shape.of(chunk, self._guarded)
        if shape is not None:
            self._shapes = [shape, *self._shapes[: MOST_SHAPES - 1]]


class _Shape:
    """Chunks of one frame, with what else is the same in them.

    ``shown`` is what goes out around the text where that is less than the frame, since a guard
    cannot read it all.
    """

    __slots__ = ("_frame", "_kind", "_known", "_model", "_shown")

    def __init__(
        self, model: AnyForwarded, frame: Frame, shown: tuple[bytes, bytes] | None
    ) -> None:
        self._model = model
        self._frame = frame
        self._shown = shown
        self._kind = type(model)
        fields = self._kind.__struct_fields__
        self._known = {name: getattr(model, name) for name in _SAME if name in fields}

    @classmethod
    def of(cls, chunk: AnyForwarded, guarded: bool) -> _Shape | None:
        """Return the shape of a chunk; None where others of it must be looked at one by one."""
        raw = chunk.raw
        if raw is None or _tells_more(chunk):
            return None
        found = place_of_text(chunk, raw)
        if found is None:
            return None
        shown = _without_unread(type(chunk).model_validate_json(raw)) if guarded else (b"", b"")
        if shown is None:
            return None
        frame = Frame(raw, found, filling=filling_of(chunk))
        return cls(chunk, frame, shown if any(shown) else None)

    def read(self, data: bytes) -> AnyForwarded | None:
        """Return the chunk of this shape that data are; None where they are none."""
        place = self._frame.place(data)
        if place is None:
            return None
        escaped = data[place[0] : place[1]]
        try:
            text = _TEXT.decode(b'"%b"' % escaped)
        except (msgspec.DecodeError, UnicodeError):
            return None  # told by whoever parses all of it
        if not text:
            return None
        made = self._made(text)
        if self._frame.filling is not None and isinstance(made, Chunk):
            before, behind = map(len, self._frame.filling)
            made.obfuscation = data[place[1] + before : len(data) - behind].decode()
        if self._shown is not None:
            data = b"%b%b%b" % (self._shown[0], escaped, self._shown[1])
        made.raw = data
        return made

    def _made(self, text: str) -> AnyForwarded:
        index = self._model.choices[0].index
        choice: Any
        if isinstance(self._model, TextChunk):
            choice = TextChoice(index=index, text=text)
        else:
            choice = Choice(delta=Delta(content=text), index=index)
        return self._kind(choices=[choice], **self._known)


def frame_of(chunk: AnyForwarded) -> Frame | None:
    """Return the frame of a chunk that brings one text and nothing else; None of others."""
    raw = chunk.raw
    if raw is None or _has_unknown(chunk) or _tells_more(chunk):
        return None
    if b"\n" in raw:  # it came in several lines, which look otherwise on the wire
        return None
    # as it came: its text may have been changed since
    whole = type(chunk).model_validate_json(raw) if chunk.retold else chunk
    place = place_of_text(whole, raw)
    return None if place is None else Frame(raw, place, filling=filling_of(whole))


def _without_unread(chunk: AnyForwarded) -> tuple[bytes, bytes] | None:
    """Return what goes out around a chunk's text without what a guard cannot read.

    Two empty texts mean that all of it may go out; None, that chunks like it bring text elsewhere.
    """
    choice = chunk.choices[0]
    if take_out_unread(choice) or any(name in choice.__dict__ for name in ELSEWHERE):
        return None
    if not take_out_unread_of(chunk):
        return b"", b""
    if isinstance(chunk, Chunk):
        chunk.obfuscation = None  # its length was that of the whole
    stripped = _ENCODER.encode(chunk.model_dump())
    found = place_of_text(chunk, stripped)
    return None if found is None else (stripped[: found[0]], stripped[found[1] :])


def _has_unknown(chunk: AnyForwarded) -> bool:
    if chunk.__dict__:
        return True
    choices: Any = chunk.choices
    return any(
        choice.__dict__ or (isinstance(choice, Choice) and choice.delta.__dict__)
        for choice in choices
    )


def _tells_more(chunk: AnyForwarded) -> bool:
    """Tell whether a chunk says what is not the same in all of its shape, beside its text."""
    return (
        chunk.usage is not None
        or chunk.deltaweir is not None
        or (isinstance(chunk, Chunk) and chunk.moderation is not None)
    )


def _says_once(chunk: AnyForwarded, data: bytes) -> bool:
    """Tell whether a chunk brings one text, and its bytes say that text alone.

    A name that stands twice in an object is two values: one that a guard has read, and one that
    others may take (RFC 8259, section 4).
    """
    return (
        data.count(b'"choices"') == 1
        and data.count(b'"delta"') + data.count(b'"text"') == 1
        and data.count(b'"content"') <= 1
        and place_of_text(chunk, data) is not None
    )


def _is_usual(chunk: AnyForwarded, data: bytes) -> bool:
    """Tell whether a chunk's bytes are what typed clients take.

    Many servers forget the key that these fail without, and some have content in parts.
    """
    if content_parts.are_in(data):
        return False
    if not chunk.choices:
        return b'"choices":[]' in data or b'"choices": []' in data
    return data.count(b'"finish_reason"') >= len(chunk.choices)
