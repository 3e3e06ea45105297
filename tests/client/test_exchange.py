"""One request's life: the same chunks however the bytes are cut, and never those of two tries."""

from __future__ import annotations

import base64
import itertools
import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaweir import errors
from deltaweir.client.exchange import StreamExchange, WholeExchange
from deltaweir.client.provider import outgoing, provider_of
from deltaweir.errors import DeltaweirError
from deltaweir.schema.chunk import Chunk, TextChunk
from deltaweir.schema.reply import Reply
from deltaweir.testing.faults import (
    BOM,
    Step,
    Trickle,
    chat_events,
    crlf,
    error_answer,
    error_event,
    json_answer,
    stream_answer,
)
from deltaweir.wire.sse import DONE, HEARTBEAT

KEY = "sk-very-secret-0123456789"
RECORDED = Path(__file__).parents[3] / "shared" / "data" / "recorded_streams.json"
HEAD = b"HTTP/1.1 200 OK\r\nx-request-id: req_1\r\ncontent-type: text/event-stream\r\n"
ROLE = b"".join(step for step in chat_events(finish=None, done=False) if isinstance(step, bytes))


def raw(steps: Iterable[Step]) -> bytes:
    """Return the bytes of an answer."""
    return b"".join(
        step.data if isinstance(step, Trickle) else step
        for step in steps
        if isinstance(step, bytes | Trickle)
    )


HAPPY = raw(stream_answer(chat_events("Hel", "l\u00f6", "!", usage=(3, 4))))


def exchange(*, retries: int = 2, kind: Any = Chunk) -> StreamExchange[Any]:
    """Return an exchange that has begun."""
    provider = provider_of("http://h/v1", api_key=KEY, retries=retries)
    request = outgoing(provider, "/chat/completions", request_id="id1", body=b"{}", stream=True)
    made: StreamExchange[Any] = StreamExchange(request, kind, chance=lambda: 0.0, now=lambda: 0.0)
    made.start()
    return made


def whole(*, retries: int = 2) -> WholeExchange:
    """Return an exchange without stream that has begun."""
    provider = provider_of("http://h/v1", api_key=KEY, retries=retries)
    request = outgoing(provider, "/chat/completions", request_id="id1", body=b"{}")
    made = WholeExchange(request, chance=lambda: 0.0, now=lambda: 0.0)
    made.start()
    return made


def cut(data: bytes, places: Iterable[int]) -> Iterator[bytes]:
    """Cut bytes at these places."""
    marks = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return (data[a:b] for a, b in itertools.pairwise(marks))


def told(error: DeltaweirError) -> tuple[str, str, str | None]:
    """Return what matters of an error."""
    return type(error).__name__, error.message, error.code


def run(
    made: StreamExchange[Any], pieces: Iterable[bytes], *, eof: bool = True
) -> tuple[list[Any], DeltaweirError | None]:
    """Feed pieces as a shell does; return the chunks and how it failed."""
    chunks: list[Any] = []
    try:
        for piece in pieces:
            chunks += made.feed(piece)
            if made.failure is not None:
                raise made.failure
            if made.ended or made.pause_s is not None:
                return chunks, None
        if eof:
            chunks += made.eof()
    except DeltaweirError as error:
        return chunks, error
    return chunks, None


def text(chunks: Iterable[Any]) -> str:
    """Return the content of chunks."""
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


