"""Guards through the clients: over real sockets, and of other packages' streams."""

from __future__ import annotations

import asyncio
import json
import pickle
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.client.foreign_objects import KINDS
from tests.client.foreign_objects import chat as plain_chat
from tests.client.programs import DONE, STOP, Awaiting, Blocking, chat, said, written

import deltaweir
from deltaweir import Guard, Rule, Verdict
from deltaweir.client.guarding import Guarded, ready_policy
from deltaweir.client.metering import engine_metering, weir_for
from deltaweir.client.streams import Stream
from deltaweir.errors import (
    GuardBlocked,
    InvalidRequest,
    InvalidRule,
    StreamFailed,
    StreamTruncated,
)
from deltaweir.meter.budget import NO_LIMIT
from deltaweir.models.weights import Weights
from deltaweir.testing import (
    Drop,
    Pause,
    Peer,
    Reset,
    Script,
    error_event,
    json_answer,
    stream_answer,
)
from deltaweir.types import Chunk, Reply

HELLO = [{"role": "user", "content": "hello"}]
PLANTED = "sk-abcd1234"
KEY = Rule(id="key", regex=r"sk-[a-z0-9]{8}")
BLOCK = Guard([KEY], "block")
TRUNCATE = Guard([KEY], "truncate")
FLAG = Guard([KEY], "flag")
PROMPT = Guard([KEY], scope="prompt")
HIDDEN = "[REDACTED:key]"
TEXT = f"It is {PLANTED}, yes!"
SHOWN = f"It is {HIDDEN}, yes!"
INCLUDE = {"include_usage": True}
FOUND = Verdict("key", "redact", 0, "content", 6, 11)


@pytest.fixture(params=["blocking", "awaiting"])
def way(request: pytest.FixtureRequest) -> Iterator[Blocking]:
    """Return each way of asking."""
    if request.param == "blocking":
        yield Blocking()
        return
    with asyncio.Runner() as runner:
        yield Awaiting(runner)


def opened(way: Blocking, peer: Peer, *, everywhere: Any = None, **fields: Any) -> Any:
    """Return a stream from a peer, or a whole reply."""
    client = way.client(base_url=peer.base_url, api_key="k", guard=everywhere)
    fields = {"model": "gpt-4o", "stream": True, **fields}
    if "prompt" in fields:
        return way.run(client.completions.create, **fields)
    return way.run(client.chat.completions.create, **{"messages": HELLO, **fields})


def asked(way: Blocking, events: list[bytes], **fields: Any) -> tuple[Any, list[Any]]:
    """Read a guarded stream of events; return it, and its chunks."""
    with Peer(stream_answer(events)) as peer:
        stream = opened(way, peer, **{"guard": KEY, **fields})
        return stream, way.read(stream)


def delta(index: int = 0, **fields: Any) -> bytes:
    """Return the event of a chunk whose delta has these fields."""
    return chat({"index": index, "delta": fields, "finish_reason": None})


def call(arguments: str) -> bytes:
    """Return the event of a piece of a tool call."""
    return delta(tool_calls=[{"index": 0, "function": {"arguments": arguments}}])


def close(stream: Any) -> None:
    """Close a stream of either kind while it is read."""
    closed = stream.close()
    if closed is not None:  # a coroutine that has nothing to wait for
        with pytest.raises(StopIteration):
            closed.send(None)


def pieces(text: str, size: int = 3) -> list[str]:
    """Cut a text into pieces."""
    return [text[at : at + size] for at in range(0, len(text), size)]


def dumped(chunks: list[Any]) -> str:
    """Return all that some chunks say."""
    return "".join(chunk.model_dump_json() for chunk in chunks)


def leaks(text: str, secret: str = PLANTED) -> bool:
    """Tell whether a text has three characters in a row that only the secret has."""
    return any(part in text for part in {secret[at : at + 3] for at in range(len(secret) - 2)})


# --- text that is replaced

FIELDS: dict[str, tuple[Callable[[str], bytes], Callable[[Any], str]]] = {
    "content": (lambda text: delta(content=text), lambda choice: choice.message.content),
    "reasoning": (
        lambda text: delta(reasoning_content=text),
        lambda choice: choice.message.reasoning_content,
    ),
    "other reasoning": (
        lambda text: delta(reasoning=text),
        lambda choice: choice.message.reasoning_content,
    ),
    "refusal": (lambda text: delta(refusal=text), lambda choice: choice.message.refusal),
    "text": (written, lambda choice: choice.text),
}
"""How a field is sent, and where it stands in a reply."""


@pytest.mark.parametrize("field", FIELDS)
def test_a_secret_never_leaves_however_it_is_cut(way: Blocking, field: str) -> None:
    """In two at each place, and by the character; what is shown is always the same."""
    event, place = FIELDS[field]
    fields: dict[str, Any] = {"prompt": "hello"} if field == "text" else {}
    end = written("", "stop") if field == "text" else chat(STOP)
    cuts = [[TEXT[:at], TEXT[at:]] for at in range(1, len(TEXT))] + [list(TEXT)]
    answers = [stream_answer([*map(event, cut), end, DONE]) for cut in cuts]
    with Peer(*answers) as peer:
        client = way.client(base_url=peer.base_url, api_key="k", guard=KEY)
        completions = client.completions if fields else client.chat.completions
        fields = fields or {"messages": HELLO}
        for _ in cuts:
            stream = way.run(completions.create, model="gpt-4o", stream=True, **fields)
            chunks = way.read(stream)
            (choice,) = stream.reply().choices
            assert place(choice) == SHOWN
            assert not leaks(dumped(chunks))
            assert [(one.offset, one.length) for one in stream.verdicts] == [(6, 11)]
            assert (stream.withheld_chars, stream.complete) == (len(PLANTED), True)
    assert len(peer.requests) == len(cuts)


