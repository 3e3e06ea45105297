"""One field of a form (multipart/form-data, RFC 7578), found without taking the form apart. Pure.

A form is passed on as it is, so whoever reads it behind us must find the same field. What two
readers could understand differently is refused: every part must say in one plain line what it
is called, and no name may be there twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from deltaweir.errors import InvalidRequest

MULTIPART = "multipart/form-data"
MOST_PARTS = 1000
"""Parts of a form; no route of OpenAI's takes more than a few dozen."""
MOST_HEAD_BYTES = 8 * 1024
"""Bytes of a part's headers."""

_BOUNDARY = re.compile(r"[A-Za-z0-9'()+_,./:=?-]{1,70}")
_PARAMETER = re.compile(r';\s*([\w!#$&+.^`|~-]+\*?)=(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))\s*')
_ESCAPED = re.compile(r"\\(.)")
_AS_IT_IS = frozenset({"7bit", "8bit", "binary"})


def field_of(name: str, kind: str, body: bytes) -> str | None:
    """Return the value of a form's field; None where it is not there.

    Args:
        name: The field's name.
        kind: The request's content type.
        body: The form.

    Raises:
        InvalidRequest: The form is broken off or unusual, or has the field twice.
    """
    values = [value for called, value in _parts(_boundary(kind), body) if called == name]
    if len(values) > 1:
        raise InvalidRequest(f"the form has the field {name!r} {len(values)} times", param=name)
    try:
        return values[0].decode() if values else None
    except UnicodeDecodeError:
        raise InvalidRequest(f"the form's field {name!r} is not UTF-8", param=name) from None


def _boundary(kind: str) -> bytes:
    pairs = [part.partition("=") for part in kind.split(";")[1:]]
    found = [
        value.strip().removeprefix('"').removesuffix('"')
        for key, _, value in pairs
        if key.strip().lower().startswith("boundary")
    ]
    if len(found) != 1 or not _BOUNDARY.fullmatch(found[0]):
        raise _unusual("its content type names no boundary, or several")
    return found[0].encode()


def _parts(boundary: bytes, body: bytes) -> Iterator[tuple[str, bytes]]:
    """Return the name and the content of each part."""
    mark = b"--" + boundary
    if not body.startswith(mark):
        raise _unusual("it does not begin with its boundary")
    at = len(mark)
    for _ in range(MOST_PARTS):
        if body[at : at + 2] == b"--":
            return
        end = body.find(b"\r\n" + mark, at)
        if body[at : at + 2] != b"\r\n" or end < 0:
            raise _unusual("it breaks off, or has a boundary that goes on")
        head_end = body.find(b"\r\n\r\n", at, min(end, at + MOST_HEAD_BYTES))
        if head_end < 0:
            raise _unusual("a part of it has no headers, or too many")
        yield _name(body[at + 2 : head_end + 2].decode("latin-1")), body[head_end + 4 : end]
        at = end + 2 + len(mark)
    raise _unusual(f"it has more than {MOST_PARTS} parts")


def _name(head: str) -> str:
    """Return what a part's headers call it."""
    dispositions = []
    for line in head.split("\r\n")[:-1]:
        key, colon, value = line.partition(":")
        if not colon or key != key.strip():
            raise _unusual("a part of it has a header over several lines, or none")
        if key.lower() == "content-disposition":
            dispositions.append(value.strip())
        if key.lower() == "content-transfer-encoding" and value.strip().lower() not in _AS_IT_IS:
            raise _unusual("a part of it is encoded")
    if len(dispositions) != 1:
        raise _unusual("a part of it has no content-disposition, or several")
    kind, semicolon, rest = dispositions[0].partition(";")
    found = _PARAMETER.findall(semicolon + rest)
    left = _PARAMETER.sub("", semicolon + rest)
    names = [pair for pair in found if pair[0].lower().startswith("name")]
    if kind.strip().lower() != "form-data" or left or len(names) != 1:
        raise _unusual("a part of it has a content-disposition that does not tell its name")
    key, quoted, bare = names[0]
    if key.lower() != "name":
        raise _unusual("a part of it has an encoded name")
    return _ESCAPED.sub(r"\1", quoted) or bare


def _unusual(why: str) -> InvalidRequest:
    return InvalidRequest(f"the form cannot be read: {why}")