ANSWERS: dict[str, bytes] = {
    "happy": HAPPY,
    "length": raw(stream_answer(chat_events("a", "b"), framing="length")),
    "close": raw(stream_answer(chat_events("a", "b"), framing="close")),
    "crlf": raw(stream_answer(crlf(chat_events("a", "b")))),
    "bom": raw(stream_answer([BOM, *chat_events("\u00fc")])),
    "heartbeats": raw(stream_answer([HEARTBEAT, *chat_events("a"), HEARTBEAT])),
    "empty data": raw(stream_answer([b"data:\n\n", *chat_events("a")])),
    "error event": raw(
        stream_answer([*chat_events("a", finish=None, done=False), error_event("x")])
    ),
    "flat error": raw(
        stream_answer([*chat_events("a", finish=None, done=False), error_event("x", flat=True)])
    ),
    "garbage event": raw(
        stream_answer([*chat_events("a", finish=None, done=False), b"data: ?\n\n"])
    ),
    "early error": raw(stream_answer([ROLE, error_event("x", code="stall_timeout")])),
    "json": raw(json_answer({"error": {"message": "x"}})),
    "page": raw(json_answer("<html>", headers={"content-type": "text/html"})),
    "mislabelled": raw(
        stream_answer(chat_events("a"), headers={"content-type": "application/json"})
    ),
    "refusal": raw(error_answer(400, "x", code="context_length_exceeded")),
    "between": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nlink: x\r\n\r\n" + HAPPY,
    "nothing": b"",
}


@pytest.mark.parametrize("name", sorted(ANSWERS))
@given(places=st.lists(st.integers(0, 3000), max_size=20))
def test_an_answer_is_the_same_however_it_is_cut(name: str, places: list[int]) -> None:
    """Chunks, usage, end and error do not depend on how the bytes came."""
    outcomes = []
    for pieces in ([ANSWERS[name]], cut(ANSWERS[name], places)):
        made = exchange(retries=0)
        chunks, error = run(made, pieces)
        outcomes.append((chunks, error and told(error), made.ended, made.said_done, made.usage))
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("name", sorted(set(ANSWERS) - {"nothing"}))
def test_an_answer_comes_byte_by_byte(name: str) -> None:
    """Every answer may come in single bytes."""
    by_bytes = (ANSWERS[name][at : at + 1] for at in range(len(ANSWERS[name])))
    at_once, in_bytes = (run(exchange(retries=0), one) for one in ([ANSWERS[name]], by_bytes))
    assert at_once[0] == in_bytes[0]
    assert repr(at_once[1]) == repr(in_bytes[1])


def test_a_whole_stream_gives_its_chunks_usage_and_connection() -> None:
    """A stream that ends as it should is complete, and its connection may serve again."""
    made = exchange()
    chunks, error = run(made, [HAPPY])
    assert error is None
    assert text(chunks) == "Hell\u00f6!"
    assert chunks[0].choices[0].delta.role == "assistant"
    assert made.usage is not None
    assert (made.usage.prompt_tokens, made.usage.completion_tokens) == (3, 4)
    assert made.ended
    assert made.said_done
    assert made.answered
    assert made.framed_end
    assert made.reusable


def test_nothing_is_handed_on_before_content() -> None:
    """The role waits for the first content, and both come together."""
    made = exchange()
    assert made.feed(HEAD + b"\r\n" + ROLE) == []
    assert made.answered
    assert made.request_id == "req_1"
    first = made.feed(raw(chat_events("a")[1:2]))
    assert [chunk.choices[0].delta.content for chunk in first] == ["", "a"]
    assert len(made.feed(raw(chat_events("a")[1:2]))) == 1


@pytest.mark.parametrize(
    "delta",
    [
        '{"reasoning_content": "x"}',
        '{"refusal": "x"}',
        '{"tool_calls": [{"index": 0, "function": {"name": "f"}}]}',
        '{"audio": {"id": "x"}}',
    ],
)
def test_content_is_more_than_text(delta: str) -> None:
    """Reasoning, refusals, tool calls and audio end the time of retries too."""
    made = exchange()
    event = f'data: {{"choices": [{{"index": 0, "delta": {delta}}}]}}\n\n'.encode()
    assert len(made.feed(HEAD + b"\r\n" + ROLE + event)) == 2
    made.broke(errors.ConnectionFailed("x"))
    assert made.pause_s is None


