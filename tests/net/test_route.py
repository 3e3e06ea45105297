"""The way to an origin: proxies, tunnels, certificates, and what is told when it is barred."""

from __future__ import annotations

import errno
import socket
import ssl
from pathlib import Path

import pytest

from deltaweir.client.provider import Origin
from deltaweir.errors import ConnectionFailed, InvalidRequest
from deltaweir.net.route import (
    Proxy,
    Route,
    connect_error,
    discard_unsent,
    hopeless,
    lost,
    route_to,
    tls_context,
    tunnelled,
)
from deltaweir.wire.http1 import ResponseReader

PLAIN = Origin("http", "h", 80)
SECURE = Origin("https", "h", 443)
REFUSED = f"[Errno {errno.ECONNREFUSED}] Connect call failed"
AUTHORITY = Path(__file__).parent.parent / "data" / "tls" / "authority.pem"


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def test_without_a_proxy_the_way_is_direct() -> None:
    """The connection goes to the origin itself, and a request is sent as it is."""
    route = route_to(SECURE)
    assert route == Route(SECURE, None)
    assert route.address == ("h", 443)
    assert route.tunnel == b""
    assert route.request(b"GET / HTTP/1.1\r\n\r\n") == b"GET / HTTP/1.1\r\n\r\n"


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("http://p:3128", "p", 3128),
        ("p:3128", "p", 3128),
        ("http://p", "p", 80),
        ("http://[::1]:9/", "::1", 9),
    ],
)
def test_a_proxy_is_where_the_connection_goes(address: str, host: str, port: int) -> None:
    """Host and port are the proxy's; a scheme may be left out."""
    assert route_to(SECURE, proxy=address).address == (host, port)


@pytest.mark.parametrize(
    "address", ["socks5://p:1080", "https://p", "http://", "http://[::1", "p:port", "http://a b"]
)
def test_a_proxy_of_another_kind_is_refused(address: str) -> None:
    """What is no http address is a typed error that names the parameter."""
    with pytest.raises(InvalidRequest) as caught:
        route_to(SECURE, proxy=address)
    assert caught.value.param == "proxy"


def test_a_proxys_password_is_not_told() -> None:
    """Neither a repr nor an error repeats it."""
    route = route_to(SECURE, proxy="http://me:secret1@p")
    assert route.proxy is not None
    assert route.proxy.headers == (("proxy-authorization", "Basic bWU6c2VjcmV0MQ=="),)
    assert repr(route.proxy) == "Proxy(p:80)"
    assert "bWU6" not in repr(route)
    with pytest.raises(InvalidRequest) as caught:
        route_to(SECURE, proxy="http://me:secret1/x@p")
    assert "secret1" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_tunnel_is_asked_for_with_host_and_port() -> None:
    """CONNECT names the port always, and an IPv6 address in brackets."""
    proxy = Proxy("p", 80, (("proxy-authorization", "Basic x"),))
    assert Route(SECURE, proxy).tunnel == (
        b"CONNECT h:443 HTTP/1.1\r\nhost: h:443\r\nproxy-authorization: Basic x\r\n\r\n"
    )
    assert Route(Origin("https", "::1", 9), proxy).tunnel.startswith(b"CONNECT [::1]:9 ")
    assert Route(SECURE, proxy).request(b"GET / HTTP/1.1\r\n\r\n") == b"GET / HTTP/1.1\r\n\r\n"


def test_a_plain_request_by_a_proxy_has_the_whole_address() -> None:
    """The first line gets scheme and host; the body is untouched."""
    proxy = Proxy("p", 80, (("proxy-authorization", "Basic x"),))
    raw = b"POST /v1?a=1 HTTP/1.1\r\nhost: h:81\r\n\r\nab\r\n cd"
    assert Route(Origin("http", "h", 81), proxy).tunnel == b""
    assert Route(Origin("http", "h", 81), proxy).request(raw) == (
        b"POST http://h:81/v1?a=1 HTTP/1.1\r\nproxy-authorization: Basic x\r\n"
        b"host: h:81\r\n\r\nab\r\n cd"
    )


