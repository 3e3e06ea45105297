"""HTTP/1.1, the client's side of one exchange: a request's bytes out, a response's bytes in.

The parsing is httptools' (Node's llhttp); here are the rules around it: limits on heads,
answers in between (1xx), bodies that end with their length, their last piece or their
connection, and whether the connection may serve again (RFC 9112, sections 6 and 9).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import httptools
import msgspec

from deltaweir.errors import InvalidRequest, StreamFailed, StreamTruncated

MAX_HEAD_BYTES = 64 * 1024
"""Bytes of status line and headers together; others' limits are 8 KiB (nginx) to 100 (curl)."""

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_UNSENDABLE = re.compile(rb"[\r\n\0]")


class Head(msgspec.Struct, frozen=True):
    """A response's status line and headers.

    Attributes:
        status: The status code.
        headers: Names in lower case with their values, in the order they came.
    """

    status: int
    headers: tuple[tuple[str, str], ...]

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return a header's first value.

        Args:
            name: The header's name in lower case.
            default: What to return when it is not there.
        """
        return next((value for key, value in self.headers if key == name), default)


def encode_request(
    method: str, target: str, headers: Iterable[tuple[str, str]], body: bytes = b""
) -> bytes:
    """Return the bytes of a request; a body gets its length.

    Args:
        method: The method.
        target: Path and query, or an authority for CONNECT.
        headers: Names and values.
        body: The body, empty for none.

    Raises:
        InvalidRequest: A header cannot be sent, since it has a line end, a NUL, a character
            beyond Latin-1 or a name that is none. Its value is not told.
    """
    lines = [f"{method} {target} HTTP/1.1".encode("ascii")]
    for name, value in headers:
        try:
            raw = (name.encode("ascii"), value.encode("latin-1").strip(b" \t"))
        except UnicodeEncodeError:
            raise _unsendable(name) from None
        if not _TOKEN.fullmatch(raw[0]) or _UNSENDABLE.search(raw[1]):
            raise _unsendable(name)
        lines.append(b"%b: %b" % raw)
    if body or method == "POST":
        lines.append(b"content-length: %d" % len(body))
    return b"%b\r\n\r\n%b" % (b"\r\n".join(lines), body)


def _unsendable(name: str) -> InvalidRequest:
    return InvalidRequest(
        f"the header {name[:40]!r} has a character that HTTP cannot carry", param="headers"
    )


class ResponseReader:
    """Take a connection's bytes and return the body of one response.

    Args:
        max_head_bytes: Bytes of status line and headers, those of 1xx answers included.

    One reader belongs to one exchange. After the response is `complete`, `reusable` says
    whether the connection may serve another.
    """

    def __init__(self, *, max_head_bytes: int = MAX_HEAD_BYTES) -> None:
        self.head: Head | None = None
        """Status and headers, None until they have come."""
        self.complete = False
        """Whether the body has ended as its head said it would."""
        self.reusable = False
        """Whether the connection may serve another exchange; known when complete."""
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._room = max_head_bytes
        self._limit = max_head_bytes
        self._headers: list[tuple[str, str]] = []
        self._body: list[bytes] = []
        self._edge = False
        self._fault: StreamFailed | None = None

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes and return the pieces of the body that they bring.

        Raises:
            StreamFailed: The peer does not speak HTTP, or its head is too large; raised by
                the next call where a part of the body came before the fault.
        """
        if self._fault is not None:
            raise self._fault
        if self.complete:
            self.reusable = False
            return []
        # the parser itself would take a head, or trailers, without end
        self._room -= len(data)
        assert self._parser is not None
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as error:
            raise StreamFailed("the peer answered with another protocol, not HTTP/1.1") from error
        except httptools.HttpParserError as error:
            self._broke(error)
        self._check_room()
        if self.complete:
            self._parser = None  # it knows this reader, and would keep it until memory is collected
        body, self._body = self._body, []
        return body

    def _check_room(self) -> None:
        """Refuse a head, or trailers, that do not come to an end."""
        if self.complete or self._fault is not None or self._room >= 0:
            return
        what = "response head is" if self.head is None else "trailers are"
        raise StreamFailed(f"the peer's {what} larger than {self._limit} bytes")

    def _broke(self, error: httptools.HttpParserError) -> None:
        """Fail, but not before the body that came in the same read is handed on."""
        if self.complete:
            self.reusable = False
            return
        fault = StreamFailed(f"the peer does not speak HTTP/1.1: {error}")
        fault.__cause__ = error
        if not self._body:
            raise fault
        self._fault = fault

    def between_chunks(self, data: bytes) -> bool:
        """Tell whether a body of chunks is at the end of one, so that the next is yet to begin.

        Args:
            data: What was fed last; it must end with a blank line, which no chunk's head does.
        """
        return self._edge and not self.complete and data.endswith(b"\n\n\r\n")

    def eof(self) -> None:
        """Take note that the peer has closed the connection.

        Raises:
            StreamTruncated: The response had not ended, by what its head said.
            StreamFailed: The peer had ceased to speak HTTP.
        """
        self.reusable = False
        if self._fault is not None:
            raise self._fault
        if self.complete:
            return
        framed = self.head is not None and (
            self.head.get("content-length") is not None
            or "chunked" in (self.head.get("transfer-encoding") or "").lower()
        )
        if self.head is None or framed:
            raise StreamTruncated("the peer closed the connection before its response had ended")
        self.complete = True
        self._parser = None

    # what follows is called by the parser

    def on_message_begin(self) -> None:
        """Give up a connection on which the peer says more than was asked."""
        if self.complete:
            self.reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header, unless it comes after the body, where none is of use."""
        if self.head is None:
            self._headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        """Keep the head, unless it is that of an answer in between, or of one unasked."""
        if self.complete:
            return
        assert self._parser is not None
        status = self._parser.get_status_code()
        if status >= 200 or status == 101:  # noqa: PLR2004  # 1xx: the real one follows
            self.head = Head(status=status, headers=tuple(self._headers))
        self._headers = []

    def on_body(self, piece: bytes) -> None:
        """Keep a piece of the body."""
        self._edge = False
        if not self.complete:
            self._body.append(piece)
            self._room = self._limit  # for what may follow the body

    def on_chunk_complete(self) -> None:
        """Take note of the end of one chunk of the body."""
        self._edge = True

    def on_message_complete(self) -> None:
        """Take note of the body's end."""
        if self.head is not None and not self.complete:
            assert self._parser is not None
            self.complete = True
            self.reusable = self._parser.should_keep_alive()
