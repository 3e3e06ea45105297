"""The engine with the real small model: several answers at once, each ended when it should."""

from __future__ import annotations

import http.client
import itertools
import json
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from deltaweir.errors import ServiceUnavailable
from deltaweir.models.weights import Weights
from deltaweir.sources.local import engine as module
from deltaweir.sources.local.engine import Engine, Job, engine_for
from deltaweir.sources.local.request import Call

SOON_S = 20.0
"""Longer than anything here takes on a busy machine."""


@pytest.fixture(scope="module")
def engine(smollm2: Weights) -> Iterator[Engine]:
    """An engine with two slots."""
    made = Engine(smollm2.path, context=1024, slots=2)
    yield made
    made.close()


def call(
    number: int = 0, *, tokens: int = 10, prompt: str = "Once upon a time", **more: Any
) -> Call:
    """Return a call for a text of this many tokens."""
    body = {
        "prompt": prompt,
        "max_tokens": tokens,
        "temperature": 0,
        "logit_bias": {"2": -100, "0": -100},  # it must not end by itself
        "stream": True,
        "return_progress": True,
        "timings_per_token": True,
        **more,
    }
    return Call(number, 0, json.dumps(body).encode())


class Talk:
    """A request whose events and ends are kept.

    Args:
        calls: Its calls.
        on_event: Called with each event, on the engine's thread.
    """

    def __init__(self, *calls: Call, on_event: Callable[[bytes], object] | None = None) -> None:
        self.heard: queue.Queue[tuple[int, bytes]] = queue.Queue()
        self.ended: queue.Queue[tuple[int, BaseException | None]] = queue.Queue()
        self._on_event = on_event
        self.job = Job(calls, chat=False, hear=self._hear, returned=self._returned)

    def _hear(self, number: int, raw: bytes) -> bool:
        self.heard.put((number, raw))
        if self._on_event is not None:
            self._on_event(raw)
        return False

    def _returned(self, number: int, error: BaseException | None) -> None:
        self.ended.put((number, error))

    def on(self, engine: Engine) -> Talk:
        """Submit it."""
        engine.submit(self.job)
        return self

    def event(self) -> bytes:
        """Wait for the next event."""
        return self.heard.get(timeout=SOON_S)[1]

    def end(self) -> BaseException | None:
        """Wait for the next call to return."""
        return self.ended.get(timeout=SOON_S)[1]

    def text(self) -> str:
        """Return the text of all events so far."""
        events = [json.loads(raw) for _, raw in [*self.heard.queue]]
        return "".join(one["text"] for event in events for one in event["choices"])


def until(condition: Callable[[], bool]) -> bool:
    """Wait until a condition holds, for as long as anything here may take."""
    deadline = time.monotonic() + SOON_S
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.002)
    return condition()


def test_several_answers_are_generated_at_once(engine: Engine) -> None:
    """Their tokens interleave."""
    order: list[str] = []
    talks = [
        Talk(call(tokens=20), on_event=lambda _: order.append("a")).on(engine),
        Talk(call(tokens=20), on_event=lambda _: order.append("b")).on(engine),
    ]
    assert [talk.end() for talk in talks] == [None, None]
    changes = sum(one != other for one, other in itertools.pairwise(order))
    assert changes > 10


def test_one_request_with_several_choices_uses_all_slots(engine: Engine) -> None:
    """And never more native calls than there are slots."""
    most: list[int] = []
    calls = [call(number) for number in range(5)]
    talk = Talk(*calls, on_event=lambda _: most.append(engine.running)).on(engine)
    assert [talk.end() for _ in calls] == [None] * 5
    assert max(most) == 2
    assert until(lambda: engine.running == 0)


def test_many_choices_do_not_starve_another_request(engine: Engine) -> None:
    """Free slots are given to waiting requests in turn."""
    greedy = Talk(*(call(number, tokens=15) for number in range(8))).on(engine)
    greedy.event()
    modest = Talk(call(tokens=5)).on(engine)
    modest.end()
    assert greedy.ended.qsize() <= 4
    greedy.job.cancel()
    assert until(lambda: engine.running == 0)


