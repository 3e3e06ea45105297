"""Recordings for tests: made once against a server, then played to any client."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import deltaweir
from deltaweir.errors import (
    APIError,
    InvalidRequest,
    NotFoundError,
    RateLimited,
    StallTimeout,
    StreamFailed,
    StreamTruncated,
)
from deltaweir.testing import (
    Peer,
    Recordings,
    chat_events,
    error_answer,
    error_event,
    stream_answer,
)
from deltaweir.testing.pytest_plugin import file_name

HELLO = [{"role": "user", "content": "hello"}]
FIELDS: dict[str, Any] = {"model": "m", "messages": HELLO}
ANSWER = stream_answer(chat_events("Hel", "lo", usage=(5, 2)))


def create(serving: Peer, **fields: Any) -> Any:
    """Ask the recordings as any client does."""
    client = deltaweir.Client(base_url=serving.base_url, api_key="any", max_retries=0)
    return client.chat.completions.create(**FIELDS | fields)


def made(folder: Path, *answers: Any, mode: Any = "once", **fields: Any) -> tuple[str, int]:
    """Ask through recordings of a server; return what it said, and how often it was asked."""
    with Peer(*(answers or (ANSWER,))) as peer:
        client = deltaweir.Client(base_url=peer.base_url, api_key="planted", max_retries=0)
        with Recordings(folder, "t", mode=mode, client=client) as serving:
            reply = create(serving, **fields)
        return reply.choices[0].message.content, len(peer.requests)


def test_a_server_is_asked_once(tmp_path: Path) -> None:
    """The first time makes a file, and from then on that is played."""
    folder = tmp_path / "recordings"
    assert made(folder) == ("Hello", 1)
    assert [path.name for path in folder.iterdir()] == ["t-1.jsonl"]
    assert b"planted" not in (folder / "t-1.jsonl").read_bytes()
    assert made(folder) == ("Hello", 0)
    assert made(folder, mode="none") == ("Hello", 0)
    assert made(folder, temperature=0) == ("Hello", 1)  # another request
    assert made(folder, stream_answer(chat_events("New")), mode="all") == ("New", 1)
    assert len(list(folder.iterdir())) == 1


def test_numbers_are_not_used_again(tmp_path: Path) -> None:
    """Where a file was removed, the next is numbered behind all that are there."""
    for temperature in (0, 1):
        made(tmp_path, temperature=temperature)
    (tmp_path / "t-1.jsonl").unlink()
    assert made(tmp_path, temperature=0.5) == ("Hello", 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t-2.jsonl", "t-3.jsonl"]
    assert made(tmp_path, mode="none", temperature=1) == ("Hello", 0)


def test_only_its_own_are_made_anew(tmp_path: Path) -> None:
    """Recordings whose name begins alike, and what is no recording, are left alone."""
    others = {"t-long-1.jsonl", "t-x.jsonl", "t-1.txt", "[t]-1.jsonl"}
    for name in others:
        (tmp_path / name).write_text("another's")
    assert made(tmp_path, mode="all") == ("Hello", 1)
    assert {path.name for path in tmp_path.iterdir()} == others | {"t-1.jsonl"}
    assert {(tmp_path / name).read_text() for name in others} == {"another's"}


def test_a_file_that_is_taken_meanwhile_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another process has recorded under the same number is not removed."""
    monkeypatch.setattr(Recordings, "_numbered", lambda _: {})
    (tmp_path / "t-1.jsonl").write_text("another's")
    with pytest.raises(InvalidRequest, match="there is a file already"):
        made(tmp_path)
    assert (tmp_path / "t-1.jsonl").read_text() == "another's"


def test_a_stream_that_breaks_off_is_not_recorded(tmp_path: Path) -> None:
    """What failed after it had begun leaves no recording either."""
    begun = chat_events("Hel", finish=None, done=False)
    with pytest.raises(APIError, match="the stream broke off: it broke"):
        made(tmp_path, stream_answer([*begun, error_event("it broke")]))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("test_a.test_it", "test_a.test_it"),
        ("test_a.TestIt.test_it", "test_a.TestIt.test_it"),
        ("test_a.test_it[x/y]", "test_a.test_it_x_y-81007143"),
    ],
)
def test_each_test_has_files_of_its_own(name: str, file: str) -> None:
    """A name that no file can have is told from others by a digest."""
    assert file_name(name) == file
    assert file_name(name) != file_name(f"{name}]")
    assert len(file_name("x" * 1000)) < 200


@pytest.fixture
def serving(tmp_path: Path) -> Any:
    """Return recordings of one answer, and none are made."""
    made(tmp_path)
    with Recordings(tmp_path, "t", mode="none") as serving:
        yield serving


def test_a_stream_and_a_whole_reply_are_one_recording(serving: Recordings) -> None:
    """Both ways of asking are answered by it, as often as they ask."""
    for _ in range(2):
        with create(serving, stream=True) as stream:
            assert [chunk.choices[0].delta.content for chunk in stream] == ["", "Hel", "lo", None]
            assert stream.complete
        assert create(serving).usage.total_tokens == 7


def test_a_folder_may_be_told_as_a_text(tmp_path: Path) -> None:
    """As most functions for files allow."""
    made(tmp_path)
    with Recordings(str(tmp_path), "t", mode="none") as serving:
        assert create(serving).choices[0].message.content == "Hello"