def test_what_no_rule_can_cover_leaves_at_once(way: Blocking) -> None:
    """Only the head of a match is held; the rest is there before the next piece comes."""
    pause = Pause()
    events = [chat(said("Hello there sk-"))]
    with Peer([*stream_answer(events, end=False), pause]) as peer:
        stream = opened(way, peer, guard=KEY)
        seen: list[str] = []

        def look(stream: Any, _: Any) -> None:
            seen.append(stream.text)
            close(stream)

        way.read(stream, look)
    assert seen == ["Hello there "]


def test_choices_are_guarded_each_for_itself(way: Blocking) -> None:
    """A match of one is none of another, though their pieces come in turns."""
    events = [
        chat(said("sk-ab"), said("cd1234", index=1)),
        chat(said("sk-abcd", index=1)),
        chat(said("cd1234 one")),
        chat(said("1234 two", index=1), {**STOP}),
        chat({**STOP, "index": 1}),
        DONE,
    ]
    stream, chunks = asked(way, events)
    contents = [choice.message.content for choice in stream.reply().choices]
    assert contents == [f"{HIDDEN} one", f"cd1234{HIDDEN} two"]
    assert [(one.choice, one.offset) for one in stream.verdicts] == [(0, 0), (1, 6)]
    assert "sk-" not in dumped(chunks)


def test_log_probabilities_leave_with_their_characters(way: Blocking) -> None:
    """Those of hidden ones never do, nor their bytes, rivals and ids."""
    tokens = ["It", " is", " sk", "-ab", "cd", "1234", ",", " yes!"]
    events = []
    for token in tokens:
        entry = {"token": token, "logprob": -1.0, "bytes": list(token.encode())}
        entry["top_logprobs"] = [{"token": token, "logprob": -1.0, "bytes": entry["bytes"]}]
        events.append(chat({**said(token), "logprobs": {"content": [entry]}}))
    stream, chunks = asked(way, [*events, chat(STOP), DONE])
    (choice,) = stream.reply().choices
    assert choice.message.content == SHOWN
    assert [entry.token for entry in choice.logprobs.content] == ["It", " is", ",", " yes!"]
    assert not leaks(dumped(chunks))
    assert str(list(b"cd")) not in dumped(chunks).replace(",", ", ")


def test_what_matches_nothing_is_as_it_was(way: Blocking) -> None:
    """The chunks are those of a stream without a guard."""
    events = [chat(said("one two")), chat(said(" three")), chat(STOP), DONE]
    stream, chunks = asked(way, events)
    free, others = asked(way, events, guard=None)
    assert chunks == others
    assert (stream.verdicts, stream.withheld_chars) == (free.verdicts, free.withheld_chars)
    assert (stream.verdicts, stream.withheld_chars) == ([], 0)


def test_a_flag_hides_nothing(way: Blocking) -> None:
    """It only tells."""
    stream, _ = asked(way, [chat(said(TEXT)), chat(STOP), DONE], guard=FLAG)
    assert (stream.text, stream.withheld_chars) == (TEXT, 0)
    assert stream.verdicts == [FOUND._replace(action="flag")]


def test_withheld_tokens_are_counted(way: Blocking) -> None:
    """Usage is that of what was generated."""
    stream, _ = asked(way, [*(chat(said(one)) for one in pieces(TEXT)), chat(STOP), DONE])
    assert stream.text == SHOWN
    assert stream.usage.completion_tokens == deltaweir.count_tokens(TEXT, model="gpt-4o")
    assert stream.reply().usage == stream.usage


# --- streams that a guard ends


@pytest.mark.parametrize(("guard", "reason"), [(BLOCK, "content_filter"), (TRUNCATE, "length")])
@pytest.mark.parametrize("chatting", [True, False])
def test_a_guard_ends_a_stream(way: Blocking, guard: Guard, reason: str, chatting: bool) -> None:
    """Before the match, for all choices, at once: the source is closed though it goes on."""
    event: Any = (lambda text: chat(said(text))) if chatting else written
    fields: dict[str, Any] = {} if chatting else {"prompt": "hello"}
    answer = [*stream_answer([*map(event, pieces(TEXT))], end=False), Pause()]
    with Peer(answer) as peer:
        stream = opened(way, peer, guard=guard, **fields)
        chunks = way.read(stream)
        assert way.gone(peer)
    assert (stream.text, stream.finish_reason) == ("It is ", reason)
    assert chunks[-1].choices[0].finish_reason == reason
    assert (stream.stopped_by, stream.complete) == ("guard", False)
    assert [one.action for one in stream.verdicts] == [guard.policy.rules[0].action]
    assert not leaks(dumped(chunks))


