"""A gateway that records streams and plays recordings: what left it, and its honest end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.gateway.conftest import TEXT, until
from tests.gateway.conftest import events as events_of
from tests.gateway.fronts import Front, fronted
from tests.gateway.keys.test_keys_served import Desk

from deltaweir.errors import InvalidRequest
from deltaweir.gateway.config.file import ModelConfig, RecordingsConfig, load_config
from deltaweir.gateway.config.recordings import is_name
from deltaweir.testing import Drop, Pause, Peer, chat_events, stream_answer

HELLO = stream_answer(chat_events("Hel", "lo", ", you", " there", usage=(10, 4)))
USAGE = {"stream_options": {"include_usage": True}}


_LETTERS = "abcdefghij"


class Studio:
    """A gateway with a folder of recordings."""

    def __init__(self, front: Front, folder: Path) -> None:
        self.front = front
        self.folder = folder
        self._serve()

    def _serve(self, *models: ModelConfig, **more: Any) -> None:
        config = self.front.running.server.gateway.config
        known = (*config.models, *models)
        recordings = RecordingsConfig(dir=str(self.folder), **more)
        self.front.take(replace(config, models=known, recordings=recordings))

    def before(self, *peers: Peer, models: tuple[ModelConfig, ...] = (), **more: Any) -> None:
        """Stand before providers, and serve further models."""
        self.front.before(*peers)
        self._serve(*models, **more)

    def record(self, *answers: Any, name: str = "r", **body: Any) -> Any:
        """Ask a provider that gives these answers for a recorded stream."""
        with Peer(*(answers or (HELLO,))) as peer:
            self.before(peer)
            terms = {"record": name, **body.pop("deltaweir", {})}
            return self.front.ask(deltaweir=terms, **body)

    def lines(self, name: str = "r") -> list[dict[str, Any]]:
        """Wait until a recording has its end, and return its lines."""
        path = self.folder / f"{name}.jsonl"
        until(lambda: path.exists() and b'"end":' in path.read_bytes())
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    """Return a gateway that records."""
    with fronted() as front:
        yield Studio(front, tmp_path / "recordings")


@pytest.mark.parametrize("usage", [{}, USAGE])
def test_a_stream_is_recorded_and_played_byte_for_byte(studio: Studio, usage: Any) -> None:
    """`replay:NAME` gives the very bytes that were sent, at no cost, counted as recorded."""
    first = studio.record(**usage)
    header, *events, end = studio.lines()
    assert (header["kind"], header["model"], header.get("usage_asked", False)) == (
        "chat",
        "m",
        bool(usage),
    )
    assert "Say hello" not in json.dumps(header)
    assert [one["data"] for one in events] == first.events[:-1]
    assert (end["end"], end["source"], end["usage"]["total_tokens"]) == ("complete", "provider", 14)
    again = studio.front.ask(model="replay:r", **usage)
    assert (again.status, again.body) == (200, first.body)
    row = studio.front.row(again)
    assert (row.tally.source, row.tally.cost_pico) == ("recorded", 0)
    assert (row.tally.prompt_tokens, row.tally.completion_tokens) == (10, 4)
    assert studio.front.attempts(again) == [("recording", "complete")]


def test_a_whole_reply_may_be_played(studio: Studio) -> None:
    """Without stream the recording is put together; recording needs a stream."""
    studio.record()
    studio.lines()
    reply = studio.front.ask(model="replay:r", stream=False).json
    assert reply["choices"][0]["message"]["content"] == "Hello, you there"
    refused = studio.record(name="whole", stream=False)
    assert (refused.status, refused.error["param"]) == (400, "deltaweir.record")
    assert not (studio.folder / "whole.jsonl").exists()


def test_many_chunks_that_go_straight_are_recorded(studio: Studio) -> None:
    """What is passed on as it came is written down all the same."""
    texts = [f" word{number}" for number in range(300)]
    answer = studio.record(stream_answer(chat_events(*texts, usage=(1, 300))))
    assert [one["data"] for one in studio.lines()[1:-1]] == answer.events[:-1]


@pytest.mark.parametrize("guard", [{}, {"guard": "pii"}])
@pytest.mark.parametrize("resume", [{}, {"resume": True}])
def test_what_goes_straight_is_recorded(studio: Studio, guard: Any, resume: Any) -> None:
    """Pieces that are passed on as they came, one by one or several together, are written down."""
    pauses = [Pause() for _ in range(6)]
    words = [f" word{_LETTERS[number // 10]}{_LETTERS[number % 10]}" for number in range(60)]
    events = chat_events(*words)
    steps = [*events[:2]]
    for number, pause in enumerate(pauses):
        steps += [pause, *events[2 + 10 * number : 12 + 10 * number]]
    with Peer(stream_answer([*steps, *events[62:]])) as peer:
        studio.before(peer)
        with studio.front.client(deltaweir={"record": "r", **guard, **resume}) as client:
            for number, pause in enumerate(pauses):
                # a guard may hold the last word
                client.read_until(words[10 * number - 2][1:].encode() if number else b"assistant")
                pause.release()
            body = client.rest()
    shown = [one for one in events_of(body) if one != "[DONE]"]
    assert [one["data"] for one in studio.lines()[1:-1]] == shown
    again = studio.front.ask(model="replay:r")
    assert [one for one in again.events if one != "[DONE]"] == shown


def test_a_recorded_stream_is_kept_awake(tmp_path: Path) -> None:
    """Heartbeats go to its reader, and are not in the recording."""
    pause = Pause()
    begun = chat_events("Hel", finish=None, done=False)
    answer = stream_answer([*begun, pause, *chat_events("lo")[1:]])
    with fronted(heartbeat_s=0.05) as front, Peer(answer) as peer:
        studio = Studio(front, tmp_path)
        studio.before(peer)
        with studio.front.client(deltaweir={"record": "r"}) as client:
            client.read_until(b": keep-alive")
            pause.release()
            client.rest()
    assert "keep-alive" not in json.dumps(studio.lines())


def test_a_guards_work_is_recorded(studio: Studio) -> None:
    """A recording never holds what a guard withheld, and tells what it found."""
    mail = stream_answer(chat_events("jane@exam", "ple.com, so"))
    answer = studio.record(mail, deltaweir={"guard": "pii"})
    assert "jane" not in answer.text
    end = studio.lines()[-1]
    assert "jane" not in (studio.folder / "r.jsonl").read_text(encoding="utf-8")
    assert len(end["deltaweir"]["guard"]) == 1


def test_a_playback_is_guarded_and_limited(studio: Studio) -> None:
    """Guards and budgets of a request hold for a recording, and its end says so."""
    studio.record(stream_answer(chat_events("jane@exam", "ple.com, so")))
    studio.lines()
    guarded = studio.front.ask(model="replay:r", deltaweir={"guard": "pii"})
    assert "jane" not in guarded.text
    cut = studio.front.ask(model="replay:r", deltaweir={"budget": "1tok"})
    assert cut.finish_reasons == ["length"]
    assert cut.chunks[-1]["deltaweir"]["stopped_by"] == "budget"


def test_a_cut_is_played_as_a_cut(studio: Studio) -> None:
    """The ledger tells the ending that the recorded stream had."""
    first = studio.record(deltaweir={"budget": "2tok"})
    studio.lines()
    again = studio.front.ask(model="replay:r")
    assert again.body == first.body
    closed = studio.front.row(again).closed
    assert closed is not None
    assert closed.ending == "budget"


def test_a_broken_stream_is_played_as_broken(studio: Studio) -> None:
    """What failed fails again, without [DONE]; a file that breaks off too."""
    events = chat_events("Hel", finish=None, done=False)
    first = studio.record([*stream_answer(events, end=False), Drop()])
    lines = studio.lines()
    assert lines[-1]["end"] == "truncated"
    again = studio.front.ask(model="replay:r")
    assert again.events[:-1] == first.events[:-1]
    assert again.events[-1]["error"]["code"] == first.events[-1]["error"]["code"]
    path = studio.folder / "r.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    torn = studio.front.ask(model="replay:r")
    assert (torn.done, torn.events[-1]["error"]["code"]) == (False, "upstream_truncated")
    assert str(studio.folder) not in torn.body.decode()


def test_a_stream_goes_on_for_its_recording(studio: Studio) -> None:
    """Where it was asked to finish, the recording has it all though the client has left."""
    pause = Pause()
    begun = chat_events("Hel", finish=None, done=False)
    rest = chat_events("lo")[1:]
    with Peer(stream_answer([*begun, pause, *rest])) as peer:
        studio.before(peer)
        terms = {"record": "r", "on_disconnect": "finish"}
        with studio.front.client(deltaweir=terms) as client:
            client.read_until(b"Hel")
        pause.release()
        lines = studio.lines()
    assert lines[-1]["end"] == "complete"
    assert "lo" in json.dumps(lines)


def test_a_client_that_leaves_ends_its_recording(studio: Studio) -> None:
    """Else it ends where the client left, and is played so."""
    pause = Pause()
    begun = chat_events("Hel", finish=None, done=False)
    with Peer(stream_answer([*begun, pause])) as peer:
        studio.before(peer)
        with studio.front.client(deltaweir={"record": "r"}) as client:
            client.read_until(b"Hel")
        assert studio.lines()[-1]["end"] == "abandoned"
    again = studio.front.ask(model="replay:r")
    assert (again.text, again.done, again.finish_reasons) == ("Hel", False, [])
    assert again.events[-1]["error"]["code"] == "abandoned"
    assert studio.front.ask(model="replay:r", stream=False).status >= 500


def test_a_stream_that_is_kept_is_recorded_too(studio: Studio) -> None:
    """A stream that may be resumed has ids on the wire, and none in its recording."""
    answer = studio.record(deltaweir={"resume": True})
    assert b"id: " in answer.body
    lines = studio.lines()
    assert [one["data"] for one in lines[1:-1]] == answer.events[:-1]


def test_a_name_is_used_once(studio: Studio) -> None:
    """A recording is never replaced; nothing is asked then."""
    studio.record()
    before = (studio.folder / "r.jsonl").read_bytes()
    studio.lines()
    again = studio.record()
    assert (again.status, again.error["code"]) == (400, "recording_exists")
    assert str(studio.folder) not in again.body.decode()
    assert (studio.folder / "r.jsonl").read_bytes().startswith(before)


def test_a_refused_stream_leaves_no_recording(studio: Studio) -> None:
    """What no upstream answered takes no name."""
    from deltaweir.testing import error_answer

    answer = studio.record(error_answer(400, "no"))
    assert answer.status == 400
    until(lambda: not [*studio.folder.iterdir()])


def test_a_name_is_taken_from_the_first_moment(studio: Studio) -> None:
    """Two streams are never in one recording, though nothing was shown yet."""
    pause = Pause()
    with Peer([pause, *HELLO], HELLO) as peer:
        studio.before(peer)
        with studio.front.client(deltaweir={"record": "r"}) as client:
            assert pause.reached.wait(10)
            other = studio.front.ask(deltaweir={"record": "r"})
            assert (other.status, other.error["code"]) == (400, "recording_exists")
            pause.release()
            client.rest()
    assert [set(line) & {"format", "end"} for line in studio.lines() if "at" not in line] == [
        {"format"}
    ]


def test_what_was_shown_is_on_disk_soon(studio: Studio) -> None:
    """A stream that pauses has its frames in the file all the same, for a crash to leave."""
    pause = Pause()
    with Peer(stream_answer([*chat_events("Hel", finish=None, done=False), pause])) as peer:
        studio.before(peer)
        with studio.front.client(deltaweir={"record": "r"}) as client:
            client.read_until(b"Hel")
            until(lambda: b"Hel" in (studio.folder / "r.jsonl").read_bytes())
        pause.release()


def test_a_late_refusal_leaves_no_recording(tmp_path: Path) -> None:
    """A stream that heartbeats had begun, and that was refused then, takes no name."""
    from deltaweir.testing import error_answer

    pause = Pause()
    with fronted(heartbeat_s=0.02) as front, Peer([pause, *error_answer(400, "no")]) as peer:
        studio = Studio(front, tmp_path)
        studio.before(peer)
        with studio.front.client(deltaweir={"record": "r"}) as client:
            client.read_until(b": keep-alive")
            assert (tmp_path / "r.jsonl").exists()
            pause.release()
            assert b"error" in client.rest()
        until(lambda: not [*tmp_path.iterdir()])


@pytest.mark.parametrize("name", ["", "A", "a.b", "../a", "a" * 65, 3, ["a"]])
def test_a_name_that_is_none_is_refused(studio: Studio, name: Any) -> None:
    """A name cannot lead out of the folder, neither to record nor to play."""
    answer = studio.record(name=name)
    assert (answer.status, answer.error["param"]) == (400, "deltaweir.record")
    assert studio.front.ask(model=f"replay:{name}").status == 404
    assert not is_name(str(name)) or name == 3


def test_without_a_folder_nothing_is_recorded(studio: Studio) -> None:
    """The refusal says what the configuration lacks."""
    with Peer(HELLO) as peer:
        studio.front.before(peer)
        answer = studio.front.ask(deltaweir={"record": "r"})
        assert (answer.status, answer.error["code"]) == (400, "recordings_off")
        assert peer.requests == []
    assert studio.front.ask(model="replay:r").status == 404


def test_a_folder_that_cannot_be_written_is_told_to_operators(
    studio: Studio, caplog: pytest.LogCaptureFixture
) -> None:
    """Clients learn that it does not work, the log where."""
    studio.folder.write_text("a file")
    answer = studio.record()
    assert answer.status == 503
    assert str(studio.folder) not in answer.body.decode()
    assert str(studio.folder) in caplog.text


def test_the_other_endpoint_is_refused(studio: Studio) -> None:
    """A recorded chat is no text completion."""
    studio.record()
    studio.lines()
    answer = studio.front.ask(path=TEXT, model="replay:r")
    assert answer.status == 400
    assert "recording of a chat completion" in answer.error["message"]


def test_a_model_may_be_a_recording(studio: Studio, tmp_path: Path) -> None:
    """`[[models]] replay` serves a file under a name of its own, also at another pace."""
    studio.record()
    studio.lines()
    file = str(studio.folder / "r.jsonl")
    model = ModelConfig(name="demo", replay=file, speed="max")
    gone = ModelConfig(name="gone", replay=str(tmp_path / "gone.jsonl"))
    with Peer(HELLO) as peer:
        studio.before(peer, models=(model, gone))
    assert studio.front.ask(model="demo").text == "Hello, you there"
    assert b'"demo"' in studio.front.get("/v1/models")
    missing = studio.front.ask(model="gone")
    assert (missing.status, missing.error["code"]) == (503, "invalid_recording")
    assert str(tmp_path) not in missing.body.decode()


def test_a_prompt_is_kept_where_configured(studio: Studio) -> None:
    """`[recordings] request` decides for all."""
    with Peer(HELLO) as peer:
        studio.before(peer, request="full")
        studio.front.ask(deltaweir={"record": "r"})
    header = studio.lines()[0]
    assert header["request_kept"] == "full"
    assert "Say hello" in json.dumps(header["request"])
    assert "deltaweir" not in header["request"]


def test_keys_decide_who_records_and_plays(tmp_path: Path) -> None:
    """A key needs `may_record` for both, since recordings hold what others were answered."""
    with fronted(auth="keys") as front:
        studio, desk = Studio(front, tmp_path), Desk(front)
        may, may_not = desk.key(may_record=True), desk.key()
        with Peer(HELLO) as peer:
            studio.before(peer)
            for key, status in ((may_not, 403), (may, 200)):
                headers = {"Authorization": f"Bearer {key}"}
                assert front.ask(headers=headers, deltaweir={"record": "r"}).status == status
        studio.lines()
        for key, status in ((may_not, 403), (may, 200)):
            headers = {"Authorization": f"Bearer {key}"}
            assert front.ask(headers=headers, model="replay:r").status == status


def test_a_keys_budget_holds_for_a_playback(tmp_path: Path) -> None:
    """What is played counts for a key as what is generated, and costs nothing."""
    with fronted(auth="keys") as front:
        studio, desk = Studio(front, tmp_path), Desk(front)
        headers = {"Authorization": f"Bearer {desk.key(may_record=True)}"}
        with Peer(HELLO) as peer:
            studio.before(peer)
            front.ask(headers=headers, deltaweir={"record": "r"})
        studio.lines()
        poor = {"Authorization": f"Bearer {desk.key('2tok', '1usd', may_record=True)}"}
        cut = front.ask(headers=poor, model="replay:r")
        assert (cut.finish_reasons, cut.text) == (["length"], "Hello,")
        assert front.ask(headers=poor, model="replay:r").status == 429


def test_paths_are_taken_from_the_file(tmp_path: Path) -> None:
    """The folder and the files of recordings lie beside the configuration."""
    file = tmp_path / "deltaweir.toml"
    file.write_text(
        '[recordings]\ndir = "mine"\n[[models]]\nname = "demo"\nreplay = "demo.jsonl"\nspeed = 2\n'
    )
    config = load_config(file)
    assert config.recordings.dir == str(tmp_path / "mine")
    assert config.models[0].replay == str(tmp_path / "demo.jsonl")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[recordings]\ndir = ""', "dir: got an empty text"),
        ('[recordings]\nrequest = "some"', "expected one of full, redacted, none"),
        ('[recordings]\nfolder = "x"', "unknown key 'folder' in recordings"),
        ('[[models]]\nname = "a"\nreplay = "f"\nembedded = "smollm2"', "got replay and embedded"),
        ('[[models]]\nname = "a"\nspeed = 2\nembedded = "smollm2"', "a speed and no replay"),
        ('[[models]]\nname = "a/*"\nreplay = "f"', "a recording has one name"),
        ('[[models]]\nname = "a"\nreplay = ""', "an empty replay"),
        ('[[models]]\nname = "a"\nreplay = "f"\nspeed = -1', "got -1"),
    ],
)
def test_a_configuration_of_no_use_is_refused(tmp_path: Path, text: str, says: str) -> None:
    """The error says which key is wrong."""
    file = tmp_path / "deltaweir.toml"
    file.write_text(text)
    with pytest.raises(InvalidRequest, match=says):
        load_config(file)
