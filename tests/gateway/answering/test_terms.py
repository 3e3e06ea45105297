"""What a request asks of the gateway beside OpenAI's fields, and budgets on the wire."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.gateway.conftest import CHAT, TEXT, Running, asking, events, hello, request, running

from deltaweir.errors import InvalidRequest
from deltaweir.gateway.answering.terms import Terms, terms_of
from deltaweir.meter.budget import Limit

ONE_DOLLAR = 10**12
PRICE = {"input": 1, "output": 2}
"""US dollars a million tokens, so a million and two million picodollars a token."""
USAGE_ASKED = {"stream_options": {"include_usage": True}}


def header(value: Any) -> list[tuple[bytes, bytes]]:
    """Return a request's headers, with ours."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return [(b"accept", b"*/*"), (b"x-deltaweir", raw)]


def test_nothing_asked() -> None:
    """A request without terms has none."""
    assert terms_of(None, []) == terms_of({}, []) == Terms()


def test_both_places_are_read_and_the_tighter_budget_holds() -> None:
    """Of body and header, each limit takes the smaller value; either place may name a tag."""
    body = {"budget": {"tokens": 9, "usd": 1}}
    terms = terms_of(body, header({"budget": {"tokens": 5, "usd": 2}, "tag": "a/b:c.d_e-1"}))
    assert terms == Terms(Limit(tokens=5, pico=ONE_DOLLAR), "a/b:c.d_e-1")
    assert terms_of(body, header({"budget": "20tok"})).limit.tokens == 9
    assert terms_of({"tag": "body"}, header({"tag": "header"})).tag == "body"


def test_guards_of_both_places_add_up() -> None:
    """A guard of the header does not take the place of the body's."""
    assert terms_of({"guard": "a"}, header({"guard": "b"})).guards == ("a", "b")
    assert terms_of({"guard": None}, header({"guard": "b"})).guards == ("b",)


def test_what_changes_nothing_is_taken() -> None:
    """Nobody who does not ask to resume is kept."""
    for resume in (False, None):
        assert terms_of({"resume": resume}, []) == Terms()


def test_either_way_of_asking_to_resume_counts() -> None:
    """Body and header are one; a stream ends unread only where that was asked for."""
    header = [(b"x-deltaweir", b'{"on_disconnect": "cancel"}')]
    terms = terms_of({"resume": True}, header)
    assert terms.resume
    assert terms.waits
    assert not terms_of({"resume": True}, []).waits


def test_a_stream_goes_on_only_if_nobody_wants_it_cancelled() -> None:
    """Both ways of asking count, and to cancel is the tighter."""
    finish, cancel = ({"on_disconnect": one} for one in ("finish", "cancel"))
    assert terms_of(finish, []).finishes
    assert terms_of(None, header(finish)).finishes
    assert terms_of(finish, header(finish)).finishes
    assert not terms_of(finish, header(cancel)).finishes
    assert not terms_of(cancel, header(finish)).finishes
    assert not terms_of({}, []).finishes


@pytest.mark.parametrize(
    ("terms", "param", "words"),
    [
        ([], "deltaweir", "list"),
        ("x", "deltaweir", "str"),
        ({"budgets": 1}, "deltaweir", "'budgets'"),
        ({"tags": 1}, "deltaweir", "known are budget, guard, on_disconnect, record, resume, tag"),
        ({"guard": ["standard"]}, "deltaweir.guard", "list"),
        ({"guard": {"rules": "rules.toml"}}, "deltaweir.guard", "dict"),
        ({"guard": "a" * 257}, "deltaweir.guard", "257 characters"),
        ({"record": "a name"}, "deltaweir.record", "no name"),
        ({"on_disconnect": "finished"}, "deltaweir.on_disconnect", "'finish'"),
        ({"on_disconnect": 1}, "deltaweir.on_disconnect", "'cancel'"),
        ({"resume": "yes"}, "deltaweir.resume", "str"),
        ({"tag": ""}, "deltaweir.tag", "tag"),
        ({"tag": "a b"}, "deltaweir.tag", "tag"),
        ({"tag": "a" * 65}, "deltaweir.tag", "64"),
        ({"tag": "é"}, "deltaweir.tag", "tag"),
        ({"tag": 5}, "deltaweir.tag", "tag"),
        ({"budget": 5}, "budget", "int"),
        ({"budget": {"tokens": 1.5}}, "budget", "float"),
        ({"budget": {"tokens": -1}}, "budget", "-1"),
        ({"budget": {"token": 1}}, "budget", "'token'"),
        ({"budget": "5"}, "budget", "'5'"),
    ],
)
def test_refused(terms: Any, param: str, words: str) -> None:
    """What is unknown, of a wrong type, or not to be had is named."""
    for where in ("deltaweir", "X-Deltaweir"):
        body, headers = (terms, []) if where == "deltaweir" else (None, header(terms))
        with pytest.raises(InvalidRequest) as caught:
            terms_of(body, headers)
        assert caught.value.param == param.replace("deltaweir", where)
        assert words in str(caught.value)


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"\xff", b"[" * 8000, b'{"tag": "' + b"a" * 8192 + b'"}', b"tag=1"]
)
def test_a_header_that_is_no_json_or_too_long(raw: bytes) -> None:
    """The header is JSON of a bounded length, however deep it pretends to be."""
    with pytest.raises(InvalidRequest) as caught:
        terms_of(None, header(raw))
    assert caught.value.param == "X-Deltaweir"


