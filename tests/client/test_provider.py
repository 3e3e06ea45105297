"""A provider's address is checked, and a request's bytes are what was asked for."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaweir.client.provider import Origin, Outgoing, Provider, outgoing, provider_of
from deltaweir.errors import DeltaweirError, InvalidRequest

KEY = "sk-very-secret-0123456789"


def lines_of(request: Outgoing) -> list[str]:
    """Return the lines of a request's head."""
    return request.raw.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")


def headers_of(request: Outgoing) -> dict[str, str]:
    """Return a request's headers, each of which must be there once."""
    pairs = [line.partition(": ") for line in lines_of(request)[1:]]
    headers = {name: value for name, _, value in pairs}
    assert len(headers) == len(pairs)
    return headers


@pytest.mark.parametrize(
    ("address", "origin", "authority", "path", "query"),
    [
        (
            "https://api.openai.com/v1",
            ("https", "api.openai.com", 443),
            "api.openai.com",
            "/v1",
            "",
        ),
        ("http://127.0.0.1:8080/v1/", ("http", "127.0.0.1", 8080), "127.0.0.1:8080", "/v1", ""),
        ("HTTP://Host", ("http", "host", 80), "host", "", ""),
        ("https://h:443/", ("https", "h", 443), "h", "", ""),
        ("http://h:443", ("http", "h", 443), "h:443", "", ""),
        ("http://[::1]:9/v1", ("http", "::1", 9), "[::1]:9", "/v1", ""),
        ("https://[2001:DB8::0:1]", ("https", "2001:db8::1", 443), "[2001:db8::1]", "", ""),
        ("http://h/a b/\u00e9?x=1&y=a b", ("http", "h", 80), "h", "/a%20b/%C3%A9", "x=1&y=a%20b"),
        ("http://h/a%2Fb", ("http", "h", 80), "h", "/a%2Fb", ""),
        ("  http://h/v1\n", ("http", "h", 80), "h", "/v1", ""),
        ("http://my_host.local.", ("http", "my_host.local.", 80), "my_host.local.", "", ""),
        ("http://b\u00fccher.de", ("http", "xn--bcher-kva.de", 80), "xn--bcher-kva.de", "", ""),
    ],
)
def test_an_address_is_taken_apart(
    address: str, origin: tuple[str, str, int], authority: str, path: str, query: str
) -> None:
    """Scheme, host, port, path and query come out of an address, ready to be sent."""
    provider = provider_of(address)
    assert provider.origin == Origin(*origin)
    assert provider.origin.authority == authority
    assert (provider.path, provider.query) == (path, query)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "api.openai.com/v1",
        "ftp://h",
        "http://",
        "http://:80",
        "http://h:0",
        "http://h:99999",
        "http://h:port",
        "http://[::1",
        "http://[zz]",
        "http://a b",
        "http://a..b",
        f"http://{'a' * 64}.de",
        "http://h%41",
        "//h/v1",
    ],
)
def test_an_address_of_no_provider_is_refused(address: str) -> None:
    """What is no address is a typed error that names the parameter."""
    with pytest.raises(InvalidRequest) as caught:
        provider_of(address)
    assert caught.value.param == "base_url"


@pytest.mark.parametrize(
    "address",
    [
        f"https://user:{KEY}@h/v1",
        f"https://{KEY}@h/v1",
        "https://@h",
        f"https://user:{KEY}/x@h",
        f"https://[{KEY}]",
    ],
)
def test_credentials_in_an_address_are_refused_and_not_told(address: str) -> None:
    """A password in an address is refused, and its error never repeats it."""
    with pytest.raises(InvalidRequest) as caught:
        provider_of(address)
    assert KEY not in str(caught.value)
    assert caught.value.__cause__ is None


@given(st.text())
def test_any_text_is_an_address_or_our_own_error(text: str) -> None:
    """Whatever is given for an address, a request to it can be sent, or an error of ours comes."""
    try:
        request = outgoing(provider_of(f"http://{text}"), "/x", request_id="r")
    except DeltaweirError:
        return
    assert lines_of(request)[0].count(" ") == 2
    assert len(lines_of(request)) == 9


def test_a_request_says_what_it_is() -> None:
    """A streaming POST has every header it needs, once, and its body behind its length."""
    provider = provider_of(
        "https://h/v1", api_key=KEY, organization="org", project="p", query={"api-version": "1"}
    )
    request = outgoing(
        provider, "/chat/completions", request_id="id1", body=b"{}", stream=True, version="9"
    )
    assert lines_of(request)[0] == "POST /v1/chat/completions?api-version=1 HTTP/1.1"
    assert headers_of(request) == {
        "host": "h",
        "accept": "text/event-stream",
        "accept-encoding": "identity",
        "user-agent": "deltaweir/9",
        "x-client-request-id": "id1",
        "content-type": "application/json",
        "idempotency-key": "id1",
        "authorization": f"Bearer {KEY}",
        "openai-organization": "org",
        "openai-project": "p",
        "content-length": "2",
    }
    assert request.raw.endswith(b"\r\n\r\n{}")


