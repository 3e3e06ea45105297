"""Where a chunk's text stands in its bytes, and what stands around it. Pure."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from deltaweir.schema.chunk import Choice, Chunk, Delta, TextChoice, TextChunk
from deltaweir.schema.texts import only_text

_REST = re.compile(rb'(?:[^"\\]|\\.)*')
_FILLING = re.compile(rb'"obfuscation"\s*:\s*"([A-Za-z0-9]*)"')
_FILLING_NAME = b'"obfuscation"'
_TEXT = msgspec.json.Decoder(str)


class Frame:
    """What is the same in many chunks: all but their text, and the filling that hides its length.

    Args:
        data: A chunk that brings one text and nothing else.
        place: Where the text stands in it.
        filling: Its filling; empty or None where there is none that may differ.

    Attributes:
        before: What stands before the text.
        after: What stands behind it.
        filling: What stands around the filling in that; None without one.
    """

    __slots__ = ("_start", "after", "before", "filling")

    def __init__(self, data: bytes, place: tuple[int, int], *, filling: str | None = None) -> None:
        self.before, self.after = data[: place[0]], data[place[1] :]
        self._start = place[0]
        self.filling: tuple[bytes, bytes] | None = None
        found = _FILLING.search(self.after)
        # the chunk's own, and not a field of that name deeper in it, which anything may fill
        if found and filling and data.count(_FILLING_NAME) == 1:
            self.filling = self.after[: found.start(1)], self.after[found.end(1) :]

    def place(self, data: bytes) -> tuple[int, int] | None:
        """Return where the text stands in data of this frame; None where they have another."""
        if not data.startswith(self.before):
            return None
        end = data.find(b'"', self._start)
        if data.find(b"\\", self._start, end) >= 0:
            rest = _REST.match(data, self._start)
            end = -1 if rest is None else rest.end()
        if end < 0:
            return None
        after = data[end:]
        return (self._start, end) if after == self.after or self.filled(after) else None

    def filled(self, after: bytes) -> bool:
        """Tell whether what follows a text differs in its filling alone."""
        if self.filling is None:
            return False
        before, behind = self.filling
        if not (after.startswith(before) and after.endswith(behind)):
            return False
        filling = after[len(before) : len(after) - len(behind)]
        return len(after) >= len(before) + len(behind) and (not filling or filling.isalnum())


def filling_of(chunk: Chunk | TextChunk) -> str | None:
    """Return what hides the length of a chunk's text; text completions have no such field."""
    return chunk.obfuscation if isinstance(chunk, Chunk) else None


_PLACES = {
    True: re.compile(rb'"content"\s*:\s*"((?:[^"\\]|\\.)*)"'),
    False: re.compile(rb'"text"\s*:\s*"((?:[^"\\]|\\.)*)"'),
}


def place_of_text(chunk: Chunk | TextChunk, data: bytes) -> tuple[int, int] | None:
    """Return where in its bytes a chunk's text stands, if that is all it brings."""
    choices: Any = chunk.choices
    if len(choices) != 1:
        return None
    choice = choices[0]
    text = _only_known_text(choice)
    if not text:
        return None
    places = [*_PLACES[isinstance(chunk, Chunk)].finditer(data)]
    if len(places) != 1:  # a name that stands twice may be elsewhere
        return None
    start, end = places[0].span(1)
    if b"\\" in (data[:start] + data[end:]).replace(b"\\/", b""):
        return None  # then it may stand there once more, in other writing, or inside of a text
    return (start, end) if _TEXT.decode(b'"%b"' % data[start:end]) == text else None


def _only_known_text(choice: Choice | TextChoice) -> str | None:
    """Return a choice's text when none of its known fields brings anything else."""
    bare: Choice | TextChoice
    if isinstance(choice, TextChoice):
        bare = TextChoice(
            finish_reason=choice.finish_reason, logprobs=choice.logprobs, text=choice.text
        )
        return only_text(bare)
    delta = choice.delta
    if delta.role is not None:
        return None
    known = {name: getattr(delta, name) for name in Delta.__struct_fields__}
    bare = Choice(
        delta=Delta(**known), finish_reason=choice.finish_reason, logprobs=choice.logprobs
    )
    return only_text(bare)
