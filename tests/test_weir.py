"""The weir: what goes in leaves once, in order, and every stream has an honest end."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.hiding import Hiding

from deltaweir.guard.guard import StreamGuard
from deltaweir.guard.policy import policy_of
from deltaweir.guard.rules import Rule
from deltaweir.meter.budget import Budget, Limit
from deltaweir.meter.meter import Meter
from deltaweir.meter.prices import Price
from deltaweir.meter.prompt import PromptCount
from deltaweir.meter.tokens import Tokenizer
from deltaweir.schema.builder import build_reply
from deltaweir.schema.forwarding import ForwardedChunk, ForwardedTextChunk
from deltaweir.slots import Pass
from deltaweir.types import AnyChunk, Chunk, Reply, TextChunk, Usage
from deltaweir.weir import Ending, State, Weir

TABLE = {
    Ending.COMPLETE: (State.DONE, None, None, None),
    Ending.BLOCKED: (State.CUT, "content_filter", "guard", None),
    Ending.TRUNCATED_BY_GUARD: (State.CUT, "length", "guard", None),
    Ending.BUDGET: (State.CUT, "length", "budget", None),
    Ending.STOPPED: (State.CUT, "length", "stop", None),
    Ending.REVOKED: (State.CUT, "length", "revoked", None),
    Ending.ABANDONED: (State.CUT, None, "reader", None),
    Ending.TRUNCATED: (State.FAILED, None, None, "upstream_truncated"),
    Ending.FAILED: (State.FAILED, None, None, "upstream_failed"),
    Ending.STALLED: (State.FAILED, None, None, "stall_timeout"),
}
FINAL = ["stop", "tool_calls", "function_call"]
CUT_SHORT = ["length", "content_filter"]


class Counting:
    """A meter that counts characters of content."""

    def __init__(self) -> None:
        self.seen = 0

    @property
    def usage(self) -> Usage | None:
        """Characters as tokens; None before there are any."""
        return Usage(completion_tokens=self.seen) if self.seen else None

    def take(self, chunk: AnyChunk) -> None:
        """Count a chunk's content."""
        self.seen += sum(
            len(text or "")
            for choice in chunk.choices
            for text in (choice.get("text"), choice.get("delta", {}).get("content"))
        )

    def taking(self, index: int) -> Callable[[str], None]:
        """Count texts."""

        def take(text: str) -> None:
            self.seen += len(text)

        return take


class Allowance:
    """A budget of so many characters over all choices."""

    def __init__(self, limit: int) -> None:
        self.left = limit
        self.sent = 0

    @property
    def spent(self) -> bool:
        """Whether nothing is left."""
        return self.left <= 0

    def allow(self, index: int, field: str, text: str) -> int | None:
        """Allow what is left; a text longer than that is where the cut lies."""
        allowed, self.left = self.left, self.left - len(text)
        self.sent += min(allowed, len(text))
        return None if self.left >= 0 else allowed


class Holding:
    """A guard that holds the last characters of each text, and fires at a letter.

    Args:
        hold: How many characters it holds.
        fires: The ending it calls for when it meets the letter.
        letter: The letter.
        late: Whether it only decides at the end of a choice.
    """

    def __init__(
        self,
        hold: int,
        *,
        fires: Ending | None = None,
        letter: str = "!",
        late: bool = False,
    ) -> None:
        self.hold, self.fires, self.letter, self.late = hold, fires, letter, late
        self.verdict: Ending | None = None
        self.deadline: float | None = None
        self.held: dict[int, dict[str, str]] = {}
        self.seen: dict[tuple[int, str], str] = {}
        self.finished = list[int]()

    def feed(self, index: int, field: str, text: str, now: float) -> str:
        """Hold the end of a text; after the letter nothing leaves."""
        assert self.verdict is None
        assert index not in self.finished
        self.deadline = now + 1
        mine = self.held.setdefault(index, {})
        all_of_it = mine.get(field, "") + text
        self.seen[index, field] = self.seen.get((index, field), "") + text
        if self.fires and not self.late and self.letter in text:
            self.verdict = self.fires
            all_of_it = all_of_it.partition(self.letter)[0] + " " * self.hold
        keep = len(all_of_it) - self.hold if self.hold else len(all_of_it)
        mine[field] = all_of_it[max(0, keep) :]
        return all_of_it[: max(0, keep)]

    def passing(self, index: int, field: str) -> Pass:
        """Feed, and tell the verdict."""
        return lambda text, now: (self.feed(index, field, text, now), self.verdict)

    def whole(self, index: int, field: str, text: str) -> bool:
        """Let all names pass."""
        return True

    def position(self, index: int, field: str) -> int:
        """Return how much was fed."""
        return len(self.seen.get((index, field), ""))

    def decided(self, index: int, field: str) -> int:
        """Return how much of it is not held."""
        held = self.held.get(index, {}).get(field, "")
        return self.position(index, field) - len(held)

    def track(self, index: int, field: str) -> None:
        """Take note of nothing: this guard hides nothing."""

    def touches(self, index: int, field: str, start: int, end: int) -> bool:
        """Hide nothing."""
        return False

    def began(self, index: int) -> bool:
        """Tell whether any text of a choice has come."""
        return any(choice == index for choice, _ in self.seen)

    def hides(self, index: int) -> bool:
        """Hide nothing."""
        return False

    def clear(self, index: int, field: str, upto: int) -> str:
        """Let go of the text up to a character."""
        text, held = self.seen[index, field], self.held[index][field]
        gone = max(0, upto - (len(text) - len(held)))
        self.held[index][field] = held[gone:]
        if self.fires and self.letter in held[:gone]:
            self.verdict = self.fires
            return ""
        return held[:gone]

    def waits(self, index: int) -> bool:
        """Wait for no classifier."""
        return False

    def finish(self, index: int, *, cut: bool) -> Sequence[tuple[str, str]]:
        """Return the held text, or nothing when it was cut short."""
        assert index not in self.finished, "a choice is finished once"
        self.finished.append(index)
        held = self.held.pop(index, {})
        if self.fires and self.late and not cut and self.letter in "".join(held.values()):
            self.verdict = self.fires
            return []
        return [] if cut else list(held.items())