def test_arguments_of_a_tool_are_blocked(way: Blocking) -> None:
    """Unless a rule says otherwise, since a program may run them; escapes hide nothing."""
    first = {"index": 0, "id": "c", "function": {"name": "f", "arguments": ""}}
    head = delta(tool_calls=[first])
    arguments = json.dumps({"note": TEXT}).replace("k-", "\\u006b-")
    answer = stream_answer([head, *map(call, pieces(arguments))], end=False)
    with Peer([*answer, Pause()]) as peer:
        stream = opened(way, peer, guard=KEY)
        chunks = way.read(stream)
        assert way.gone(peer)
    (choice,) = stream.reply().choices
    assert choice.finish_reason == "content_filter"
    assert (stream.stopped_by, stream.complete) == ("guard", False)
    assert choice.message.tool_calls[0].function.arguments == '{"note": "It is '
    assert stream.verdicts == [Verdict("key", "block", 0, "tool_calls[0]", 16, 11)]
    assert not leaks(dumped(chunks))
    assert "006b" not in dumped(chunks)


def test_arguments_of_a_tool_may_be_redacted(way: Blocking) -> None:
    """Where a rule says so itself; they are JSON as before."""
    rule = Rule(id="key", regex=r"sk-[a-z0-9]{8}", action="redact", scope=("tool_args",))
    arguments = json.dumps({"note": TEXT, "more": 1})
    events = [*map(call, pieces(arguments)), chat({**STOP, "finish_reason": "tool_calls"}), DONE]
    stream, _ = asked(way, events, guard=rule)
    (made,) = stream.reply().choices[0].message.tool_calls
    assert json.loads(made.function.arguments) == {"note": SHOWN, "more": 1}
    assert (stream.complete, stream.finish_reason) == (True, "tool_calls")


def test_guard_and_budget_together(way: Blocking) -> None:
    """A budget that cuts within a match shows no part of it, and all is counted."""
    events = [*(chat(said(one)) for one in pieces(TEXT, 2)), chat(STOP), DONE]
    whole = deltaweir.count_tokens(TEXT, model="gpt-4o")
    for limit in range(whole):
        stream, chunks = asked(way, events, budget={"tokens": limit})
        assert not leaks(dumped(chunks))
        assert SHOWN.startswith(stream.text)
        assert (stream.stopped_by, stream.finish_reason) == ("budget", "length")
        assert stream.usage.completion_tokens > limit
    stream, _ = asked(way, events, budget={"tokens": whole})
    assert (stream.text, stream.complete) == (SHOWN, True)
    stream, _ = asked(way, events, budget={"tokens": whole - 1}, guard=BLOCK)
    assert (stream.text, stream.stopped_by) == ("It is ", "guard")


def test_the_reader_of_a_length_gets_no_part_of_a_match(way: Blocking) -> None:
    """Whoever chooses where a text ends must not read a secret but its last character."""
    cuts = range(TEXT.index(PLANTED) + 1, TEXT.index(PLANTED) + len(PLANTED))
    ends = {**STOP, "finish_reason": "length"}
    answers = [stream_answer([chat(said(TEXT[:at])), chat(ends), DONE]) for at in cuts]
    with Peer(*answers) as peer:
        for _ in cuts:
            stream = opened(way, peer, guard=KEY)
            way.read(stream)
            assert (stream.text, stream.finish_reason, stream.complete) == (
                "It is ",
                "length",
                True,
            )


# --- streams that break


@pytest.mark.parametrize(
    ("last", "error"), [(Drop(), StreamTruncated), (Reset(), StreamTruncated), (None, StreamFailed)]
)
def test_a_server_that_dies_within_a_match_tells_none_of_it(
    way: Blocking, last: Any, error: type[Exception]
) -> None:
    """Not in a chunk, nor the text, nor the error and what it says had come."""
    start = TEXT.index(PLANTED)
    event = [error_event(f"failed at {PLANTED}")] if last is None else [last]
    cuts = range(start + 1, start + len(PLANTED))
    answers = [
        [*stream_answer([chat(said(TEXT[:4])), chat(said(TEXT[4:at]))], end=False)] for at in cuts
    ]
    with Peer(*([*one, *_framed(event)] for one in answers)) as peer:
        for _ in cuts:
            chunks: list[Any] = []
            stream = opened(way, peer, guard=KEY)
            with pytest.raises(error) as caught:
                way.read(stream, lambda _, chunk: chunks.append(chunk))  # noqa: B023  # used at once
            broken: Any = caught.value
            again = pickle.loads(pickle.dumps(broken))  # noqa: S301  # our own
            for one in (broken, again):
                reply = one.partial.reply
                assert reply.choices[0].message.content in ("It i", "It is ")
                assert not leaks(f"{one!s}{one.message}{reply.model_dump_json()}")
            assert stream.text == reply.choices[0].message.content
            assert not leaks(dumped(chunks))
            assert stream.complete is False


def _framed(steps: list[Any]) -> list[Any]:
    """Return an event in the framing of a body that goes on."""
    return [
        b"%x\r\n%b\r\n" % (len(step), step) if isinstance(step, bytes) else step for step in steps
    ]


