"""The way to an origin: directly or by a proxy, and with which certificates."""

from __future__ import annotations

import base64
import contextlib
import errno
import socket
import ssl
import struct
import sys
import urllib.request
from pathlib import Path
from typing import NamedTuple, Protocol
from urllib.parse import unquote, urlsplit

from deltaweir.client.provider import Origin, host_of
from deltaweir.errors import ConnectionFailed, InvalidRequest, StreamFailed
from deltaweir.wire.http1 import ResponseReader, encode_request

_REFUSED = "proxy_refused"
# of a host with several addresses asyncio tells all in one error, as text
_REFUSED_ONE = f"[Errno {errno.ECONNREFUSED}]"
_LINGER = "hh" if sys.platform == "win32" else "ii"


class Proxy(NamedTuple):
    """An HTTP proxy; its repr tells no password."""

    host: str
    port: int
    headers: tuple[tuple[str, str], ...]

    def __repr__(self) -> str:
        return f"Proxy({self.host}:{self.port})"


class Route(NamedTuple):
    """Where to connect, and what to say before the first request."""

    origin: Origin
    proxy: Proxy | None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the first connection."""
        first = self.proxy or self.origin
        return first.host, first.port

    @property
    def tunnel(self) -> bytes:
        """What asks the proxy for a tunnel; empty when none is needed."""
        if self.proxy is None or self.origin.scheme == "http":
            return b""
        target = f"{_bracketed(self.origin.host)}:{self.origin.port}"
        return encode_request("CONNECT", target, [("host", target), *self.proxy.headers])

    def request(self, raw: bytes) -> bytes:
        """Return a request as this way wants it.

        A proxy without a tunnel gets the whole address in the request's first line, and what
        it asks for besides (RFC 9112, section 3.2.2).

        Args:
            raw: The request as the origin itself gets it.
        """
        if self.proxy is None or self.origin.scheme != "http":
            return raw
        first, _, rest = raw.partition(b"\r\n")
        method, _, target = first.partition(b" ")
        more = "".join(f"{name}: {value}\r\n" for name, value in self.proxy.headers)
        authority = self.origin.authority.encode()
        return b"%b http://%b%b\r\n%b%b" % (method, authority, target, more.encode(), rest)


def route_to(origin: Origin, *, proxy: str | None = None) -> Route:
    """Return the way to an origin.

    Args:
        origin: Where requests go.
        proxy: A proxy's address; None asks the environment and the system, as
            `urllib.request.getproxies` does, and heeds what they exempt; empty for none.

    Raises:
        InvalidRequest: The proxy's address is none, or of a kind that is not supported.
    """
    if proxy is None:
        proxy = urllib.request.getproxies().get(origin.scheme)
        host = f"{_bracketed(origin.host)}:{origin.port}"
        if proxy and (
            urllib.request.proxy_bypass(host) or urllib.request.proxy_bypass(origin.host)
        ):
            proxy = None
    return Route(origin, _proxy(proxy) if proxy else None)


def _proxy(address: str) -> Proxy:
    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        host, port = host_of(parts.hostname), parts.port
    except ValueError:  # its text is not told: it may repeat a part of a password
        raise _no_proxy() from None
    if parts.scheme != "http" or not host:
        raise _no_proxy()
    headers: tuple[tuple[str, str], ...] = ()
    if parts.username is not None:
        secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        token = base64.b64encode(secret.encode()).decode()
        headers = (("proxy-authorization", f"Basic {token}"),)
    return Proxy(host, port or 80, headers)


def _no_proxy() -> InvalidRequest:
    return InvalidRequest(
        "got a proxy that is no http:// address; others are not supported", param="proxy"
    )


def tunnelled(reader: ResponseReader, data: bytes) -> bool:
    """Tell whether a proxy has opened a tunnel.

    Args:
        reader: Reads the proxy's answer.
        data: What came next; none means that the proxy has closed.

    Raises:
        ConnectionFailed: The proxy refused, left, or is no HTTP proxy.
    """
    if not data:
        raise ConnectionFailed("the proxy closed the connection")
    try:
        reader.feed(data)
    except StreamFailed as error:
        raise ConnectionFailed("the proxy does not speak HTTP/1.1") from error
    if reader.head is None:
        return False
    status = reader.head.status
    if 200 <= status < 300:  # noqa: PLR2004
        return True
    what = f"the proxy refused a connection to the server with {status}"
    if status == 407:  # noqa: PLR2004
        what += "; give its address as http://user:password@host:port"
    final = 400 <= status < 500  # noqa: PLR2004
    raise ConnectionFailed(what, code=_REFUSED if final else None)


def hopeless(error: ConnectionFailed) -> bool:
    """Tell whether another attempt to connect would fail alike."""
    return error.code == _REFUSED or isinstance(error.__cause__, ssl.SSLCertVerificationError)


def tls_context(ca_file: str | None) -> ssl.SSLContext:
    """Return a context that checks certificates against the system's store.

    Args:
        ca_file: Certificates to trust instead, a PEM file.

    Raises:
        InvalidRequest: The file is not there or holds no certificates.
    """
    if ca_file is None:
        import truststore

        context: ssl.SSLContext = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    else:
        try:
            context = ssl.create_default_context(cafile=ca_file)
        except (OSError, ssl.SSLError) as error:
            raise InvalidRequest(
                f"got a ca_file, {Path(ca_file).name}, that is not there or holds no certificates",
                param="ca_file",
            ) from error
    context.set_alpn_protocols(["http/1.1"])
    return context


def connect_error(route: Route, error: OSError) -> ConnectionFailed:
    """Return our error for a connection that could not be made, with what to look at."""
    where = f"{route.address[0]}:{route.address[1]}"
    if isinstance(error, ssl.SSLCertVerificationError):
        what = (
            f"the certificate of {route.origin.host} is not trusted ({error.verify_message}); "
            "name its authority by ca_file"
        )
    elif isinstance(error, ssl.SSLError):
        why = getattr(error, "reason", None) or error.strerror
        what = f"{route.origin.host} does not speak TLS as it should ({why})"
    elif isinstance(error, TimeoutError):
        what = f"no connection to {where} in time"
    elif isinstance(error, ConnectionRefusedError) or _REFUSED_ONE in str(error):
        what = f"no connection to {where}: connection refused; is it running?"
    else:
        what = f"no connection to {where}: {error.strerror or error}"
    failed = ConnectionFailed(what)
    failed.__cause__ = error
    return failed


def lost(error: OSError) -> ConnectionFailed:
    """Return our error for a connection that broke."""
    failed = ConnectionFailed(f"the connection broke: {error.strerror or error}")
    failed.__cause__ = error
    return failed


class _Options(Protocol):
    """A socket, or asyncio's view of one."""

    def setsockopt(self, level: int, option: int, value: bytes, /) -> None: ...


def discard_unsent(sock: _Options) -> None:
    """Let a socket, when it is closed, forget what it could not send, and tell the peer so.

    The system would otherwise go on to offer it to a peer that does not read.
    """
    with contextlib.suppress(OSError):  # it may be closed already
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack(_LINGER, 1, 0))


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