def chunk(*choices: dict[str, Any], **more: Any) -> Chunk:
    """Return a chunk of chat choices, each with an index."""
    full = [{"index": 0, **choice} for choice in choices]
    return Chunk.model_validate({"id": "c1", "created": 5, "model": "m", "choices": full, **more})


def said(text: str, index: int = 0, **more: Any) -> dict[str, Any]:
    """Return a choice with content."""
    return {"index": index, "delta": {"content": text}, **more}


def done(reason: str = "stop", index: int = 0) -> dict[str, Any]:
    """Return the last choice of a choice."""
    return {"index": index, "delta": {}, "finish_reason": reason}


def usage_chunk(count: int = 3) -> Chunk:
    """Return a chunk with usage and no choices."""
    return chunk(usage={"completion_tokens": count})


def passed(weir: Weir[Any], chunks: Sequence[Any], ending: Ending = Ending.TRUNCATED) -> list[Any]:
    """Return all that leaves a weir."""
    out = [released for one in chunks for released in weir.feed(one, 0.0)]
    return [*out, *weir.finish(ending)]


def content(chunks: Sequence[Chunk], index: int = 0) -> str:
    """Return the content of one choice."""
    return "".join(
        choice.delta.content or ""
        for one in chunks
        for choice in one.choices
        if choice.index == index
    )


def ends(chunks: Sequence[AnyChunk], index: int = 0) -> list[str]:
    """Return the finish reasons of one choice, of which there should be one."""
    return [
        choice.finish_reason
        for one in chunks
        for choice in one.choices
        if choice.index == index and choice.finish_reason is not None
    ]


@st.composite
def cut_texts(draw: Callable[..., Any], alphabet: str = "ab c") -> list[str]:
    """Return a text in pieces."""
    return draw(st.lists(st.text(alphabet, max_size=4), max_size=8))  # type: ignore[no-any-return]


# --- endings -------------------------------------------------------------------------------


def test_the_table_of_endings() -> None:
    """Each ending leads to one state, and says what readers see and who stopped it."""
    assert {
        one: (one.state, one.finish_reason, one.stopped_by, one.code) for one in Ending
    } == TABLE


@pytest.mark.parametrize("ending", Ending)
@pytest.mark.parametrize("way", ["finish", "abort"])
def test_every_ending_from_open(ending: Ending, way: str) -> None:
    """An ending taken from OPEN leads where the table says, with a finish chunk if it has one."""
    weir = Weir(Chunk)
    weir.feed(chunk(said("a")), 0.0)
    last = getattr(weir, way)(ending)
    assert (weir.state, weir.ending) == (ending.state, ending)
    assert weir.stopped_by == ending.stopped_by
    assert weir.complete is (ending is Ending.COMPLETE)
    assert ends(last) == ([ending.finish_reason] if ending.finish_reason else [])


@pytest.mark.parametrize("first", Ending)
@pytest.mark.parametrize("second", Ending)
def test_an_ending_is_final(first: Ending, second: Ending) -> None:
    """From DONE, CUT and FAILED nothing moves and nothing leaves any more."""
    weir = Weir(Chunk, guard=Holding(3), usage_asked=True)
    weir.feed(chunk(said("a")), 0.0)
    weir.abort(first)
    assert list(weir.feed(chunk(said("b")), 1.0)) == []
    assert list(weir.finish(second)) == list(weir.abort(second)) == []
    assert list(weir.clear(0, "content", 1)) == []
    assert weir.ending is first
    assert weir.deadline is None


def test_an_open_stream_has_no_ending() -> None:
    """Before the end nothing is complete and nobody has stopped anything."""
    weir = Weir(Chunk)
    assert (weir.state, weir.ending, weir.stopped_by) == (State.OPEN, None, None)
    assert not weir.complete


@pytest.mark.parametrize(
    ("chunks", "complete"),
    [
        ([], False),
        ([usage_chunk()], False),
        ([chunk(said("a"))], False),
        ([chunk(done())], True),
        ([chunk(said("a"), said("b", 1)), chunk(done())], False),
        ([chunk(said("a"), said("b", 1)), chunk(done()), chunk(done(index=1))], True),
    ],
)
@pytest.mark.parametrize("guard", [None, Holding(0)])
def test_silence_is_complete_only_when_all_choices_have_ended(
    chunks: list[Chunk], complete: bool, guard: Any
) -> None:
    """A source that ends in silence is truncated, unless every choice has said its reason."""
    guard = guard and Holding(0)
    weir = Weir(Chunk, guard=guard)
    passed(weir, [Chunk.model_validate(one.model_dump()) for one in chunks])
    assert weir.complete is complete
    assert weir.ending is (Ending.COMPLETE if complete else Ending.TRUNCATED)


@pytest.mark.parametrize("control", [{}, {"guard": 2}, {"budget": 99}])
def test_an_empty_reason_is_none(control: dict[str, int]) -> None:
    """Servers written in Go say ``""`` where nothing has ended: the text goes on all the same."""

    def fresh() -> Weir[Chunk]:
        guard = Holding(control["guard"]) if "guard" in control else None
        budget = Allowance(control["budget"]) if "budget" in control else None
        return Weir(Chunk, guard=guard, budget=budget)

    chunks = [chunk({**said(text), "finish_reason": ""}) for text in ("Hel", "lo ", "you")]
    weir = fresh()
    out = passed(weir, [*copy.deepcopy(chunks), chunk(done())])
    assert (content(out), ends(out), weir.complete) == ("Hello you", ["stop"], True)
    cut = fresh()
    out = passed(cut, chunks)
    assert ends(out) == []
    assert cut.ending is Ending.TRUNCATED


