"""How much of a request a recording keeps, and what tells two requests apart. Pure."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from typing import Any, NamedTuple, get_args

import msgspec

from deltaweir.errors import InvalidRequest
from deltaweir.recording import Kept
from deltaweir.schema.record import plain

AnyRecord = str | os.PathLike[str] | Mapping[str, Any] | None
"""Where to record: a file or a folder, alone or as ``{"file": ..., "request": "full"}``."""

_CODER = msgspec.json.Encoder(order="deterministic")
_SHOWN_TEXTS = frozenset({"model", "reasoning_effort", "service_tier", "verbosity"})
"""Options that are words of the API, and never text of a user's."""
_HOW_SENT = frozenset({"stream", "stream_options"})


class RecordTo(NamedTuple):
    """Where a stream is recorded, and how much of its request with it."""

    path: str
    request: Kept = "redacted"


def record_to(value: Any) -> RecordTo | None:
    """Return what a ``record`` means; None for nothing.

    Args:
        value: A path, or a mapping with ``file`` and perhaps ``request``.

    Raises:
        InvalidRequest: It means nothing.
    """
    if value is None or isinstance(value, RecordTo):
        return value
    kept: Any = "redacted"
    if isinstance(value, Mapping):
        unknown = set(value) - {"file", "request"}
        if unknown or "file" not in value:
            got = f"an unknown key {min(unknown, key=str)!r}" if unknown else "no file"
            raise InvalidRequest(
                f'got {got} in record, expected {{"file": ..., "request": ...}}', param="record"
            )
        value, kept = value["file"], value.get("request", kept)
    if kept not in get_args(Kept):
        raise InvalidRequest(
            "got a request in record that is none of full, redacted and none", param="record"
        )
    if not isinstance(value, str | os.PathLike) or not (path := os.fspath(value)):
        got = "an empty one" if value == "" else f"one of type {type(value).__name__}"
        raise InvalidRequest(f"got {got} as record, expected the path of a file", param="record")
    return RecordTo(os.fsdecode(path), kept)


def kept_request(request: Mapping[str, Any], kept: Kept) -> dict[str, Any] | None:
    """Return as much of a request as a recording shall keep.

    Redacted, a request keeps its options as far as they are numbers, switches or words of the
    API, and the roles of its messages; no text of the prompt, of tools or of the user's name.

    Args:
        request: The request as it was sent.
        kept: How much.
    """
    if kept == "none":
        return None
    if kept == "full":
        return {name: plain(value) for name, value in request.items() if value is not None}
    shown: dict[str, Any] = {}
    for name, value in request.items():
        number = isinstance(value, bool | int | float)
        if number or (name in _SHOWN_TEXTS and isinstance(value, str)):
            shown[name] = value
        elif name == "messages" and isinstance(value, list | tuple):
            shown[name] = [{"role": _role(message)} for message in value]
        elif name == "stream_options" and isinstance(value, Mapping):
            shown[name] = {one: told for one, told in value.items() if isinstance(told, bool)}
    return shown


def request_digest(request: Mapping[str, Any]) -> str:
    """Return what is the same for equal requests, and for no others.

    Whether the answer is asked for as a stream makes no difference: it is the same answer.

    Args:
        request: The request's fields.
    """
    fields = {
        name: plain(value)
        for name, value in request.items()
        if value is not None and name not in _HOW_SENT
    }
    return hashlib.sha256(_CODER.encode(fields)).hexdigest()


def _role(message: Any) -> str:
    role = message.get("role") if isinstance(message, Mapping) else None
    return role if role in _ROLES else "other"


_ROLES = frozenset({"assistant", "developer", "function", "system", "tool", "user"})
