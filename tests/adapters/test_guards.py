"""Guards as programs make them: by preset, file or rules; one guard is one text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deltaweir.adapters.classifiers import Classifier
from deltaweir.adapters.guards import Guard, policy_from
from deltaweir.errors import InvalidRule
from deltaweir.guard.policy import NOTHING
from deltaweir.guard.rules import Rule

BAD = Rule(id="word", literals=("bad",))


@pytest.mark.parametrize("size", [1, 3, 7, 100])
def test_a_preset_by_name(size: int) -> None:
    """An address is replaced however it is cut."""
    guard = Guard("pii")
    text = "write to jane.doe@example.com today"
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    out = "".join(map(guard.feed, pieces)) + guard.finish()
    assert out == "write to [REDACTED:email] today"
    assert [found.rule for found in guard.verdicts] == ["email"]


def test_a_file_of_rules(tmp_path: Path) -> None:
    """Its path may be a text or a path."""
    file = tmp_path / "own.toml"
    file.write_text('[[rules]]\nid = "word"\nliterals = ["bad"]\n', encoding="utf-8")
    for name in (file, str(file)):
        guard = Guard(name)
        assert guard.feed("so bad.") == "so [REDACTED:word]."


def test_rules_and_what_they_leave_open() -> None:
    """The action holds for rules that name none."""
    guard = Guard([BAD], action="block")
    assert guard.feed("so bad.") == "so "
    assert guard.stopped == "block"
    assert guard.feed("more") + guard.finish() == ""


def test_the_end_gives_what_was_held_unless_the_text_was_cut() -> None:
    """Whoever cuts a text must not read what a rule could still cover."""
    whole, cut = Guard([BAD]), Guard([BAD])
    assert whole.feed("so ba") == cut.feed("so ba") == "so "
    assert whole.finish() == "ba"
    assert cut.finish(cut=True) == ""


def test_a_fresh_guard_is_another_text() -> None:
    """It has the same rules, and none of what was fed or found."""
    guard = Guard(BAD)
    guard.feed("bad ba")
    fresh = guard.fresh()
    assert fresh.policy is guard.policy
    assert fresh.verdicts == []
    assert fresh.feed("d") == "d"


def test_a_guard_that_looks_elsewhere_lets_text_pass() -> None:
    """One guard is the content of a reply."""
    guard = Guard([BAD], scope="prompt")
    assert guard.feed("bad") + guard.finish() == "bad"
    assert guard.verdicts == ()
    assert guard.stopped is None


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ("nothing_of_that_name", "standard"),
        (7, "type int"),
        ([], "no rules"),
        (["pii", 3], "a rule of type int"),
        (b"pii", "type bytes"),
        ({"id": "word", "literals": ["bad"]}, "type dict"),
    ],
)
def test_what_is_no_guard_is_refused(rules: Any, message: str) -> None:
    """The message says what would be one."""
    with pytest.raises(InvalidRule, match=message):
        Guard(rules)


@pytest.mark.parametrize(
    "option",
    [
        {"action": "hide"},
        {"on_error": "maybe"},
        {"scope": "contents"},
        {"scope": ["content", "reasonin"]},
        {"scope": ()},
        {"fold": "no"},
    ],
)
def test_an_option_that_is_none_is_refused(option: dict[str, Any]) -> None:
    """It names the ones there are."""
    with pytest.raises(InvalidRule, match="expected one of"):
        Guard([BAD], **option)


def test_several_guards_add_up() -> None:
    """Each keeps its own action."""
    other = Rule(id="other", literals=("worse",))
    policy = policy_from([Guard([BAD]), Guard([other], action="block")])
    assert {rule.id: rule.action for rule in policy.rules} == {"word": "redact", "other": "block"}


def test_an_option_that_is_not_there_is_nothing() -> None:
    """A client without a guard looks at nothing."""
    assert policy_from(None) is NOTHING
    assert policy_from(NOTHING) is NOTHING
    assert policy_from([BAD]).rules[0].id == "word"


def test_a_guard_shows_no_rule() -> None:
    """What it looks for may be secret."""
    assert repr(Guard([BAD])) == "Guard(1 rules)"


@pytest.mark.parametrize(
    "fields",
    [
        {"action": "blok"},
        {"validator": "lunh"},
        {"literals": "bad"},
        {"literals": ("a", 3)},
        {"fold": "no"},
        {"max_hold": 2.5},
        {"scope": ("contnet",)},
    ],
)
def test_a_rule_of_a_program_is_checked_as_one_of_a_file(fields: dict[str, Any]) -> None:
    """Before it is used, whatever its options are."""
    with pytest.raises(InvalidRule, match="rule 'r'"):
        Guard([Rule(**{"id": "r", "literals": ("word",), **fields})])


def test_lists_stand_for_tuples() -> None:
    """As programs write them."""
    rule = Rule(id="r", literals=["word"], scope=["content"])  # type: ignore[arg-type]  # on purpose
    assert Guard([rule]).feed("a word.") == "a [REDACTED:r]."


def test_two_rules_of_one_name_are_refused() -> None:
    """Nobody could tell their verdicts apart."""
    with pytest.raises(InvalidRule, match="two rules with the id 'word'"):
        Guard([BAD, Rule(id="word", literals=("other",))])


def test_names_files_and_rules_can_stand_together(tmp_path: Path) -> None:
    """Whatever a guard is made of may be one of several; so may guards, for a client."""
    file = tmp_path / "own.toml"
    file.write_text('[[rules]]\nid = "own"\nliterals = ["worse"]\n', encoding="utf-8")
    rules: list[Any] = ["pii", file, BAD]
    guard = Guard(rules)
    out = guard.feed("bad, worse, jane@example.com .") + guard.finish()
    assert out == "[REDACTED:word], [REDACTED:own], [REDACTED:email] ."
    mixed = policy_from([*rules, Guard("secrets", "block")])
    assert {rule.id for rule in mixed.rules} > {"own", "word", "email", "jwt"}


def test_a_guard_with_a_classifier_is_for_streams() -> None:
    """Fed by hand it would look at nothing."""
    guard = Guard(classifier=Classifier(bool))
    with pytest.raises(InvalidRule, match="to be given to a client"):
        guard.feed("text")


def test_a_text_ends_once() -> None:
    """The end comes once; what is fed behind it would be another text."""
    guard = Guard(BAD)
    assert guard.feed("ba") == ""
    assert [guard.finish(), guard.finish(), guard.finish(cut=True)] == ["ba", "", ""]
    with pytest.raises(InvalidRule, match=r"fresh\(\)"):
        guard.feed("d")
    assert guard.fresh().feed("good") == "good"


@pytest.mark.parametrize("piece", [None, b"bad"])
def test_a_piece_is_a_text(piece: Any) -> None:
    """A delta without content is the usual reason, and the message names it."""
    with pytest.raises(InvalidRule, match=f"type {type(piece).__name__}"):
        Guard(BAD).feed(piece)
