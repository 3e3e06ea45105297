"""A gateway that asks for keys: who gets in, what each sees, and where budgets end a stream."""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.gateway.conftest import CHAT, request, until
from tests.gateway.fronts import KEY, PROMPT, Answer, Front, fronted

from deltaweir.allowances import KeyRecord, KeyTerms, digest_of, quotas_of
from deltaweir.gateway import service
from deltaweir.gateway.config.file import ledger_path
from deltaweir.stores.sqlite_keys import SqliteKeys
from deltaweir.testing import Pause, Peer, chat_events, json_answer, stream_answer

MODEL = {"upstream_model": "gpt-4o"}
HELLO = stream_answer(chat_events("Hi", usage=(10, 1)))
LONG = stream_answer(chat_events(*[" apple"] * 400))
NOTHING = {"object": "list", "data": []}


class Desk:
    """Where keys are made and revoked, as another process does it.

    Args:
        front: The gateway.
    """

    def __init__(self, front: Front) -> None:
        self.front = front
        self._path = Path(ledger_path(front.running.server.gateway.config.ledger.url))

    def key(self, *budgets: str, expires_s: float | None = None, **terms: Any) -> str:
        """Return a key that was made just now."""
        key = f"dw-{secrets.token_hex(6)}-{secrets.token_urlsafe(32)}"
        now = time.time()
        made = KeyTerms(
            quotas=quotas_of(budgets) if budgets else (),
            expires=None if expires_s is None else now + expires_s,
            **terms,
        )
        digest = digest_of(key.encode())
        with SqliteKeys(self._path) as keys:
            keys.create(KeyRecord(id=key[3:15], digest=digest, name="n", terms=made, created=now))
        return key

    def revoke(self, key: str) -> None:
        """Revoke a key."""
        with SqliteKeys(self._path) as keys:
            keys.revoke(key[3:15], time.time())

    def spent(self, key: str) -> int:
        """Return what is booked of a key's only budget."""
        with SqliteKeys(self._path) as keys:
            (record,) = (one for one in keys.records() if one.id == key[3:15])
            return sum(keys.spent(record.id, record.terms.quotas, time.time()))

    def booked(self, key: str, least: int) -> int:
        """Wait until so much is booked of a key's budget; return how much is."""
        until(lambda: self.spent(key) >= least)
        return self.spent(key)

    def get(self, path: str, key: str | None) -> tuple[int, Any]:
        """Ask for a route; return the status and what it says."""
        headers = {} if key is None else bearer(key)
        status, _, body = request(self.front.running, path, method="GET", headers=headers)
        return status, json.loads(body) if body[:1] == b"{" else body

    def ask(self, key: str, **body: Any) -> Answer:
        """Ask for a stream by a key."""
        return self.front.ask(headers=bearer(key), **body)


def bearer(key: str) -> dict[str, str]:
    """Return the header that brings a key."""
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    """A gateway that asks for keys, and looks for changes often."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service, "POLL_S", 0.02)
        with fronted(auth="keys") as front:
            yield Desk(front)


@contextlib.contextmanager
def peer(desk: Desk, *answers: Any, **model: Any) -> Iterator[Peer]:
    """Stand before one upstream with these answers."""
    with Peer(*answers) as one:
        desk.front.before(one, model={**MODEL, **model})
        yield one


WRONG = ["", "Bearer", "Bearer dw-x", f"Bearer {KEY}", f"Bearer dw-{'0' * 12}-{'s' * 43}"]


@pytest.mark.parametrize("sent", WRONG)
def test_nobody_gets_in_without_a_key(desk: Desk, sent: str) -> None:
    """401 in OpenAI's form for each route; no upstream is asked, no row is written."""
    with peer(desk, HELLO) as upstream:
        answer = desk.front.ask(headers={"Authorization": sent} if sent else {})
        assert not upstream.requests
    assert (answer.status, answer.error["code"]) == (401, "invalid_api_key")
    assert desk.front.running.rows(tag=answer.tag) == []


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/m", "/v1/usage", "/metrics"])
def test_other_routes_want_a_key_too(desk: Desk, path: str) -> None:
    """They tell nothing to strangers; health needs no key."""
    assert desk.get(path, None)[0] == 401
    assert desk.get("/healthz", None)[0] == 200


def test_a_key_gets_in_as_soon_as_it_is_made(desk: Desk) -> None:
    """No client tries again after a 401, so that a key nobody knows yet is looked for first."""
    assert [desk.get("/v1/models", desk.key())[0] for _ in range(5)] == [200] * 5


def test_a_key_gets_in_and_stays_here(desk: Desk) -> None:
    """Its id stands in the row; the key itself is seen by no upstream, and in no row."""
    key = desk.key()
    with peer(desk, HELLO) as upstream:
        answer = desk.ask(key)
    assert answer.done
    row = desk.front.row(answer)
    assert row.opened is not None
    assert row.opened.key_id == key[3:15]
    assert key.encode() not in upstream.requests[0].raw
    assert key not in repr(row)