@pytest.fixture(scope="module", name="priced")
def priced_fixture() -> Iterator[Running]:
    """A gateway whose model has a price and a budget of its own."""
    with running(model={"price": PRICE, "budget": "7tok"}) as one:
        yield one


def test_refusals_on_the_wire_cost_nothing(gateway: Running) -> None:
    """Terms that are refused are 400, in either place, and leave no row."""
    before = len(gateway.rows())
    asked = hello(deltaweir={"guard": "nobody-has-it"})
    for body, headers in ((asked, {}), (hello(), {"X-Deltaweir": '{"record": "x"}'})):
        status, _, raw = request(gateway, CHAT, body, headers=headers)
        assert status == 400
        assert json.loads(raw)["error"]["param"].partition(".")[2] in ("guard", "record")
    assert len(gateway.rows()) == before


def _text(chunk: dict[str, Any]) -> str:
    choice = chunk["choices"][0]
    text: str = choice["text"] if "text" in choice else choice["delta"].get("content", "")
    return text


@pytest.mark.parametrize("asked", [{}, USAGE_ASKED], ids=["plain", "usage"])
@pytest.mark.parametrize("path", [CHAT, TEXT])
def test_a_budget_cuts_a_stream_at_the_token(
    gateway: Running, path: str, asked: dict[str, Any]
) -> None:
    """Five tokens come, the finish says why, and empty choices only go to those who asked."""
    body = asking(path, max_tokens=50, stream=True, deltaweir={"budget": {"tokens": 5}}, **asked)
    *chunks, last = events(request(gateway, path, body)[2])
    assert last == "[DONE]"
    if asked:
        told = chunks.pop()
        assert told["choices"] == []
        assert told["usage"]["completion_tokens"] == 5
        assert all(chunk["usage"] is None for chunk in chunks)
    else:
        told = chunks[-1]
    assert sum(bool(_text(chunk)) for chunk in chunks) == 5  # `choices[0]` is on every chunk
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[-2:]] == [None, "length"]
    account = told["deltaweir"]
    assert account["usage"]["completion_tokens"] == 5
    assert (account["cost_usd"], account["source"]) == (0.0, "engine")
    assert account["stopped_by"] == "budget"
    assert sum("deltaweir" in chunk for chunk in chunks) == (0 if asked else 1)


@pytest.mark.parametrize("path", [CHAT, TEXT])
def test_a_budget_cuts_a_whole_reply(gateway: Running, path: str) -> None:
    """A whole reply ends the same way."""
    body = asking(path, max_tokens=50, deltaweir={"budget": {"tokens": 5}})
    status, _, raw = request(gateway, path, body)
    reply = json.loads(raw)
    assert (status, reply["choices"][0]["finish_reason"]) == (200, "length")
    assert reply["usage"]["completion_tokens"] == 5
    assert reply["deltaweir"]["stopped_by"] == "budget"
    assert reply["deltaweir"]["usage"] == reply["usage"]


def test_nothing_at_all_may_be_generated(gateway: Running) -> None:
    """A budget of no tokens shows no text, and tells what had to be withheld."""
    body = hello(stream=True, deltaweir={"budget": {"tokens": 0}})
    *chunks, _ = events(request(gateway, CHAT, body)[2])
    assert "".join(map(_text, chunks)) == ""
    account = chunks[-1]["deltaweir"]
    assert account["stopped_by"] == "budget"
    assert account["withheld_tokens"] == account["usage"]["completion_tokens"]


def test_a_budget_that_is_not_passed_says_nothing(gateway: Running) -> None:
    """Where max_tokens ends the reply first, nobody was cut by a budget."""
    for tokens in (9, 10**15):
        body = hello(stream=True, deltaweir={"budget": {"tokens": tokens}})
        *chunks, _ = events(request(gateway, CHAT, body)[2])
        assert "stopped_by" not in chunks[-1]["deltaweir"]