def test_a_reader_that_leaves_gets_nothing_that_was_held(way: Blocking) -> None:
    """Closing shows no more than was shown."""
    events = [chat(said("It is sk-abcd123"))]
    with Peer([*stream_answer(events, end=False), Pause()]) as peer:
        stream = opened(way, peer, guard=KEY)
        chunks = way.read(stream, lambda stream, _: close(stream))
        assert way.gone(peer)
    assert (stream.text, stream.stopped_by) == ("It is ", "reader")
    assert not leaks(dumped(chunks) + stream.reply().model_dump_json())
    assert stream.reply().choices[0].message.content == "It is "


@pytest.mark.parametrize(
    "end", [KeyboardInterrupt(), ZeroDivisionError(), StreamFailed(f"lost at {PLANTED}")]
)
def test_an_interrupted_stream_shows_nothing_that_was_held(end: BaseException) -> None:
    """Whatever ends a wait: what came is kept, but for a match that had begun."""
    guard = Guarded(ready_policy(KEY), ()).stream()
    source: Script[Chunk] = Script([Chunk.model_validate(plain_chat("It is sk-abcd")), end])
    metered = engine_metering(lambda: source.usage, NO_LIMIT)
    stream = Stream(source, Reply, weir=weir_for(Chunk, metered, None, guard), metering=metered)
    assert shown_by([next(stream)]) == "It is "
    with pytest.raises(type(end)) as caught:
        next(stream)
    assert stream.text == stream.reply().choices[0].message.content == "It is "
    assert source.closed
    if isinstance(caught.value, StreamFailed):
        assert str(caught.value) == f"lost at {HIDDEN}"
        assert caught.value.partial is not None
        assert caught.value.partial.reply == stream.reply()
    with pytest.raises(StopIteration):
        next(stream)


# --- prompts


def test_a_prompt_is_refused_before_anything_is_sent(way: Blocking) -> None:
    """Streamed or whole, chat or text, by the client's guard or the call's; with status 400."""
    guard = Guard([KEY], "block", scope=("prompt", "content"))
    messages = [{"role": "user", "content": [{"type": "text", "text": TEXT}]}]
    with Peer() as peer:
        for fields in ({"messages": messages}, {"prompt": TEXT}, {"prompt": ["a", TEXT]}):
            for stream in (True, False):
                for option in ("guard", "everywhere"):
                    with pytest.raises(GuardBlocked) as caught:
                        opened(way, peer, stream=stream, **{option: guard}, **fields)
                    error = caught.value
                    assert (error.status, error.code) == (400, "content_filter")
                    assert not leaks(str(error))
    assert peer.connections == 0


def test_a_prompt_is_redacted_before_it_is_sent(way: Blocking) -> None:
    """The provider gets what may be told; the program's own messages stay as they are."""
    guard = Guard([KEY], scope=("prompt", "content"))
    messages = [{"role": "user", "content": TEXT}]
    with Peer(stream_answer([chat(said(TEXT)), chat(STOP), DONE])) as peer:
        stream = opened(way, peer, messages=messages, guard=guard)
        way.read(stream)
    sent = json.loads(peer.requests[0].body)
    assert sent["messages"] == [{"role": "user", "content": SHOWN}]
    assert "guard" not in sent
    assert messages == [{"role": "user", "content": TEXT}]
    assert stream.verdicts == [
        Verdict("key", "redact", None, "messages[0].content", 6, 11),
        FOUND,
    ]
    assert stream.withheld_chars == len(PLANTED)
    prompt = deltaweir.count_prompt(sent["messages"], model="gpt-4o").tokens
    assert stream.usage.prompt_tokens == prompt


def test_a_guard_of_prompts_alone_leaves_answers_as_they_are(way: Blocking) -> None:
    """Whole replies come whole, sounds and unknown fields stay, and what it found is told."""
    reply = {"object": "text_completion", "choices": [{"index": 0, "text": TEXT}]}
    sound = {"id": "a", "data": "AAAA"}
    events = [delta(audio=sound, more="kept"), chat(said(TEXT)), chat(STOP), DONE]
    with Peer(json_answer(reply), stream_answer(events)) as peer:
        whole = opened(way, peer, stream=False, prompt=TEXT, best_of=2, guard=PROMPT)
        stream = opened(way, peer, messages=[{"role": "user", "content": TEXT}], guard=PROMPT)
        chunks = way.read(stream)
    assert whole.choices[0].text == TEXT
    assert not json.loads(peer.requests[0].body).get("stream")
    assert json.loads(peer.requests[0].body)["prompt"] == SHOWN
    assert (chunks[0].choices[0].delta.audio, chunks[0].choices[0].delta["more"]) == (sound, "kept")
    assert stream.text == TEXT
    assert [one.field for one in stream.verdicts] == ["messages[0].content"]