def test_an_expired_key_is_refused(desk: Desk) -> None:
    """From its moment on, though nobody revoked it."""
    key = desk.key(expires_s=0.4)
    until(lambda: desk.get("/v1/models", key)[0] == 401)


def test_a_key_may_use_its_models_only(desk: Desk) -> None:
    """403 for others, which name what it may use; the list of models shows its own."""
    key, other = desk.key(models=("n", "x/*")), desk.key(models=("m",))
    with peer(desk, HELLO) as upstream:
        answer = desk.ask(key)
        assert not upstream.requests
        assert desk.ask(other).done
    assert (answer.status, answer.error["code"]) == (403, "model_not_allowed")
    assert answer.error["param"] == "model"
    assert desk.get("/v1/models", key) == (200, NOTHING)
    assert [one["id"] for one in desk.get("/v1/models", other)[1]["data"]] == ["m"]
    assert (desk.get("/v1/models/m", key)[0], desk.get("/v1/models/m", other)[0]) == (403, 200)


def test_a_rate_of_requests(desk: Desk) -> None:
    """Answers tell of it by OpenAI's headers; beyond it 429 says when to ask again."""
    key = desk.key(rpm=1)
    with peer(desk, HELLO):
        first, second = desk.ask(key), desk.ask(key)
    assert (first.status, second.status) == (200, 429)
    assert first.headers["x-ratelimit-limit-requests"] == "1"
    assert first.headers["x-ratelimit-remaining-requests"] == "0"
    assert second.error["code"] == "rate_limit_exceeded"
    assert second.error["type"] == "rate_limit_error"
    assert 0 < int(second.headers["retry-after"]) <= 60
    assert "x-ratelimit-reset-requests" in second.headers


def test_a_rate_of_tokens_counts_answers_too(desk: Desk) -> None:
    """What a provider reports of an answer fills the rate for the next request."""
    key = desk.key(tpm=100)
    with peer(desk, stream_answer(chat_events("Hi", usage=(10, 500)))):
        first, second = desk.ask(key), desk.ask(key)
    assert (first.status, second.status) == (200, 429)
    assert second.error["code"] == "rate_limit_exceeded"
    assert first.headers["x-ratelimit-limit-tokens"] == "100"


def prompt_tokens(desk: Desk, key: str) -> int:
    """Return what the server counts of the prompt."""
    body = {"model": "m", "messages": PROMPT}
    told = request(desk.front.running, "/v1/count", body, headers=bearer(key))[2]
    return int(json.loads(told)["prompt_tokens"])


@pytest.mark.parametrize("stream", [True, False])
def test_a_budget_cuts_a_stream_at_the_token(desk: Desk, *, stream: bool) -> None:
    """With length and stopped_by budget; the upstream is left, all is booked, the next is 429."""
    key = desk.key("60tok")
    with peer(desk, LONG[:-1]) as upstream:
        left = 60 - prompt_tokens(desk, key)
        answer = desk.ask(key, stream=stream)
        assert upstream.wait_gone(timeout_s=1)
        assert desk.booked(key, 60) <= 61  # one delta passed it
        refused = desk.ask(key)
    assert answer.status == 200
    if stream:
        (text, reasons), last = (answer.text, answer.finish_reasons), answer.chunks[-1]
        assert answer.done
    else:
        (only,), last = answer.json["choices"], answer.json
        text, reasons = only["message"]["content"], [only["finish_reason"]]
    assert (text, reasons) == (" apple" * left, ["length"])
    assert last["deltaweir"]["stopped_by"] == "budget"
    row = desk.front.row(answer)
    assert row.closed is not None
    assert row.closed.ending == "budget"
    assert (refused.status, refused.error["code"]) == (429, "insufficient_quota")
    assert refused.headers["x-should-retry"] == "false"
    assert "retry-after" not in refused.headers


def test_what_a_provider_reports_is_booked(desk: Desk) -> None:
    """Its figures win over our count, in the budget as in the row."""
    key = desk.key("900tok")
    with peer(desk, stream_answer(chat_events("Hi", usage=(10, 70)))):
        assert desk.ask(key).done
        assert desk.booked(key, 80) == 80


def test_a_request_that_nobody_answers_costs_nothing(desk: Desk) -> None:
    """Where no upstream takes the request, nothing is booked but the request."""
    key = desk.key("900tok")
    with peer(desk, [b"HTTP/1.1 400 No\r\ncontent-length: 0\r\n\r\n"], HELLO):
        assert desk.ask(key).status == 400
        assert desk.ask(key).done
        assert desk.booked(key, 11) == 11


def test_a_client_that_hangs_up_pays_for_what_was_generated(desk: Desk) -> None:
    """What it read and what its prompt had is booked, and the rest of the budget is free again."""
    key, pause = desk.key("900tok"), Pause()
    steps = stream_answer(chat_events(*[" apple"] * 7, finish=None, done=False), end=False)
    with peer(desk, [*steps, pause]) as upstream:
        prompt = prompt_tokens(desk, key)
        with desk.front.client(key=key) as one:
            assert pause.reached.wait(5)
            one.read_until(b" apple")
        assert upstream.wait_gone(timeout_s=1)
        assert desk.booked(key, prompt + 7) == prompt + 7


