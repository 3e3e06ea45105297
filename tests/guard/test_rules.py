"""Rules are read from tables as they are meant, or refused with the place and the reason."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaweir.errors import InvalidRequest, InvalidRule
from deltaweir.guard.rules import LITERALS_FILE, Rule, check, name_of, rules_of

WORD = {"id": "word", "regex": r"\bword\b"}


def refused(*tables: Any, source: str = "r.toml") -> InvalidRule:
    """Return the error that a table of rules ends in."""
    with pytest.raises(InvalidRule) as caught:
        rules_of({"rules": list(tables)}, source=source)
    assert isinstance(caught.value, InvalidRequest)
    assert caught.value.message.startswith(f"{source}: ")
    return caught.value


def test_a_table_becomes_rules_in_its_order() -> None:
    """All keys of a rule are read; what is not given is left to the guard."""
    table = {
        "id": "full",
        "literals": ["a", "b"],
        "validator": "luhn",
        "fold": True,
        "scope": ["prompt", "tool_args"],
        "action": "block",
        "label": "a label",
        "severity": "high",
        "max_hold": 7,
        "on_overflow": "release",
        "description": "text",
        "examples": ["xay"],
        "counterexamples": ["xy"],
    }
    full, word = rules_of({"rules": [table, WORD]}, source="r.toml")
    assert msgspec.json.decode(msgspec.json.encode(full)) == table
    assert full.literals == ("a", "b")
    assert (word.action, word.scope, word.fold, word.label) == (None, None, None, None)
    assert word.on_overflow == "redact"


def test_equal_rules_are_one_key() -> None:
    """A rule can be a key, as compiled rules are kept by it."""
    one, other = (rules_of({"rules": [WORD]}, source=name) for name in ("a", "b"))
    assert len({one, other}) == 1


def test_a_rule_shows_its_id_alone() -> None:
    """What a rule looks for is in none of its representations."""
    rule = Rule(id="mine", regex="hunter2", examples=("hunter2",), description="hunter2")
    assert repr(rule) == "Rule(id='mine')"
    assert rule.__rich_repr__() == [("id", "mine")]
    assert "hunter2" not in f"{rule} {rule!r} {[rule]}"


@pytest.mark.parametrize("table", [{}, {"rules": []}, {"rules": "x"}, {"rules": {"id": "a"}}])
def test_a_table_without_rules_is_refused(table: dict[str, Any]) -> None:
    """Whoever names a table of rules wants some."""
    with pytest.raises(InvalidRule, match=r"^r.toml: got no rules, .*\[\[rules\]\]"):
        rules_of(table, source="r.toml")


def test_another_key_beside_the_rules_is_refused() -> None:
    """A table [rule] is a mistake that must not go unseen."""
    with pytest.raises(InvalidRule, match=r"unknown key 'rule', expected \[\[rules\]\] only"):
        rules_of({"rules": [WORD], "rule": WORD}, source="r.toml")


@pytest.mark.parametrize(
    ("table", "message", "rule"),
    [
        (3, "r.toml: rule 1: expected a table", None),
        ({"regex": "x"}, "r.toml: rule 1: Object missing required field `id`", None),
        ({"id": 3, "regex": "x"}, "r.toml: rule 1: id: Expected `str`, got `int`", None),
        ({**WORD, "regexp": "x"}, "rule 'word': unknown key 'regexp'; did you mean regex?", "word"),
        ({**WORD, "literal_file": "x"}, "did you mean literals_file?", "word"),
        ({**WORD, "zzz": "x"}, "unknown key 'zzz'; known are id, regex, literals,", "word"),
        ({"id": "a", LITERALS_FILE: "x"}, "literals_file stands in rule files only", "a"),
        ({**WORD, "scope": "prompt"}, "rule 'word': scope: Expected `array | null`", "word"),
        ({**WORD, "examples": [1]}, "rule 'word': examples: Expected `str`", "word"),
    ],
)
def test_a_malformed_rule_is_refused(table: Any, message: str, rule: str | None) -> None:
    """The message names the file, the rule, the key, and what was wanted."""
    error = refused(table)
    assert message in error.message
    assert error.rule == rule
    assert error.reason
    assert error.reason in error.message


@pytest.mark.parametrize("key", ["validator", "action", "on_overflow"])
def test_a_wrong_choice_names_the_choices(key: str) -> None:
    """What was given is not repeated, since it may stand in the wrong place."""
    error = refused({**WORD, key: "hunter2"})
    assert error.reason.startswith(f"{key}: expected one of ")
    assert "hunter2" not in error.message


def test_a_wrong_scope_names_the_scopes() -> None:
    """A scope inside a list is told as well."""
    error = refused({**WORD, "scope": ["prompt", "hunter2"]})
    assert error.reason == ("scope: expected one of prompt, content, reasoning, refusal, tool_args")


def test_two_rules_of_one_id_are_refused() -> None:
    """Verdicts name a rule by its id."""
    error = refused(WORD, {"id": "word", "regex": "other"})
    assert (error.rule, error.reason) == ("word", "another rule has this id too")


def test_a_pattern_is_refused_at_its_place() -> None:
    """The position counts in characters of the pattern, and the pattern is not shown."""
    error = refused({"id": "a", "regex": "hunter2(?=ab)"})
    assert (error.rule, error.position) == ("a", 7)
    assert "(character 7 of its pattern)" in error.message
    assert "hunter2" not in error.message


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({}, "exactly one of regex, literals"),
        ({"regex": "a", "literals": ("b",)}, "exactly one of regex, literals"),
        ({"id": "", "regex": "a"}, "an id is 1 to 64"),
        ({"id": "a" * 65, "regex": "a"}, "an id is 1 to 64"),
        ({"id": "a\n", "regex": "a"}, "an id is 1 to 64"),
        ({"regex": "a", "label": ""}, "a label is 1 to 40"),
        ({"regex": "a", "label": "]"}, "a label is 1 to 40"),
        ({"regex": "a", "label": "a" * 41}, "a label is 1 to 40"),
        ({"literals": ()}, "the list of literals is empty"),
        ({"literals": ("a", "")}, "literal 2 is empty"),
        ({"literals": ("\u200b\u0301",), "fold": True}, "literal 1 is empty once folded"),
        ({"regex": "a", "scope": ()}, "scope is empty"),
        ({"regex": "a", "max_hold": 0}, "max_hold is 0, expected at least 1"),
        ({"regex": "a", "on_overflow": "block"}, "max_hold, which is not set"),
        ({"regex": "a*"}, "matches the empty text"),
        ({"regex": "a|"}, "matches the empty text"),
        ({"regex": r"\b"}, "matches the empty text"),
        ({"regex": "a+", "validator": "luhn"}, "a validator needs an end"),
        ({"regex": "a|b*b", "validator": "ip"}, "a validator needs an end"),
        ({"regex": "(a"}, "never closed"),
    ],
)
def test_a_rule_that_cannot_work_is_refused(keys: dict[str, Any], reason: str) -> None:
    """Contradictions and what would match everywhere are found before any text comes."""
    rule = Rule(**{"id": "x", **keys})
    with pytest.raises(InvalidRule) as caught:
        check(rule)
    assert reason in caught.value.reason
    assert caught.value.rule == rule.id


@pytest.mark.parametrize(
    "keys",
    [
        {"regex": "a+"},
        {"regex": "a+", "validator": "luhn", "max_hold": 1},
        {"regex": "a{1,9}", "validator": "iban"},
        {"literals": ("a",), "validator": "ip"},
        {"literals": ("\u200b",)},
        {"regex": "a", "max_hold": 1, "on_overflow": "block"},
        {"id": "a" * 64, "label": "a b" * 13, "regex": "a"},
    ],
)
def test_a_rule_that_can_work_passes(keys: dict[str, Any]) -> None:
    """What is odd but means something is taken."""
    check(Rule(**{"id": "x", **keys}))


def test_a_long_id_is_shown_in_part() -> None:
    """A message stays readable whatever stands for an id."""
    error = refused({"id": "a" * 1000, "regex": "x"})
    assert len(error.message) < 200


def test_a_rule_has_a_name_before_it_is_read() -> None:
    """A rule without an id is called by its place."""
    assert name_of({"id": "x"}, 3) == ("x", "rule 'x'")
    assert name_of({"id": 7}, 3) == (None, "rule 3")
    assert name_of("x", 3) == (None, "rule 3")


KEYS = st.sampled_from([*Rule.__struct_fields__, "regexp", LITERALS_FILE])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8), st.lists, max_leaves=4
)


@given(st.lists(st.dictionaries(KEYS, VALUES, max_size=5) | VALUES, max_size=4))
def test_any_table_gives_rules_or_a_reason(tables: list[Any]) -> None:
    """No table ends in an error of another kind."""
    refusal: InvalidRule | None = None
    rules: tuple[Rule, ...] = ()
    try:
        rules = rules_of({"rules": tables}, source="r.toml")
    except InvalidRule as error:
        refusal = error
    if refusal is None:
        assert len(rules) == len(tables)
    else:
        assert refusal.message.startswith("r.toml: ")
        assert refusal.reason
