"""Recordings as sources: paces, waits and ends, for readers that block and that await."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deltaweir.adapters.recording_files import RecordedFile
from deltaweir.endings import Ending
from deltaweir.errors import (
    InvalidRecording,
    InvalidRequest,
    StallTimeout,
    StreamFailed,
    StreamTruncated,
)
from deltaweir.recording import End, Failure, Header, Kind, end_line, event_line, header_line
from deltaweir.sources.replay import MOST_AT_ONCE, AsyncReplaySource, Playing, ReplaySource
from deltaweir.types import Chunk, TextChunk

COMPLETE = End(at=3_000_000, end="complete", usage={"completion_tokens": 2, "total_tokens": 2})


def data(text: str) -> bytes:
    """Return a chunk with a content, spelled as nobody here would."""
    return b'{ "choices" : [{"index":0,"delta":{"content":"%b"}}]}' % text.encode()


def written(
    path: Path, *events: tuple[int, bytes], end: End | None = COMPLETE, kind: Kind = "chat"
) -> RecordedFile:
    """Return a recording of these events, at these microseconds."""
    lines = [header_line(Header(kind=kind)), *(event_line(at, one) for at, one in events)]
    path.write_bytes(b"".join([*lines, *([] if end is None else [end_line(end)])]))
    return RecordedFile(str(path))


class Time:
    """A clock that only a test moves."""

    now = 50.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a path for a recording."""
    return tmp_path / "r.jsonl"


def texts(chunks: Any) -> list[str]:
    """Return the contents of chunks."""
    return [chunk.choices[0].delta.content for chunk in chunks]


def test_chunks_come_at_their_times(file: Path) -> None:
    """Nothing comes before its time, and all that is due comes at once."""
    clock = Time()
    recording = written(
        file, (1_000_000, data("a")), (1_000_001, data("b")), (2_000_000, data("c"))
    )
    playing = Playing(recording, Chunk, clock=clock)
    assert playing.due() == 1.0
    clock.now += 1.5
    assert texts(playing.due()) == ["a", "b"]
    assert playing.due() == 0.5
    clock.now += 1
    assert texts(playing.due()) == ["c"]
    assert (playing.due(), playing.said_done, playing.usage) == (0.5, False, None)
    clock.now += 1
    assert (playing.due(), playing.said_done) == (None, True)
    assert playing.usage is not None


@pytest.mark.parametrize(("speed", "wait"), [(2.0, 0.5), (0.5, 2.0)])
def test_a_speed_is_a_factor_on_the_pace(file: Path, speed: float, wait: float) -> None:
    """Twice the speed is half the wait."""
    playing = Playing(written(file, (1_000_000, data("a"))), Chunk, speed=speed, clock=Time())
    assert playing.due() == wait


def test_at_once_there_is_no_wait(file: Path) -> None:
    """Speed 0 brings all that there is, in pieces that a reader can take."""
    events = [(1_000_000 * at, data("a")) for at in range(MOST_AT_ONCE + 1)]
    playing = Playing(written(file, *events), Chunk, speed=0)
    assert [len(texts(playing.due())) for _ in range(2)] == [MOST_AT_ONCE, 1]
    assert (playing.due(), playing.said_done) == (None, True)


def test_a_chunk_knows_its_bytes_until_it_is_changed(file: Path) -> None:
    """A chunk as it came goes out as it came; one that says something else does not."""
    playing = Playing(written(file, (0, data("a")), (0, data("b"))), Chunk, speed=0)
    playing.keeps_bytes = True
    first, second = playing.due()  # type: ignore[misc]  # two chunks
    second.choices[0].delta.content = "c"
    assert playing.as_sent(first) == data("a")
    assert playing.as_sent(second) is None
    assert playing.as_sent(Chunk()) is None


def test_a_cut_is_a_cut_again(file: Path) -> None:
    """What a budget, a guard or a DELETE ended is not called complete."""
    for ending in ("budget", "blocked", "stopped"):
        playing = Playing(written(file, end=End(at=0, end=ending)), Chunk)
        assert (playing.due(), playing.said_done, playing.cut) == (None, False, Ending(ending))


def test_a_failure_is_raised_again(file: Path) -> None:
    """What failed fails with the same error."""
    end = End(at=0, end="stalled", error=Failure(kind="StallTimeout", message="too slow"))
    playing = Playing(written(file, (0, data("a")), end=end), Chunk)
    assert texts(playing.due()) == ["a"]
    with pytest.raises(StallTimeout, match="too slow"):
        playing.due()


def test_what_a_reader_left_breaks_off(file: Path) -> None:
    """Nobody who plays it could else tell it from a whole answer."""
    end = End(at=0, end="abandoned")
    playing = Playing(written(file, (0, data("a")), end=end), Chunk)
    assert texts(playing.due()) == ["a"]
    with pytest.raises(StreamTruncated, match="whoever read the answer stopped it") as caught:
        playing.due()
    assert caught.value.code == "abandoned"