def test_many_streams_at_once_share_a_budget(desk: Desk) -> None:
    """Twenty streams against what is enough for two: what is sent never passes it."""
    probe = desk.key()
    with peer(desk, stream_answer(chat_events(*[" apple"] * 100))):
        prompt = prompt_tokens(desk, probe)
        limit = 2 * (prompt + 100)
        key = desk.key(f"{limit}tok")
        with ThreadPoolExecutor(20) as pool:
            answers = [*pool.map(lambda _: desk.ask(key), range(20))]
        served = [one for one in answers if one.status == 200]
        sent = [prompt + one.text.count(" apple") for one in served]
        assert served
        assert sum(sent) <= limit
        booked = desk.booked(key, limit if len(served) > 2 else sum(sent))
    assert booked <= limit + len(served)
    refused = {one.error["code"] for one in answers if one.status != 200}
    assert refused <= {"insufficient_quota"}
    assert all(one.finish_reasons in (["length"], ["stop"]) and one.done for one in served)


def test_a_budget_in_money_needs_a_price(desk: Desk) -> None:
    """Where nobody knows the price the request is refused; where it is known, it is cut by it."""
    key = desk.key("1usd")
    with peer(desk, HELLO, upstream_model="unheard-of") as upstream:
        refused = desk.ask(key)
        assert not upstream.requests
    assert (refused.status, refused.error["code"]) == (403, "price_unknown")
    poor = desk.key("0.0001usd")
    with peer(desk, LONG, price={"input": 1.0, "output": 2.0}):
        answer = desk.ask(poor)
    assert answer.finish_reasons == ["length"]
    assert answer.chunks[-1]["deltaweir"]["stopped_by"] == "budget"
    assert answer.text
    cost = desk.front.row(answer).tally.cost_pico
    assert cost is not None
    assert 98_000_000 <= cost <= 102_000_000


def test_usage_is_ones_own(desk: Desk) -> None:
    """A key sees its own rows, a key for administrators all."""
    mine, other, admin = desk.key(), desk.key(), desk.key(admin=True)
    with peer(desk, HELLO):
        answers = [desk.ask(mine), desk.ask(other)]
    for answer in answers:
        desk.front.row(answer)
    keys = {one["key"] for one in desk.get("/v1/usage?group_by=key", mine)[1]["data"]}
    assert keys == {mine[3:15]}
    keys = {one["key"] for one in desk.get("/v1/usage?group_by=key", admin)[1]["data"]}
    assert {mine[3:15], other[3:15]} <= keys


def test_metrics_are_for_administrators(desk: Desk) -> None:
    """Others are told which key is wanted."""
    status, told = desk.get("/metrics", desk.key())
    assert (status, told["error"]["code"]) == (403, "not_admin")
    assert desk.get("/metrics", desk.key(admin=True))[0] == 200


def test_a_revocation_ends_streams_that_run(desk: Desk) -> None:
    """With length and stopped_by revoked; the upstream is left, and the key is unknown."""
    key, pause = desk.key(), Pause()
    with peer(desk, [*stream_answer(chat_events("Hi", finish=None, done=False), end=False), pause]):
        with ThreadPoolExecutor(1) as pool:
            asking = pool.submit(desk.ask, key)
            assert pause.reached.wait(5)
            began = time.monotonic()
            desk.revoke(key)
            answer = asking.result(5)
        assert time.monotonic() - began < 1
    assert (answer.text, answer.finish_reasons, answer.done) == ("Hi", ["length"], True)
    assert answer.chunks[-1]["deltaweir"]["stopped_by"] == "revoked"
    assert desk.front.attempts(answer) == [("u0", "revoked")]
    assert desk.ask(key).status == 401
    assert service.POLL_S <= 0.5


def test_a_revocation_ends_what_waits_for_an_answer(desk: Desk) -> None:
    """A stream without content, or a whole reply, ends too."""
    for stream in (True, False):
        key, pause = desk.key(), Pause()
        with peer(desk, [pause]) as upstream:
            with ThreadPoolExecutor(1) as pool:
                asking = pool.submit(desk.ask, key, stream=stream)
                assert pause.reached.wait(5)
                desk.revoke(key)
                answer = asking.result(5)
            assert upstream.wait_gone(timeout_s=1)
        assert answer.status == 401
        row = desk.front.row(answer)
        assert row.closed is not None
        assert row.closed.ending == "revoked"


def test_a_whole_reply_without_a_budget_is_asked_whole(desk: Desk) -> None:
    """Keys without budgets change nothing of how upstreams are asked."""
    reply = {
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
        ]
    }
    key = desk.key(rpm=100)
    with peer(desk, json_answer(reply)) as upstream:
        answer = desk.ask(key, stream=False)
    assert json.loads(upstream.requests[0].body)["stream"] is False
    assert answer.json["choices"][0]["message"]["content"] == "Hi"
    assert answer.headers["x-ratelimit-limit-requests"] == "100"
    assert upstream.requests[0].target == CHAT