# --- without guard and budget --------------------------------------------------------------


def test_chunks_pass_as_they_are() -> None:
    """Where nothing controls the text, the very chunk goes out, whatever is in it."""
    chunks = [
        chunk({"delta": {"role": "assistant", "content": ""}}),
        chunk(said("a"), said("b", 1), x=1),
        chunk({"delta": {}}),
        chunk(done(), usage={"completion_tokens": 1}),
        chunk(said("after the end")),
    ]
    weir = Weir(Chunk, meter=Counting())
    out = passed(weir, chunks)
    assert all(one is two for one, two in zip(chunks, out, strict=True))


@pytest.mark.parametrize("guard", [None, Holding(0)])
def test_usage_only_for_those_who_asked(guard: Any) -> None:
    """A chunk without choices goes to nobody who did not ask, and comes last to who did."""
    chunks = [chunk(said("a")), usage_chunk(), chunk(done())]
    assert all(one.choices for one in passed(Weir(Chunk, guard=guard), chunks))
    asked: Weir[Chunk] = Weir(Chunk, guard=guard and Holding(0), usage_asked=True)
    out = passed(asked, [chunk(said("a")), usage_chunk(1), usage_chunk(3), chunk(done())])
    assert [len(one.choices) for one in out] == [1, 1, 0]
    assert out[-1].usage == Usage(completion_tokens=3)


def test_a_chunk_with_neither_choices_nor_usage() -> None:
    """What else comes without choices passes at once to those who take such chunks."""
    other = chunk(prompt_filter_results=[])
    assert list(Weir(Chunk).feed(other, 0.0)) == []
    assert list(Weir(Chunk, usage_asked=True).feed(other, 0.0)) == [other]


@pytest.mark.parametrize(
    ("ending", "count"),
    [(Ending.BUDGET, 1), (Ending.COMPLETE, 1), (Ending.ABANDONED, 0), (Ending.FAILED, 0)],
)
def test_usage_of_our_own_count(ending: Ending, count: int) -> None:
    """After a cut the usage that was asked for is the meter's, when the source sent none."""
    weir = Weir(Chunk, meter=Counting(), usage_asked=True)
    weir.feed(chunk(said("abc")), 0.0)
    last = [one for one in weir.abort(ending) if not one.choices]
    assert [one.usage for one in last] == [Usage(completion_tokens=3)] * count
    assert [(one.id, one.created, one.model) for one in last] == [("c1", 5, "m")] * count


def test_usage_of_a_stream_that_never_began() -> None:
    """A prompt is counted before any chunk came; its usage chunk has nothing else to say."""
    meter = Counting()
    meter.seen = 7
    (last,) = Weir(Chunk, meter=meter, usage_asked=True).abort(Ending.STOPPED)
    assert last == Chunk(usage=Usage(completion_tokens=7))


def test_no_usage_where_nothing_was_counted() -> None:
    """Without a meter, or with one that has no count, there is no usage chunk."""
    for meter in (None, Counting()):
        assert list(Weir(Chunk, meter=meter, usage_asked=True).abort(Ending.STOPPED)) == []


def test_the_sources_usage_wins() -> None:
    """A cut keeps the usage the source has sent, and sends it once."""
    weir = Weir(Chunk, meter=Counting(), usage_asked=True)
    assert list(weir.feed(usage_chunk(9), 0.0)) == []
    (last,) = weir.abort(Ending.STOPPED)
    assert last.usage == Usage(completion_tokens=9)


# --- control -------------------------------------------------------------------------------


@given(cut_texts(), st.integers(0, 5), st.sampled_from(FINAL))
def test_a_held_text_leaves_before_its_end(pieces: list[str], hold: int, reason: str) -> None:
    """However a text is cut and however much is held, all of it leaves, then the finish chunk."""
    weir = Weir(Chunk, guard=Holding(hold), usage_asked=True)
    out = passed(
        weir, [*(chunk(said(text)) for text in pieces), chunk(done(reason)), usage_chunk()]
    )
    assert content(out) == "".join(pieces)
    assert [bool(ends([one])) for one in out[-2:]] == [True, False]
    assert content(out[-2:]) == ""
    assert ends(out) == [reason]
    assert weir.complete


@given(cut_texts(), st.integers(0, 5), st.sampled_from(CUT_SHORT))
def test_a_held_text_is_dropped_when_the_text_was_cut(
    pieces: list[str], hold: int, reason: str
) -> None:
    """Where max_tokens or a filter chose the end, what is still held never leaves."""
    weir = Weir(Chunk, guard=Holding(hold))
    out = passed(weir, [*(chunk(said(text)) for text in pieces), chunk(done(reason))])
    whole = "".join(pieces)
    assert content(out) == whole[: max(0, len(whole) - hold)]
    assert ends(out) == [reason]


@given(cut_texts(), st.integers(0, 5), st.sampled_from(Ending))
def test_a_held_text_is_dropped_when_the_source_did_not_end_it(
    pieces: list[str], hold: int, ending: Ending
) -> None:
    """An abort, a failure, or a source that ends without a finish reason drops what is held."""
    for way in ("finish", "abort"):
        weir = Weir(Chunk, guard=Holding(hold))
        out = [one for text in pieces for one in weir.feed(chunk(said(text)), 0.0)]
        out += getattr(weir, way)(ending)
        whole = "".join(pieces)
        assert content(out) == whole[: max(0, len(whole) - hold)]
        assert len(ends(out)) == (ending.finish_reason is not None and bool(pieces))


