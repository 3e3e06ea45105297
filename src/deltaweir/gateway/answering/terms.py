"""What a request asks of this server beside OpenAI's fields: its ``deltaweir`` object. Pure.

It stands in the body, or as the same JSON in the header ``X-Deltaweir``. Terms only ever get
tighter: where both have a budget, the smaller one holds, and where both name a guard, both look.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from deltaweir.errors import InvalidRequest
from deltaweir.meter.budget import NO_LIMIT, Limit, limit_of

HEADER = b"x-deltaweir"

_TAG = re.compile(r"[A-Za-z0-9._:/-]{1,64}", re.ASCII)
_MOST_GUARD_CHARS = 256
_RECORD = re.compile(r"[a-z0-9_-]{1,64}", re.ASCII)
_KNOWN = ("budget", "guard", "on_disconnect", "record", "resume", "tag")
_MOST_HEADER_BYTES = 8192
_CANCEL, _FINISH = "cancel", "finish"


class Terms(NamedTuple):
    """What a request asks for."""

    limit: Limit = NO_LIMIT
    tag: str | None = None
    """What its cost is filed under."""
    guards: tuple[str, ...] = ()
    """The names of the guards that shall look at it too; whether there are such is not known."""
    on_disconnect: str | None = None
    """What becomes of the stream when its client hangs up: ``cancel`` or ``finish``."""
    resume: bool = False
    """Whether the stream shall be kept, so that it can be read on from any point."""
    record: str | None = None
    """The name under which it shall be recorded."""

    @property
    def finishes(self) -> bool:
        """Whether the stream goes on when its client has hung up."""
        return self.on_disconnect == _FINISH

    @property
    def waits(self) -> bool:
        """Whether a stream that can be resumed ends when nobody has read it for a while."""
        return self.on_disconnect == _CANCEL

    def with_(self, other: Terms) -> Terms:
        """Return terms that keep both."""
        guards = (*self.guards, *other.guards)
        return Terms(
            self.limit.tighter(other.limit),
            self.tag or other.tag,
            guards,
            # a stream that goes on costs more
            min(filter(None, (self.on_disconnect, other.on_disconnect)), default=None),
            self.resume or other.resume,
            self.record or other.record,
        )


def terms_of(body: Any, headers: list[tuple[bytes, bytes]]) -> Terms:
    """Return a request's terms.

    Args:
        body: The body's ``deltaweir``; None where it has none.
        headers: The request's headers.

    Raises:
        InvalidRequest: The object has an unknown key, or a value that is not supported.
    """
    terms = _read(body, "deltaweir")
    for name, value in headers:
        if name == HEADER:
            terms = terms.with_(_read(_decoded(value), "X-Deltaweir"))
    return terms


def _decoded(value: bytes) -> Any:
    if len(value) > _MOST_HEADER_BYTES:
        raise InvalidRequest(
            f"got an X-Deltaweir of {len(value)} bytes, expected at most {_MOST_HEADER_BYTES}",
            param="X-Deltaweir",
        )
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InvalidRequest("got an X-Deltaweir that is not JSON", param="X-Deltaweir") from error


def _read(value: Any, where: str) -> Terms:
    if value is None:
        return Terms()
    if not isinstance(value, Mapping):
        raise InvalidRequest(
            f"got {where} of type {type(value).__name__}, expected an object", param=where
        )
    unknown = set(value) - set(_KNOWN)
    if unknown:
        raise InvalidRequest(
            f"got an unknown key {min(unknown, key=str)[:40]!r} in {where}; known are "
            f"{', '.join(_KNOWN)}",
            param=where,
        )
    _refuse_missing(value, where)
    return Terms(
        limit_of(value.get("budget")),
        _tag(value.get("tag"), where),
        _guards(value.get("guard"), where),
        value.get("on_disconnect"),
        bool(value.get("resume")),
        _record(value.get("record"), where),
    )


def _refuse_missing(value: Mapping[str, Any], where: str) -> None:
    """Refuse what would be relied upon and is not done."""
    resume = value.get("resume")
    if resume is not None and not isinstance(resume, bool):
        raise InvalidRequest(
            f"got a resume of type {type(resume).__name__}, expected true or false",
            param=f"{where}.resume",
        )
    if value.get("on_disconnect") not in (None, _CANCEL, _FINISH):
        raise InvalidRequest(
            f"got an on_disconnect that is none, expected {_CANCEL!r} or {_FINISH!r}",
            param=f"{where}.on_disconnect",
        )


def _record(value: Any, where: str) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or _RECORD.fullmatch(value) is None:
        raise InvalidRequest(
            "got a record that is no name, expected 1 to 64 of a-z, 0-9, _ and -",
            param=f"{where}.record",
        )
    return value


def _tag(value: Any, where: str) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or _TAG.fullmatch(value) is None:
        raise InvalidRequest(
            "got a tag that is none, expected 1 to 64 letters, digits or any of . _ : / -",
            param=f"{where}.tag",
        )
    return value


def _guards(value: Any, where: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, str):
        raise InvalidRequest(
            f"got a guard of type {type(value).__name__}, expected the name of one",
            param=f"{where}.guard",
        )
    if len(value) > _MOST_GUARD_CHARS:
        raise InvalidRequest(
            f"got a guard's name of {len(value)} characters, expected at most {_MOST_GUARD_CHARS}",
            param=f"{where}.guard",
        )
    return (value,)
