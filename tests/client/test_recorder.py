"""Streams that are recorded and played again, by both clients: what was shown, and its end."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import deltaweir
from deltaweir.client.recorder import Recorder
from deltaweir.client.streams import Stream
from deltaweir.endings import Ending
from deltaweir.errors import (
    InvalidRecording,
    InvalidRequest,
    ModelUnavailable,
    RateLimited,
    StreamFailed,
    StreamTruncated,
)
from deltaweir.recorded_request import RecordTo
from deltaweir.testing import (
    Drop,
    Peer,
    Script,
    chat_events,
    error_answer,
    error_event,
    stream_answer,
)
from deltaweir.types import Chunk, Reply
from deltaweir.weir import Weir

HELLO = [{"role": "user", "content": "planted question"}]
WHOLE = stream_answer(chat_events("Hel", "lo", usage=(5, 2)))


class Blocking:
    """A program that blocks."""

    def client(self, **options: Any) -> Any:
        """Return a client."""
        return deltaweir.Client(**options)

    def call(self, function: Callable[..., Any], **fields: Any) -> Any:
        """Make a call and wait for it."""
        return function(**fields)

    def read(self, stream: Any) -> list[Any]:
        """Read a stream to its end."""
        with stream:
            return list(stream)

    def frames(self, stream: Any, **options: Any) -> list[bytes]:
        """Read a stream to its end, as frames."""
        return list(stream.sse(**options))

    def leave(self, stream: Any) -> None:
        """Read one chunk, and leave."""
        with stream:
            next(stream)


class Awaiting(Blocking):
    """An asyncio program."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self._run = runner.run

    def client(self, **options: Any) -> Any:
        """Return a client."""
        return deltaweir.AsyncClient(**options)

    def call(self, function: Callable[..., Any], **fields: Any) -> Any:
        """Make a call and await it."""
        return self._run(function(**fields))

    def read(self, stream: Any) -> list[Any]:
        """Read a stream to its end."""

        async def read() -> list[Any]:
            async with stream:
                return [chunk async for chunk in stream]

        return self._run(read())

    def frames(self, stream: Any, **options: Any) -> list[bytes]:
        """Read a stream to its end, as frames."""

        async def read() -> list[bytes]:
            return [frame async for frame in stream.sse(**options)]

        return self._run(read())

    def leave(self, stream: Any) -> None:
        """Read one chunk, and leave."""

        async def read() -> None:
            async with stream:
                await anext(stream)

        self._run(read())


@pytest.fixture(params=["blocking", "awaiting"])
def way(request: pytest.FixtureRequest) -> Iterator[Blocking]:
    """Return a way of reading."""
    if request.param == "blocking":
        yield Blocking()
        return
    with asyncio.Runner() as runner:
        yield Awaiting(runner)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a path for a recording."""
    return tmp_path / "r.jsonl"


def asked(way: Blocking, answer: Any, **fields: Any) -> Any:
    """Ask a peer that gives this answer, and return the stream, read to its end."""
    with Peer(answer) as peer:
        client = way.client(base_url=peer.base_url, api_key="planted-key", max_retries=0)
        fields = {"model": "gpt-4o", "messages": HELLO, "stream": True} | fields
        stream = way.call(client.chat.completions.create, **fields)
        way.read(stream)
        return stream


def played(way: Blocking, file: Path, **fields: Any) -> Any:
    """Return the stream of a recording."""
    client = way.client(replay_speed="max")
    fields = {"model": f"replay:{file}", "messages": HELLO, "stream": True} | fields
    return way.call(client.chat.completions.create, **fields)


def lines(file: Path) -> list[dict[str, Any]]:
    """Return the lines of a recording."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


MAIL = deltaweir.Rule(id="mail", literals=("jane@example.com",), scope=("prompt",))
USAGE = {"stream_options": {"include_usage": True}}