def test_text_completions_stream_likewise() -> None:
    """The other endpoint's chunks are content when they have text."""
    made = exchange(kind=TextChunk)
    events = b'data: {"choices": [{"text": ""}]}\n\ndata: {"choices": [{"text": "a"}]}\n\n'
    assert [chunk.choices[0].text for chunk in made.feed(HEAD + b"\r\n" + events)] == ["", "a"]


def test_early_chunks_without_end_are_not_kept_for_ever() -> None:
    """A server that sends nothing but empty chunks is believed in the end."""
    made = exchange()
    chunks = made.feed(HEAD + b"\r\n" + ROLE * 2000)
    assert len(chunks) == 2000


def test_what_comes_after_done_is_ignored() -> None:
    """Neither events nor garbage behind ``[DONE]`` count."""
    end = raw(chat_events("a"))
    made = exchange()
    chunks = made.feed(HEAD + b"\r\n" + end + b"data: garbage\n\n" + error_event("x"))
    assert text(chunks) == "a"
    assert made.failure is None
    assert made.ended
    assert not made.framed_end
    made.drain(b"more")
    assert not made.reusable


@pytest.mark.parametrize(
    "done", [b"data: [DONE]\n\n", b"data:[DONE]\n\n", b"data:  [DONE] \r\n\r\n"]
)
def test_done_is_recognised_with_other_blanks(done: bytes) -> None:
    """Some servers write it with more blanks, or with fewer."""
    made = exchange()
    made.feed(HEAD + b"\r\n" + done)
    assert made.said_done


# attempts


def test_every_attempt_sends_the_same_bytes_and_key() -> None:
    """A retry is the same request, idempotency key included."""
    made = exchange()
    first = made.start()
    made.broke(errors.ConnectionFailed("x"))
    assert made.pause_s == 0.5
    assert made.start() == first
    assert made.pause_s is None
    assert b"idempotency-key: id1" in first


def test_attempts_end_with_the_number_of_retries() -> None:
    """Pauses double, and then the error comes."""
    made = exchange(retries=2)
    pauses = []
    for _ in range(2):
        made.broke(errors.ConnectionFailed("x"))
        pauses.append(made.pause_s)
        made.start()
    assert pauses == [0.5, 1.0]
    with pytest.raises(errors.ConnectionFailed):
        made.broke(errors.ConnectionFailed("x"))


def test_a_retry_forgets_the_attempt_before() -> None:
    """Chunks and usage of a broken attempt are never seen."""
    made = exchange()
    usage = b'data: {"choices": [], "usage": {"prompt_tokens": 9}}\n\n'
    assert made.feed(HEAD + b"\r\n" + ROLE + usage) == []
    made.broke(errors.ConnectionFailed("x"))
    made.start()
    assert made.usage is None
    assert not made.answered
    chunks, error = run(made, [raw(stream_answer(chat_events("b")))])
    assert error is None
    assert [chunk.choices[0].delta.content for chunk in chunks] == ["", "b", None]


@pytest.mark.parametrize("framing", ["length", "close"])
@pytest.mark.parametrize("status", [408, 409, 429, 500, 503])
def test_a_refusal_that_may_pass_is_tried_again(status: int, framing: Any) -> None:
    """However its body ends, a refusal is read and then tried again, as the server asks."""
    made = exchange()
    answer = raw(error_answer(status, headers={"retry-after": "3"}, framing=framing))
    assert run(made, [answer]) == ([], None)
    assert made.pause_s == 3.0
    assert not made.ended


@pytest.mark.parametrize("framing", ["length", "close", "chunked"])
def test_a_refusal_is_its_error_however_its_body_ends(framing: Any) -> None:
    """Status, code and words come through in every framing."""
    made = exchange()
    answer = error_answer(404, "no m", code="model_not_found", param="model", framing=framing)
    _, error = run(made, [raw(answer)])
    assert isinstance(error, errors.ModelNotFound)
    assert (error.status, error.param) == (404, "model")
    assert "no m" in error.message
    assert made.pause_s is None


