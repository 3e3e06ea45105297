"""The guard of a stream keeps its choices and fields apart, and fails closed."""

from __future__ import annotations

from typing import Any

import pytest

from deltaweir.endings import Ending
from deltaweir.guard.guard import FAILURE, StreamGuard
from deltaweir.guard.policy import OnError, policy_of
from deltaweir.guard.rules import Action, Rule
from deltaweir.guard.verdicts import Verdict

BAD = Rule(id="word", literals=("bad",))


def guard(action: Action = "redact", **more: Any) -> StreamGuard:
    """Return a guard with one rule."""
    return StreamGuard(policy_of([BAD], action=action, **more))


def test_texts_do_not_mix() -> None:
    """What one choice or field begins, no other completes."""
    one = guard()
    assert one.feed(0, "content", "ba", 0.0) == ""
    assert one.feed(1, "content", "d", 0.0) == "d"
    assert one.feed(0, "reasoning_content", "d", 0.0) == "d"
    assert one.feed(0, "content", "d", 0.0) == "[REDACTED:word]"
    assert one.verdicts == [Verdict("word", "redact", 0, "content", 0, 3)]
    assert one.withheld == 3


@pytest.mark.parametrize(
    ("action", "ending"),
    [("block", Ending.BLOCKED), ("truncate", Ending.TRUNCATED_BY_GUARD)],
)
def test_a_rule_calls_for_an_ending(action: Action, ending: Ending) -> None:
    """What stands before the match leaves, nothing after it does."""
    one = guard(action)
    assert one.feed(0, "content", "so bad!", 0.0) == "so "
    assert one.verdict is ending
    assert one.feed(0, "content", "more", 0.0) == ""
    assert one.feed(0, "refusal", "b", 0.0) == ""
    assert one.finish(0, cut=False) == []


def test_the_end_of_a_choice_brings_what_was_held() -> None:
    """Each of its fields in the order in which they began; other choices go on."""
    one = guard()
    one.feed(0, "reasoning_content", "b", 0.0)
    one.feed(0, "content", "xba", 0.0)
    one.feed(1, "content", "b", 0.0)
    assert one.finish(0, cut=False) == [("reasoning_content", "b"), ("content", "ba")]
    assert one.finish(1, cut=True) == []
    assert one.withheld == 1


def test_a_match_that_the_end_completes_calls_for_an_ending() -> None:
    """A rule that waits for what follows is certain at the end of the text."""
    one = StreamGuard(policy_of([Rule(id="w", regex=r"bad\b", action="block")]))
    assert one.feed(0, "content", "so bad", 0.0) == "so "
    assert one.verdict is None
    assert one.finish(0, cut=False) == []
    assert one.verdict is Ending.BLOCKED


def test_arguments_are_blocked_though_escaped() -> None:
    """Escapes do not hide a match, and nothing of it leaves."""
    one = guard()
    assert one.feed(0, "tool_calls[0]", '{"a": "\\u0062ad"}', 0.0) == '{"a": "'
    assert one.verdict is Ending.BLOCKED


def test_a_function_name_leaves_whole_or_not_at_all() -> None:
    """It comes in one piece, and another name may not stand in its place."""
    one = guard()
    assert one.whole(0, "tool_calls[0].name", "good")
    assert one.verdict is None
    assert not one.whole(0, "tool_calls[0].name", "is_bad")
    assert one.verdict is Ending.BLOCKED
    assert one.verdicts[0].field == "tool_calls[0].name"


def test_a_field_that_no_rule_looks_at_passes() -> None:
    """It has no filter, and costs none."""
    one = guard(scope=("reasoning",))
    assert one.feed(0, "content", "bad", 0.0) == "bad"
    assert one.verdicts == []
    assert one.decided(0, "content") > 3
    assert not one.touches(0, "content", 0, 3)


def test_positions_tell_what_is_decided() -> None:
    """So that what belongs to characters can travel with them."""
    one = guard()
    one.track(0, "content")
    one.feed(0, "content", "x bad ba", 0.0)
    assert one.position(0, "content") == 8
    assert one.decided(0, "content") == 6
    assert not one.touches(0, "content", 0, 2)
    assert one.touches(0, "content", 1, 3)
    assert one.touches(0, "content", 4, 6)
    assert not one.touches(0, "content", 5, 6)


class _Broken:
    """A filter that cannot go on; it stands where an error of ours would strike."""

    stopped = None
    position = 2
    withheld = 0
    verdicts: tuple[Verdict, ...] = ()

    def feed(self, text: str) -> str:
        raise RuntimeError(text)

    def finish(self, *, cut: bool) -> str:
        raise RuntimeError

    def surrender(self) -> str:
        return "ba"


@pytest.mark.parametrize(("on_error", "out"), [("closed", ""), ("open", "bad")])
def test_a_guard_that_fails_lets_nothing_pass_unless_told(on_error: OnError, out: str) -> None:
    """Closed, it ends the stream; open, it lets go of what it held and looks no more."""
    one = guard(on_error=on_error)
    one._filters[0, "content"] = _Broken()  # type: ignore[assignment]  # a filter with a fault
    assert one.feed(0, "content", "d", 0.0) == out
    assert one.verdict is (Ending.BLOCKED if on_error == "closed" else None)
    assert [found.rule for found in one.verdicts] == [FAILURE]
    if on_error == "open":
        assert one.feed(0, "content", "bad", 0.0) == "bad"


