"""A field of a form is found as every reader finds it, or the form is refused."""

from __future__ import annotations

import contextlib
from email import message_from_bytes, policy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaweir.errors import InvalidRequest
from deltaweir.gateway.passthrough.forms import MOST_HEAD_BYTES, MOST_PARTS, field_of

KIND = "multipart/form-data; boundary=cut"
NAMED = 'form-data; name="{}"'


def part(value: bytes, *heads: str) -> bytes:
    """Return a part of a form."""
    lines = "".join(f"{head}\r\n" for head in heads).encode("latin-1")
    return b"--cut\r\n%b\r\n%b\r\n" % (lines, value)


def named(name: str, value: bytes = b"v") -> bytes:
    """Return a part with a name."""
    return part(value, f"Content-Disposition: {NAMED.format(name)}")


def form(*parts: bytes) -> bytes:
    """Return a whole form."""
    return b"".join([*parts, b"--cut--\r\n"])


FILE = part(
    b"\x00--cut not\r\n--cu\r\n\r\n",
    'content-disposition: form-data; name="file"; filename="a \\"b\\"; name=model.wav"',
    "Content-Type: audio/wav",
)


@given(
    names=st.lists(st.sampled_from(["file", "prompt", "language"]), unique=True),
    contents=st.binary(max_size=40),
    at=st.integers(0, 3),
    model=st.sampled_from([None, b"whisper-1", b"", b"x\r\ny"]),
)
def test_a_field_is_found_as_the_standard_library_finds_it(
    names: list[str], contents: bytes, at: int, model: bytes | None
) -> None:
    """Wherever it stands, whatever the other parts hold."""
    contents = contents.replace(b"--cut", b"")
    parts = [named(name, contents) for name in names]
    if model is not None:
        parts.insert(min(at, len(parts)), named("model", model))
    body = form(*parts)
    if not parts:
        assert field_of("model", KIND, body) is None
        return
    whole: Any = message_from_bytes(
        f"content-type: {KIND}\r\n\r\n".encode() + body, policy=policy.HTTP
    )
    theirs = [
        one.get_payload(decode=True)
        for one in whole.iter_parts()
        if one["content-disposition"].params["name"] == "model"
    ]
    ours = field_of("model", KIND, body)
    assert [one.rstrip(b"\r\n") for one in theirs] == (
        [] if ours is None else [ours.encode().rstrip(b"\r\n")]
    )


@pytest.mark.parametrize(
    ("kind", "disposition"),
    [
        ("Multipart/Form-Data;boundary=cut", NAMED.format("model")),
        ('multipart/form-data; charset=utf-8; Boundary="cut"', "form-data; name=model"),
        (KIND, 'Form-Data;NAME="mod\\el" ; filename="x"'),
    ],
)
def test_spellings_that_all_read_alike_are_read(kind: str, disposition: str) -> None:
    """Case, quotes, blanks and further parameters do not matter."""
    body = form(FILE, part(b"whisper-1", f"CONTENT-disposition:{disposition}"))
    assert field_of("model", kind, body) == "whisper-1"


@pytest.mark.parametrize(
    "kind",
    ["multipart/form-data", f"{KIND}; boundary=other", "multipart/form-data; boundary*=a''cut"],
)
def test_a_form_has_one_boundary(kind: str) -> None:
    """None, two, or an encoded one are refused."""
    with pytest.raises(InvalidRequest, match="boundary"):
        field_of("model", kind, form(named("model")))


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "does not begin"),
        (b"preamble\r\n" + form(named("model")), "does not begin"),
        (named("model"), "breaks off"),
        (b"--cut", "breaks off"),
        (b"--cutter\r\n\r\nx\r\n--cut--", "breaks off"),
        (form(named("a", b"x\r\n--cutter")), "breaks off"),
        (form(named("model")).replace(b"\r\n", b"\n"), "breaks off"),
        (form(part(b"v")), "no content-disposition"),
        (form(b"--cut\r\nno headers\r\n"), "no headers"),
        (form(part(b"v", "x: " + "y" * MOST_HEAD_BYTES)), "too many"),
        (form(part(b"v", f"Content-Disposition: {NAMED.format('a')}", " ; x=y")), "several lines"),
        (form(part(b"v", "Content-Disposition : form-data; name=model")), "several lines"),
        (form(part(b"v", *[f"Content-Disposition: {NAMED.format('a')}"] * 2)), "or several"),
        (form(part(b"v", "Content-Disposition: form-data")), "not tell its name"),
        (form(part(b"v", "Content-Disposition: attachment; name=model")), "not tell its name"),
        (form(part(b"v", "Content-Disposition: form-data; name=a; name=model")), "its name"),
        (form(part(b"v", "Content-Disposition: form-data; name*=utf-8''model")), "encoded name"),
        (form(part(b"v", 'Content-Disposition: form-data; name="a"model')), "its name"),
        (
            form(
                part(
                    b"v",
                    "Content-Disposition: form-data; name=model",
                    "Content-Transfer-Encoding: base64",
                )
            ),
            "is encoded",
        ),
        (form(*[named("a")] * (MOST_PARTS + 1)), "more than"),
        (form(named("model"), named("model")), "2 times"),
        (form(named("model", b"\xff")), "not UTF-8"),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(body: bytes, why: str) -> None:
    """Else a model could pass here that an upstream reads as another."""
    with pytest.raises(InvalidRequest, match=why):
        field_of("model", KIND, body)


@given(st.binary(max_size=60))
def test_garbage_is_refused_or_read(junk: bytes) -> None:
    """No bytes lead to any other error."""
    for body in (junk, b"--cut\r\n" + junk + b"\r\n--cut--"):
        with contextlib.suppress(InvalidRequest):
            field_of("model", KIND, body)