def test_a_refusal_that_is_cut_short_still_counts() -> None:
    """A status alone says enough."""
    answer = raw(error_answer(401))[:-5]
    _, error = run(exchange(), [answer])
    assert isinstance(error, errors.AuthenticationFailed)


def test_a_spent_quota_is_not_tried_again() -> None:
    """Waiting does not fill a quota."""
    made = exchange()
    _, error = run(made, [raw(error_answer(429, code="insufficient_quota"))])
    assert isinstance(error, errors.RateLimited)
    assert error.code == "insufficient_quota"


def test_a_refusal_without_end_is_cut() -> None:
    """A refusal's body is not read for ever."""
    made = exchange()
    _, error = run(
        made, itertools.chain([b"HTTP/1.1 400 No\r\n\r\n"], [b"x" * 65536] * 40), eof=False
    )
    assert isinstance(error, errors.InvalidRequest)


def test_the_key_is_hidden_wherever_a_server_repeats_it() -> None:
    """Refusals, error events and errors under 200 never tell the key."""
    for answer in (
        error_answer(401, f"wrong {KEY}"),
        stream_answer([error_event(f"wrong {KEY}")]),
        json_answer({"error": {"message": f"wrong {KEY}", "code": KEY}}),
    ):
        _, error = run(exchange(), [raw(answer)])
        assert error is not None
        assert "wrong [key]" in error.message
        assert KEY not in f"{error.message}{error.code}"


# ends


@pytest.mark.parametrize(
    "seen",
    [
        b"",
        b"HTTP/1.1 20",
        HEAD + b"transfer-encoding: chunked\r\n\r\n",
        HEAD + b"\r\n",
        HEAD + b"\r\n" + ROLE,
    ],
)
def test_an_end_before_content_is_tried_again(seen: bytes) -> None:
    """Wherever it ends before content, the request is sent again."""
    made = exchange()
    assert run(made, [seen] if seen else []) == ([], None)
    assert made.pause_s == 0.5
    assert not made.ended


def test_an_end_before_any_answer_is_a_failed_connection() -> None:
    """Without retries left, no answer is an error of the network."""
    _, error = run(exchange(retries=0), [b"HTTP/1.1 2"])
    assert isinstance(error, errors.ConnectionFailed)
    assert "without an answer" in error.message


def test_an_end_before_content_without_retries_leaves_the_verdict_to_the_reader() -> None:
    """What came is handed on; it has no finish reason, and so is no complete stream."""
    made = exchange(retries=0)
    chunks, error = run(made, [HEAD + b"\r\n" + ROLE])
    assert error is None
    assert len(chunks) == 1
    assert made.ended
    assert not made.said_done


@pytest.mark.parametrize("finish", [None, "stop"])
@pytest.mark.parametrize("how", ["eof", "broke"])
def test_an_end_after_content_is_an_end(finish: str | None, how: str) -> None:
    """Closed or reset, after content nothing is sent again: finish reasons tell the rest."""
    made = exchange()
    chunks = made.feed(HEAD + b"\r\n" + raw(chat_events("a", finish=finish, done=False)))
    if how == "eof":
        chunks += made.eof()
    else:
        made.broke(errors.ConnectionFailed("x"))
    assert text(chunks) == "a"
    assert made.ended
    assert made.pause_s is None
    assert not made.reusable
    assert chunks[-1].choices[0].finish_reason == finish


def test_the_end_of_the_body_is_an_end_without_done() -> None:
    """A body that ends as its head says needs no ``[DONE]``."""
    made = exchange()
    run(made, [raw(stream_answer(chat_events("a", done=False)))])
    assert made.ended
    assert not made.said_done
    assert made.reusable


@pytest.mark.parametrize("flat", [True, False])
def test_chunks_before_an_error_come_first(flat: bool) -> None:
    """An error event in the same read does not swallow the chunks before it."""
    made = exchange()
    events = [*chat_events("a", finish=None, done=False), error_event("x", code="c", flat=flat)]
    chunks = made.feed(raw(stream_answer(events)))
    assert text(chunks) == "a"
    assert isinstance(made.failure, errors.StreamFailed)
    assert made.failure.code == "c"