def test_a_get_has_no_body_and_no_idempotency_key() -> None:
    """A GET asks for JSON and says nothing of a body."""
    request = outgoing(
        provider_of("http://h/v1?a=1"), "/models", request_id="r", method="GET", query={"b": [2, 3]}
    )
    assert lines_of(request)[0] == "GET /v1/models?a=1&b=2&b=3 HTTP/1.1"
    headers = headers_of(request)
    assert headers["accept"] == "application/json"
    assert not {"idempotency-key", "content-length", "content-type", "authorization"} & set(headers)


def test_headers_of_the_request_win_over_those_of_the_provider_and_both_over_ours() -> None:
    """The nearer a header is given to the request, the more it counts, in any spelling."""
    provider = provider_of(
        "http://h",
        api_key=KEY,
        organization="a",
        headers={"OpenAI-Organization": "b", "User-Agent": "mine", "X-A": "1"},
    )
    request = outgoing(
        provider, "/x", request_id="r", headers={"AUTHORIZATION": "other", "x-a": "2"}
    )
    headers = headers_of(request)
    assert headers["openai-organization"] == "b"
    assert (headers["user-agent"], headers["authorization"], headers["x-a"]) == (
        "mine",
        "other",
        "2",
    )


@pytest.mark.parametrize(
    "headers",
    [
        {"x": "a\r\nevil: 1"},
        {"x\r\nevil": "1"},
        {"x": "\0"},
        {"Content-Length": "0"},
        {"Transfer-Encoding": "chunked"},
        {"x": 1},
        {1: "x"},
        {"x": None},
    ],
)
def test_headers_that_would_change_the_request_are_refused(headers: dict[str, str]) -> None:
    """No header can end the head, add another, or say where the body ends."""
    with pytest.raises(InvalidRequest):
        outgoing(provider_of("http://h", headers=headers), "/x", request_id="r")
    with pytest.raises(InvalidRequest):
        outgoing(provider_of("http://h"), "/x", request_id="r", headers=headers)


@given(st.text(), st.text())
def test_no_header_smuggles_another(name: str, value: str) -> None:
    """Whatever a header holds, one header more is sent, or an error of ours comes."""
    provider = provider_of("http://h")
    plain = outgoing(provider, "/x", request_id="r", body=b"1")
    try:
        request = outgoing(provider, "/x", request_id="r", body=b"1", headers={name: value})
    except InvalidRequest:
        return
    known = {line.partition(":")[0] for line in lines_of(plain)}
    assert len(lines_of(request)) == len(lines_of(plain)) + (name.lower() not in known)
    assert request.raw.endswith(b"\r\n\r\n1")


@given(st.text(), st.text())
def test_no_path_or_query_breaks_the_first_line(path: str, value: str) -> None:
    """Whatever a path or a query holds, the first line has its three words."""
    request = outgoing(provider_of("http://h"), f"/{path}", request_id="r", query={"q": value})
    assert lines_of(request)[0].count(" ") == 2


def test_keys_are_in_no_repr() -> None:
    """Neither a provider nor a request tells its key, headers or prompt when printed."""
    provider = provider_of("https://h/v1", api_key=KEY, headers={"api-key": KEY})
    request = outgoing(provider, "/x", request_id="r", body=json.dumps({"a": "prompt"}).encode())
    assert repr(provider) == "Provider(https://h/v1)"
    for shown in (repr(request), str(request), f"{(provider, request)}"):
        assert KEY not in shown
        assert "prompt" not in shown


def test_a_key_that_cannot_be_sent_is_not_told() -> None:
    """A key with a line end is an error that hides it."""
    with pytest.raises(InvalidRequest) as caught:
        outgoing(provider_of("http://h", api_key=f"{KEY}\nx"), "/x", request_id="r")
    assert KEY not in str(caught.value)


def test_keys_are_taken_out_of_what_a_server_says() -> None:
    """A server may repeat the key or a secret header; short ones would hide half the text."""
    provider = provider_of(
        "http://h",
        api_key=KEY,
        headers={"X-Api-Key": "other-secret", "authorization": "Bearer abcdefgh1"},
    )
    said = f"no {KEY}, no other-secret, no abcdefgh1"
    assert provider.without_secrets(said) == "no [key], no [key], no [key]"
    assert provider_of("http://h", api_key="x").without_secrets("extra x") == "extra x"


def test_retries_cannot_be_negative() -> None:
    """A negative number of retries names the option."""
    with pytest.raises(InvalidRequest, match="max_retries=-1"):
        provider_of("http://h", retries=-1)
    assert provider_of("http://h", retries=0).retries == 0


def test_a_provider_is_a_value() -> None:
    """Two providers of the same description are one."""
    assert provider_of("http://h") == provider_of("http://H/")
    assert isinstance(provider_of("http://h"), Provider)


@pytest.mark.parametrize("retries", ["2", None, 1.5])
def test_retries_are_a_number(retries: object) -> None:
    """Another type names the option."""
    with pytest.raises(InvalidRequest, match="max_retries"):
        provider_of("http://h", retries=retries)  # type: ignore[arg-type]


@pytest.mark.parametrize("key", [f"{KEY}\n", f" {KEY}", KEY.encode(), 5])
def test_a_key_that_no_server_would_know(key: object) -> None:
    """It is refused at once, since a file's line break is easily taken along; it is never told."""
    with pytest.raises(InvalidRequest, match="api_key") as caught:
        provider_of("http://h", api_key=key)  # type: ignore[arg-type]
    assert (caught.value.param, KEY in str(caught.value)) == ("api_key", False)