@given(cut_texts(), st.integers(0, 12), st.integers(0, 5))
def test_a_budget_cuts_at_its_character(pieces: list[str], limit: int, hold: int) -> None:
    """However a text is cut, the same leaves: all of it, or up to the limit and less the held."""
    weir = Weir(
        Chunk, budget=Allowance(limit), guard=Holding(hold) if hold else None, meter=Counting()
    )
    out = passed(weir, [*(chunk(said(text)) for text in pieces), chunk(done())])
    whole = "".join(pieces)
    if len(whole) <= limit:
        assert content(out) == whole
        assert ends(out) == ["stop"]
        assert weir.complete
    else:
        assert content(out) == whole[: max(0, limit - hold)]
        assert ends(out) == ["length"]
        assert (weir.state, weir.stopped_by) == (State.CUT, "budget")


@given(cut_texts("ab!"), st.sampled_from([Ending.BLOCKED, Ending.TRUNCATED_BY_GUARD]))
def test_a_guard_that_fires_ends_the_stream(pieces: list[str], fires: Ending) -> None:
    """However a text is cut, what a rule ends is shown up to the same character."""
    weir = Weir(Chunk, guard=Holding(2, fires=fires), usage_asked=True)
    out = passed(weir, [*(chunk(said(text)) for text in pieces), usage_chunk(), chunk(done())])
    head, fired, _ = "".join(pieces).partition("!")
    assert content(out) == head
    assert ends(out) == ([fires.finish_reason] if fired else ["stop"])
    assert weir.stopped_by == ("guard" if fired else None)


@given(cut_texts("ab!"), st.sampled_from([Ending.BLOCKED, Ending.TRUNCATED_BY_GUARD]))
def test_a_guard_may_fire_at_the_very_end(pieces: list[str], fires: Ending) -> None:
    """A rule that needs the whole text turns the source's stop into its own ending."""
    weir = Weir(Chunk, guard=Holding(99, fires=fires, late=True))
    chunks = [chunk(said("x", 1)), *(chunk(said(text)) for text in pieces), chunk(done())]
    out = passed(weir, [*chunks, chunk(done(index=1))])
    fired = "!" in "".join(pieces)
    assert ends(out) == ([fires.finish_reason] if fired else ["stop"])
    assert ends(out, 1) == ends(out)
    assert content(out) == ("" if fired else "".join(pieces))
    assert weir.stopped_by == ("guard" if fired else None)


def test_a_guard_has_the_last_word_over_a_budget() -> None:
    """A rule that fires in the text up to the budget's cut came first."""
    weir = Weir(Chunk, budget=Allowance(2), guard=Holding(0, fires=Ending.BLOCKED))
    out = passed(weir, [chunk(said("a!bc"))])
    assert (content(out), ends(out), weir.ending) == ("a", ["content_filter"], Ending.BLOCKED)
    weir = Weir(Chunk, budget=Allowance(1), guard=Holding(0, fires=Ending.BLOCKED))
    passed(weir, [chunk(said("a!bc"))])
    assert weir.ending is Ending.BUDGET


@given(st.data(), st.integers(1, 3), st.integers(0, 4), st.integers(0, 15))
def test_choices_interleave(data: st.DataObject, count: int, hold: int, limit: int) -> None:
    """However choices share chunks, the same leaves, and each ends once, before the usage."""
    pieces = data.draw(
        st.lists(st.tuples(st.integers(0, count - 1), st.text("ab", max_size=3)), max_size=10)
    )
    events = [*(said(text, index) for index, text in pieces)]
    events += [done(index=index) for index in range(count)]
    groups: list[list[dict[str, Any]]] = [[]]
    for event in events:  # a chunk brings each choice once at most
        shared = event["index"] in [one["index"] for one in groups[-1]]
        if shared or data.draw(st.booleans()):
            groups.append([])
        groups[-1].append(event)
    grouped = [chunk(*group) for group in groups if group]
    single = [chunk(event) for event in events]
    seen = []
    for chunks in (grouped, single):
        weir = Weir(Chunk, budget=Allowance(limit), guard=Holding(hold), usage_asked=True)
        out = passed(weir, [*chunks, usage_chunk()])
        opened = {choice.index for one in out for choice in one.choices}
        reasons = [ends(out, index) for index in sorted(opened)]
        assert all(len(reason) == 1 for reason in reasons)
        seen.append((weir.ending, [content(out, index) for index in range(count)]))
    assert seen[0] == seen[1]


def test_choices_before_a_cut_keep_their_end() -> None:
    """A choice that ended ahead of the cut in the same chunk has ended; what follows has not."""
    weir = Weir(Chunk, budget=Allowance(2))
    weir.feed(chunk(said("", 2)), 0.0)
    out = weir.feed(
        chunk(
            said("a", 0, finish_reason="stop"), said("bcd", 1, finish_reason="stop"), done(index=2)
        ),
        0.0,
    )
    assert [ends(out, index) for index in range(3)] == [["stop"], ["length"], ["length"]]
    assert [content(out, index) for index in range(3)] == ["a", "b", ""]


def test_nothing_follows_a_cut_in_its_chunk() -> None:
    """After the cut, neither later texts of the choice nor later choices leave."""
    weir = Weir(Chunk, budget=Allowance(1))
    delta = {"reasoning_content": "ab", "content": "c", "refusal": "d"}
    out = passed(
        weir, [chunk({"delta": delta}, said("e", 1), {"index": 2, "delta": {"role": "x"}})]
    )
    reply = build_reply(out)
    assert [choice.message.content for choice in reply.choices] == [None, None, None]
    assert reply.choices[0].message.reasoning_content == "a"
    assert [choice.finish_reason for choice in reply.choices] == ["length"] * 3


def test_the_role_goes_out_though_the_text_is_held() -> None:
    """A delta whose text is all held still sends its role; without one, nothing goes out."""
    weir = Weir(Chunk, guard=Holding(9))
    (first,) = weir.feed(chunk({"delta": {"role": "assistant", "content": "a"}}), 0.0)
    assert first.choices[0].delta.model_dump() == {"role": "assistant"}
    assert list(weir.feed(chunk(said("b")), 0.0)) == []
    (running,) = weir.feed(chunk(said("c"), usage={"completion_tokens": 3}), 0.0)
    assert running.usage == Usage(completion_tokens=3)


