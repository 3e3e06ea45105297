"""Journals in a real store: nothing twice, nothing out of order, and who is dead."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.live.valkeys import Valkey

from deltaweir.stores import valkey_journals
from deltaweir.stores.failures import StoreUnavailable
from deltaweir.stores.valkey import ValkeyLine
from deltaweir.stores.valkey_journals import (
    LEASE_S,
    MISSING,
    REFUSED,
    About,
    News,
    ValkeyJournals,
)
from deltaweir.stores.valkey_url import address_of

pytestmark = pytest.mark.live

ENDED = {"usage": None, "cost_usd": None, "source": None, "ending": "complete"}


def journals(valkey: Valkey, gateway: str = "one") -> ValkeyJournals:
    """Return what a gateway has of the store."""
    address = address_of(valkey.url)
    return ValkeyJournals(
        ValkeyLine(address), ValkeyLine(address), prefix="t", gateway=gateway, ttl_s=60
    )


@pytest.fixture
def store(valkey: Valkey) -> Iterator[ValkeyJournals]:
    """A gateway's journals."""
    one = journals(valkey)
    yield one
    one.close()


def frame(number: int) -> bytes:
    """Return a frame that tells its number."""
    return b"data: %d\n\n" % number


def news(first: int, last: int, **more: Any) -> News:
    """Return news with these frames."""
    said = {
        "about": None,
        "ended": None,
        "kept": 1,
        "frames": b"".join(frame(number) for number in range(first, last + 1)),
    }
    return News("s", first=first, last=last, **{**said, **more})


KNOWN = About(gateway="one", key_id="k", user="u")


def numbers(store: ValkeyJournals, after: int = 0) -> list[int]:
    """Return what frames there are behind a number, as they tell it."""
    heard = store.frames("s", after)
    found = [int(one[6:-2]) for one in heard.frames]
    assert not found or found[0] == heard.first
    return found


def test_what_is_written_is_found(store: ValkeyJournals) -> None:
    """Frames come behind any number, and the last words with what was used."""
    store.renew()
    assert store.find("s") is None
    assert store.publish([news(1, 3, about=KNOWN)]) == [3]
    assert store.publish([news(4, 5, ended=ENDED)]) == [5]
    for after in range(6):
        # what was written at once comes at once
        assert numbers(store, after)[-(5 - after) or 6 :] == [*range(after + 1, 6)]
    found = store.find("s")
    assert found is not None
    assert (found.about, found.last, found.ended, found.alive) == (KNOWN, 5, ENDED, True)
    assert store.frames("s", 0).ended == ENDED
    assert store.frames("s", 5).ended == ENDED


def test_nothing_is_written_twice(store: ValkeyJournals) -> None:
    """A batch that was told before, wholly or in part, is answered with how far all is written."""
    store.publish([news(1, 3, about=KNOWN)])
    assert store.publish([news(1, 3)]) == [3]
    assert store.publish([news(2, 4)]) == [3]
    assert numbers(store) == [1, 2, 3]
    assert store.publish([news(4, 4, ended=ENDED)]) == [4]
    assert store.publish([news(4, 4, ended=ENDED)]) == [4]
    assert store.publish([news(5, 5)]) == [4]
    assert numbers(store) == [1, 2, 3, 4]


def test_many_streams_are_written_at_once(store: ValkeyJournals) -> None:
    """Each is answered for itself."""
    batch = [news(1, n, about=KNOWN)._replace(stream_id=f"s{n}") for n in range(1, 30)]
    unknown = news(3, 3)._replace(stream_id="unknown")
    assert store.publish([*batch, unknown]) == [*range(1, 30), MISSING]


def test_what_is_not_kept_any_more_leaves(store: ValkeyJournals) -> None:
    """The store keeps what the journal keeps."""
    for number in range(1, 8):
        about = KNOWN if number == 1 else None
        store.publish([news(number, number, about=about, kept=max(1, number - 2))])
    assert numbers(store) == [5, 6, 7]


def test_a_gap_is_seen(store: ValkeyJournals) -> None:
    """What was lost while the store was away is not given as if it followed."""
    store.publish([news(1, 2, about=KNOWN)])
    assert store.publish([news(5, 6)]) == [2]  # they are to be told from there on
    assert store.publish([news(5, 6, kept=5)]) == [6]  # nobody has those between any more
    second = store.frames("s", 0)
    assert (second.first, len(second.frames)) == (5, 2)