def test_a_cancel_ends_the_computation_and_disturbs_no_other(engine: Engine) -> None:
    """Not one more token is heard, the call returns, and the neighbour's text is the same."""
    alone = Talk(call(tokens=30)).on(engine)
    alone.end()
    cancelled = Talk(call(tokens=900, prompt="In the year 1900")).on(engine)
    neighbour = Talk(call(tokens=30)).on(engine)
    for _ in range(6):
        cancelled.event()
    cancelled.job.cancel()
    cancelled.job.cancel()
    heard = cancelled.heard.qsize()
    cancelled.end()
    assert cancelled.heard.qsize() <= heard + 1  # one may have been on its way
    assert neighbour.end() is None
    assert neighbour.text() == alone.text()
    assert until(lambda: engine.running == 0)
    used = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - used < 0.15


def test_a_slot_is_free_only_when_the_native_call_has_returned(engine: Engine) -> None:
    """A callback that takes its time keeps the slot, also after a cancel."""
    go_on = threading.Event()
    talk = Talk(call(), on_event=lambda _: go_on.wait(SOON_S)).on(engine)
    talk.event()
    talk.job.cancel()
    other = Talk(call(tokens=2)).on(engine)
    other.end()
    assert engine.running == 1
    assert talk.ended.empty()
    go_on.set()
    assert talk.end() is None
    assert until(lambda: engine.running == 0)


def test_a_request_cancelled_while_it_waits_never_starts(engine: Engine) -> None:
    """It takes no slot and is told of nothing."""
    busy = Talk(call(0, tokens=900), call(1, tokens=900)).on(engine)
    busy.event()
    waiting = Talk(call()).on(engine)
    waiting.job.cancel()
    busy.job.cancel()
    assert [busy.end(), busy.end()] == [None, None]
    assert Talk(call(tokens=1)).on(engine).end() is None
    assert waiting.heard.empty()
    assert waiting.ended.empty()


def test_a_long_prompt_is_cancelled_in_its_middle(engine: Engine) -> None:
    """Within a batch, not after the whole of it."""
    talk = Talk(call(prompt="word " * 900, cache_prompt=False)).on(engine)
    talk.event()
    talk.event()
    talk.job.cancel()
    talk.end()
    last = json.loads([*talk.heard.queue][-1][1]) if talk.heard.qsize() else None
    assert last is None or last["prompt_progress"]["processed"] < 600


def test_an_exception_of_the_reader_is_not_lost(engine: Engine) -> None:
    """It ends the call, reaches the end of the call, and leaves the slot alive."""

    def fail(_: bytes) -> None:
        raise LookupError("here")

    for _ in range(3):
        talk = Talk(call(tokens=900), on_event=fail).on(engine)
        assert isinstance(talk.end(), LookupError)
    assert Talk(call()).on(engine).end() is None


def test_what_the_engine_throws_reaches_the_end_of_the_call(engine: Engine) -> None:
    """Such as for a body that is not JSON."""
    talk = Talk(Call(0, 0, b"{")).on(engine)
    assert isinstance(talk.end(), RuntimeError)


@pytest.mark.parametrize("kind", [MemoryError, IndexError, OSError])
def test_whatever_native_code_throws_is_told(kind: type[Exception]) -> None:
    """C++ has more exceptions than the engine's documented two; none may hang a reader."""
    talk = Talk(call())

    def native(body: bytes, said: Callable[[bytes], bool]) -> None:
        raise kind

    talk.job.run(0, native)
    assert isinstance(talk.end(), kind)


