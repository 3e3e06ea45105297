"""What rules leave open, their guard decides; guards add up."""

from __future__ import annotations

import pytest

from deltaweir.guard.filter import TextFilter
from deltaweir.guard.policy import NOTHING, OUTPUT, Policy, policy_of, scope_of
from deltaweir.guard.rules import Action, Rule, Scope

BAD = Rule(id="word", literals=("bad",))


def action_in(policy: Policy, scope: Scope) -> Action | None:
    """Return what the policy's one rule does in a kind of text."""
    plan = policy.plan(scope)
    if plan is None:
        return None
    return plan.actions[0] if plan.flags is None else plan.flags.actions[0]


def test_a_rule_that_says_nothing_redacts_all_that_is_generated() -> None:
    """Prompts are left alone; in tool arguments it blocks, since they may be executed."""
    policy = policy_of([BAD])
    assert [action_in(policy, scope) for scope in OUTPUT] == ["redact"] * 3 + ["block"]
    assert policy.plan("prompt") is None


def test_what_a_rule_says_wins_over_its_guard() -> None:
    """Action, scope and folding of the guard hold for rules that are silent."""
    loud = Rule(id="loud", literals=("LOUD",), action="flag", scope=("content",), fold=False)
    policy = policy_of([BAD, loud], action="block", scope=("prompt", "content"), fold=True)
    by_id = {rule.id: rule for rule in policy.rules}
    assert by_id["word"].action == "block"
    assert by_id["word"].scope == ("prompt", "content")
    assert by_id["word"].fold is True
    assert by_id["loud"] == loud


def test_tool_arguments_are_redacted_where_the_rule_says_so_itself() -> None:
    """It must name both the action and the scope."""
    both = Rule(id="b", literals=("bad",), action="redact", scope=("tool_args",))
    only = Rule(id="b", literals=("bad",), action="redact")
    assert action_in(policy_of([both]), "tool_args") == "redact"
    assert action_in(policy_of([only]), "tool_args") == "block"


def test_policies_add_up_to_the_strictest() -> None:
    """The same rule is there once, with the stricter of its actions."""
    mild, strict = policy_of([BAD], action="flag"), policy_of([BAD], action="block")
    for joined in (mild.joined(strict), strict.joined(mild)):
        assert action_in(joined, "content") == "block"
    other = policy_of([Rule(id="other", literals=("x",))])
    plan = mild.joined(other).plan("content")
    assert plan is not None
    assert plan.flags is not None
    text = TextFilter(plan)
    assert text.feed("a bad x") + text.finish(cut=False) == "a bad [REDACTED:other]"
    assert [found.rule for found in text.verdicts] == ["other", "word"]


def test_one_that_fails_closed_makes_all_fail_closed() -> None:
    """Only where both let text through, it passes."""
    closed, opened = policy_of([BAD]), policy_of([BAD], on_error="open")
    assert closed.joined(policy_of([BAD], action="block", on_error="open")).on_error == "closed"
    assert opened.joined(policy_of([BAD], action="block", on_error="open")).on_error == "open"


def test_nothing_is_neutral() -> None:
    """It adds no rule, and is false."""
    policy = policy_of([BAD])
    assert policy.joined(NOTHING) is policy
    assert NOTHING.joined(policy) is policy
    assert not NOTHING
    assert policy
    assert all(NOTHING.plan(scope) is None for scope in OUTPUT)


def test_a_policy_shows_no_rule() -> None:
    """What it looks for may be secret."""
    assert "bad" not in repr(policy_of([Rule(id="r", literals=("bad",))]))


@pytest.mark.parametrize(
    ("field", "scope"),
    [
        ("content", "content"),
        ("text", "content"),
        ("reasoning_content", "reasoning"),
        ("refusal", "refusal"),
        ("tool_calls[3]", "tool_args"),
        ("tool_calls[3].name", "tool_args"),
        ("function_call", "tool_args"),
    ],
)
def test_each_field_has_a_scope(field: str, scope: str) -> None:
    """Text of both endpoints is content; all of a call is arguments."""
    assert scope_of(field) == scope