def test_a_stream_is_recorded_and_played(way: Blocking, file: Path) -> None:
    """What is played is what was shown; its usage is the recorded one, and it costs nothing."""
    with Peer(WHOLE) as peer:
        client = way.client(base_url=peer.base_url, api_key="planted-key")
        fields = {"model": "gpt-4o", "messages": HELLO, "stream": True, **USAGE}
        first = way.call(client.chat.completions.create, **fields, record=file)
        shown = way.frames(first, annotate=False)
        assert b"record" not in peer.requests[0].body
    header, *events, end = lines(file)
    assert (header["model"], header["kind"]) == ("gpt-4o", "chat")
    assert [json.dumps(one["data"]["choices"]) for one in events][-1] == "[]"
    assert (end["end"], end["finish_reason"], end["source"]) == ("complete", "stop", "provider")
    assert end.get("cost_usd") == first.cost
    assert "planted" not in file.read_text(encoding="utf-8")
    if sys.platform != "win32":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    again = played(way, file, **USAGE)
    assert way.frames(again) == shown
    assert (again.text, again.cost, again.complete) == ("Hello", 0, True)
    assert (again.account().source, again.usage) == ("recorded", first.usage)


def test_times_are_kept(way: Blocking, file: Path) -> None:
    """Events have times that never go back, and the end has that of the first content."""
    asked(way, WHOLE, record=file)
    _, *events, end = lines(file)
    at = [one["at"] for one in (*events, end)]
    assert at == sorted(at)
    assert 0 < end["headers_us"] <= end["first_content_us"] <= at[0] + 1_000


def test_nobody_who_did_not_ask_gets_usage(way: Blocking, file: Path) -> None:
    """A chunk without choices that was recorded is shown to those who ask for it."""
    asked(way, WHOLE, record=file, **USAGE)
    assert all(chunk.choices for chunk in way.read(played(way, file)))


def test_a_whole_reply_is_recorded_as_a_stream(way: Blocking, file: Path) -> None:
    """Without stream the same is recorded, and played as a whole reply."""
    with Peer(WHOLE) as peer:
        client = way.client(base_url=peer.base_url, api_key="x", record={"file": file})
        fields = {"model": "gpt-4o", "messages": HELLO}
        reply = way.call(client.chat.completions.create, **fields)
    again = played(way, file, stream=False)
    assert again.model_dump() == reply.model_dump()
    assert again.choices[0].message.content == "Hello"


def test_a_prompt_is_kept_where_asked(way: Blocking, file: Path) -> None:
    """A full request is there as it was sent, behind the guard; never a key."""
    record = {"file": file, "request": "full"}
    secret = [{"role": "user", "content": "mail me: jane@example.com"}]
    asked(way, WHOLE, messages=secret, guard=[MAIL], record=record)
    header = lines(file)[0]
    assert header["request_kept"] == "full"
    assert "jane" not in str(header["request"]["messages"])
    assert "mail me: [REDACTED" in str(header["request"]["messages"])
    assert "planted-key" not in file.read_text(encoding="utf-8")


def test_what_a_guard_withholds_is_not_recorded(way: Blocking, file: Path) -> None:
    """A recording holds what left the guard; what was found is told again."""
    mail = chat_events("jane@exam", "ple.com, so")
    stream = asked(way, stream_answer(mail), guard="pii", record=file)
    assert "jane" not in file.read_text(encoding="utf-8")
    again = played(way, file)
    way.read(again)
    assert again.text == stream.text
    assert again.verdicts == stream.verdicts != []


def test_a_playback_is_guarded_and_limited_anew(way: Blocking, file: Path) -> None:
    """The caller's guard and budget hold for what was recorded without."""
    mail = chat_events("jane@exam", "ple.com, so")
    asked(way, stream_answer(mail), record=file)
    guarded = played(way, file, guard="pii")
    way.read(guarded)
    assert "jane" not in guarded.text
    assert (len(guarded.verdicts), guarded.complete) == (1, True)
    cut = played(way, file, budget="2tok, 0.000001usd")
    frames = way.frames(cut)
    assert (cut.stopped_by, cut.complete, cut.cost) == ("budget", False, 0)
    assert b'"stopped_by":"budget"' in frames[-2]