def test_an_empty_chunk_of_the_source_passes() -> None:
    """A chunk that control did not change passes, also when it says nothing."""
    empty = chunk({"delta": {}})
    assert list(Weir(Chunk, guard=Holding(1)).feed(empty, 0.0)) == [empty]


TOOL = {"index": 2, "id": "call_1", "type": "function"}


@given(cut_texts("ab"), st.integers(0, 5))
def test_tool_arguments_are_held_and_their_head_is_not(pieces: list[str], hold: int) -> None:
    """A call's head goes out at once; its arguments add up however they are cut and held."""
    calls = [{**TOOL, "function": {"name": "f", "arguments": ""}}]
    calls += [{"index": 2, "function": {"arguments": text}} for text in pieces]
    chunks = [chunk({"delta": {"tool_calls": [call]}}) for call in calls]
    weir = Weir(Chunk, guard=Holding(hold))
    out = passed(weir, [*chunks, chunk(done("tool_calls"))])
    assert (
        out[0].choices[0].delta.tool_calls
        == Chunk.model_validate({"choices": [{"delta": {"tool_calls": calls[:1]}}]})
        .choices[0]
        .delta.tool_calls
    )
    call = build_reply(out).model_dump()["choices"][0]["message"]["tool_calls"][0]
    assert (call["id"], call["function"]["arguments"]) == ("call_1", "".join(pieces))


@pytest.mark.parametrize("hold", range(6))
def test_a_whole_stream_in_one_chunk(hold: int) -> None:
    """Role, texts, calls and end in one chunk leave in this order, with its usage at the end."""
    delta = {
        "role": "assistant",
        "reasoning_content": "abc",
        "content": "def",
        "function_call": {"name": "f", "arguments": "ghi"},
        "tool_calls": [{**TOOL, "function": {"name": "g", "arguments": "jkl"}}],
    }
    whole = {"delta": delta, "finish_reason": "stop"}
    out = passed(Weir(Chunk, guard=Holding(hold)), [chunk(whole, usage={"completion_tokens": 4})])
    assert build_reply(out) == build_reply([chunk(whole, usage={"completion_tokens": 4})])
    assert out[0].choices[0].delta.role == "assistant"
    assert ends(out[:-1]) == []
    assert out[-1].usage == Usage(completion_tokens=4)
    assert all(one.id == "c1" for one in out)
    heads = [call.id for call in out[0].choices[0].delta.tool_calls or ()]
    assert heads == ["call_1"]


def test_a_held_text_whose_last_chunk_says_nothing_else() -> None:
    """Where the finish chunk brings only its end, the held text needs no other chunk."""
    weir = Weir(Chunk, guard=Holding(2))
    out = passed(weir, [chunk(said("ab")), chunk(done())])
    assert [content([one]) for one in out] == ["ab", ""]
    assert len(out) == 2


def test_a_choice_ends_once() -> None:
    """What a source sends for a choice after its end leaves no guarded stream."""
    weir = Weir(Chunk, guard=Holding(1))
    out = passed(weir, [chunk(said("ab")), chunk(done()), chunk(said("c")), chunk(done())])
    assert (content(out), ends(out)) == ("ab", ["stop"])
    assert weir.complete


def test_logprobs_do_not_tell_what_is_held() -> None:
    """A chunk whose text was held leaves without its logprobs, which hold the same text."""
    logprobs = {"content": [{"token": "ab"}]}
    weir = Weir(Chunk, guard=Holding(1))
    (first,) = weir.feed(chunk(said("ab", logprobs=logprobs)), 0.0)
    assert (content([first]), first.choices[0].logprobs) == ("a", None)
    (second,) = Weir(Chunk, guard=Holding(0)).feed(chunk(said("ab", logprobs=logprobs)), 0.0)
    assert second.choices[0].logprobs is not None


@given(cut_texts(), st.integers(0, 12), st.integers(0, 3))
def test_text_completions(pieces: list[str], limit: int, hold: int) -> None:
    """The older endpoint's texts are counted, cut and held alike."""
    meter = Counting()
    weir = Weir(TextChunk, meter=meter, budget=Allowance(limit), guard=Holding(hold))
    chunks = [{"index": 0, "text": text, "finish_reason": None} for text in pieces]
    chunks += [{"index": 0, "text": "z", "finish_reason": "stop"}]
    out = passed(weir, [TextChunk.model_validate({"choices": [one]}) for one in chunks])
    whole = "".join(pieces) + "z"
    text = "".join(choice.text for one in out for choice in one.choices)
    fits = len(whole) <= limit
    assert text == (whole if fits else whole[: max(0, limit - hold)])
    assert ends(out) == ["stop" if fits else "length"]
    assert all(isinstance(one, TextChunk) for one in out)
    assert meter.seen >= len(text)


def test_the_meter_counts_what_is_never_shown() -> None:
    """What was generated is counted before anything is held or cut."""
    meter = Counting()
    weir = Weir(Chunk, meter=meter, budget=Allowance(1), guard=Holding(9))
    assert content(passed(weir, [chunk(said("abc"))])) == ""
    assert meter.seen == 3


# --- a classifier's answer -----------------------------------------------------------------


def test_cleared_text_leaves_at_once() -> None:
    """What a classifier found clean leaves, when it is due and not before."""
    weir = Weir(Chunk, guard=Holding(9))
    assert weir.deadline is None
    assert list(weir.feed(chunk(said("abc")), 5.0)) == []
    assert weir.deadline == 6.0
    (one,) = weir.clear(0, "content", 2)
    assert (content([one]), one.id) == ("ab", "c1")
    assert list(weir.clear(0, "content", 2)) == []
    assert content(passed(weir, [chunk(done())])) == "c"


