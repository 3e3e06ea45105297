"""The way to an origin: directly or by a proxy, and with which certificates."""

from __future__ import annotations

import base64
import ssl
import urllib.request
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from deltaweir.client.provider import Origin
from deltaweir.errors import ConnectionFailed, InvalidRequest
from deltaweir.wire.http1 import encode_request


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
        """What asks the proxy for a tunnel; empty when there is none."""
        if self.proxy is None:
            return b""
        target = f"{_bracketed(self.origin.host)}:{self.origin.port}"
        return encode_request("CONNECT", target, [("host", target), *self.proxy.headers])


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
    parts = urlsplit(address if "://" in address else f"http://{address}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if parts.scheme != "http" or not host:
        raise InvalidRequest(
            "got a proxy that is no http:// address; others are not supported", param="proxy"
        )
    headers: tuple[tuple[str, str], ...] = ()
    if parts.username is not None:
        secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        token = base64.b64encode(secret.encode()).decode()
        headers = (("proxy-authorization", f"Basic {token}"),)
    return Proxy(host, port or 80, headers)


def check_tunnel(status: int) -> None:
    """Refuse a proxy that did not open a tunnel.

    Raises:
        ConnectionFailed: The proxy refused.
    """
    if not 200 <= status < 300:  # noqa: PLR2004
        raise ConnectionFailed(f"the proxy refused a connection to the server with {status}")


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
        what = f"{route.origin.host} does not speak TLS as it should ({error.reason})"
    elif isinstance(error, TimeoutError):
        what = f"no connection to {where} in time"
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


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