@pytest.mark.parametrize(
    "cut",
    [{"budget": "1tok"}, {"guard": [deltaweir.Rule(id="x", literals=("Hel",), action="block")]}],
)
def test_a_cut_is_played_as_a_cut(way: Blocking, file: Path, cut: dict[str, Any]) -> None:
    """What ended by a budget or a guard does so again, and is not complete."""
    stream = asked(way, stream_answer(chat_events("Hel", "p me", " now")), record=file, **cut)
    again = played(way, file)
    frames = way.frames(again)
    assert (again.stopped_by, again.finish_reason) == (stream.stopped_by, stream.finish_reason)
    assert (again.complete, frames[-1]) == (False, b"data: [DONE]\n\n")


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (
            [*stream_answer(chat_events("Hel", finish=None, done=False), end=False), Drop()],
            StreamTruncated,
        ),
        (
            stream_answer([*chat_events("Hel", finish=None, done=False), error_event("broke")]),
            StreamFailed,
        ),
    ],
)
def test_a_failure_is_played_as_a_failure(
    way: Blocking, file: Path, answer: Any, kind: Any
) -> None:
    """The same error comes at the same place; a recording is never completed."""
    with pytest.raises(kind) as first:
        asked(way, answer, record=file)
    again = played(way, file)
    with pytest.raises(kind) as second:
        way.read(again)
    for name in ("message", "status", "code", "param"):
        assert getattr(first.value, name) == getattr(second.value, name)
    assert not again.complete


def test_a_refusal_leaves_no_file(way: Blocking, file: Path) -> None:
    """What a server refuses before it shows anything takes no name: the next try has it."""
    with pytest.raises(RateLimited):
        asked(way, error_answer(429, "slow down", code="too_fast"), record=file)
    assert not file.exists()
    with pytest.raises(RateLimited):
        asked(way, error_answer(429, "slow down"), record=file)
    assert asked(way, WHOLE, record=file).text == "Hello"
    way.read(played(way, file))


def test_a_failed_playback_tells_what_was_used(way: Blocking, file: Path) -> None:
    """The recorded figure holds for a stream that failed, too."""
    events = [*chat_events("Hel", usage=(5, 2))[:-1], error_event("broke")]
    with pytest.raises(StreamFailed):
        asked(way, stream_answer(events), record=file, **USAGE)
    again = played(way, file, **USAGE)
    with pytest.raises(StreamFailed):
        way.read(again)
    assert (again.usage.total_tokens, again.account().source) == (7, "recorded")


def event(delta: dict[str, Any], end: str | None = None, **more: Any) -> bytes:
    """Return an event with one choice."""
    choice = {"index": 0, "delta": delta, "finish_reason": end}
    return b"data: %b\n\n" % json.dumps({"id": "c", "choices": [choice], **more}).encode()


@pytest.mark.parametrize(
    "events",
    [
        [event({"content": "a"}, id="1", created=1), event({"content": "b"}, id="2", created=2)],
        [event({"content": "a"}, model="m"), event({"content": "b"}, model="n")],
        [event({"content": "a"}, system_fingerprint="f", service_tier="default")],
        [event({"content": "a"}), event({"content": "b"}, system_fingerprint="f")],
        [event({"content": "a"}, obfuscation="x"), event({"content": "b"}, obfuscation="yy")],
        [event({"role": "assistant"}), event({"content": "a"})],
        [event({"role": "assistant", "content": None, "tool_calls": [{"index": 0, "id": "t"}]})],
    ],
)
def test_a_playback_shows_what_was_shown(way: Blocking, file: Path, events: list[bytes]) -> None:
    """Every field of every chunk comes again, and none that was not there."""
    with Peer(stream_answer([*events, event({}, "stop"), b"data: [DONE]\n\n"])) as peer:
        client = way.client(base_url=peer.base_url, api_key="x")
        fields = {"model": "m", "messages": HELLO, "stream": True, "record": file}
        shown = way.read(way.call(client.chat.completions.create, **fields))
    again = way.read(played(way, file))
    assert [chunk.model_dump() for chunk in again] == [chunk.model_dump() for chunk in shown]


