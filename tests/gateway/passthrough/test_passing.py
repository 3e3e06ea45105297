"""What goes through a passthrough route, and what never does."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaweir.client.provider import provider_of
from deltaweir.errors import InvalidRequest
from deltaweir.gateway.passthrough.passing import Passed, answer_headers, passed, passes
from deltaweir.wire.http1 import Head

KEY = "sk-upstream-secret"
PATTERNS = ("/v1/embeddings", "/v1/audio/*", "/v1/respon*")
JSON = {"content-type": "application/json"}
FORM = {"content-type": "multipart/form-data; boundary=cut"}


def asking(
    body: Any = b"", headers: dict[str, str] | None = None, *, method: str = "POST", query: str = ""
) -> Passed:
    """Return a request to be passed on."""
    pairs = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return passed(method, "/v1/embeddings", query.encode(), pairs, raw)


def sent(one: Passed, **provider: Any) -> tuple[str, dict[str, str], bytes]:
    """Return a request's first line, headers and body as they go to an upstream."""
    to = provider_of("https://u/base/v1", api_key=KEY, retries=0, **provider)
    head, _, body = one.to(to, request_id="req_1").raw.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = [line.split(": ", 1) for line in lines]
    assert len({name for name, _ in pairs}) == len(pairs)
    return first, dict(pairs), body


@pytest.mark.parametrize(
    "path",
    ["/v1/embeddings", "/v1/audio/speech", "/v1/audio/", "/v1/audio/a/b", "/v1/responses/resp_1"],
)
def test_a_path_passes_by_its_pattern(path: str) -> None:
    """A star stands for any rest."""
    assert passes(PATTERNS, path)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/embeddings/",
        "/v1/embedding",
        "/v1/files",
        "/v1/audio",
        "/v1/audio/../files",
        "/v1/audio/..",
        "/v1/audio/./x",
        "/v1/audio/..;x=y/files",
        "/v1/audio/%2e%2E/files",
        "/v1/audio/..%2ffiles",
        "/v1/audio/%252e",
        "/v1/audio/..\\files",
        "/v1/audio/a\r\nx: y",
        "/v1/audio/a%00",
    ],
)
def test_no_other_path_passes(path: str) -> None:
    """Neither one that is not named, nor one that leads out of it for somebody else."""
    assert not passes(PATTERNS, path)


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=12))
def test_what_was_checked_is_what_is_sent(rest: str) -> None:
    """The upstream decodes the very path that was compared with the patterns."""
    if not passes(PATTERNS, f"/v1/audio/{rest}"):
        return
    one = passed("GET", f"/v1/audio/{rest}", b"", [], b"")
    target = sent(one)[0].split(" ")[1]
    assert unquote(target) == f"/base/v1/audio/{rest}"


def test_harmless_headers_go_through_and_no_others() -> None:
    """Keys, cookies, accounts and hops stay here; what is ours or the upstream's is added."""
    one = asking(
        {"input": "x"},
        {
            "host": "gateway",
            "authorization": "Bearer dw-client",
            "cookie": "a=b",
            "x-deltaweir": "{}",
            "x-api-key": "dw-client",
            "openai-organization": "theirs",
            "idempotency-key": "theirs",
            "accept-encoding": "gzip, br",
            "user-agent": "theirs",
            "x-forwarded-for": "10.0.0.1",
            "connection": "keep-alive, OpenAI-Beta",
            "transfer-encoding": "chunked",
            "te": "trailers",
            "content-type": "application/json; charset=utf-8",
            "accept": "audio/*",
            "openai-beta": "assistants=v2",
            "range": "bytes=0-9",
        },
    )
    first, headers, body = sent(one)
    assert first == "POST /base/v1/embeddings HTTP/1.1"
    assert headers.pop("user-agent").startswith("deltaweir/")
    assert headers == {
        "host": "u",
        "authorization": f"Bearer {KEY}",
        "accept": "audio/*",
        "accept-encoding": "identity",
        "content-type": "application/json; charset=utf-8",
        "range": "bytes=0-9",
        "x-client-request-id": "req_1",
        "idempotency-key": "req_1",
        "content-length": str(len(body)),
    }
    assert json.loads(body) == {"input": "x"}


def test_headers_of_one_name_are_joined() -> None:
    """Two of them are one list; without accept, anything is accepted."""
    pairs = [(b"openai-beta", b"a"), (b"openai-beta", b"b"), (b"if-match", b"x\0y")]
    headers = sent(passed("GET", "/v1/x", b"", pairs, b""))[1]
    assert (headers["openai-beta"], headers["accept"]) == ("a, b", "*/*")
    assert not {"if-match", "content-type", "idempotency-key"} & set(headers)


def test_the_configuration_wins_over_the_client() -> None:
    """A header or a part of the query that the operator has set cannot be changed."""
    one = asking(headers={"openai-beta": "theirs"}, method="GET", query="a=1&api%2Dversion=2&b[]=")
    first, headers, _ = sent(one, headers={"OpenAI-Beta": "ours"}, query={"api-version": "1"})
    assert first == "GET /base/v1/embeddings?api-version=1&a=1&b[]= HTTP/1.1"
    assert headers["openai-beta"] == "ours"