def test_a_text_completion_is_recorded_as_well(tmp_path: Path) -> None:
    """Each endpoint has recordings of its own."""
    text = b'data: {"choices":[{"index":0,"text":"Hi","finish_reason":"stop"}]}\n\n'
    with (
        Peer(stream_answer([text])) as peer,
        Recordings(
            tmp_path, "t", mode="once", client=deltaweir.Client(base_url=peer.base_url, api_key="x")
        ) as serving,
    ):
        client = deltaweir.Client(base_url=serving.base_url, api_key="x")
        assert client.completions.create(model="m", prompt="hello").choices[0].text == "Hi"


def test_what_was_not_recorded_says_how(serving: Recordings) -> None:
    """The refusal names the files, and what to run."""
    with pytest.raises(NotFoundError, match="DELTAWEIR_RECORD=once") as caught:
        create(serving, messages=[{"role": "user", "content": "planted"}])
    assert caught.value.code == "recording_missing"
    assert "t-*.jsonl" in caught.value.message
    assert "planted" not in caught.value.message


def test_a_failure_is_not_recorded(tmp_path: Path) -> None:
    """What failed by chance is told as it came, and asked again the next time."""
    with pytest.raises(RateLimited, match="slow down"):
        made(tmp_path, error_answer(429, "slow down"))
    assert list(tmp_path.iterdir()) == []
    assert made(tmp_path) == ("Hello", 1)


def test_an_answer_is_cut_on_demand(serving: Recordings) -> None:
    """The connection goes after so many events, once."""
    serving.cut_after(2)
    stream = create(serving, stream=True)
    with pytest.raises(StreamTruncated):
        list(stream)
    assert stream.text == "Hel"
    assert create(serving).choices[0].message.content == "Hello"


def test_a_whole_reply_has_no_events_to_count(serving: Recordings) -> None:
    """A fault that it cannot have is told, since the test would else pass without one."""
    serving.cut_after(2)
    with pytest.raises(InvalidRequest, match="stream"):
        create(serving)
    serving.pass_on()
    assert create(serving).choices[0].message.content == "Hello"


def test_an_answer_stalls_on_demand(serving: Recordings) -> None:
    """Nothing more comes after so many events."""
    pause = serving.stall_after(2)
    stream = create(serving, stream=True, timeouts={"stall": 0.05})
    with pytest.raises(StallTimeout):
        list(stream)
    assert (pause.reached.is_set(), stream.text) == (True, "Hel")


def test_an_answer_fails_on_demand(serving: Recordings) -> None:
    """An error event comes after so many events."""
    serving.fail_after(1, message="it broke")
    with pytest.raises(StreamFailed, match="it broke"):
        list(create(serving, stream=True))


def test_a_request_is_refused_on_demand(serving: Recordings) -> None:
    """Faults are for one answer each, in their order; a client may ask again."""
    serving.refuse(429, message="slow down")
    serving.refuse(500)
    client = deltaweir.Client(base_url=serving.base_url, api_key="x", max_retries=2)
    assert client.chat.completions.create(**FIELDS).choices[0].message.content == "Hello"
    assert len(serving.requests) == 3


@pytest.mark.parametrize("body", [b"", b"[1]", b"{}"])
def test_a_request_that_is_none_is_refused(
    serving: Recordings, body: bytes, fetch: Callable[[str, bytes], int]
) -> None:
    """Garbage is answered with a status, and so is another path."""
    assert fetch(f"{serving.base_url}/chat/completions", body) == 400
    assert fetch(f"{serving.base_url}/embeddings", body) == 404


@pytest.fixture
def fetch() -> Callable[[str, bytes], int]:
    """Return a function that posts bytes and returns the status."""
    import urllib.error
    import urllib.request

    def post(url: str, body: bytes) -> int:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, body)) as answer:  # noqa: S310  loopback
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    return post


def test_a_mode_that_is_none_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment's word is checked."""
    monkeypatch.setenv("DELTAWEIR_RECORD", "often")
    with pytest.raises(InvalidRequest, match="expected one of none, once and all"):
        Recordings(tmp_path, "t")


TEST = """
import deltaweir

pytest_plugins = ["deltaweir.testing.pytest_plugin"]

def test_it(recordings):
    client = deltaweir.Client(base_url=recordings.base_url, api_key="x")
    reply = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
    assert reply.choices[0].message.content == "Hello"
"""


def test_the_fixture_keeps_files_beside_the_test(tmp_path: Path) -> None:
    """The first run asks the provider of the environment, the second nobody."""
    (tmp_path / "test_hello.py").write_text(TEST)

    def run(**more: str) -> int:
        kept = {name: value for name, value in os.environ.items() if "COVERAGE" not in name}
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_hello.py"]
        return subprocess.run(
            command, cwd=tmp_path, env=kept | more, check=False, capture_output=True, timeout=60
        ).returncode

    assert run() == 1
    with Peer(ANSWER) as peer:
        where = {"DELTAWEIR_BASE_URL": peer.base_url, "DELTAWEIR_API_KEY": "planted"}
        assert run(DELTAWEIR_RECORD="once", **where) == 0
        assert peer.requests[0].headers["authorization"] == "Bearer planted"
    assert run() == 0
    (path,) = (tmp_path / "recordings").iterdir()
    assert path.name == "test_hello.test_it-1.jsonl"