def test_without_an_end_it_is_truncated(file: Path) -> None:
    """A recording that breaks off fails as a truncated stream, after what it has."""
    playing = Playing(written(file, (0, data("a")), end=None), Chunk)
    assert texts(playing.due()) == ["a"]
    with pytest.raises(StreamTruncated, match="breaks off before the stream's end"):
        playing.due()


def test_what_is_no_chunk_is_named(file: Path) -> None:
    """An event that cannot be read is told by its line."""
    playing = Playing(written(file, (0, b'{"choices":3}')), Chunk)
    with pytest.raises(InvalidRecording, match="line 2: what it holds is no chunk"):
        playing.due()


@pytest.mark.parametrize("damage", [b"garbage\n", event_line(0, b'{"choices":3}')])
def test_damage_takes_nothing_from_what_is_before_it(file: Path, damage: bytes) -> None:
    """What is whole is shown first, and the error comes then, as often as one asks."""
    whole = [header_line(Header(kind="chat")), event_line(0, data("a")), event_line(0, data("b"))]
    file.write_bytes(b"".join([*whole, damage, event_line(0, data("c"))]))
    playing = Playing(RecordedFile(str(file)), Chunk, speed=0)
    assert texts(playing.due()) == ["a", "b"]
    for _ in range(2):
        with pytest.raises(InvalidRecording, match="line 4"):
            playing.due()


def test_a_failed_stream_has_used_what_it_has(file: Path) -> None:
    """The recorded usage is told once the end is reached, whatever end that is."""
    end = End(at=0, end="failed", usage={"completion_tokens": 2, "total_tokens": 2})
    playing = Playing(written(file, end=end), Chunk)
    assert playing.usage is None
    with pytest.raises(StreamFailed):
        playing.due()
    assert playing.usage is not None
    assert (playing.usage.completion_tokens, playing.over) == (2, True)


@pytest.mark.parametrize("speed", [1e-300, 5e-324])
def test_a_wait_has_a_bound(file: Path, speed: float) -> None:
    """However slow a playback is, one wait is no longer than a system can wait."""
    playing = Playing(written(file, (1_000_000, data("a"))), Chunk, speed=speed)
    assert playing.due() == 3600.0


def test_the_other_endpoint_is_refused(file: Path) -> None:
    """A chat is not played as a text completion, nor the other way round."""
    with pytest.raises(InvalidRequest, match="a recording of a chat completion, and was asked"):
        Playing(written(file), TextChunk)
    with pytest.raises(InvalidRequest, match="recording of a text completion, and was asked"):
        Playing(written(file, kind="text"), Chunk)


class Blocking:
    """A reader that blocks."""

    source: type[Any] = ReplaySource

    def open(self, recording: RecordedFile, **options: Any) -> Any:
        """Return a source."""
        return self.source(recording, Chunk, **options)

    def receive(self, source: Any, timeout_s: float | None) -> Any:
        """Wait for chunks."""
        return source.receive(timeout_s)


class Awaiting(Blocking):
    """A reader that awaits."""

    source = AsyncReplaySource

    def __init__(self, runner: asyncio.Runner) -> None:
        self._run = runner.run

    def open(self, recording: RecordedFile, **options: Any) -> Any:
        """Return a source made on the loop."""

        async def made() -> Any:
            return self.source(recording, Chunk, **options)

        return self._run(made())

    def receive(self, source: Any, timeout_s: float | None) -> Any:
        """Await chunks."""
        return self._run(source.receive(timeout_s))


@pytest.fixture(params=["blocking", "awaiting"])
def way(request: pytest.FixtureRequest) -> Iterator[Blocking]:
    """Return a way of reading."""
    if request.param == "blocking":
        yield Blocking()
        return
    with asyncio.Runner() as runner:
        yield Awaiting(runner)


def test_a_wait_ends_when_chunks_are_due(way: Blocking, file: Path) -> None:
    """Whoever waits gets them at their time, and the end as None."""
    end = End(at=2_000, end="complete")
    source = way.open(written(file, (1_000, data("a")), end=end))
    assert texts(way.receive(source, None)) == ["a"]
    assert way.receive(source, None) is None
    assert source.answered


def test_a_wait_may_be_too_short(way: Blocking, file: Path) -> None:
    """A time that runs out before anything is due raises; the source may be asked again."""
    source = way.open(written(file, (10_000_000, data("a"))), speed=100)
    with pytest.raises(TimeoutError):
        way.receive(source, 0.001)
    assert texts(way.receive(source, 10)) == ["a"]


def test_closing_wakes_whoever_waits(way: Blocking, file: Path) -> None:
    """A source that is closed from another thread ends at once."""
    source = way.open(written(file, (600_000_000, data("a"))))
    closing: Callable[[], None] = source.close
    timer = threading.Timer(0.02, closing)
    timer.start()
    assert way.receive(source, None) is None
    timer.join()
    source.close()