def test_an_error_event_before_content_is_final() -> None:
    """The server has said what is wrong; asking again would give the same."""
    made = exchange()
    chunks, error = run(made, [raw(stream_answer([ROLE, error_event("x")]))])
    assert chunks == []
    assert isinstance(error, errors.StreamFailed)
    assert made.pause_s is None


def test_a_null_error_is_none() -> None:
    """Some servers have ``error: null`` in every chunk."""
    event = b'data: {"error": null, "choices": [{"index": 0, "delta": {"content": "a"}}]}\n\n'
    assert text(exchange().feed(HEAD + b"\r\n" + event)) == "a"


def test_garbage_before_content_is_tried_again_and_then_an_error() -> None:
    """What is no JSON may be a passing fault; without retries it is an error of the peer's."""
    answer = [raw(stream_answer([b"data: {garbage\n\n"]))]
    made = exchange()
    assert run(made, answer) == ([], None)
    assert made.pause_s == 0.5
    _, error = run(exchange(retries=0), answer)
    assert isinstance(error, errors.StreamFailed)


def test_a_peer_that_speaks_no_http_is_an_error() -> None:
    """Another protocol on the port is told as such."""
    _, error = run(exchange(retries=0), [b"SSH-2.0-OpenSSH\r\n"])
    assert isinstance(error, errors.StreamFailed)


# answers that are no stream


def test_a_page_is_an_error_that_says_where_to_look() -> None:
    """A page of HTML under 200 comes of a wrong address."""
    made = exchange()
    _, error = run(made, [ANSWERS["page"]])
    assert isinstance(error, errors.StreamFailed)
    assert "text/html" in error.message
    assert "base_url" in error.message
    assert made.pause_s is None


def test_a_page_without_end_is_cut() -> None:
    """A page is not read for ever."""
    begin = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n\r\n"
    _, error = run(exchange(), [begin, *[b" " * 65536] * 40], eof=False)
    assert isinstance(error, errors.StreamFailed)


@pytest.mark.parametrize("framing", ["length", "close", "chunked"])
def test_an_error_under_status_200_is_that_error(framing: Any) -> None:
    """Servers that always say 200 are understood all the same."""
    answer = json_answer(
        {"error": {"message": "too long", "code": "context_length_exceeded"}}, framing=framing
    )
    _, error = run(exchange(), [raw(answer)])
    assert isinstance(error, errors.ContextLengthExceeded)
    assert "too long" in error.message


def test_a_whole_reply_in_place_of_a_stream_is_an_error() -> None:
    """A server that cannot stream is named, with the way out."""
    _, error = run(exchange(), [raw(json_answer({"choices": []}))])
    assert isinstance(error, errors.StreamFailed)
    assert "ask without stream" in error.message


@pytest.mark.parametrize("media", ["text/plain", "application/octet-stream", "application/json"])
def test_a_stream_by_another_name_is_read(media: str) -> None:
    """Many servers name their streams wrongly; what they send counts."""
    answer = stream_answer(chat_events("a"), headers={"content-type": f"{media}; charset=x"})
    chunks, error = run(exchange(), [raw(answer)])
    assert error is None
    assert text(chunks) == "a"


def test_a_stream_with_status_201_is_read() -> None:
    """Some frameworks answer every POST so."""
    made = exchange()
    chunks, error = run(made, [raw(stream_answer(chat_events("a"), status=201))])
    assert (text(chunks), error) == ("a", None)
    assert made.answered


def test_status_204_has_no_chunks() -> None:
    """An answer without a body ends at once, without a finish reason."""
    made = exchange()
    assert run(made, [b"HTTP/1.1 204 No Content\r\n\r\n"]) == ([], None)
    assert made.ended