@given(st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5))))
def test_a_query_arrives_as_it_was(pairs: list[tuple[str, str]]) -> None:
    """Order, doubles and encodings are kept."""
    pairs = [(name, value) for name, value in pairs if (name + value).isascii()]
    query = "&".join(f"{quoted(name)}={quoted(value)}" for name, value in pairs)
    target = sent(asking(query=query))[0].split(" ")[1]
    assert parse_qsl(target.partition("?")[2], keep_blank_values=True) == pairs


def quoted(text: str) -> str:
    """Return a text with all its characters encoded."""
    return "".join(f"%{ord(one):02X}" for one in text)


def test_a_json_body_keeps_its_values_and_each_key_once() -> None:
    """The last of equal keys counts, as in Python; what is for us is taken out."""
    one = asking(b' {"model":"a","n":1.0,"big":123456789012345678901234,"mod\\u0065l":"b",'
                 b'"deltaweir":{"tag":"t"},"text":"\\u00e9 \xc3\xa9"}', JSON)  # fmt: skip
    assert one.model == "b"
    assert one.body == (
        b'{"model":"b","n":1.0,"big":123456789012345678901234,"text":"\\u00e9 \xc3\xa9"}'
    )
    renamed = one.named("c")
    assert (renamed.model, renamed.body) == ("c", one.body.replace(b'"b"', b'"c"'))
    assert one.named("b") is one


@pytest.mark.parametrize("kind", [{}, {"content-type": "text/plain"}, JSON])
def test_a_model_is_seen_whatever_the_content_type_says(kind: dict[str, str]) -> None:
    """Some servers read JSON under any name, so a model cannot hide behind another."""
    assert asking({"model": "m"}, kind).model == "m"


@pytest.mark.parametrize(
    ("body", "kind", "sent_kind"),
    [
        (b"\0\1", {}, "application/octet-stream"),
        (b"{}", {}, "application/json"),
        (b'{"model":null}', {}, "application/json"),
        (b'{"broken":', {"content-type": "audio/wav"}, "audio/wav"),
        (b'["model"]', {"content-type": "text/plain"}, "text/plain"),
    ],
)
def test_a_body_without_a_model_goes_as_it_is(
    body: bytes, kind: dict[str, str], sent_kind: str
) -> None:
    """With its content type, or with what it must be."""
    one = asking(body, kind)
    _, headers, raw = sent(one)
    assert (one.model, raw, headers["content-type"]) == (None, body, sent_kind)


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"nonsense", JSON, 400),
        (b"[]", {"content-type": "application/x+JSON"}, 400),
        (b'{"model": 5}', JSON, 400),
        (b'{"model": "\\ud800"}', JSON, 400),
        (b'{"model": "\xff"}', JSON, 400),
        (b"{}", {"content-encoding": "gzip"}, 415),
        (b"form", FORM, 400),
    ],
)
def test_a_body_that_is_not_what_it_says_is_refused(
    body: bytes, headers: dict[str, str], status: int
) -> None:
    """Nobody can tell which model it is for."""
    with pytest.raises(InvalidRequest) as refused:
        asking(body, headers)
    assert refused.value.status == status


def test_two_content_types_are_refused() -> None:
    """Two readers could take different ones."""
    pairs = [(b"content-type", b"text/plain"), (b"content-type", b"application/json")]
    with pytest.raises(InvalidRequest, match="several"):
        passed("POST", "/v1/x", b"", pairs, b"{}")


def test_a_form_is_sent_as_it_is_or_not_at_all() -> None:
    """Its model is found, and cannot be replaced."""
    body = b'--cut\r\ncontent-disposition: form-data; name="model"\r\n\r\nw\r\n--cut--\r\n'
    one = asking(body, FORM)
    assert one.model == "w"
    assert sent(one.named("w"))[2] == body
    with pytest.raises(InvalidRequest, match="a form is sent as it is") as refused:
        one.named("whisper")
    assert refused.value.param == "model"


def test_of_an_answer_only_harmless_headers_go_through() -> None:
    """No cookie, limit, account or hop of the upstream's; its keys are taken out of the rest."""
    head = Head(
        status=200,
        headers=(
            ("content-type", "text/event-stream; charset=utf-8"),
            ("content-disposition", f'attachment; filename="{KEY}.mp3"'),
            ("content-length", "5"),
            ("connection", "close, ETag"),
            ("etag", "x"),
            ("vary", "a\x01b"),
            ("set-cookie", "a=b"),
            ("server", "them"),
            ("x-ratelimit-limit-requests", "1"),
            ("openai-organization", "ours"),
            ("location", "http://inside"),
            ("x-request-id", "req_theirs"),
            ("retry-after", "3"),
        ),
    )
    provider = provider_of("http://u", api_key=KEY)
    assert dict(answer_headers(head, provider)) == {
        b"content-type": b"text/event-stream; charset=utf-8",
        b"content-disposition": b'attachment; filename="[key].mp3"',
        b"retry-after": b"3",
        b"x-upstream-request-id": b"req_theirs",
        b"x-accel-buffering": b"no",
    }


def test_a_request_hides_its_content() -> None:
    """Its repr has neither body nor query."""
    assert repr(asking({"input": "secret"}, query="a=secret")) == "Passed(POST /v1/embeddings)"