def test_a_slot_outlives_a_reader_that_cannot_be_told(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its exception is shown as that of any thread."""
    shown: queue.Queue[Any] = queue.Queue()
    monkeypatch.setattr(threading, "excepthook", shown.put)

    def returned(number: int, error: BaseException | None) -> None:
        raise LookupError("deaf")

    job = Job([call(tokens=1)], chat=False, hear=lambda *_: False, returned=returned)
    engine.submit(job)
    assert shown.get(timeout=SOON_S).exc_type is LookupError
    assert until(lambda: engine.running == 0)
    assert Talk(call(tokens=1)).on(engine).end() is None


def test_closing_tells_everybody_who_waits(smollm2: Weights) -> None:
    """Running calls, queued calls and later requests; a second close does nothing."""
    closing = Engine(smollm2.path, context=512, slots=1)
    running = Talk(*(call(number, tokens=400) for number in range(2))).on(closing)
    queued = Talk(call()).on(closing)
    cancelled = Talk(call()).on(closing)
    cancelled.job.cancel()
    running.event()
    closing.close()
    for talk in (running, running, queued):
        assert isinstance(talk.end(), ServiceUnavailable)
    assert closing.running == 0
    assert cancelled.ended.empty()
    closing.close()
    with pytest.raises(ServiceUnavailable, match="shutting down"):
        closing.submit(Talk(call()).job)


def test_closing_at_exit_tells_nobody(smollm2: Weights) -> None:
    """Threads that wait then are about to be stopped, and would only show a trace."""
    closing = Engine(smollm2.path, context=512, slots=1)
    talk = Talk(*(call(number, tokens=400) for number in range(2))).on(closing)
    talk.event()
    closing.close(tell=False)
    assert closing.running == 0
    assert talk.ended.empty()


def test_a_request_without_a_thread_to_serve_it_is_refused(
    smollm2: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interpreters that are ending start no threads."""
    idle = Engine(smollm2.path, context=512, slots=1)

    def cannot(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", cannot)
    with pytest.raises(ServiceUnavailable):
        idle.submit(Talk(call()).job)
    idle.close()


def test_a_request_without_a_thread_of_its_own_waits_for_another(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One slot is enough to be answered."""
    assert Talk(call(tokens=1)).on(engine).end() is None
    monkeypatch.setattr(engine, "slots", 9)

    def cannot(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", cannot)
    assert Talk(call(tokens=1)).on(engine).end() is None


def test_closing_does_not_wait_for_ever(smollm2: Weights, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that does not return keeps its server, which is closed at the next try."""
    monkeypatch.setattr(module, "EXIT_WAIT_S", 0.05)
    stuck = Engine(smollm2.path, context=512, slots=1)
    go_on = threading.Event()
    talk = Talk(call(), on_event=lambda _: go_on.wait(SOON_S)).on(stuck)
    talk.event()
    stuck.close()
    assert stuck.running == 1
    go_on.set()
    assert isinstance(talk.end(), ServiceUnavailable)
    assert until(lambda: stuck.running == 0)
    stuck.close()


def test_two_models_answer_side_by_side(engine: Engine, smollm2: Weights) -> None:
    """Closing one leaves the other as it was."""
    other = Engine(smollm2.path, context=512, slots=1)
    talks = [Talk(call(tokens=10)).on(engine), Talk(call(tokens=10)).on(other)]
    assert [talk.end() for talk in talks] == [None, None]
    assert talks[0].text() == talks[1].text()
    other.close()
    assert Talk(call()).on(engine).end() is None


def test_a_process_has_one_engine_for_the_same_weights(smollm2: Weights) -> None:
    """However they are spelled; another context is another engine."""
    detour = smollm2.path.parent / ".." / smollm2.path.parent.name / smollm2.path.name
    assert engine_for(smollm2.path, context=4096) is engine_for(detour, context=4096)


def test_no_engine_is_loaded_while_the_process_ends(
    smollm2: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody would close it."""
    monkeypatch.setattr(module, "_exiting", True)
    with pytest.raises(ServiceUnavailable):
        engine_for(smollm2.path, context=64)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/models"),
        ("GET", "/props"),
        ("GET", "/slots"),
        ("GET", "/metrics"),
        ("POST", "/v1/chat/completions"),
        ("POST", "/completion"),
        ("POST", "/tokenize"),
        ("GET", "/cors-proxy?url=http://127.0.0.1"),
    ],
)
def test_the_engines_own_port_is_locked(engine: Engine, method: str, path: str) -> None:
    """Without the key that nobody knows, 401; and no browser of another origin may ask."""
    address = engine._server.listening_address.removeprefix("http://")
    assert address.startswith("127.0.0.1:")
    asked = http.client.HTTPConnection(address, timeout=SOON_S)
    headers = {"Origin": "https://example.org", "Authorization": "Bearer x"}
    asked.request(method, path, body="{}" if method == "POST" else None, headers=headers)
    answer = asked.getresponse()
    assert answer.status == 401
    assert answer.headers["Access-Control-Allow-Origin"] not in ("*", "https://example.org")
    asked.close()


def test_the_engines_own_port_has_no_page(engine: Engine) -> None:
    """Nothing to see."""
    address = engine._server.listening_address.removeprefix("http://")
    asked = http.client.HTTPConnection(address, timeout=SOON_S)
    asked.request("GET", "/")
    assert asked.getresponse().status == 404
    asked.close()