def test_a_stream_that_cannot_be_counted_is_shown(
    way: Blocking, file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Recording asks for the count, and breaks no stream where it cannot be had."""

    def full(_: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("deltaweir.client.metering.tokenizer_of", full)
    with caplog.at_level(logging.WARNING):
        assert asked(way, stream_answer(chat_events("Hel", "lo")), record=file).text == "Hello"
    assert [record.getMessage().rpartition("jsonl ")[2] for record in caplog.records] == [
        "has no usage: OSError"
    ]
    assert lines(file)[-1]["end"] == "complete"


def test_a_reader_who_leaves_is_recorded(way: Blocking, file: Path) -> None:
    """The playback of what was left breaks off where the reader did."""
    with Peer(stream_answer(chat_events("Hel", finish=None, done=False), end=False)) as peer:
        client = way.client(base_url=peer.base_url, api_key="x")
        fields = {"model": "m", "messages": HELLO, "stream": True, "record": file}
        way.leave(way.call(client.chat.completions.create, **fields))
    assert lines(file)[-1]["end"] == "abandoned"
    again = played(way, file)
    assert b"whoever read the answer stopped it" in way.frames(again)[-1]
    assert not again.complete


def test_a_crash_leaves_a_truncated_recording(way: Blocking, file: Path) -> None:
    """A file that breaks off plays what it has, and fails."""
    asked(way, WHOLE, record=file)
    whole = file.read_bytes()
    file.write_bytes(whole[: whole.index(b'"lo"')])
    again = played(way, file)
    with pytest.raises(StreamTruncated):
        way.read(again)
    assert (again.text, again.complete) == ("Hel", False)


def test_nothing_is_asked_where_nothing_can_be_recorded(way: Blocking, file: Path) -> None:
    """A file that cannot be written is found before a request is sent."""
    file.write_text("mine")
    with Peer(WHOLE) as peer:
        client = way.client(base_url=peer.base_url, api_key="x")
        fields = {"model": "m", "messages": HELLO, "stream": True, "record": str(file)}
        with pytest.raises(InvalidRequest, match="there is a file already"):
            way.call(client.chat.completions.create, **fields)
        assert peer.requests == []


def test_a_refused_request_leaves_no_file(way: Blocking, file: Path) -> None:
    """What fails before it is sent makes no recording."""
    client = way.client(base_url="http://127.0.0.1:9/v1", api_key="x")
    with pytest.raises(InvalidRequest):
        way.call(client.chat.completions.create, messages=3, model="m", stream=True, record=file)
    assert not file.exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
def test_a_full_disk_breaks_no_stream(way: Blocking, caplog: pytest.LogCaptureFixture) -> None:
    """The stream goes on, and one warning says that the recording does not."""
    with caplog.at_level(logging.WARNING):
        assert asked(way, WHOLE, record="/dev/full").text == "Hello"
    assert [record.name for record in caplog.records] == ["deltaweir.recording"]


def test_a_recording_of_a_recording_is_the_same(way: Blocking, tmp_path: Path, file: Path) -> None:
    """What is played and recorded again has the same data."""
    asked(way, WHOLE, record=file)
    second = tmp_path / "second.jsonl"
    spelled = file.read_bytes().replace(b'"lo"', b'"l\\u006f"')
    file.write_bytes(spelled)
    way.read(played(way, file, record=second))
    assert [line.get("data") for line in lines(file)] == [
        line.get("data") for line in lines(second)
    ]
    assert b'"l\\u006f"' in second.read_bytes()


def test_a_recording_that_is_none_is_told(way: Blocking, file: Path) -> None:
    """A missing recording, or one of the other endpoint, is an error before anything comes."""
    with pytest.raises(InvalidRecording, match="there is no recording"):
        played(way, file)
    asked(way, WHOLE, record=file)
    client = way.client()
    with pytest.raises(InvalidRequest, match="was asked for a text completion"):
        way.call(client.completions.create, model=f"replay:{file}", prompt="x", stream=True)


def test_a_client_may_keep_its_pace(way: Blocking, file: Path) -> None:
    """The speed of a call goes before that of its client; a wrong one is refused."""
    asked(way, WHOLE, record=file)
    late = file.read_bytes().replace(b'"at":', b'"at":900000')
    file.write_bytes(late)
    client = way.client(replay_speed=0.001)
    fields = {"model": f"replay:{file}", "messages": HELLO, "replay_speed": 0}
    assert way.call(client.chat.completions.create, **fields).choices[0].message.content == "Hello"
    with pytest.raises(InvalidRequest, match="as speed"):
        way.client(replay_speed=-1)


def test_a_route_of_ones_own_shows_the_same_bytes(file: Path) -> None:
    """What a web framework is given for a playback are the recorded frames."""
    asked(Blocking(), WHOLE, record=file)
    spelled = file.read_bytes().replace(b'"lo"', b'"l\\u006f"')
    file.write_bytes(spelled)

    async def sent() -> bytes:
        client = deltaweir.AsyncClient(replay_speed=0)
        stream = await client.chat.completions.create(
            model=f"replay:{file}", messages=HELLO, stream=True
        )
        messages: list[Any] = []

        async def receive() -> Any:
            await asyncio.Event().wait()

        async def send(message: Any) -> None:
            messages.append(message)

        await deltaweir.sse_response(stream)({"type": "http"}, receive, send)
        return b"".join(message.get("body", b"") for message in messages)

    body = asyncio.run(sent())
    assert body == b"".join(played(Blocking(), file).sse())
    assert b'"l\\u006f"' in body


def test_the_classic_surface_records_and_plays(file: Path) -> None:
    """Old calls take a recording for a model, and record, as the new ones do."""
    with Peer(WHOLE) as peer:
        fields: dict[str, Any] = {"messages": HELLO, "stream": True}
        where = {"api_base": peer.base_url, "api_key": "x"}
        create: Any = deltaweir.ChatCompletion.create
        list(create(model="m", record=str(file), **fields, **where))
    again = list(create(model=f"replay:{file}", replay_speed=0, **fields))
    texts = [chunk["choices"][0]["delta"].get("content") for chunk in again]
    assert texts == ["", "Hel", "lo", None]


CRASH = """
import os, sys, deltaweir
chunks = ({"id": "1", "choices": [{"index": 0, "delta": {"content": str(n)}}]} for n in range(9))
for number, _ in enumerate(deltaweir.record(chunks, sys.argv[1])):
    if number == 3:
        os._exit(9)
"""
FULL = """
import resource, sys, deltaweir
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
chunks = ({"id": "1", "choices": [{"index": 0, "delta": {"content": str(n)}}]} for n in range(99))
sys.exit(sum(1 for _ in deltaweir.record(chunks, sys.argv[1])) - 99)
"""


def run(code: str, file: Path) -> subprocess.CompletedProcess[str]:
    """Run a program in a process of its own."""
    alone = {name: value for name, value in os.environ.items() if "COVERAGE" not in name}
    command = [sys.executable, "-c", code, str(file)]
    return subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=50, env=alone
    )


def test_a_process_that_dies_loses_nothing(file: Path) -> None:
    """All that was shown is in the file, and its playback is truncated."""
    assert run(CRASH, file).returncode == 9
    again = played(Blocking(), file)
    with pytest.raises(StreamTruncated):
        list(again)
    assert again.text == "0123"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limits of this kind")
def test_a_disk_that_fills_up_ends_the_recording_alone(file: Path) -> None:
    """The stream goes on to its own end; the file has what found room, and a torn line."""
    ended = run(FULL, file)
    assert "StreamTruncated" in ended.stderr  # of chunks that never finish, not of the disk
    assert ended.stderr.count("ends early") == 1
    assert file.stat().st_size == 2000
    again = played(Blocking(), file)
    with pytest.raises(StreamTruncated, match="breaks off"):
        list(again)
    assert again.text.startswith("01234567")


def objects(*texts: str) -> list[Any]:
    """Return somebody else's chunks."""
    ends: list[Any] = [{"content": text} for text in texts]
    return [
        {"id": "1", "choices": [{"index": 0, "delta": delta, "finish_reason": end}]}
        for delta, end in [*((one, None) for one in ends), ({}, "stop")]
    ]


def test_somebody_elses_stream_is_recorded(file: Path) -> None:
    """The very objects come, and the recording can be played."""
    given = objects("Hel", "lo")
    stream = deltaweir.record(iter(given), file)
    assert all(one is other for one, other in zip(stream, given, strict=True))
    assert stream.text == "Hello"
    assert played(Blocking(), file, stream=False).choices[0].message.content == "Hello"


def test_somebody_elses_async_stream_is_recorded(file: Path) -> None:
    """An async iterator, or a coroutine that gives one, is recorded as it is awaited."""

    async def generate() -> Any:
        for one in objects("Hel", "lo"):
            yield one

    async def asking() -> Any:
        return generate()

    async def read() -> list[Any]:
        return [one async for one in deltaweir.record(asking(), file)]

    assert asyncio.run(read()) == objects("Hel", "lo")
    assert lines(file)[-1]["end"] == "complete"


def test_a_stream_of_ours_stays_itself(file: Path) -> None:
    """`record` returns our own stream, and takes what was not read yet."""
    chunks = [Chunk.model_validate(one) for one in objects("Hel", "lo")]
    stream = Stream(Script(chunks), Reply, weir=Weir(Chunk))
    next(stream)
    assert deltaweir.record(stream, file) is stream
    list(stream)
    assert [line["data"]["choices"][0]["delta"] for line in lines(file)[1:-1]] == [
        {"content": "lo"},
        {},
    ]


def test_a_chunk_that_is_no_text_ends_the_recording_alone(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Half of a surrogate pair cannot be written; the stream goes on, and one warning says so."""
    with caplog.at_level(logging.WARNING):
        stream = deltaweir.record(iter(objects("Hel", "\ud83d", "lo")), file)
        assert len(list(stream)) == 4
    assert len(caplog.records) == 1
    assert len(lines(file)) == 2
    with pytest.raises(StreamTruncated):
        played(Blocking(), file, stream=False)


class Unknown:
    """A stream that nobody can count."""

    usage_asked = False
    ending = Ending.COMPLETE

    def account(self) -> None:
        """Fail, as where a vocabulary cannot be had."""
        raise ModelUnavailable("there is no vocabulary")


def test_an_end_without_usage_is_an_end(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where the tokens cannot be counted, the recording says how it ended, and a warning why."""
    recorder = Recorder(RecordTo(str(file)), "chat")
    view: Any = Unknown()  # enough of a stream
    recorder.follow(view, None)
    with caplog.at_level(logging.WARNING):
        recorder.ended(view, None)
        recorder.ended(view, None)
    assert [set(line) for line in lines(file)[1:]] == [{"at", "end"}]
    assert "has no usage: ModelUnavailable" in caplog.text


@pytest.mark.parametrize("wrong", ["text", None, {"choices": []}])
def test_what_is_no_stream_cannot_be_recorded(wrong: Any, file: Path) -> None:
    """A whole reply is refused, and leaves no file."""
    with pytest.raises(InvalidRequest, match="expected a stream of chunks"):
        deltaweir.record(wrong, file)
    assert not file.exists()
    with pytest.raises(InvalidRequest, match="got no file to record to"):
        deltaweir.record(iter(()), None)


def test_a_stream_is_recorded_once(way: Blocking, tmp_path: Path, file: Path) -> None:
    """A second recording is refused, and makes no file; the first goes on."""
    with Peer(WHOLE) as peer:
        client = way.client(base_url=peer.base_url, api_key="x")
        fields = {"model": "m", "messages": HELLO, "stream": True, "record": file}
        stream = way.call(client.chat.completions.create, **fields)
        with pytest.raises(InvalidRequest, match="this stream is recorded already"):
            deltaweir.record(stream, tmp_path / "second.jsonl")
        way.read(stream)
    assert [path.name for path in tmp_path.iterdir()] == ["r.jsonl"]
    assert lines(file)[-1]["end"] == "complete"


def test_what_was_read_cannot_be_recorded(way: Blocking, file: Path) -> None:
    """A stream that is over has nothing left to show, which is said."""
    stream = asked(way, WHOLE)
    with pytest.raises(InvalidRequest, match="this stream has been read to its end"):
        deltaweir.record(stream, file)
    assert not file.exists()


def test_somebody_elses_stream_stays_open_where_nothing_is_recorded(file: Path) -> None:
    """A file that cannot be had closes nothing of the caller's, but an un-awaited coroutine."""

    async def asking() -> Any:
        raise AssertionError

    file.write_text("mine")
    given = iter(objects("Hel", "lo"))
    stream = (one for one in given)
    with pytest.raises(InvalidRequest, match="there is a file already"):
        deltaweir.record(stream, file)
    assert len(list(stream)) == 3
    with pytest.raises(InvalidRequest, match="there is a file already"):
        deltaweir.record(asking(), file)


def test_what_is_dropped_in_a_cycle_has_its_end(file: Path) -> None:
    """Whatever the collector takes first, a recording ends as abandoned."""
    stream: Any = deltaweir.record(iter(objects("Hel", "lo")), file)
    next(stream)
    stream.myself = stream
    del stream
    gc.collect()
    assert lines(file)[-1]["end"] == "abandoned"


def test_a_playback_that_is_recorded_ends_when_it_is_dropped(tmp_path: Path, file: Path) -> None:
    """Its recorder does not keep it, so that nothing waits for the collector."""
    asked(Blocking(), WHOLE, record=file)
    gc.disable()
    try:
        stream = played(Blocking(), file, record=tmp_path / "again.jsonl")
        next(stream)
        del stream
        assert lines(tmp_path / "again.jsonl")[-1]["end"] in ("abandoned", "complete")
    finally:
        gc.enable()


def test_a_signal_that_ends_a_stream_makes_no_second_header(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A handler that closes the stream while its first line is written comes after that line."""
    from deltaweir.adapters.recording_files import RecordingFile

    stream = deltaweir.record(iter(objects("Hel", "lo")), file)
    write = RecordingFile.write

    def interrupted(self: RecordingFile, lines: bytes) -> None:
        monkeypatch.undo()
        write(self, lines)
        stream.close()

    monkeypatch.setattr(RecordingFile, "write", interrupted)
    list(stream)
    assert [set(line) for line in lines(file)] == [{"format", "version", "began", "kind"}, END]


END = {"at", "end"}


def test_what_was_not_read_yet_is_recorded(tmp_path: Path, file: Path) -> None:
    """A stream that is over may be recorded as long as it has something to show."""
    asked(Blocking(), WHOLE, record=file)
    stream = played(Blocking(), file)
    next(stream)
    list(deltaweir.record(stream, tmp_path / "rest.jsonl"))
    rest = [line["data"]["choices"][0]["delta"] for line in lines(tmp_path / "rest.jsonl")[1:-1]]
    assert rest == [{"content": "Hel"}, {"content": "lo"}, {}]


def test_a_stream_that_breaks_before_its_first_chunk_leaves_no_file(file: Path) -> None:
    """A program that has a bug leaves its stream, and nothing that takes the name."""

    class Broken(Script[Chunk]):
        def receive(self, timeout_s: float | None) -> list[Chunk] | None:
            raise ZeroDivisionError

    stream = Stream(Broken([]), Reply, weir=Weir(Chunk))
    deltaweir.record(stream, file)
    with pytest.raises(ZeroDivisionError), stream:
        next(stream)
    assert not file.exists()


def test_what_cannot_be_watched_leaves_no_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that was made for a stream that is none is gone again."""

    def refused(_: Any) -> Any:
        raise InvalidRequest("it is none")

    monkeypatch.setattr("deltaweir.client.record.watch", refused)
    with pytest.raises(InvalidRequest, match="it is none"):
        deltaweir.record(iter(()), file)
    assert not file.exists()