def test_a_dead_gateways_stream_is_buried_once(store: ValkeyJournals, valkey: Valkey) -> None:
    """Its last frame is told to all, behind what any reader has; what comes later is refused."""
    other = journals(valkey, "two")
    store.renew()
    store.publish([news(1, 3, about=KNOWN)])
    told: dict[str, Any] = {"frame": frame(99), "seen": 5, "ended": {**ENDED, "ending": "failed"}}
    assert not other.bury("s", "one", **told)
    store.leave()
    assert other.bury("s", "one", **told)
    assert not other.bury("s", "one", **told)
    alive = other.frames("s", 0)
    assert (len(alive.frames), alive.dead, alive.ended) == (3, False, None)
    last = other.frames("s", 3)
    assert (last.first, last.frames, last.dead) == (6, [frame(99)], True)
    assert last.ended is not None
    assert last.ended["ending"] == "failed"
    assert store.publish([news(4, 4)]) == [REFUSED]
    assert other.publish([news(4, 4)]) == [REFUSED]
    other.close()


def test_a_lease_runs_out(store: ValkeyJournals, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that says nothing is not alive any more."""
    monkeypatch.setattr(valkey_journals, "LEASE_S", 0.1)
    store.publish([news(1, 1, about=KNOWN)])
    store.renew()
    found = store.find("s")
    assert found is not None
    assert found.alive
    deadline = time.monotonic() + LEASE_S
    while found is not None and found.alive and time.monotonic() < deadline:
        found = store.find("s")
    assert found is not None
    assert not found.alive


def test_whoever_listens_hears_at_once(store: ValkeyJournals, valkey: Valkey) -> None:
    """Frames of several streams, ends and mail, from where one listened before."""
    other = journals(valkey, "two")
    store.renew()
    assert not other.send("three", b"x")
    positions = {store.mailbox: "0-0", store.stream_key("s"): "0-0"}
    assert store.listen(positions, 0.01) == {}
    assert other.send("one", b"hello")
    other.publish([news(1, 2, about=About(gateway="two"), ended=ENDED)])
    heard = store.listen(positions, 1)
    assert heard[store.mailbox].mail == [b"hello"]
    said = heard[store.stream_key("s")]
    assert (said.first, said.frames, said.ended) == (1, [frame(1), frame(2)], ENDED)
    after = {key: one.position for key, one in heard.items()}
    assert store.listen(after, 0.01) == {}
    other.close()


def test_a_store_that_lost_all_is_told_again(valkey: Valkey, store: ValkeyJournals) -> None:
    """Who writes learns that it is unknown, and begins anew."""
    store.publish([news(1, 2, about=KNOWN)])
    line = ValkeyLine(address_of(valkey.url))
    line.call("FLUSHALL", wait_s=1)
    line.close()
    assert store.publish([news(3, 3)]) == [MISSING]
    assert store.publish([news(1, 3, about=KNOWN)]) == [3]
    assert numbers(store) == [1, 2, 3]


def test_a_store_that_is_gone_is_told_of(valkey: Valkey, store: ValkeyJournals) -> None:
    """Each call fails in its time, and works again when the store is back."""
    store.publish([news(1, 2, about=KNOWN)])
    with valkey.gone(), pytest.raises(StoreUnavailable):
        store.publish([news(3, 3)])
    deadline = time.monotonic() + 5
    answer: list[int] = []
    while not answer and time.monotonic() < deadline:
        try:
            answer = store.publish([news(3, 3)])
        except StoreUnavailable:  # it is left alone for a moment
            time.sleep(0.05)
    assert answer == [3]


def test_a_stream_whose_name_is_taken_harms_no_other(store: ValkeyJournals, valkey: Valkey) -> None:
    """It is refused; those that are told with it are written."""
    line = ValkeyLine(address_of(valkey.url))
    line.call("SET", store.stream_key("bad"), "x", wait_s=1)
    line.call("SET", store.stream_key("bad").replace("stream", "about"), "x", wait_s=1)
    batch = [news(1, 2, about=KNOWN)._replace(stream_id=name) for name in ("good", "bad", "better")]
    assert store.publish(batch) == [2, REFUSED, 2]
    line.call("XADD", store.stream_key("s"), "9-0", "f", "x", wait_s=1)  # its hash was evicted
    assert store.publish([news(1, 3, about=KNOWN)]) == [3]
    assert numbers(store) == [1, 2, 3]
    line.close()


def test_what_another_version_writes_is_borne(store: ValkeyJournals, valkey: Valkey) -> None:
    """Further fields are passed over, and an end that cannot be read is an end all the same."""
    line = ValkeyLine(address_of(valkey.url))
    store.publish([news(1, 1, about=KNOWN)])
    key = store.stream_key("s")
    line.call("XADD", key, "2-0", "f", frame(2), "more", "x", wait_s=1)
    line.call("XADD", key, "2-1", "e", "[]", wait_s=1)
    heard = store.frames("s", 0)
    assert (len(heard.frames), heard.ended and heard.ended["ending"]) == (2, None)
    assert heard.ended is not None
    line.call("HSET", key.replace("stream", "about"), "about", "[]", wait_s=1)
    with pytest.raises(StoreUnavailable, match="another version"):
        store.find("s")
    line.close()