def test_a_classifier_may_make_the_guard_fire() -> None:
    """An answer that lets a rule decide can end the stream."""
    weir = Weir(Chunk, guard=Holding(9, fires=Ending.BLOCKED, late=True))
    weir.feed(chunk(said("a!")), 0.0)
    assert ends(weir.clear(0, "content", 2)) == ["content_filter"]
    assert weir.ending is Ending.BLOCKED


def test_nothing_is_cleared_after_a_choice_has_ended() -> None:
    """An answer that comes too late, or for a choice nobody knows, lets nothing out."""
    weir = Weir(Chunk, guard=Holding(9))
    passed_on = [*weir.feed(chunk(said("abc")), 0.0), *weir.feed(chunk(done("length")), 0.0)]
    assert content(passed_on) == ""
    assert list(weir.clear(0, "content", 3)) == list(weir.clear(7, "content", 3)) == []
    assert list(Weir(Chunk).clear(0, "content", 1)) == []
    assert Weir(Chunk).deadline is None


def test_a_reply_of_a_cut_stream_is_whole_in_form() -> None:
    """What leaves a cut stream adds up to a reply with an end on each choice."""
    weir = Weir(Chunk, guard=Holding(0, fires=Ending.BLOCKED))
    reply = build_reply(passed(weir, [chunk(said("a"), said("b", 1)), chunk(said("c!", 1))]))
    assert reply == Reply.model_validate(
        {
            "id": "c1",
            "created": 5,
            "model": "m",
            "choices": [
                {"index": 0, "finish_reason": "content_filter", "message": {"content": "a"}},
                {"index": 1, "finish_reason": "content_filter", "message": {"content": "bc"}},
            ],
        }
    )


def test_the_names_of_functions_count_against_a_budget() -> None:
    """A name that passes the limit goes whole, and nothing of its call follows."""
    call = {"index": 0, "function": {"name": "abcd", "arguments": "77"}}
    one = chunk({"index": 0, "delta": {"tool_calls": [call]}})
    weir: Weir[Chunk] = Weir(Chunk, budget=Allowance(3))
    out = weir.feed(one, 0.0)
    assert weir.ending is Ending.BUDGET
    assert ends(out) == ["length"]
    assert not any("abcd" in shown.model_dump_json() for shown in out)
    assert not any("77" in shown.model_dump_json() for shown in out)
    assert passed(Weir(Chunk, budget=Allowance(6)), [one])[0] == one


@pytest.mark.parametrize(
    ("limit", "reason", "ending"),
    [
        (3, "length", Ending.BUDGET),
        (4, "length", Ending.COMPLETE),
        (3, "stop", Ending.COMPLETE),
    ],
)
def test_an_end_by_length_at_the_limit_is_the_budgets(
    limit: int, reason: str, ending: Ending
) -> None:
    """A source that was told of the limit ends by itself there, and is cut all the same."""
    weir: Weir[Chunk] = Weir(Chunk, budget=Allowance(limit))
    out = passed(weir, [chunk(said("abc")), chunk(done(reason))])
    assert weir.ending is ending
    assert (content(out), ends(out)) == ("abc", [reason])


def test_other_choices_end_with_the_one_that_reached_the_limit() -> None:
    """A budget holds for all choices together."""
    weir: Weir[Chunk] = Weir(Chunk, budget=Allowance(3))
    out = passed(weir, [chunk(said("a"), said("bc", 1)), chunk(done("length"))])
    assert weir.ending is Ending.BUDGET
    assert (ends(out), ends(out, 1)) == (["length"], ["length"])


@pytest.mark.parametrize("budget", [None, Allowance(100)])
def test_usage_everywhere(budget: Any) -> None:
    """Every chunk carries the count so far, the last one and the usage chunk the same."""
    weir: Weir[Chunk] = Weir(
        Chunk, meter=Counting(), budget=budget, usage_asked=True, usage_everywhere=True
    )
    out = passed(weir, [chunk(said("a")), chunk(said("bc")), chunk(done())])
    counts = [shown.usage.completion_tokens if shown.usage else None for shown in out]
    assert counts == [1, 3, 3, 3]


def test_usage_everywhere_also_on_a_cut() -> None:
    """The finish chunk of a cut has it, and a figure of the source's own stays."""
    weir: Weir[Chunk] = Weir(Chunk, meter=Counting(), budget=Allowance(2), usage_everywhere=True)
    theirs = chunk(said("a"))
    theirs.usage = Usage(completion_tokens=77)
    out = [*weir.feed(theirs, 0.0), *weir.feed(chunk(said("bcd")), 0.0)]
    assert [shown.usage.completion_tokens for shown in out if shown.usage] == [77, 4, 4]


def test_zeros_while_the_answer_goes_on_give_way_to_the_count() -> None:
    """Who asked for running figures gets them from servers too that have none yet (LocalAI)."""
    weir: Weir[Chunk] = Weir(Chunk, meter=Counting(), usage_asked=True, usage_everywhere=True)
    theirs = [chunk(said("a")), chunk(said("bc"))]
    for one in theirs:
        one.usage = Usage()
    out = passed(weir, [*theirs, chunk(done())])
    assert [shown.usage.completion_tokens for shown in out if shown.usage] == [1, 3, 3, 3]


def test_a_chunk_whose_text_was_cut_is_told_anew() -> None:
    """Its bytes stay, for all that stands around the text; one that passes whole is as it came."""
    weir: Weir[ForwardedChunk] = Weir(ForwardedChunk, budget=Allowance(3))
    whole = ForwardedChunk.model_validate({"choices": [said("ab")]})
    cut = ForwardedChunk.model_validate({"choices": [said("cdef")]})
    whole.raw = cut.raw = b"its bytes"
    (shown,) = weir.feed(whole, 0.0)
    assert (shown.raw, shown.retold) == (b"its bytes", False)
    assert content([*weir.feed(cut, 0.0)]) == "c"
    assert (cut.raw, cut.retold) == (b"its bytes", True)