@pytest.mark.parametrize(
    ("origin", "exempt", "direct"),
    [
        (PLAIN, "h", True),
        (PLAIN, "x, .h", True),
        (PLAIN, "other", False),
        (Origin("http", "api.h", 80), "h", True),
        (Origin("http", "h", 81), "h:81", True),
        (Origin("http", "h", 82), "h:81", False),
        (Origin("http", "::1", 80), "::1", True),
        (PLAIN, "*", True),
    ],
)
def test_the_environment_exempts_hosts(
    monkeypatch: pytest.MonkeyPatch, origin: Origin, exempt: str, direct: bool
) -> None:
    """What no_proxy names is reached directly."""
    monkeypatch.setenv("http_proxy", "http://p:1")
    monkeypatch.setenv("no_proxy", exempt)
    assert (route_to(origin).proxy is None) is direct


def test_the_environments_proxy_may_be_overruled(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty proxy means none; each scheme has its own."""
    monkeypatch.setenv("https_proxy", "http://p:1")
    assert route_to(SECURE).address == ("p", 1)
    assert route_to(PLAIN).proxy is None
    assert route_to(SECURE, proxy="").proxy is None


def test_a_tunnel_is_open_once_the_proxy_says_so() -> None:
    """The answer may come in pieces."""
    reader = ResponseReader()
    assert not tunnelled(reader, b"HTTP/1.1 200 Con")
    assert tunnelled(reader, b"nected\r\n\r\n")


@pytest.mark.parametrize(
    ("data", "words", "final"),
    [
        (b"", "closed", False),
        (b"SSH-2.0\r\n", "does not speak HTTP", False),
        (b"HTTP/1.1 407 Auth\r\n\r\n", "user:password", True),
        (b"HTTP/1.1 403 No\r\n\r\n", "with 403", True),
        (b"HTTP/1.1 502 Bad\r\n\r\n", "with 502", False),
    ],
)
def test_a_proxy_that_refuses_is_told(data: bytes, words: str, final: bool) -> None:
    """The error says what the proxy did, and whether asking again may help."""
    with pytest.raises(ConnectionFailed, match=words) as caught:
        tunnelled(ResponseReader(), data)
    assert hopeless(caught.value) is final


def test_certificates_come_from_the_system_or_from_a_file() -> None:
    """Either way names and certificates are checked."""
    for context in (tls_context(None), tls_context(str(AUTHORITY))):
        assert isinstance(context, ssl.SSLContext)
        assert context.verify_mode == ssl.CERT_REQUIRED
        assert context.check_hostname


@pytest.mark.parametrize("content", [None, "", "no certificate"])
def test_a_file_without_certificates_is_refused(tmp_path: Path, content: str | None) -> None:
    """A file that is not there, or holds none, is a typed error."""
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    with pytest.raises(InvalidRequest, match=r"ca\.pem") as caught:
        tls_context(str(file))
    assert caught.value.param == "ca_file"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TimeoutError(), "no connection to h:443 in time"),
        (ConnectionRefusedError(111, "no"), "h:443: connection refused; is it running?"),
        (OSError(f"many: {REFUSED} ('::1', 1), {REFUSED} ('127.0.0.1', 1)"), "; is it running?"),
        (OSError("many things"), "h:443: many things"),
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
        (ssl.SSLError(1, "odd"), "does not speak TLS as it should (odd)"),
    ],
)
def test_what_barred_the_way_is_told(error: OSError, words: str) -> None:
    """Each failure to connect names where, and why."""
    failed = connect_error(Route(SECURE, None), error)
    assert words in failed.message
    assert failed.__cause__ is error
    assert not hopeless(failed)


def test_a_broken_connection_is_told() -> None:
    """The system's words are kept."""
    assert "reset by peer" in lost(ConnectionResetError(104, "Connection reset by peer")).message
    assert "odd" in lost(OSError("odd")).message


def test_a_closed_socket_has_nothing_to_discard() -> None:
    """Discarding comes too late without harm."""
    sock = socket.socket()
    sock.close()
    discard_unsent(sock)
