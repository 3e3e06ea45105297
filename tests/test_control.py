"""What budget and guard do to one choice."""

from __future__ import annotations

from typing import Any

import pytest
from tests.hiding import Hiding

from deltaweir.control import Control
from deltaweir.types import Choice, TextChoice
from deltaweir.weir import Ending


class Allowance:
    """A budget of so many characters."""

    def __init__(self, limit: int) -> None:
        self.left = limit
        self.sent = 0

    @property
    def spent(self) -> bool:
        """Whether nothing is left."""
        return self.left <= 0

    def allow(self, index: int, field: str, text: str) -> int | None:
        """Allow what is left."""
        allowed, self.left = self.left, self.left - len(text)
        return None if self.left >= 0 else allowed


def calling(name: str, arguments: str = "") -> Choice:
    """Return a choice that calls a function, in both forms."""
    function = {"name": name, "arguments": arguments}
    delta = {"content": "c", "tool_calls": [{"index": 0, "id": "x", "function": function}]}
    return Choice.model_validate({"delta": delta | {"function_call": {"name": name}}})


def test_a_name_leaves_whole_or_not_at_all() -> None:
    """A name that the guard refuses is taken out, with all that follows, and ends the stream."""
    control = Control(None, Hiding("bad"))
    kept = calling("good", "1")
    assert control.pass_choice(kept, 0.0) == (None, False)
    assert kept == calling("good", "1")
    refused = calling("so_bad", "1")
    assert control.pass_choice(refused, 0.0) == (Ending.BLOCKED, True)
    assert refused.model_dump()["delta"] == {
        "function_call": {},
        "tool_calls": [{"function": {}, "index": 0}],
    }
    assert control.verdict is Ending.BLOCKED


def test_a_refusal_without_a_verdict_blocks() -> None:
    """A guard that says no and names no ending is taken at its word."""

    class Mute(Hiding):
        def whole(self, index: int, field: str, text: str) -> bool:
            return False

    choice = calling("f", "1")
    assert Control(None, Mute()).pass_choice(choice, 0.0) == (Ending.BLOCKED, True)
    assert "1" not in choice.model_dump_json()


def test_a_budget_comes_before_the_guard() -> None:
    """A name past the budget is not shown to the guard; texts are up to the cut."""
    guard = Hiding("bad")
    control = Control(Allowance(2), guard)
    assert control.pass_choice(calling("bad"), 0.0) == (Ending.BUDGET, True)
    assert control.verdict is None
    control = Control(Allowance(2), guard)
    assert control.pass_text(0, "content", "xbad", 0.0) == ("x", Ending.BUDGET)
    assert guard.position(0, "content") == 2


@pytest.mark.parametrize(("limit", "spent"), [(0, True), (1, False)])
def test_a_budget_may_be_spent(limit: int, spent: bool) -> None:
    """What the budget says is told; without one nothing is ever spent."""
    assert Control(Allowance(limit), None).spent is spent
    assert Control(None, Hiding()).spent is False
    assert Control(Allowance(limit), None).verdict is None


@pytest.mark.parametrize(
    ("choice", "left"),
    [
        (Choice.model_validate({"delta": {"content": "xbad"}}), {"content": "x***"}),
        (Choice.model_validate({"delta": {"content": "b"}}), {}),
        (TextChoice(text="xbad"), "x***"),
        (TextChoice(text="b"), ""),
    ],
)
def test_an_only_text_passes_as_all_do(choice: Any, left: Any) -> None:
    """The short way for the only text of a choice changes it as the long way does."""
    other = type(choice).model_validate(choice.model_dump())
    text = choice.text if isinstance(choice, TextChoice) else choice.delta.content
    Control(None, Hiding("bad")).pass_choice(other, 0.0)
    shown, ending = Control(None, Hiding("bad")).pass_only_text(choice, text, 0.0)
    assert choice == other
    assert (choice.text if isinstance(choice, TextChoice) else choice.delta.model_dump()) == left
    assert (shown, ending) == (left.get("content", "") if isinstance(left, dict) else left, None)


def test_without_a_guard_nothing_is_held() -> None:
    """A budget alone has nothing to clear and nothing to give at the end, and reads no fields."""
    control = Control(Allowance(9), None)
    assert list(control.clear(Choice, 0, "content", 1)) == []
    assert control.finish(Choice(), cut=False) == ((), False)
    choice = Choice.model_validate({"delta": {"content": "a", "mood": "good"}})
    assert control.pass_choice(choice, 0.0) == (None, False)
    assert choice.delta["mood"] == "good"


def test_what_a_guard_cannot_read_changes_a_choice() -> None:
    """A choice is changed also where only an unread field was taken out."""
    control = Control(None, Hiding())
    choice = Choice.model_validate({"delta": {"content": "a", "mood": "good"}})
    assert control.pass_choice(choice, 0.0) == (None, True)
    assert choice == Choice.model_validate({"delta": {"content": "a"}})