def test_a_prompt_is_checked_before_a_model_is_loaded(
    way: Blocking, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One that does not exist is never looked for; the request's own checks come first."""
    for name in ("DELTAWEIR_BASE_URL", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    model = str(tmp_path / "nothing.gguf")
    create = way.client(guard=Guard([KEY], "block", scope="prompt")).chat.completions.create
    fields: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": TEXT}]}
    for stream in (True, False):
        with pytest.raises(GuardBlocked):
            way.run(create, stream=stream, **fields)
        with pytest.raises(InvalidRequest, match="temperature") as caught:
            way.run(create, stream=stream, temperature=-1, **fields)
        assert not isinstance(caught.value, GuardBlocked)


# --- whole replies


@pytest.mark.parametrize("chatting", [True, False])
def test_a_whole_reply_is_guarded(way: Blocking, chatting: bool) -> None:
    """It is made of a stream, so that a block ends it early; else it is one like any other."""
    fields: dict[str, Any] = {} if chatting else {"prompt": "hello"}
    event: Any = (lambda text: chat(said(text))) if chatting else written
    end = chat(STOP) if chatting else written("", "stop")
    answer = [*map(event, pieces(TEXT))]
    with Peer(
        stream_answer([*answer, end, DONE]), [*stream_answer(answer, end=False), Pause()]
    ) as peer:
        reply = opened(way, peer, stream=False, guard=KEY, **fields)
        cut = opened(way, peer, stream=False, guard=BLOCK, **fields)
    texts = [
        (choice.message.content if chatting else choice.text, choice.finish_reason)
        for choice in (reply.choices[0], cut.choices[0])
    ]
    assert texts == [(SHOWN, "stop"), ("It is ", "content_filter")]
    assert reply.deltaweir["guard"][0]["rule"] == "key"
    assert (reply.deltaweir["withheld_chars"], cut.deltaweir["stopped_by"]) == (11, "guard")
    assert reply.object == ("chat.completion" if chatting else "text_completion")
    sent = json.loads(peer.requests[0].body)
    assert (sent["stream"], sent["stream_options"]) == (True, INCLUDE)
    assert reply.usage.completion_tokens == deltaweir.count_tokens(TEXT, model="gpt-4o")


def test_a_whole_reply_cannot_slip_past_its_guard(way: Blocking) -> None:
    """A server that sends one piece where a stream was asked for is not understood."""
    message = {"role": "assistant", "content": TEXT}
    reply = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    with Peer(json_answer(reply)) as peer:
        for more in ({}, {"extra_body": {"stream": False}}):
            with pytest.raises(StreamFailed) as caught:
                opened(way, peer, stream=False, guard=KEY, **more)
            assert not leaks(str(caught.value))


def test_the_best_of_several_has_no_guard(way: Blocking) -> None:
    """It is refused before anything is sent: a guard needs a stream."""
    with Peer() as peer, pytest.raises(InvalidRequest, match="best_of with a guard"):
        opened(way, peer, stream=False, prompt="a", best_of=2, guard=KEY)
    assert peer.connections == 0


# --- where guards are given


def test_guards_add_up(way: Blocking) -> None:
    """The client's and the call's both hold; `with_options` sets the client's."""
    word = Rule(id="word", literals=("yes",))
    events = [chat(said(TEXT)), chat(STOP), DONE]
    stream, _ = asked(way, events, everywhere=word)
    assert stream.text == f"It is {HIDDEN}, [REDACTED:word]!"
    assert [one.rule for one in stream.verdicts] == ["key", "word"]
    stream, _ = asked(way, events, everywhere=KEY, guard=BLOCK)
    assert (stream.text, stream.stopped_by) == ("It is ", "guard")
    with Peer(stream_answer(events)) as peer:
        client = way.client(base_url=peer.base_url, api_key="k", guard=word)
        texts = []
        for guard in ([KEY], None):
            create = client.with_options(guard=guard).chat.completions.create
            stream = way.run(create, model="gpt-4o", messages=HELLO, stream=True)
            way.read(stream)
            texts.append(stream.text)
        same = client.with_options(timeout=9).chat.completions.create
        stream = way.run(same, model="gpt-4o", messages=HELLO, stream=True)
        way.read(stream)
    assert [*texts, stream.text] == [SHOWN, TEXT, TEXT.replace("yes", "[REDACTED:word]")]


def test_every_form_of_a_guard(way: Blocking, tmp_path: Path) -> None:
    """A preset, a file, a rule, rules, a guard that was used already, several guards."""
    path = tmp_path / "rules.toml"
    path.write_text('[[rules]]\nid = "key"\nregex = "sk-[a-z0-9]{8}"\n', encoding="utf-8")
    used = Guard([KEY])
    used.feed("sk-abcd")
    events = [chat(said(TEXT)), chat(STOP), DONE]
    for guard in (str(path), path, KEY, (KEY,), [KEY], used, [used, FLAG]):
        assert asked(way, events, guard=guard)[0].text == SHOWN
    mail = [chat(said("to ann@example.org")), chat(STOP), DONE]
    assert "ann@" not in asked(way, mail, guard="pii")[0].text


def test_what_is_no_guard_is_refused(way: Blocking) -> None:
    """Before a connection is opened; by clients when they are made."""
    with Peer() as peer:
        for guard in ("unknown", 5, [], [Rule(id="x", regex="(")], Rule(id="y", regex="a+b")):
            for stream in (True, False):
                with pytest.raises(InvalidRule):
                    opened(way, peer, guard=guard, stream=stream)
            with pytest.raises(InvalidRule):
                way.client(guard=guard)
            with pytest.raises(InvalidRule):
                way.client().with_options(guard=guard)
        late = Rule(id="z", regex="a+b", scope=("reasoning",))
        for stream in (True, False):
            with pytest.raises(InvalidRule):
                opened(way, peer, guard=[KEY, late], stream=stream)
    assert peer.connections == 0


def test_the_classic_surface_has_guards() -> None:
    """The changed chunks say no more than may be shown, streamed or whole."""
    chats = stream_answer([chat(said(one)) for one in pieces(TEXT)] + [chat(STOP), DONE])
    texts = stream_answer([*map(written, pieces(TEXT)), written("", "stop"), DONE])
    with Peer(chats, chats, texts, texts, chats, chats, texts) as peer:
        fields: dict[str, Any] = {"api_base": peer.base_url, "api_key": "k", "model": "gpt-4o"}
        fields["guard"] = KEY
        create: Any = deltaweir.ChatCompletion.create
        chunks = list(create(messages=HELLO, stream=True, **fields))
        reply = create(messages=HELLO, **fields)
        complete: Any = deltaweir.Completion.create
        texts_shown = [one.choices[0].text for one in complete(prompt="a", stream=True, **fields)]
        assert complete(prompt="a", **fields).choices[0].text == "".join(texts_shown) == SHOWN

        async def awaited() -> tuple[list[Any], Any, Any]:
            acreate: Any = deltaweir.ChatCompletion.acreate
            stream = await acreate(messages=HELLO, stream=True, **fields)
            chunks = [chunk async for chunk in stream]
            reply = await acreate(messages=HELLO, **fields)
            acomplete: Any = deltaweir.Completion.acreate
            return chunks, reply, await acomplete(prompt="a", **fields)

        later, other, text = asyncio.run(awaited())
    for each in (chunks, later):
        shown = "".join(chunk.choices[0].delta.get("content") or "" for chunk in each)
        assert shown == SHOWN
        assert not leaks(json.dumps(each))
    assert [one.choices[0].message.content for one in (reply, other)] == [SHOWN, SHOWN]
    assert text.choices[0].text == SHOWN
    assert all("guard" not in json.loads(request.body) for request in peer.requests)


# --- what is told


def test_the_frames_tell_what_was_found(way: Blocking) -> None:
    """Verdicts and how much was withheld, on the finish chunk, or on usage where it was asked."""
    for more in ({}, {"stream_options": INCLUDE}):
        events = [*(chat(said(one)) for one in pieces(TEXT)), chat(STOP), DONE]
        with Peer(stream_answer(events)) as peer:
            frames = way.frames(opened(way, peer, guard=KEY, **more))
        read = [json.loads(frame.removeprefix(b"data: ")) for frame in frames[:-1]]
        told = read[-1]["deltaweir"]
        assert told["guard"] == [
            {
                "rule": "key",
                "action": "redact",
                "choice": 0,
                "field": "content",
                "offset": 6,
                "length": 11,
            }
        ]
        assert told["withheld_chars"] == len(PLANTED)
        assert [one for one in read if "deltaweir" in one] == read[-1:]
        assert not leaks(b"".join(frames).decode())


def test_the_frames_of_a_block(way: Blocking) -> None:
    """They say who cut, and end as a whole stream does."""
    with Peer([*stream_answer([chat(said(TEXT))], end=False), Pause()]) as peer:
        frames = way.frames(opened(way, peer, guard=BLOCK))
    last = json.loads(frames[-2].removeprefix(b"data: "))
    assert frames[-1] == DONE
    assert last["choices"][0]["finish_reason"] == "content_filter"
    assert last["deltaweir"]["stopped_by"] == "guard"
    assert last["deltaweir"]["guard"][0]["action"] == "block"
    assert last["deltaweir"]["withheld_chars"] == len(TEXT) - len("It is ")


def test_the_frames_of_what_matches_nothing(way: Blocking) -> None:
    """They have neither key."""
    with Peer(stream_answer([chat(said("one")), chat(STOP), DONE])) as peer:
        frames = way.frames(opened(way, peer, guard=KEY))
    told = json.loads(frames[-2].removeprefix(b"data: "))["deltaweir"]
    assert told.keys() == {"usage", "cost_usd", "source"}


def test_verdicts_may_be_read_from_another_thread() -> None:
    """Two hundred choices begin while it reads, and none is lost."""
    events = [chat(said(TEXT, index=at), {**STOP, "index": at}) for at in range(200)]
    over = threading.Event()
    seen: list[int] = []

    def read(stream: Any) -> None:
        while not over.is_set():
            seen.append(len(stream.verdicts))
            assert stream.withheld_chars >= 0

    with Peer(stream_answer([*events, DONE])) as peer:
        stream = opened(Blocking(), peer, guard=KEY)
        reader = threading.Thread(target=read, args=(stream,))
        reader.start()
        try:
            Blocking().read(stream)
        finally:
            over.set()
            reader.join()
    assert seen
    assert len(stream.verdicts) == 200
    assert stream.withheld_chars == 200 * len(PLANTED)


# --- the embedded model

VOWEL = Rule(id="vowel", regex="[aeiouAEIOU]")


def embedded(way: Blocking, **fields: Any) -> Any:
    """Ask the small model, which never ends by itself."""
    fields = {"model": "smollm2", "logit_bias": {"2": -100, "0": -100}, "max_tokens": 8, **fields}
    if "prompt" in fields:
        return way.run(way.client().completions.create, **fields)
    return way.run(way.client().chat.completions.create, **{"messages": HELLO, **fields})


def has_vowels(text: str) -> bool:
    """Tell whether a text has vowels; what stands in their place has none either."""
    return bool(set("aeiouAEIOU") & set(text))


def test_the_embedded_model_is_guarded(way: Blocking, smollm2: Weights) -> None:
    """Streamed and whole, chat and text; a block ends the computation."""
    stream = embedded(way, stream=True, guard=VOWEL)
    way.read(stream)
    assert stream.text
    assert not has_vowels(stream.text)
    assert stream.withheld_chars == sum(one.length for one in stream.verdicts) > 0
    assert (stream.complete, stream.usage.completion_tokens) == (True, 8)
    reply = embedded(way, prompt="Once upon a time", guard=VOWEL)
    assert reply.choices[0].text
    assert not has_vowels(reply.choices[0].text)
    cut = embedded(way, guard=Guard([VOWEL], "block"), max_tokens=500)
    assert cut.choices[0].finish_reason == "content_filter"
    assert not has_vowels(cut.choices[0].message.content or "")
    assert cut.usage.completion_tokens < 500


def test_the_best_of_several_embedded_answers_is_guarded(smollm2: Weights) -> None:
    """The likeliest is chosen by what may be shown."""
    reply = embedded(Blocking(), prompt="Once", best_of=2, temperature=1, seed=1, guard=VOWEL)
    (choice,) = reply.choices
    assert choice.logprobs is None
    assert choice.text
    assert not has_vowels(choice.text)


# --- other packages' streams


def watching(way: Blocking, objects: list[Any], **options: Any) -> Any:
    """Return a watched stream of objects."""

    async def gives() -> Any:
        for one in objects:
            yield one

    stream: Any = gives() if isinstance(way, Awaiting) else iter(objects)
    return deltaweir.watch(stream, **options)


def watched(way: Blocking, objects: list[Any], **options: Any) -> tuple[Any, list[Any]]:
    """Watch a stream of objects to its end; return it, and what a program got."""
    stream = watching(way, objects, **options)
    return stream, way.read(stream)


def seen_in(value: Any) -> str:
    """Return all that an object holds, its private parts too."""
    if isinstance(value, dict):
        parts = [*value.values(), *vars(value).values()] if hasattr(value, "__dict__") else value
        return "".join(map(seen_in, value.values() if parts is value else parts))
    if isinstance(value, list | tuple):
        return "".join(map(seen_in, value))
    if hasattr(value, "model_dump_json") and hasattr(type(value), "__struct_fields__"):
        return str(value.model_dump_json())
    if hasattr(value, "__dict__"):
        return seen_in(dict(vars(value)))
    if type(value) is object:  # it holds nothing, and its address may spell anything
        return ""
    return repr(value)


def shown_by(objects: list[Any]) -> str:
    """Return the text of some objects."""
    deltas = [
        (one["choices"][0]["delta"] if isinstance(one, dict) else one.choices[0].delta)
        for one in objects
    ]
    contents = [
        one.get("content") if isinstance(one, dict) else getattr(one, "content", None)
        for one in deltas
    ]
    return "".join(content or "" for content in contents)


@pytest.mark.parametrize("kind", KINDS)
def test_another_packages_stream_is_guarded(way: Blocking, kind: str) -> None:
    """Unchanged chunks are the very objects; changed ones hold nothing that is hidden."""
    entry = {"token": "abcd", "logprob": -1.0, "bytes": [97], "top_logprobs": []}
    secret = {
        "index": 0,
        "delta": {"content": "abcd", "provider_specific_fields": {"echo": "sk-abcd"}},
        "logprobs": {"content": [entry], "raw": "sk-abcd"},
        "finish_reason": None,
        "message": {"content": "It is sk-abcd"},
    }
    data = [
        plain_chat("It is "),
        plain_chat("sk-"),
        plain_chat(choices=[secret]),
        plain_chat("1234, "),
        plain_chat("yes!"),
        plain_chat(end="stop"),
    ]
    objects = [KINDS[kind](one) for one in data]
    before = seen_in(objects)
    stream, got = watched(way, objects, guard=KEY)
    assert (stream.text, shown_by(got)) == (SHOWN, SHOWN)
    assert [one for one in got if any(one is other for other in objects)] == [
        objects[0],
        *objects[4:],
    ]
    assert not leaks("".join(map(seen_in, got)))
    assert seen_in(objects) == before  # none was changed
    assert stream.verdicts == [FOUND]
    assert (stream.withheld_chars, stream.complete) == (len(PLANTED), True)


def test_another_packages_stream_is_blocked(way: Blocking) -> None:
    """It ends at once, and says so."""
    data = [plain_chat(one) for one in pieces(TEXT)]
    stream, got = watched(way, [*data, plain_chat(end="stop")], guard=BLOCK)
    assert (shown_by(got), stream.text) == ("It is ", "It is ")
    assert got[-1]["choices"][0]["finish_reason"] == "content_filter"
    assert (stream.stopped_by, stream.complete) == ("guard", False)


def test_another_packages_stream_is_guarded_as_frames(way: Blocking) -> None:
    """They say what the objects say, and what was found."""
    data = [*map(plain_chat, pieces(TEXT)), plain_chat(end="stop")]
    frames = way.frames(watching(way, data, guard=KEY))
    read = [json.loads(frame.removeprefix(b"data: ")) for frame in frames[:-1]]
    assert shown_by(read) == SHOWN
    assert read[-1]["deltaweir"]["guard"] == [FOUND.as_dict()]
    assert not leaks(b"".join(frames).decode())


def test_the_prompt_of_another_packages_stream_is_not_checked(way: Blocking) -> None:
    """It was sent already."""
    stream, _ = watched(
        way, [plain_chat("Hi", "stop")], guard=Guard([KEY], "block", scope="prompt"), prompt=TEXT
    )
    assert (stream.text, stream.verdicts, stream.complete) == ("Hi", [], True)


def test_an_error_of_another_packages_stream_tells_nothing_that_was_held(way: Blocking) -> None:
    """It is raised as it is; of a match that had begun nothing is shown."""
    rule = Rule(id="key", regex=r"sk-[a-z0-9]{8,20}")

    def breaks(text: str) -> Iterator[Any]:
        yield plain_chat("It is ")
        yield plain_chat(text)
        raise ZeroDivisionError

    async def later(text: str) -> Any:
        for one in breaks(text):
            yield one

    stream_of: Any = later if isinstance(way, Awaiting) else breaks
    for text, shown in ((PLANTED[:5], "It is "), (PLANTED, f"It is {HIDDEN}")):
        stream: Any = deltaweir.watch(stream_of(text), guard=rule)
        got: list[Any] = []
        with pytest.raises(ZeroDivisionError):
            way.read(stream, lambda _, one: got.append(one))  # noqa: B023  # used at once
        assert shown_by(got) == stream.text == shown


def test_what_is_no_guard_of_a_watched_stream_is_refused() -> None:
    """The stream is closed then, so that nothing is spent."""
    closed = []

    def stream() -> Iterator[Any]:
        try:
            yield plain_chat("Hi")
        finally:
            closed.append(True)

    opened = stream()
    next(opened)
    with pytest.raises(InvalidRule):
        deltaweir.watch(opened, guard="unknown")
    assert closed == [True]


# --- a server of ours that has a guard of its own


def test_a_cut_at_a_server_of_ours_is_known_here(way: Blocking) -> None:
    """Its last chunk tells who cut, what was found, and how much was kept back."""
    found = {"rule": "mail", "action": "block", "choice": 0, "field": "content"}
    told = {
        "stopped_by": "guard",
        "guard": [{**found, "offset": 6, "length": 9}, {"rule": "no verdict"}],
        "withheld_chars": 9,
    }
    events = [
        chat(said("It is ")),
        chat({**STOP, "finish_reason": "content_filter"}, deltaweir=told),
    ]
    stream, _ = asked(way, [*events, DONE], guard=None)
    assert stream.stopped_by == "guard"
    assert not stream.complete
    assert stream.verdicts == [Verdict("mail", "block", 0, "content", 6, 9)]
    assert stream.withheld_chars == 9


@pytest.mark.parametrize("told", [{"stopped_by": "nobody", "guard": 3}, {"guard": [1]}])
def test_what_others_say_under_that_name_is_nothing(way: Blocking, told: Any) -> None:
    """A field of the same name has no meaning, and breaks nothing."""
    stream, _ = asked(way, [chat(said("It is ")), chat(STOP, deltaweir=told), DONE], guard=None)
    assert (stream.complete, stream.stopped_by, stream.verdicts) == (True, None, [])


@pytest.mark.parametrize("pieces_of", [1, 3])
def test_no_list_of_entries_tells_what_another_hides(pieces_of: int) -> None:
    """Token ids beside log probabilities, of several tokens in one chunk: each list is asked."""
    tokens = ["It is ", PLANTED, ", yes!"]
    entry: dict[str, Any] = {"logprob": -0.1, "bytes": [], "top_logprobs": []}
    guard = Guarded(ready_policy(KEY), ()).stream()
    weir = weir_for(Chunk, engine_metering(lambda: None, NO_LIMIT), None, guard)
    shown: list[Any] = []
    for at in range(0, 3, pieces_of):
        some = tokens[at : at + pieces_of]
        choice: dict[str, Any] = said("".join(some))
        scored = [{**entry, "token": token} for token in some]
        choice["logprobs"] = {"content": scored, "refusal": scored}
        choice["token_ids"] = list(range(at, at + len(some)))
        shown += weir.feed(Chunk.model_validate({"choices": [choice]}), 0.0)
    shown += weir.feed(Chunk.model_validate({"choices": [STOP]}), 0.0)
    everything = dumped(shown)
    assert HIDDEN in everything
    assert not leaks(everything)
    if pieces_of == 3:
        assert "token_ids" not in everything


def test_no_key_of_a_watched_dict_is_private() -> None:
    """Whatever it is called, it may repeat the text, and leaves with nothing of it."""
    choice = {"index": 0, "delta": {"content": "hi", "_raw": PLANTED}, "finish_reason": "stop"}
    chunk = {"choices": [choice], "_all": PLANTED}
    shown = [*deltaweir.watch(iter([chunk]), model="gpt-4o", guard=KEY)]
    assert [one["choices"][0]["delta"] for one in shown] == [{"content": "hi"}]
    assert not leaks(str(shown))
    assert chunk["_all"] == PLANTED