@pytest.mark.parametrize(
    ("body", "headers", "tokens"),
    [
        ({}, {}, 7),
        ({"deltaweir": {"budget": {"tokens": 50}}}, {}, 7),
        ({"deltaweir": {"budget": {"tokens": 5}}}, {"X-Deltaweir": '{"budget": "6tok"}'}, 5),
        ({"deltaweir": {"budget": {"tokens": 6}}}, {"X-Deltaweir": '{"budget": "3tok"}'}, 3),
    ],
)
def test_the_tightest_of_model_body_and_header_holds(
    priced: Running, body: dict[str, Any], headers: dict[str, str], tokens: int
) -> None:
    """Nobody can ask for more than the model's own budget."""
    _, _, raw = request(priced, CHAT, hello(max_tokens=50, **body), headers=headers)
    reply = json.loads(raw)
    assert reply["usage"]["completion_tokens"] == tokens
    assert reply["deltaweir"]["stopped_by"] == "budget"


def test_a_budget_in_money_is_for_prompt_and_answer(priced: Running) -> None:
    """A sum for the prompt and four tokens lets four tokens through."""
    prompt = json.loads(request(priced, "/v1/count", hello())[2])["prompt_tokens"]
    terms = {"budget": {"usd": (prompt + 2 * 4) / 10**6}}
    *chunks, _ = events(
        request(priced, CHAT, hello(max_tokens=50, stream=True, deltaweir=terms))[2]
    )
    assert sum(bool(_text(chunk)) for chunk in chunks) == 4
    assert chunks[-1]["deltaweir"]["stopped_by"] == "budget"


@pytest.mark.parametrize("stream", [True, False])
def test_a_prompt_that_alone_is_too_dear_is_refused(priced: Running, *, stream: bool) -> None:
    """It is 400 before anything is computed, and leaves no row."""
    before = len(priced.rows())
    body = hello(stream=stream, deltaweir={"budget": {"usd": 0.000001}})
    status, _, raw = request(priced, CHAT, body)
    assert (status, json.loads(raw)["error"]["code"]) == (400, "budget_exceeded")
    assert len(priced.rows()) == before


def test_options_of_our_clients_are_none_of_the_body(gateway: Running) -> None:
    """A field of OpenAI's bodies that some other server knows as `budget` disturbs nobody."""
    for budget in ("anything", {"tokens": 1}):
        reply = json.loads(request(gateway, CHAT, hello(budget=budget))[2])
        assert reply["usage"]["completion_tokens"] == 4


@pytest.mark.parametrize("usage", [False, True])
@pytest.mark.parametrize("path", [CHAT, TEXT])
@pytest.mark.parametrize("budget", [None, "3tok"])
def test_a_running_count_on_every_chunk(
    gateway: Running, path: str, budget: str | None, *, usage: bool
) -> None:
    """From the role chunk on every chunk has the usage so far, which never falls."""
    options = {"continuous_usage_stats": True, "include_usage": usage}
    body = asking(
        path, stream=True, max_tokens=6, stream_options=options, deltaweir={"budget": budget}
    )
    *chunks, _ = events(request(gateway, path, body)[2])
    counts = [chunk["usage"]["completion_tokens"] for chunk in chunks]
    assert counts == sorted(counts)
    assert counts[0] == (0 if path == CHAT else 1)
    assert counts[-1] == chunks[-1]["deltaweir"]["usage"]["completion_tokens"]
    assert counts[-1] == (6 if budget is None else 3)
    assert (chunks[-1]["choices"] == []) is usage


@pytest.mark.parametrize("path", [CHAT, TEXT])
def test_a_running_cost_beside_the_running_count(priced: Running, path: str) -> None:
    """What each chunk's usage costs, to the picodollar; the last has the whole account."""
    options = {"continuous_usage_stats": True}
    body = asking(path, stream=True, max_tokens=6, stream_options=options)
    *chunks, last, _ = events(request(priced, path, body)[2])
    for chunk in chunks:
        used, told = chunk["usage"], chunk["deltaweir"]
        assert told == {"cost_usd": cost_of(used)}
    assert last["deltaweir"]["cost_usd"] == cost_of(last["usage"])
    assert last["deltaweir"]["source"] == "engine"


def test_who_did_not_ask_is_told_no_running_cost(priced: Running) -> None:
    """Nothing of ours stands on a chunk but on the last."""
    *chunks, last, _ = events(request(priced, CHAT, hello(stream=True, max_tokens=6))[2])
    assert not any("deltaweir" in chunk for chunk in chunks)
    assert last["deltaweir"]["cost_usd"] > 0


def cost_of(used: dict[str, int]) -> float:
    """Return what a usage costs by the prices here."""
    prompt, completion = PRICE["input"], PRICE["output"]
    pico = used["prompt_tokens"] * prompt + used["completion_tokens"] * completion
    return pico / 10**6