SCORED = [{"token": "b", "logprob": -1.0}, {"token": "c", "logprob": -2.0}]


def scored(text: str, *entries: int) -> Choice:
    """Return a choice with a text and log probabilities, both of them unless told."""
    content = [SCORED[at] for at in entries or range(2)]
    return Choice.model_validate({"delta": {"content": text}, "logprobs": {"content": content}})


def test_entries_wait_with_their_characters() -> None:
    """Entries are taken off while their text is held, and leave by each of the ways out."""
    control = Control(None, Hiding("bcd"))
    choice = scored("bc")
    assert control.pass_choice(choice, 0.0) == (None, True)
    assert choice == Choice()
    assert set(control.travelling) == {0}
    (first,) = control.clear(Choice, 0, "content", 1)
    assert first == scored("b", 0)
    assert list(control.clear(Choice, 0, "content", 1)) == []
    last = Choice(finish_reason="stop")
    ((second,), changed) = control.finish(last, cut=False)
    assert second == scored("c", 1)
    assert (changed, last, control.travelling) == (False, Choice(finish_reason="stop"), {})


def test_entries_that_pass_are_not_touched() -> None:
    """A choice whose text and entries all leave at once is as it was."""
    choice = scored("bc")
    before = choice.logprobs
    assert Control(None, Hiding("x")).pass_choice(choice, 0.0) == (None, False)
    assert choice.logprobs is before


def test_a_hidden_text_takes_its_entries_away() -> None:
    """Of a redacted text only the entries beside the match are left."""
    choice = scored("bc")
    assert Control(None, Hiding("c")).pass_choice(choice, 0.0) == (None, True)
    assert choice == scored("b*", 0)


def test_the_last_choice_brings_entries_that_no_text_takes() -> None:
    """What waited for no text leaves with the finish reason."""
    control = Control(None, Hiding("x"))
    control.pass_choice(Choice.model_validate({"token_ids": [1]}), 0.0)
    last = Choice(finish_reason="stop")
    assert control.finish(last, cut=False) == ([], True)
    assert last["token_ids"] == [1]


def test_a_budget_keeps_the_entries_before_its_cut() -> None:
    """Entries wholly before the cut stay; a chunk without a cut is left alone."""
    choice = scored("bc")
    assert Control(Allowance(2), None).pass_choice(choice, 0.0) == (None, False)
    assert choice == scored("bc")
    assert Control(Allowance(1), None).pass_choice(choice, 0.0) == (Ending.BUDGET, True)
    assert choice == scored("b", 0)


def test_an_id_leaves_whole_or_not_at_all() -> None:
    """Some models write the ids of their calls themselves, and so could say anything there."""
    control = Control(None, Hiding("secret"))
    choice = calling("f")
    assert choice.delta.tool_calls is not None
    choice.delta.tool_calls[0].id = "call_secret"
    ending, changed = control.pass_choice(choice, 0.0)
    assert (ending, changed) == (Ending.BLOCKED, True)
    assert choice.delta.tool_calls[0].id is None
    assert choice.delta.content is None


def test_a_budget_does_not_count_ids() -> None:
    """They are no tokens of the model's."""
    control = Control(Allowance(3), None)
    choice = calling("f")
    assert choice.delta.tool_calls is not None
    choice.delta.tool_calls[0].id = "call_of_many_characters"
    assert control.pass_choice(choice, 0.0) == (None, False)
    assert choice.delta.tool_calls[0].id == "call_of_many_characters"


def test_held_reasoning_leaves_under_its_own_name() -> None:
    """A reader that knows one of the two names finds all of it there."""
    for name in ("reasoning", "reasoning_content"):
        control = Control(None, Hiding("bad"))
        control.pass_choice(Choice.model_validate({"delta": {name: "xb"}}), 0.0)
        ((last,), _) = control.finish(Choice(finish_reason="stop"), cut=False)
        assert last.model_dump()["delta"] == {name: "b"}


def test_calls_without_an_index_do_not_mix() -> None:
    """What one call holds does not come out in the arguments of the next."""
    control = Control(None, Hiding("bad"))
    shown = []
    for number, arguments in (("a", "xb"), ("b", "y"), ("a", "ad")):
        call = {"id": number, "function": {"arguments": arguments}}
        choice = Choice.model_validate({"delta": {"tool_calls": [call]}})
        assert control.pass_choice(choice, 0.0) == (None, True)
        shown += choice.model_dump()["delta"]["tool_calls"]
    assert [(call["index"], call["function"].get("arguments")) for call in shown] == [
        (0, "x"),
        (1, "y"),
        (0, "***"),
    ]