def test_a_chunk_of_which_more_was_changed_forgets_its_own_bytes() -> None:
    """They hold what must not be shown."""
    weir: Weir[ForwardedChunk] = Weir(ForwardedChunk, budget=Allowance(3))
    one = ForwardedChunk.model_validate({"choices": [said("ab"), said("cd", 1)]})
    one.raw = b"its bytes"
    assert content([*weir.feed(one, 0.0)], 1) == "c"
    assert one.raw is None


def test_a_chunk_that_was_given_a_usage_forgets_its_own_bytes() -> None:
    """They do not have it."""
    weir: Weir[ForwardedChunk] = Weir(ForwardedChunk, meter=Counting(), usage_everywhere=True)
    one = ForwardedChunk.model_validate({"choices": [said("ab")]})
    one.raw = b"its bytes"
    (shown,) = weir.feed(one, 0.0)
    assert (shown.raw, shown.usage) == (None, Usage(completion_tokens=2))


def test_a_cut_has_the_form_of_its_endpoint_in_every_kind_of_chunk() -> None:
    """A kind of one's own still ends with a text, where it is a text completion's."""
    weir: Weir[ForwardedTextChunk] = Weir(ForwardedTextChunk, budget=Allowance(1))
    one = ForwardedTextChunk.model_validate({"choices": [{"index": 0, "text": "abc"}]})
    out = weir.feed(one, 0.0)
    assert [shown.choices[0].text for shown in out] == ["a", ""]
    assert out[-1].choices[0].finish_reason == "length"


def test_a_usage_chunk_that_text_has_followed_is_brought_up_to_date() -> None:
    """What the source said in the middle is not the last word; without a meter it is."""
    for meter, tokens in ((Counting(), 3), (None, 77)):
        weir: Weir[Chunk] = Weir(Chunk, meter=meter, usage_asked=True)
        middle = Chunk(usage=Usage(completion_tokens=77))
        out = passed(weir, [chunk(said("a")), middle, chunk(said("bc")), chunk(done())])
        assert out[-1].usage == Usage(completion_tokens=tokens)


def test_what_follows_a_cut_has_no_ids_either() -> None:
    """Ids of tokens say what their text does; they go where it goes."""
    weir: Weir[Chunk] = Weir(Chunk, budget=Allowance(1))
    out = weir.feed(chunk(said("ab"), said("c", 1, token_ids=[3], stop_reason=7)), 0.0)
    assert "token_ids" not in out[0].choices[1]
    assert out[0].choices[1]["stop_reason"] == 7


@pytest.mark.parametrize("kind", [ForwardedChunk, ForwardedTextChunk])
def test_the_first_chunk_tells_the_kind(kind: Any) -> None:
    """Where no kind is given, what the weir makes is of the first chunk's kind."""
    weir: Weir[Any] = Weir(None, budget=Allowance(1))
    choice = {"text": "abc"} if kind is ForwardedTextChunk else {"delta": {"content": "abc"}}
    weir.feed(Chunk(), 0.0)
    out = weir.feed(kind.model_validate({"choices": [{"index": 0, **choice}]}), 0.0)
    assert [type(one) for one in out] == [kind, kind]
    assert [type(one.choices[0]) for one in out] == [type(out[0].choices[0])] * 2
    (last,) = Weir[Any](None, meter=Told(), usage_asked=True).abort(Ending.STOPPED)
    assert last == Chunk(usage=Usage(completion_tokens=1))


