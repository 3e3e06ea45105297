"""Docstrings as Markdown, and the fields of records, which need no word each.

A paragraph that introduces a program ends with one colon, not two. A class whose fields are plain
enough to have no docstrings of their own shows them as it declares them.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

_INTRODUCES = re.compile(r"(?<=[\w`])(?P<colon>:):$|(?<=\.) ::$|^::$", re.MULTILINE)


class Introductions(griffe.Extension):
    """Turn the ``::`` that stands before an indented program into what Markdown expects."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Mend one object's docstring."""
        if obj.docstring is not None:
            obj.docstring.value = _INTRODUCES.sub(_plain, obj.docstring.value)


class Fields(griffe.Extension):
    """Show the fields of a record below what it is."""

    def on_class(self, *, cls: griffe.Class, **_: Any) -> None:
        """Add the fields to one class's docstring."""
        fields = [one for one in cls.attributes.values() if _is_field(one)]
        told = all(one.docstring is not None for one in fields)
        if cls.docstring is not None and "__init__" not in cls.members and not told:
            lines = "\n".join(f"{one.name}: {one.annotation}" for one in fields)
            head, *rest = cls.docstring.value.split("\n\n")
            cls.docstring.value = "\n\n".join([head, f"```python\n{lines}\n```", *rest])


def _is_field(member: griffe.Attribute) -> bool:
    annotation = member.annotation
    public = not member.name.startswith("_")
    return public and annotation is not None and "ClassVar" not in str(annotation)


def _plain(found: re.Match[str]) -> str:
    return found["colon"] or ""