def test_a_redirection_is_told_and_not_followed() -> None:
    """Credentials are never carried to another address."""
    _, error = run(
        exchange(), [b"HTTP/1.1 307 T\r\nlocation: https://other/v1\r\ncontent-length: 0\r\n\r\n"]
    )
    assert isinstance(error, errors.APIStatusError)
    assert "https://other/v1" in error.message


def test_a_compressed_answer_is_told() -> None:
    """What was not asked for cannot be read as it comes."""
    made = exchange()
    answer = stream_answer([b"\x1f\x8b"], headers={"content-encoding": "gzip"})
    _, error = run(made, [raw(answer)])
    assert isinstance(error, errors.StreamFailed)
    assert "gzip" in error.message
    assert made.pause_s is None


@given(st.binary(max_size=300), st.sampled_from(["", "HTTP/1.1 200 OK\r\n\r\n", "data"]))
def test_whatever_a_peer_sends_ends_in_chunks_or_an_error_of_ours(rest: bytes, begin: str) -> None:
    """Garbage is never another exception than ours."""
    before = HEAD + b"\r\ndata: " if begin == "data" else begin.encode()
    for retries in (0, 1):
        made = exchange(retries=retries)
        run(made, [before + rest + b"\n\n"])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["choices", "delta", "content", "error", "usage", "index", "x", "items"]
            ),
            inner,
        )
    ),
)


@given(st.lists(JSON, max_size=5), st.sampled_from([Chunk, TextChunk]))
def test_any_json_ends_in_chunks_or_an_error_of_ours(values: list[Any], kind: Any) -> None:
    """Events of the wrong shape are never another exception than ours."""
    events = b"".join(b"data: %b\n\n" % json.dumps(value).encode() for value in values)
    run(exchange(retries=0, kind=kind), [HEAD + b"\r\n" + events])


@pytest.mark.parametrize("value", ["[" * 100_000, '{"a":' * 100_000, '{"error":' * 100_000])
def test_json_without_bottom_is_an_error_of_ours(value: str) -> None:
    """Deep nesting is refused, as an event, a page and a refusal."""
    for answer in (
        HEAD + b"\r\ndata: " + value.encode() + b"\n\n",
        HEAD + b"\r\nevent: error\ndata: " + value.encode() + b"\n\n",
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n" + value.encode(),
        b"HTTP/1.1 400 No\r\n\r\n" + value.encode(),
    ):
        _, error = run(exchange(retries=0), [answer])
        assert isinstance(error, DeltaweirError)


@pytest.mark.skipif(not RECORDED.exists(), reason="recorded streams are beside the project")
def test_recorded_streams_of_providers_are_read() -> None:
    """Real streams give the chunks that the official client sees, whole and byte by byte."""
    for stream in json.loads(RECORDED.read_text(encoding="utf-8"))["streams"]:
        data = base64.b64decode(stream["input_b64"])
        answer = HEAD + b"\r\n" + data
        for pieces in ([answer], [answer[at : at + 1] for at in range(len(answer))]):
            chunks, error = run(exchange(retries=0), pieces)
            assert error is None
            assert len(chunks) == data.count(b"data: {"), stream["name"]


def test_single_bytes_are_not_quadratic() -> None:
    """Twice the bytes take about twice the time, for streams, refusals and pages."""

    def seconds(begin: bytes, size: int) -> float:
        made = exchange(retries=0)
        made.feed(begin)
        began = time.process_time()
        for _ in range(size):
            made.feed(b"x")
        return time.process_time() - began

    for begin in (
        HEAD + b"\r\ndata: ",
        b"HTTP/1.1 400 No\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n\r\n",
    ):
        assert seconds(begin, 80_000) < 8 * (seconds(begin, 20_000) + 0.01)


# whole replies


def finish(made: WholeExchange, pieces: Iterable[bytes]) -> None:
    """Feed pieces and the connection's end."""
    for piece in pieces:
        assert made.feed(piece) == []
        if made.ended or made.pause_s is not None:
            return
    assert made.eof() == []