def test_what_the_prompt_told_stands_first() -> None:
    """Verdicts of the prompt come with those of the answer."""
    found = Verdict("word", "flag", None, "messages[0].content", 0, 3)
    one = StreamGuard(policy_of([BAD]), [found])
    one.feed(0, "content", "bad!", 0.0)
    assert [verdict.choice for verdict in one.verdicts] == [None, 0]
    assert one.verdicts[0].as_dict()["field"] == "messages[0].content"


CARD = Rule(id="card", regex="[0-9]{16}")


@pytest.mark.parametrize("kept", range(1, 16))
def test_a_stop_cannot_be_set_into_a_secret(kept: int) -> None:
    """What the reader's stop may have cut off is taken into account, and nothing more."""
    card = "5555444433332222"
    for size in (1, 4, 16 - kept):
        stop = card[kept : kept + size]
        one = StreamGuard(policy_of([CARD]), stops=[stop, "\n"])
        out = one.feed(0, "content", f"It is {card[:kept]}", 0.0)
        out += "".join(text for _, text in one.finish(0, cut=False))
        assert out == "It is "


def test_a_stop_that_ends_every_match_lets_all_go() -> None:
    """Nothing is lost where no rule could go on over it; nor without a stop."""
    for stops in (["\n"], ["\n", "END"], []):
        one = StreamGuard(policy_of([CARD]), stops=stops)
        out = one.feed(0, "content", "It is 5555", 0.0)
        assert out + "".join(text for _, text in one.finish(0, cut=False)) == "It is 5555"


def test_a_stop_within_a_match_that_goes_on() -> None:
    """Behind it the match may still be completed by what nobody saw."""
    one = StreamGuard(policy_of([CARD]), stops=["44"])
    assert one.feed(0, "content", "It is 5555", 0.0) == "It is "
    assert one.finish(0, cut=False) == []


def test_ends_at_places_that_nobody_knows_count_as_cuts() -> None:
    """As by the number of a token, or a pattern."""
    one = StreamGuard(policy_of([CARD]), stops=None)
    one.feed(0, "content", "It is 5555", 0.0)
    assert one.finish(0, cut=False) == []


def test_a_name_in_pieces_is_one_name() -> None:
    """The piece that completes a match ends the stream; servers that repeat a name are known."""
    one = guard()
    for piece in ("ba", "ba", "bar"):
        assert one.whole(0, "tool_calls[0].name", piece)
    cut = guard()
    assert cut.whole(0, "tool_calls[1].name", "is_b")
    assert not cut.whole(0, "tool_calls[1].name", "ad")
    repeated = guard("flag")
    for _ in range(50):
        assert repeated.whole(0, "tool_calls[0].name", "is_bad")
    assert len(repeated.verdicts) == 1


@pytest.mark.parametrize(("on_error", "leaves"), [("closed", False), ("open", True)])
def test_a_name_that_cannot_be_checked(
    on_error: OnError, *, leaves: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not leave, unless told."""

    def broken(*_: object) -> bool:
        raise RuntimeError

    one = guard(on_error=on_error)
    monkeypatch.setattr(one, "_is_free", broken)
    assert one.whole(0, "tool_calls[0].name", "name") is leaves
    assert one.verdict is (None if leaves else Ending.BLOCKED)
    assert [found.rule for found in one.verdicts] == [FAILURE]


def test_what_a_guard_keeps_is_bounded() -> None:
    """Names in pieces without end, and finds in ever new ones, do not fill the memory."""
    one = guard("flag")
    for number in range(1500):
        assert one.whole(0, f"tool_calls[{number}].name", "bad")
        assert one.whole(0, "tool_calls[0].name", "x" * 100 + str(number))
    assert len(one.verdicts) == len(one._found) == 1000
    assert len(one._heads) == 1000
    assert max(map(len, one._heads.values())) == 1000


def test_a_find_in_a_name_that_goes_on_is_told_once() -> None:
    """Each piece is looked at with those before it."""
    one = guard("flag")
    for piece in ("is_bad", "_and", "_more"):
        assert one.whole(0, "function_call.name", piece)
    assert one.verdicts == [Verdict("word", "flag", 0, "function_call.name", 3, 3)]


def test_a_choice_knows_whether_something_of_it_was_hidden() -> None:
    """Choices are told apart; what is held is not hidden yet."""
    one = guard(scope=("content", "refusal"))
    assert not one.began(0)
    one.feed(0, "reasoning_content", "bad", 0.0)  # no rule looks at it
    assert one.began(0)
    assert not one.began(1)
    one.feed(0, "content", "a ba", 0.0)
    assert not one.hides(0)
    one.feed(0, "content", "d", 0.0)
    assert one.hides(0)
    one.feed(1, "content", "a", 0.0)
    assert not one.hides(1)


@pytest.mark.parametrize(
    ("field", "text", "hidden"),
    [("content", "x bad y", range(2, 5)), ("tool_calls[0]", '{"x": "bad"}', range(7, 12))],
)
def test_characters_are_asked_for_by_several_lists(field: str, text: str, hidden: range) -> None:
    """A second list of one text gets the same answers; arguments end with the match."""
    one = guard()
    one.track(0, field)
    one.feed(0, field, text, 0.0)
    one.finish(0, cut=False)
    for _ in range(2):
        touched = [at for at in range(len(text)) if one.touches(0, field, at, at + 1)]
        assert touched == [*hidden]
