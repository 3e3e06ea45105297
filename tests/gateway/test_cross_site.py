"""Pages of other sites cannot spend what a server without keys has."""

from __future__ import annotations

import pytest
from tests.gateway.conftest import Running, request

from deltaweir.errors import PermissionDenied
from deltaweir.gateway.cross_site import check_site

CROSS = [(b"sec-fetch-site", b"cross-site"), (b"origin", b"https://evil.example")]


@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT", "PATCH"])
def test_a_page_of_another_site(method: str) -> None:
    """It is refused, with the setting that would let it in."""
    with pytest.raises(PermissionDenied, match=r"https://evil\.example.*cors_origins") as refused:
        check_site(method, CROSS, ())
    assert (refused.value.status, refused.value.code) == (403, "cross_site")


@pytest.mark.parametrize("origins", [("*",), ("https://a.example", "https://evil.example")])
def test_a_page_that_may(origins: tuple[str, ...]) -> None:
    """Whose origin the configuration names is let through."""
    check_site("POST", CROSS, origins)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"sec-fetch-site", b"same-origin"), (b"origin", b"http://127.0.0.1:8080")],
        [(b"sec-fetch-site", b"same-site"), (b"origin", b"http://127.0.0.1:3000")],
        [(b"sec-fetch-site", b"none")],
    ],
)
def test_everybody_else(headers: list[tuple[bytes, bytes]]) -> None:
    """Programs say nothing of the kind, and our own page is of the same origin."""
    check_site("POST", headers, ())


@pytest.mark.parametrize(
    ("origin", "called"),
    [
        (b"http://192.168.1.5:8080", {b"host": b"192.168.1.5:8080"}),
        (b"http://box.local", {b"host": b"Box.local:8080"}),
        (b"http://[fd00::5]:8080", {b"host": b"[fd00::5]:8080"}),
        (b"http://[fd00::5]", {b"host": b"[fd00::5]:8080"}),
        (b"http://chat.lan", {b"host": b"127.0.0.1:8080", b"x-forwarded-host": b"chat.lan"}),
        (b"http://chat.lan", {b"host": b"h", b"x-forwarded-host": b"chat.lan, inner.lan:80"}),
    ],
)
def test_our_own_page_where_browsers_say_less(origin: bytes, called: dict[bytes, bytes]) -> None:
    """By plain HTTP from another machine they tell the origin alone: it has the server's name."""
    check_site("POST", [(b"origin", origin), *called.items()], ())


@pytest.mark.parametrize(
    "origin", [b"http://evil.example", b"null", b"file://", b"http://[fd00::6]:8080"]
)
@pytest.mark.parametrize("host", [b"192.168.1.5:8080", b"[fd00::5]:8080", b""])
def test_a_page_of_another_site_where_browsers_say_less(origin: bytes, host: bytes) -> None:
    """An origin of another name is refused, and let in like any other by the configuration."""
    headers = [(b"host", host), (b"origin", origin)]
    with pytest.raises(PermissionDenied, match="cors_origins"):
        check_site("POST", headers, ())
    check_site("POST", headers, (origin.decode(),))


def test_what_only_reads() -> None:
    """A browser keeps the answer from the page, so nothing is lost by it."""
    check_site("GET", CROSS, ())


def test_a_page_without_an_origin() -> None:
    """A file of the disk, or a frame without rights, is another site as well."""
    with pytest.raises(PermissionDenied, match="a page of null"):
        check_site("POST", CROSS[:1], ("https://a.example",))


def test_over_http(gateway: Running) -> None:
    """Nothing is generated for such a page, and our own goes on."""
    body = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1}
    path = "/v1/chat/completions"
    evil = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
    status, _, answer = request(gateway, path, body, headers=evil)
    assert (status, b'"cross_site"' in answer) == (403, True)
    status, _, _ = request(gateway, path, body, headers={"Sec-Fetch-Site": "same-origin"})
    assert status == 200
