"""The straight way: what goes in by it comes out, in order, alone or together."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from deltaweir.gateway.runs.outlet import Outlet
from deltaweir.gateway.runs.pace import Pace
from deltaweir.gateway.runs.straight import Straight
from deltaweir.guard.guard import StreamGuard
from deltaweir.guard.policy import policy_of
from deltaweir.guard.rules import Rule
from deltaweir.schema.forwarding import ForwardedChunk, Forwarder, frame_of
from deltaweir.schema.text_frames import Frame
from deltaweir.types import AnyChunk
from deltaweir.weir import Ending, Weir

HIDES = policy_of([Rule(id="bad", literals=("bad",))])
BLOCKS = policy_of([Rule(id="bad", literals=("bad",), action="block")])
WORDS = st.lists(st.sampled_from(["b", "ba", "d", "bad", " \u00e9", '"', "\\n", "x"]), max_size=9)


def event(text: str, **more: Any) -> bytes:
    """Return a chunk's JSON."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    chunk = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return json.dumps(chunk | {"choices": [choice]} | more, ensure_ascii=False).encode()


def piece(data: bytes) -> bytes:
    """Return an event in a piece of a chunked body of its own."""
    framed = b"data: %b\n\n" % data
    return b"%x\r\n%b\r\n" % (len(framed), framed)


class Failing:
    """A budget that breaks at a text.

    Args:
        text: The text.
    """

    spent = False
    sent = 0

    def __init__(self, text: str) -> None:
        self.text = text

    def allow(self, index: int, field: str, text: str) -> int | None:
        """Allow all but the one."""
        if text == self.text:
            raise LookupError(index, field)
        return None


class Road:
    """A straight way with nothing real at either end.

    Args:
        policy: The guard's; None has none.
        budget: The weir's; None has none.
    """

    def __init__(self, policy: Any = None, *, budget: Failing | None = None) -> None:
        self.pace = Pace(0.0)
        self.went: list[tuple[str, bytes]] = []
        self.cut: list[Any] = []
        self.faults: list[Exception] = []
        guard = None if policy is None else StreamGuard(policy)
        self.weir: Weir[Any] = Weir(ForwardedChunk, guard=guard, budget=budget)
        known = Forwarder(ForwardedChunk, guarded=guard is not None).read(event("one"))
        self.weir.feed(known, 0.0)
        frame = cast("Frame", frame_of(known))
        outlet = cast("Outlet", self)
        self.way = Straight(self, self.weir, self, outlet, frame=frame, index=0)

    @property
    def piece(self) -> Callable[[bytes], None]:
        """Where a piece goes."""
        return self.write

    def pieces(self, pieces: Sequence[bytes]) -> None:
        """Take several at once."""
        self.write(b"".join(pieces))

    def write(self, data: bytes) -> None:
        """Keep what is written to the reader."""
        self.went.append(("straight", data))

    def received(self, data: bytes) -> None:
        """Keep what takes the long way."""
        self.went.append(("long", data))

    def left(self, error: OSError | None) -> None:
        """Hear of no end."""

    def fault(self, error: Exception) -> None:
        """Keep a fault of ours."""
        self.faults.append(error)

    def was_cut(self, chunks: Sequence[AnyChunk]) -> None:
        """Keep what a cut brings."""
        self.cut = list(chunks)

    @property
    def text(self) -> str:
        """What the reader has seen."""
        raw = b"".join(data for _, data in self.went)
        events = [line[6:] for line in raw.split(b"\n") if line.startswith(b"data: ")]
        return "".join(json.loads(one)["choices"][0]["delta"]["content"] for one in events)


@given(words=WORDS, other=st.none() | st.integers(0, 8), sizes=st.lists(st.integers(1, 9)))
def test_nothing_is_lost_or_moved(words: list[str], other: int | None, sizes: list[int]) -> None:
    """However many pieces come together, all leave once and in order, by one way or the other."""
    pieces = [piece(event(word)) for word in words]
    alike = len(pieces) if other is None else min(other, len(pieces))
    if other is not None:
        pieces.insert(alike, piece(event("y", system_fingerprint="fp")))
    road, rest = Road(), pieces[:]
    while rest and (not road.went or road.went[-1][0] != "long"):
        size = sizes.pop() if sizes else 2
        road.way.received(b"".join(rest[:size]))
        del rest[:size]
    went = b"".join(data for _, data in road.went)
    assert went == b"".join(pieces[: len(pieces) - len(rest)])
    straight = b"".join(data for way, data in road.went if way == "straight")
    assert straight == b"".join(pieces[:alike])


@given(words=WORDS, block=st.booleans())
def test_a_guard_sees_the_same_alone_or_together(words: list[str], *, block: bool) -> None:
    """What is shown of pieces that come together is what is shown of each by itself."""
    policy = BLOCKS if block else HIDES
    pieces = [piece(event(word)) for word in words]
    alone, together = Road(policy), Road(policy)
    for one in pieces:
        if alone.weir.ending is None:
            alone.way.received(one)
    together.way.received(b"".join(pieces))
    assert together.text == alone.text
    assert together.weir.ending == alone.weir.ending
    assert [one.model_dump() for one in together.cut] == [one.model_dump() for one in alone.cut]
    if alone.weir.ending is not None:
        assert alone.weir.ending is Ending.BLOCKED
        assert all(way == "straight" for way, _ in together.went)


def test_what_comes_together_is_written_once() -> None:
    """One read, one write."""
    road = Road()
    road.way.received(b"".join(piece(event(word)) for word in ("a", "b", "c")))
    assert len(road.went) == 1
    assert road.text == "abc"


def test_half_a_piece_takes_the_long_way() -> None:
    """What is whole before it goes straight; the rest is nobody's business here."""
    road = Road()
    whole, half = piece(event("a")), piece(event("b"))[:40]
    road.way.received(whole + half)
    assert road.went == [("straight", whole), ("long", half)]


def test_a_text_that_may_not_be_shown_yet_writes_nothing() -> None:
    """No empty event is sent for what a guard holds."""
    road = Road(HIDES)
    road.way.received(piece(event("b")))
    road.way.received(piece(event("a")))
    assert not road.went
    road.way.received(piece(event("t")))
    assert road.text == "bat"


def test_what_comes_together_is_one_step() -> None:
    """Gaps are those between reads, whichever way the pieces take."""
    road = Road()
    road.way.received(b"".join(piece(event(word)) for word in ("a", "b", "c")))
    assert sum(road.pace.gaps) == 1


def test_a_fault_of_ours_is_told_as_one() -> None:
    """What was let through before it is written, and nothing of what could not be looked at."""
    road = Road(budget=Failing("c"))
    road.way.received(b"".join(piece(event(word)) for word in ("a", "b", "c", "d")))
    assert road.text == "ab"
    assert [type(one) for one in road.faults] == [LookupError]