@pytest.mark.parametrize("framing", ["length", "close", "chunked"])
@given(places=st.lists(st.integers(0, 300)))
def test_a_whole_reply_is_the_same_however_it_is_cut(framing: Any, places: list[int]) -> None:
    """A reply comes together in every framing and every cut."""
    made = whole()
    value = {"id": "a", "choices": [{"index": 0, "message": {"content": "h\u00f6"}}]}
    finish(made, cut(raw(json_answer(value, framing=framing)), places))
    assert made.ended
    assert made.reply(Reply).choices[0].message.content == "h\u00f6"
    assert made.reusable is (framing != "close")


@pytest.mark.parametrize("framing", ["length", "close"])
def test_a_refused_reply_is_tried_again_however_its_body_ends(framing: Any) -> None:
    """A passing fault is no end."""
    made = whole()
    finish(made, [raw(error_answer(503, framing=framing))])
    assert made.pause_s == 0.5
    assert not made.ended
    made.start()
    finish(made, [raw(json_answer({"id": "b"}))])
    assert made.reply(Reply).id == "b"


@pytest.mark.parametrize("framing", ["length", "close"])
def test_a_refused_reply_is_its_error(framing: Any) -> None:
    """Status, code and words come through in every framing."""
    with pytest.raises(errors.AuthenticationFailed, match="no key"):
        finish(whole(), [raw(error_answer(401, "no key", framing=framing))])
    with pytest.raises(errors.AuthenticationFailed):
        finish(whole(), [raw(error_answer(401))[:-5]])


def test_a_reply_that_breaks_off_is_tried_again() -> None:
    """Nothing was handed on, so nothing is lost."""
    answer = raw(json_answer({"id": "a"}))
    for seen in (b"", answer[:20], answer[:-1], b"SSH-2.0\r\n"):
        made = whole()
        finish(made, [seen] if seen else [])
        assert made.pause_s == 0.5
        last = whole(retries=0)
        with pytest.raises((errors.ConnectionFailed, errors.StreamTruncated, errors.StreamFailed)):
            finish(last, [seen] if seen else [])


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (json_answer({"error": {"message": "x", "code": "content_filter"}}), errors.GuardBlocked),
        (json_answer({"error": "x", "choices": 1}), errors.StreamFailed),
        (json_answer({"object": "error", "message": "x"}), errors.StreamFailed),
        (json_answer("<html>"), errors.StreamFailed),
        (json_answer({"choices": "x"}), errors.StreamFailed),
        ([b"HTTP/1.1 204 No\r\n\r\n"], errors.StreamFailed),
    ],
)
def test_a_reply_that_is_none_is_an_error(answer: list[Step], kind: type[DeltaweirError]) -> None:
    """Errors under 200 and pages are typed errors."""
    made = whole()
    finish(made, [raw(answer)])
    with pytest.raises(kind):
        made.reply(Reply)


def test_a_compressed_reply_is_told() -> None:
    """A whole reply is not asked for compressed either."""
    with pytest.raises(errors.StreamFailed, match="gzip"):
        finish(whole(), [raw(json_answer({}, headers={"content-encoding": "gzip"}))])


def test_a_reply_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reply has a largest size."""
    monkeypatch.setattr("deltaweir.client.whole.MAX_REPLY_BYTES", 1000)
    with pytest.raises(errors.StreamFailed, match="larger than 1000"):
        finish(whole(), [raw(json_answer("x" * 1001))])


@given(st.binary(max_size=200))
def test_whatever_comes_is_a_reply_or_an_error_of_ours(data: bytes) -> None:
    """Garbage is never another exception than ours."""
    for begin in (b"", b"HTTP/1.1 200 OK\r\n\r\n"):
        made = whole(retries=0)
        try:
            finish(made, [begin + data])
            made.reply(Reply)
        except DeltaweirError:
            pass


def test_done_alone_is_a_constant_of_the_wire() -> None:
    """The last event is exactly what OpenAI sends."""
    assert chat_events()[-1] == DONE