class Told(Counting):
    """A meter that has counted something."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 1


def test_a_weir_may_keep_no_chunk_to_itself() -> None:
    """Where that is wanted, chunks without choices pass at once, with usage or without."""
    weir: Weir[Chunk] = Weir(Chunk, keeps_usage=False)
    chunks = [chunk(said("a")), usage_chunk(), chunk(done()), chunk(x=1)]
    assert [list(weir.feed(one, 0.0)) for one in chunks] == [[one] for one in chunks]


@pytest.mark.parametrize("control", [{"guard": Holding(0)}, {"budget": Allowance(99)}])
@pytest.mark.parametrize("role", [None, "assistant"])
def test_what_is_not_changed_is_the_same_object(control: Any, role: str | None) -> None:
    """A text that comes back as it was leaves in its own chunk, with its own bytes."""
    weir: Weir[ForwardedChunk] = Weir(ForwardedChunk, **control)
    one = ForwardedChunk.model_validate({"choices": [{"delta": {"content": "ab", "role": role}}]})
    one.raw = b"its bytes"
    (shown,) = weir.feed(one, 0.0)
    assert shown is one
    assert shown.raw == b"its bytes"


@pytest.mark.parametrize("where", ["chunk", "choice", "ended choice", "chunk without choices"])
def test_a_guard_lets_no_unknown_words_pass(where: str) -> None:
    """Fields that nobody reads may repeat what a guard hides; numbers and known ones stay."""
    told = {"verbose": {"content": ["secret"]}, "timings": {"ms": 1.5}, "provider": "us"}
    weir = Weir(Chunk, guard=Hiding("secret"), usage_asked=True)
    choice: dict[str, Any] = {"index": 0, "delta": {"content": "hello"}, "finish_reason": None}
    if where == "ended choice":
        weir.feed(Chunk.model_validate({"choices": [{**choice, "finish_reason": "stop"}]}), 0.0)
    body: dict[str, Any] = {"choices": [] if "without" in where else [choice]}
    (choice if "choice" in where.split() else body).update(told)
    shown = [one.model_dump() for one in weir.feed(Chunk.model_validate(body), 0.0)]
    assert "secret" not in str(shown)
    if where != "ended choice":
        assert "1.5" in str(shown)
        assert "us" in str(shown)


# --- texts without chunks --------------------------------------------------------------------


class Letters:
    """A tokenizer for which each character is a token."""

    name = "letters"

    def count(self, text: str) -> int:
        """Return the number of characters."""
        return len(text)


class Basis:
    """Counts letters, of prompts that nobody knows."""

    def tokenizer(self, model: str | None) -> tuple[Tokenizer, bool]:
        """Return the letters."""
        return Letters(), True

    def prompt(self, model: str | None) -> PromptCount | None:
        """Return nothing."""

    def price(self, model: str | None) -> Price | None:
        """Return nothing."""


POLICY = policy_of(
    [
        Rule(id="secret", literals=("secret", "cret or")),
        Rule(id="flagged", literals=("a a",), action="flag"),
        Rule(id="bomb", regex="bo+mb", max_hold=8, action="block"),
        Rule(id="end", literals=("sebo",), action="truncate"),
    ]
)
TEXTS = ["a", " ", "se", "cret", "secret", "bo", "mb", "or se"]
HAPPENS = st.tuples(
    st.sampled_from(["text"] * 8 + ["end", "usage", "role", "reasoning", "scored"]),
    st.integers(0, 1),
    st.sampled_from(TEXTS),
)


def made(kind: type[Chunk | TextChunk], event: tuple[str, int, str]) -> AnyChunk:
    """Return the chunk in which something happens."""
    what, index, text = event
    if what == "usage":
        return kind.model_validate({"choices": [], "usage": {"completion_tokens": 3}})
    choice: dict[str, Any] = {"index": index, "finish_reason": "stop" if what == "end" else None}
    if kind is TextChunk:
        choice["text"] = "" if what in {"end", "role"} else text
        scores: dict[str, Any] = {"tokens": [text], "token_logprobs": [-1.0], "text_offset": [0]}
    else:
        field = "reasoning_content" if what == "reasoning" else "content"
        choice["delta"] = {} if what == "end" else {field: text}
        if what == "role":
            choice["delta"] = {"role": "assistant"}
        scores = {"content": [{"token": text, "logprob": -1.0}]}
    if what == "scored":
        choice["logprobs"] = scores
    return kind.model_validate({"id": "c1", "choices": [choice]})


def shown_of(chunks: Sequence[AnyChunk]) -> list[Any]:
    """Return what chunks show, each as plain data."""
    return [one.model_dump() for one in chunks]


def sent_alone(weir: Weir[Any], index: int, text: str) -> tuple[str, Sequence[AnyChunk]]:
    """Send a text through a weir without its chunk; return what is shown of it, and behind it."""
    way = weir.text_way(index)
    if way.take is not None:
        way.take(text)
    if way.show is None:
        return text, ()
    shown, ending = way.show(text, 0.0)
    return shown, () if ending is None else way.end(ending)


def bare(index: int, text: str, kind: type[Chunk | TextChunk]) -> list[Any]:
    """Return what a text shows that came without its chunk."""
    return shown_of([made(kind, ("text", index, text))]) if text else []


@given(
    st.sampled_from([Chunk, TextChunk]),
    st.lists(HAPPENS, max_size=14),
    st.none() | st.integers(0, 25),
    st.tuples(st.booleans(), st.booleans()),
    st.sampled_from([Ending.COMPLETE, Ending.TRUNCATED, Ending.STOPPED]),
)
def test_a_text_without_its_chunk_shows_the_same(
    kind: type[Chunk | TextChunk],
    events: list[tuple[str, int, str]],
    limit: int | None,
    guarded_and_asked: tuple[bool, bool],
    ending: Ending,
) -> None:
    """Whatever controls a stream, and whatever comes between, both ways show and count alike."""
    guarded, asked = guarded_and_asked
    meters = [Meter(Basis()), Meter(Basis())]
    one, other = (
        Weir[Any](
            kind,
            meter=meter,
            budget=None if limit is None else Budget(Limit(tokens=limit), Letters),
            guard=StreamGuard(POLICY) if guarded else None,
            usage_asked=asked,
        )
        for meter in meters
    )
    for event in events:
        what, index, text = event
        expected = shown_of(one.feed(made(kind, event), 0.0))
        if what == "text" and other.takes_texts(index):
            told, more = sent_alone(other, index, text)
            assert [*bare(index, told, kind), *shown_of(more)] == expected
        else:
            assert shown_of(other.feed(made(kind, event), 0.0)) == expected
        assert (other.state, other.ending) == (one.state, one.ending)
    assert shown_of(other.finish(ending)) == shown_of(one.finish(ending))
    assert other.ending == one.ending
    assert meters[0].usage == meters[1].usage


def test_texts_are_taken_of_choices_that_are_open() -> None:
    """Not before a choice has begun, nor behind its end or the stream's."""
    controls: list[Any] = [{}, {"guard": Holding(0)}, {"budget": Allowance(99)}]
    for control in controls:
        weir: Weir[Chunk] = Weir(Chunk, **control)
        assert weir.controlled is bool(control)
        assert not weir.takes_texts(0)
        weir.feed(chunk(said("a"), said("b", 1)), 0.0)
        assert weir.takes_texts(0)
        assert not weir.takes_texts(2)
        weir.feed(chunk(done()), 0.0)
        assert not weir.takes_texts(0)
        assert weir.takes_texts(1)
        weir.abort(Ending.STOPPED)
        assert not weir.takes_texts(1)


def test_texts_are_not_taken_where_a_chunk_is_needed() -> None:
    """For usage on every chunk, for entries that travel with text, for a usage already told."""
    weir: Weir[Chunk] = Weir(Chunk, meter=Counting(), usage_everywhere=True)
    weir.feed(chunk(said("a")), 0.0)
    assert not weir.takes_texts(0)
    weir = Weir(Chunk, guard=Hiding("secret"))
    weir.feed(chunk(said("a", logprobs={"content": [{"token": "a", "logprob": 0.0}]})), 0.0)
    assert not weir.takes_texts(0)
    weir = Weir(Chunk, meter=Counting(), usage_asked=True)
    weir.feed(chunk(said("a")), 0.0)
    assert weir.takes_texts(0)
    weir.feed(usage_chunk(), 0.0)
    assert not weir.takes_texts(0)
