"""The lines of a recording, as whoever plays it reads them. Pure."""

from __future__ import annotations

import base64
import binascii

import msgspec

from deltaweir.endings import Ending
from deltaweir.errors import DeltaweirError, InvalidRecording
from deltaweir.recording import FORMAT, VERSION, End, Event, Header
from deltaweir.schema.chunk import Usage

MAX_LINE_BYTES = 64 * 1024 * 1024
"""Bytes of the longest line that is read: the largest event, in base64, with room to spare."""
_LONGEST_US = 10**15
"""Microseconds; thirty years."""


class _Line(msgspec.Struct):
    """A line behind the first, of which only what it must have is looked at."""

    at: int
    data: msgspec.Raw = msgspec.Raw(b"")
    base64: str | None = None
    end: str | None = None


_LINES = msgspec.json.Decoder(_Line)
_ENDS = msgspec.json.Decoder(End)
_HEADERS = msgspec.json.Decoder(Header)
_ANY = msgspec.json.Decoder()


class RecordingReader:
    """Read the lines of one recording, one after the other.

    Args:
        name: What errors call the recording, such as the file's path.

    Attributes:
        header: What the first line said; None before it was read.
        end: What the last line said; None until it was read, and for good without one.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._number = 0
        self.header: Header | None = None
        self.end: End | None = None

    def read(self, line: bytes) -> Event | None:
        """Take the next line, its line end with it; return its event, None where it has none.

        A line without a line end was torn, and what stands behind the end is not looked at.

        Raises:
            InvalidRecording: The file is no recording, of a newer version, or damaged here.
        """
        if self.end is not None:
            return None
        self._number += 1
        if not line.endswith(b"\n"):
            if self.header is None:
                raise self._wrong(_NO_RECORDING)
            return None
        if self.header is None:
            self.header = self._header(line)
            return None
        try:
            line.isascii() or line.decode()
            read = _LINES.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise self._wrong(_DAMAGED) from error
        if not 0 <= read.at <= _LONGEST_US:
            raise self._wrong("its time is none; remove what stands from there on to play the rest")
        if read.end is not None:
            self.end = self._end(line)
            return None
        return Event(read.at, self._data(read))

    def damaged(self, reason: str) -> InvalidRecording:
        """Return the error for the line that was read last.

        Args:
            reason: What is wrong with what it holds.
        """
        return self._wrong(reason)

    def too_long(self) -> InvalidRecording:
        """Return the error for a next line that has no end within `MAX_LINE_BYTES`."""
        self._number += 1
        return self._wrong(_NO_RECORDING if self.header is None else _DAMAGED)

    def _header(self, line: bytes) -> Header:
        try:
            told = _ANY.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise self._wrong(_NO_RECORDING) from error
        if not isinstance(told, dict) or told.get("format") != FORMAT:
            raise self._wrong(_NO_RECORDING)
        version = told.get("version")
        if type(version) is not int or version < 1:
            raise self._wrong("its version is none, expected a number from 1")
        if version > VERSION:
            raise self._wrong(
                f"it has version {version} of the format, and versions up to {VERSION} can be "
                "played here; update deltaweir"
            )
        try:
            return _HEADERS.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self._wrong("its first line is damaged; it cannot be played") from error

    def _end(self, line: bytes) -> End:
        try:
            end = _ENDS.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self._wrong(_DAMAGED) from error
        if end.end not in _ENDINGS:
            raise self._wrong("its ending is unknown here; update deltaweir")
        try:
            Usage.model_validate(end.usage or {})
        except DeltaweirError as error:
            raise self._wrong("its usage is none; remove it from the line to play it") from error
        return end

    def _data(self, line: _Line) -> bytes:
        if line.base64 is None:
            data = bytes(line.data)
            if not data:
                raise self._wrong(_DAMAGED)
            return data
        try:
            return base64.b64decode(line.base64, validate=True)
        except (binascii.Error, ValueError) as error:
            raise self._wrong(_DAMAGED) from error

    def _wrong(self, reason: str) -> InvalidRecording:
        return InvalidRecording(
            f"{self._name}: line {self._number}: {reason}", line=self._number, param="model"
        )


_ENDINGS = frozenset(ending.value for ending in Ending)
_NO_RECORDING = (
    "this is no recording; one is made by `deltaweir chat --record FILE` or `record=FILE`"
)
_DAMAGED = (
    "the line is damaged; remove it and what stands behind it to play the recording up to there"
)
