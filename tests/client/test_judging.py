"""Classifiers beside the rules: what waits for their word, and what a verdict ends."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from tests.client.programs import DONE, STOP, Awaiting, Blocking, chat, said

import deltaweir
from deltaweir import Classifier, Guard, Rule
from deltaweir.guard.guard import FAILURE
from deltaweir.testing import Pause, Peer, stream_answer

HELLO = [{"role": "user", "content": "hello"}]
TEXT = "One is fine. Two is bad news. Three is fine again. "


class Judge:
    """A classifier's function that keeps what it was asked."""

    def __init__(self, *words: str) -> None:
        self.words = words
        self.asked: list[str] = []

    def __call__(self, text: str) -> str | None:
        """Flag what has one of the words."""
        self.asked.append(text)
        return "rude" if any(word in text for word in self.words) else None


@pytest.fixture(params=["blocking", "awaiting"])
def way(request: pytest.FixtureRequest) -> Iterator[Blocking]:
    """Return each way of asking."""
    if request.param == "blocking":
        yield Blocking()
        return
    with asyncio.Runner() as runner:
        yield Awaiting(runner)


def pieces(text: str, size: int = 4) -> list[str]:
    """Cut a text into pieces."""
    return [text[at : at + size] for at in range(0, len(text), size)]


def asked(way: Blocking, events: list[bytes], **fields: Any) -> tuple[Any, list[Any]]:
    """Read a stream of events; return it, and its chunks."""
    with Peer(stream_answer(events)) as peer:
        client = way.client(base_url=peer.base_url, api_key="k")
        create = client.chat.completions.create
        stream = way.run(create, model="gpt-4o", messages=HELLO, stream=True, **fields)
        return stream, way.read(stream)


def answer(text: str = TEXT, end: dict[str, Any] = STOP) -> list[bytes]:
    """Return the events of a chat."""
    return [*(chat(said(piece)) for piece in pieces(text)), chat(end), DONE]


def guarded(judge: Any, *, mode: Any = "hold", **options: Any) -> Guard:
    """Return a guard of one classifier."""
    return Guard(classifier=Classifier(judge, mode=mode, **{"longest": 20, **options}))


@pytest.mark.parametrize("mode", ["hold", "follow"])
def test_a_clean_text_arrives_whole(way: Blocking, mode: str) -> None:
    """In windows that end with a sentence, each asked once; the end comes behind all of them."""
    judge = Judge("bad")
    stream, chunks = asked(way, answer(TEXT.replace("bad", "old")), guard=guarded(judge, mode=mode))
    assert stream.text == TEXT.replace("bad", "old")
    assert stream.complete
    assert [chunk.choices[0].finish_reason for chunk in chunks][-1] == "stop"
    assert all(chunk.choices[0].finish_reason is None for chunk in chunks[:-1])
    assert judge.asked[0].startswith("One is fine.")
    assert stream.verdicts == []


def test_what_is_held_leaves_only_when_it_is_cleared(way: Blocking) -> None:
    """The window that is flagged was never shown, nor anything behind it."""
    stream, chunks = asked(way, answer(), guard=guarded(Judge("bad")))
    assert stream.text == "One is fine."
    assert chunks[-1].choices[0].finish_reason == "content_filter"
    assert stream.stopped_by == "guard"
    assert not stream.complete
    assert stream.withheld_chars >= len(" Two is bad news.")
    (found,) = stream.verdicts
    assert (found.rule, found.action, found.offset) == ("classifier:rude", "block", 12)


def test_what_is_followed_was_seen_up_to_the_verdict(way: Blocking) -> None:
    """Nothing comes behind the window that was found bad, but what came together with it."""
    more = chat(said("Three is fine again. "))
    with Peer(
        [*stream_answer([chat(said("Two is bad news. "))], end=False), Pause(), more]
    ) as peer:
        client = way.client(base_url=peer.base_url, api_key="k")
        stream = way.run(
            client.chat.completions.create,
            model="gpt-4o",
            messages=HELLO,
            stream=True,
            guard=guarded(Judge("bad"), mode="follow"),
        )
        way.read(stream)
        assert way.gone(peer)
    assert stream.text == "Two is bad news. "
    assert stream.finish_reason == "content_filter"


def test_a_classifier_is_told_nothing_that_rules_hide(way: Blocking) -> None:
    """It sees what a reader would see."""
    judge = Judge()
    rule = Rule(id="key", regex="sk-[a-z]{4}")
    guard = Guard([rule], classifier=Classifier(judge))
    stream, _ = asked(way, answer("The key is sk-abcd. Keep it. "), guard=guard)
    assert stream.text == "The key is [REDACTED:key]. Keep it. "
    assert not any("sk-" in text for text in judge.asked)


