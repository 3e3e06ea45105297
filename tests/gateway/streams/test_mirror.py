"""What is written of streams to a store: each frame once, in order, whatever the store answers."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from deltaweir.endings import Ending
from deltaweir.gateway.streams.followed import Followed
from deltaweir.gateway.streams.mirror import BATCH_STREAMS, Mirror
from deltaweir.gateway.streams.publication import Owner, Publication
from deltaweir.gateway.streams.streams import Stream
from deltaweir.journal import Journal
from deltaweir.stores.valkey_journals import MISSING, REFUSED, About, Heard, News

OWNER = Owner("key", "user")
ENDED = {"usage": None, "cost_usd": 0.5, "source": "counted", "ending": "complete"}


class Run:
    """A run of which nothing is known but whether it has ended."""

    ending: Ending | None = None

    def abort(self, ending: Ending) -> None:
        """End."""
        self.ending = ending

    def shown_usage(self) -> dict[str, Any]:
        """Return what is shown of it."""
        return {name: ENDED[name] for name in ("usage", "cost_usd", "source")}


def mirror(**options: Any) -> Mirror:
    """Return a mirror of nothing."""
    return Mirror("g", **{"ttl_s": 60.0, "most_bytes": 2**20, **options})


def stream(*, most_bytes: int = 2**20) -> Stream:
    """Return a stream that runs."""
    publication = Publication("s", OWNER, Journal(most_bytes))
    return Stream("s", OWNER, Run(), publication)


def end(one: Stream, copies: Mirror) -> None:
    """End a stream."""
    assert one.run is not None
    one.run.abort(Ending.COMPLETE)
    assert one.publication is not None
    one.publication.conclude()
    one.over()
    copies.ended(one, 0.0)


class Store:
    """Take what is told as the real one does."""

    def __init__(self) -> None:
        self.frames: dict[int, bytes] = {}
        self.about: About | None = None
        self.last: int | None = None
        self.ended: Any = None

    def take(self, news: News) -> int:
        """Return how far all is written."""
        if self.about is None and news.about is not None:
            self.about, self.last = news.about, news.kept - 1
        if self.last is None:
            return MISSING
        gap = news.first > self.last and news.first == news.kept
        if (gap or news.first == self.last + 1) and news.last >= news.first:
            found = [frame + b"\n\n" for frame in news.frames.split(b"\n\n")[:-1]]
            self.frames |= dict(enumerate(found, news.first))
            self.last = news.last
        if news.ended is not None and self.last == news.last:
            self.ended = news.ended
        return self.last

    def forget(self, frames: int) -> None:
        """Lose the last frames, and all that came after them."""
        if self.last is not None:
            self.ended = None
            for _ in range(min(frames, len(self.frames))):
                del self.frames[self.last]
                self.last -= 1


def told(copies: Mirror, store: Store, *, heard: bool = True) -> None:
    """Write one batch; the answer may be lost."""
    batch = copies.batch()
    answers = [store.take(news) for news in batch]
    if heard:
        copies.learned(batch, answers)


STEPS = st.lists(st.sampled_from(["frame", "tell", "lost", "forget", "end", *"123"]), max_size=40)


@given(steps=STEPS)
def test_each_frame_is_written_once(steps: list[str]) -> None:
    """Whatever is lost on the way, and when, in the end the store has all, with the end."""
    copies, store, one = mirror(), Store(), stream()
    copies.began(one)
    assert one.publication is not None
    written: list[bytes] = []
    for step in steps:
        if step == "frame" and one.run is not None:
            written.append(b"data: %d\n\n" % len(written))
            one.publication.frames(written[-1:])
        elif step == "end" and one.run is not None:
            end(one, copies)
        elif step == "forget":
            store = Store()
            copies.doubt()
        elif step in "123":
            store.forget(int(step))
            copies.doubt()
        else:
            told(copies, store, heard=step == "tell")
    if one.run is not None:
        end(one, copies)
    for _ in range(4):
        told(copies, store)
    assert copies.streams == 0
    assert [*store.frames.values()] == written
    assert [*store.frames] == [*range(1, len(written) + 1)]
    assert store.ended == ENDED
    assert store.about == About(gateway="g", key_id="key", user="user")


def test_what_is_written_is_not_told_again() -> None:
    """Nothing new is nothing to write."""
    copies, store, one = mirror(), Store(), stream()
    copies.began(one)
    told(copies, store)
    assert store.last == 0
    assert copies.batch() == []
    assert one.publication is not None
    one.publication.frames([b"data: 1\n\n"])
    (news,) = copies.batch()
    assert (news.first, news.last, news.about, news.ended) == (1, 1, None, None)


def test_a_store_that_was_away_for_too_long_has_a_gap() -> None:
    """What the journal has lost is not told; what follows has its own numbers."""
    copies, store, one = mirror(), Store(), stream(most_bytes=100)
    copies.began(one)
    told(copies, store)
    assert one.publication is not None
    for number in range(1, 41):
        one.publication.frames([b"data: %d\n\n" % number])
    told(copies, store)
    assert store.last == 40
    assert [*store.frames] == [*range(one.publication.journal.first, 41)]
    assert all(frame == b"data: %d\n\n" % number for number, frame in store.frames.items())


def test_a_stream_that_was_buried_is_not_written_any_more() -> None:
    """Its readers elsewhere were told that it failed."""
    copies, one = mirror(), stream()
    copies.began(one)
    copies.learned(copies.batch(), [REFUSED])
    assert copies.streams == 0


def test_a_stream_that_cannot_be_resumed_is_known_until_its_end() -> None:
    """It can be stopped from elsewhere; its frames are not written."""
    copies, store = mirror(), Store()
    one = Stream("s", OWNER, Run(), None)
    copies.began(one)
    told(copies, store)
    assert store.about is not None
    assert not store.about.resumable
    one.over()
    copies.ended(one, 0.0)
    told(copies, store)
    assert (copies.streams, store.last) == (0, 0)


def heard(first: int, *frames: bytes, dead: bool = False, ended: Any = None) -> Heard:
    """Return what is heard."""
    return Heard("", first, [*frames], dead=dead, ended=ended, mail=[])


def test_a_stream_that_nobody_has_heard_of_is_not_told() -> None:
    """One that cannot be resumed and ended at once leaves nothing to write."""
    copies = mirror()
    one = Stream("s", OWNER, Run(), None)
    copies.began(one)
    one.over()
    copies.ended(one, 0.0)
    assert copies.batch() == []
    assert copies.streams == 0


def test_many_streams_are_told_in_parts() -> None:
    """A store that was away for long is not held up by one batch of all."""
    copies = mirror()
    store: dict[str, Store] = {}
    for number in range(BATCH_STREAMS + 10):
        copies.began(Stream(str(number), OWNER, Run(), None))
    while batch := copies.batch():
        assert len(batch) <= BATCH_STREAMS
        answers = [store.setdefault(news.stream_id, Store()).take(news) for news in batch]
        copies.learned(batch, answers)
    assert len(store) == BATCH_STREAMS + 10


def test_what_ended_is_remembered_for_a_while() -> None:
    """No longer than the store keeps it, and no more than there is room for."""
    copies = mirror(ttl_s=10.0, most_bytes=250)
    for number in range(4):
        publication = Publication(str(number), OWNER, Journal())
        one = Stream(str(number), OWNER, Run(), publication)
        copies.began(one)
        publication.frames([b"x" * 98 + b"\n\n"])
        one.over()
        copies.ended(one, float(number))
    assert copies.streams == 4
    copies.tidy(5.0)
    assert [news.stream_id for news in copies.batch()] == ["2", "3"]
    copies.tidy(12.5)
    assert [news.stream_id for news in copies.batch()] == ["3"]
    copies.tidy(13.0)
    assert copies.batch() == []


async def test_what_is_heard_twice_is_taken_once() -> None:
    """Pieces may overlap; each frame keeps its number."""
    followed = Followed("s", About(gateway="g"))
    followed.take(heard(1, b"a", b"b"))
    followed.take(heard(2, b"b", b"c"))
    followed.take(heard(1, b"a"))
    assert followed.publication.journal.frames == [b"a", b"b", b"c"]
    followed.take(heard(0, ended=ENDED))
    assert followed.ended
    assert followed.stream.usage() == ENDED


async def test_lost_frames_are_not_closed_up() -> None:
    """Whoever reads on is told that what follows is gone; the rest keeps its numbers."""
    followed = Followed("s", About(gateway="g"))
    followed.take(heard(1, b"a"))
    followed.take(heard(5, b"e", b"f"))
    journal = followed.publication.journal
    assert (journal.first, journal.last, journal.keeps(1)) == (5, 6, False)


async def test_a_dead_runs_lost_head_is_not_closed_up() -> None:
    """Where the store has dropped what came first, a late reader is told so."""
    followed = Followed("s", About(gateway="g"))
    followed.take(heard(50, b"x"))
    followed.take(heard(51, b"failed", dead=True, ended=ENDED))
    journal = followed.publication.journal
    assert (journal.first, journal.keeps(10), journal.keeps(49)) == (50, False, True)


async def test_a_dead_runs_last_word_may_come_behind_what_was_never_written() -> None:
    """A reader has frames that the store never got, and still gets the last word."""
    followed = Followed("s", About(gateway="g"))
    followed.take(heard(1, b"a"))
    followed.take(heard(4, b"failed", dead=True, ended=ENDED))
    journal = followed.publication.journal
    assert journal.after(3, 100) == [b"failed"]
    assert b"".join(journal.after(1, 100)) == b"failed"
    assert followed.ended


async def test_a_sign_of_life_ends_a_loss() -> None:
    """Only who shows none for a while is dead."""
    followed = Followed("s", About(gateway="g"))
    assert followed.lost(1.0, lost=True) == 0.0
    assert followed.lost(2.0, lost=True) == 1.0
    assert followed.lost(3.0, lost=False) == 0.0
    assert followed.lost(4.0, lost=True) == 0.0
