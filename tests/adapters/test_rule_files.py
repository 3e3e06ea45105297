"""Rule files are read with what they name, and every failure names the file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaweir.adapters import rule_files
from deltaweir.adapters.rule_files import PRESETS, preset, rules_from, rules_named
from deltaweir.errors import InvalidRule

RULE = '[[rules]]\nid = "names"\n'


def written(folder: Path, text: str | bytes, name: str = "rules.toml") -> Path:
    """Write a file and return its path."""
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def refused(path: Path) -> InvalidRule:
    """Return the error that reading a file ends in, which names the file."""
    with pytest.raises(InvalidRule) as caught:
        rules_from(path)
    assert str(path) in caught.value.message
    assert caught.value.reason
    return caught.value


def test_rules_come_in_the_order_of_the_file(tmp_path: Path) -> None:
    """A file's tables become rules."""
    path = written(tmp_path, '[[rules]]\nid="b"\nregex=\'\\bb\'\n[[rules]]\nid="a"\nliterals=["x"]')
    assert [(rule.id, rule.regex, rule.literals) for rule in rules_from(path)] == [
        ("b", r"\bb", None),
        ("a", None, ("x",)),
    ]


def test_literals_come_from_a_file_beside(tmp_path: Path) -> None:
    """Blank lines, comments, blanks around and doubles are left out; the order is kept."""
    (tmp_path / "lists").mkdir()
    lines = "\ufeffZoë\r\n\r\n# no name\n  \t\n  Ann Lee \nZoë\n x # y\nline\u2028separator"
    written(tmp_path, lines, "lists/names.txt")
    (rule,) = rules_from(written(tmp_path, RULE + 'literals_file = "lists/names.txt"'))
    assert rule.literals == ("Zoë", "Ann Lee", "x # y", "line\u2028separator")


def test_literals_come_from_anywhere_by_a_whole_path(tmp_path: Path) -> None:
    """An absolute path is taken as it is."""
    names = written(tmp_path, "Ann", "names.txt")
    (tmp_path / "rules").mkdir()
    (rule,) = rules_from(written(tmp_path / "rules", f"{RULE}literals_file = '{names}'"))
    assert rule.literals == ("Ann",)


def test_ten_thousand_literals_are_read(tmp_path: Path) -> None:
    """A long list is one rule."""
    written(tmp_path, "\n".join(f"name {number}" for number in range(10_000)), "names.txt")
    (rule,) = rules_from(written(tmp_path, RULE + 'literals_file = "names.txt"'))
    assert rule.literals is not None
    assert len(rule.literals) == 10_000


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """The message says why it cannot be read."""
    assert "No such file" in refused(tmp_path / "absent.toml").message
    assert refused(tmp_path).reason


def test_a_path_that_can_be_none_is_refused() -> None:
    """A NUL is in no path."""
    with pytest.raises(InvalidRule, match="cannot be read: no path of a file"):
        rules_from("a\0.toml")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("rules = [", "is not TOML"),
        (b"\xff", "not UTF-8 (byte 0)"),
        ("a = " + "[" * 100_000, "is nested too deeply"),
        ("", "got no rules"),
        ("rules = 3", "got no rules"),
        ("[[rules]]\nid = 'a'\nregexp = 'x'", "did you mean regex?"),
        ("[[rules]]\nid = 'a'\nregex = '(x'", "(character 0 of its pattern)"),
        ("[[rules]]\nid = 'a'\nliteral_file = 'x'", "did you mean literals_file?"),
        ("rules = [3]", "rule 1: expected a table"),
    ],
)
def test_a_file_that_holds_no_rules_is_refused(
    tmp_path: Path, content: str | bytes, reason: str
) -> None:
    """Whatever the file holds, the error is ours and says what is wrong."""
    assert reason in refused(written(tmp_path, content)).message


def test_a_file_that_is_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit is in bytes, and a file of exactly that size is read."""
    path = written(tmp_path, RULE + 'regex = "x"')
    monkeypatch.setattr(rule_files, "MOST_FILE_BYTES", path.stat().st_size)
    assert len(rules_from(path)) == 1
    monkeypatch.setattr(rule_files, "MOST_FILE_BYTES", path.stat().st_size - 1)
    assert refused(path).reason == "too large"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"caf\xe9", "not UTF-8 (byte 3)"),
        (b"# nothing\n\n", "has no literals"),
        (b"123456789", "larger than 8 bytes"),
        (b"a\nb\nc", "3 literals, more than 2"),
    ],
)
def test_literals_that_cannot_be_used_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, reason: str
) -> None:
    """The message names both files and the rule, and no literal."""
    monkeypatch.setattr(rule_files, "MOST_LITERALS_BYTES", 8 if b"9" in content else 99)
    monkeypatch.setattr(rule_files, "MOST_LITERALS", 2)
    written(tmp_path, content, "names.txt")
    error = refused(written(tmp_path, RULE + 'literals_file = "names.txt"'))
    assert reason in error.message
    assert "rule 'names'" in error.message
    assert "names.txt" in error.message
    assert error.rule == "names"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('literals_file = "absent.txt"', "cannot be read: No such file"),
        ("literals_file = 3", "expected the path of a file"),
        ('literals_file = ""', "expected the path of a file"),
        ('literals_file = "rules.toml"\nregex = "x"', "exactly one of"),
        ('literals_file = "rules.toml"\nliterals = ["x"]', "exactly one of"),
    ],
)
def test_a_wrong_name_of_literals_is_refused(tmp_path: Path, line: str, reason: str) -> None:
    """A rule has one source of what it finds, and that can be read."""
    assert reason in refused(written(tmp_path, RULE + line)).message


def test_a_bad_encoding_does_not_drag_the_text_along(tmp_path: Path) -> None:
    """The error of a decoder holds the whole content; ours is not raised from it."""
    written(tmp_path, b"hunter2\xff", "names.txt")
    error = refused(written(tmp_path, RULE + 'literals_file = "names.txt"'))
    assert error.__cause__ is None
    assert error.__suppress_context__
    assert "hunter2" not in error.message


def test_a_value_names_a_preset_or_a_file(tmp_path: Path) -> None:
    """A preset goes by its name, all else by a path that ends in .toml."""
    assert rules_named("pii") is preset("pii")
    path = written(tmp_path, RULE + 'literals = ["Ann"]')
    assert rules_named(str(path)) == rules_from(path)


@pytest.mark.parametrize("value", ["standrad", "", "rules.txt", "PII", "x" * 500])
def test_another_value_is_refused_with_the_presets(value: str) -> None:
    """The message lists what would do."""
    with pytest.raises(InvalidRule) as caught:
        rules_named(value)
    assert "standard, secrets, pii, or the path of a .toml file" in caught.value.message
    assert len(caught.value.message) < 250


def test_an_unknown_preset_is_refused() -> None:
    """A preset is no path."""
    with pytest.raises(InvalidRule, match=r"expected one of standard, secrets, pii$"):
        preset("rules.toml")
    assert PRESETS == ("standard", "secrets", "pii")


@given(st.lists(st.text(max_size=12)))
def test_lines_survive_the_way_through_a_file(lines: list[str]) -> None:
    """Each line that is neither blank nor a comment becomes the literal that it is."""
    text = "\n".join(lines)
    expected = [one.strip(" \t\r") for one in text.split("\n") if not one.startswith("#")]
    assert list(rule_files._literals(text)) == [one for one in expected if one]