def test_a_last_match_of_the_rules_is_judged_too(way: Blocking) -> None:
    """What the end of the text lets go is still asked about."""
    judge = Judge("sk-ab")
    rule = Rule(id="key", regex="sk-[a-z]{4}")
    stream, _ = asked(
        way,
        answer("Fine. It is sk-ab"),
        guard=Guard([rule], classifier=Classifier(judge, longest=8)),
    )
    assert stream.text == "Fine. It is "
    assert stream.stopped_by == "guard"


@pytest.mark.parametrize(
    ("on_error", "text"), [("closed", ""), ("open", "One is fine. Two is old. ")]
)
def test_a_classifier_that_fails_lets_nothing_pass_unless_told(
    way: Blocking, on_error: Any, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The stream ends as by a block; the verdict says that the guard failed, the log says why."""

    def fails(_: str) -> bool:
        raise ZeroDivisionError

    guard = Guard(classifier=Classifier(fails), on_error=on_error)
    stream, _ = asked(way, answer("One is fine. Two is old. "), guard=guard)
    assert stream.text == text
    assert stream.stopped_by == ("guard" if on_error == "closed" else None)
    assert stream.verdicts[0].rule == f"classifier:{FAILURE}"
    assert "classifier" in caplog.text
    assert "ZeroDivisionError" in caplog.text
    assert "fine" not in caplog.text


def test_a_flag_tells_and_lets_pass(way: Blocking) -> None:
    """Its verdict has the place of the window."""
    stream, _ = asked(way, answer(), guard=guarded(Judge("bad"), action="flag"))
    assert stream.text == TEXT
    assert stream.complete
    assert {found.action for found in stream.verdicts} == {"flag"}


def test_patience_shows_what_waits_though_nothing_comes(way: Blocking) -> None:
    """A sentence that does not end is judged when its time is up, long before the source's is."""
    judge = Judge()
    first = chat(said("no end in"))
    steps = [*stream_answer([first], end=False), Pause()]
    with Peer(steps) as peer:
        client = way.client(base_url=peer.base_url, api_key="k", timeouts={"stall": 60})
        stream = way.run(
            client.chat.completions.create,
            model="gpt-4o",
            messages=HELLO,
            stream=True,
            guard=guarded(judge, patience_s=0.05),
        )

        def leave(stream: Any, _: Any) -> None:
            closed = stream.close()
            if closed is not None:
                with pytest.raises(StopIteration):
                    closed.send(None)

        way.read(stream, leave)
    assert stream.text == "no end "
    assert judge.asked == ["no end "]


def test_choices_are_judged_apart(way: Blocking) -> None:
    """One that is cleared ends by itself; a cut ends all."""
    events = [
        chat(said("Fine too. ", 1), said("Fine. ", 0)),
        chat({**STOP, "index": 1}),
        chat(said("So bad. ", 0)),
        chat(STOP),
        DONE,
    ]
    stream, _ = asked(way, events, guard=guarded(Judge("bad"), longest=8), n=2)
    bad, fine = stream.reply().choices
    assert (bad.message.content, bad.finish_reason) == ("Fine.", "content_filter")
    assert (fine.message.content, fine.finish_reason) == ("Fine too. ", "stop")


def test_log_probabilities_wait_with_their_text(way: Blocking) -> None:
    """None tells what is not cleared."""
    events = []
    for piece in pieces(TEXT):
        choice = said(piece)
        choice["logprobs"] = {
            "content": [{"token": piece, "logprob": -0.1, "bytes": None, "top_logprobs": []}]
        }
        events.append(chat(choice))
    _, chunks = asked(way, [*events, chat(STOP), DONE], guard=guarded(Judge("bad")))
    tokens = [
        entry.token
        for chunk in chunks
        for choice in chunk.choices
        if choice.logprobs is not None
        for entry in choice.logprobs.content or ()
    ]
    assert "".join(tokens) == "One is fine."


@pytest.mark.parametrize("mode", ["hold", "follow"])
def test_a_source_that_dies_shows_nothing_that_was_not_cleared(way: Blocking, mode: str) -> None:
    """In hold mode; what was followed had been seen."""
    events = [chat(said("One. And tw"))]
    with pytest.raises(deltaweir.StreamTruncated) as caught:
        asked(way, events, guard=guarded(Judge(), mode=mode))
    partial = caught.value.partial
    assert partial is not None
    expected = "One." if mode == "hold" else "One. And tw"
    assert partial.reply.choices[0].message.content == expected


def test_watched_streams_ask_too() -> None:
    """Around somebody else's stream, dicts in and dicts out."""

    def events() -> Iterator[dict[str, Any]]:
        for piece in pieces(TEXT):
            yield {"choices": [said(piece)], "model": "gpt-4o", "id": "i", "created": 1}
        yield {"choices": [STOP], "model": "gpt-4o", "id": "i", "created": 1}

    stream = deltaweir.watch(events(), model="gpt-4o", guard=guarded(Judge("bad")))
    shown = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in stream)
    assert shown == "One is fine."
    assert stream.stopped_by == "guard"
