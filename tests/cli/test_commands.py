"""What a line of a conversation means: a message, a command, or neither."""

from __future__ import annotations

import pytest

from deltaweir.cli.commands import COMMANDS, Said, Unknown, Wanted, explained, meant

BY_NAME = {one.name: one for one in COMMANDS}


@pytest.mark.parametrize(
    ("line", "meaning"),
    [
        ("hello\nthere ", Said("hello\nthere")),
        ("", Said("")),
        ("//etc is what?", Said("/etc is what?")),
        (" /etc is what?", Said("/etc is what?")),
        ("/model", Wanted(BY_NAME["model"], "")),
        ("/MODEL  gpt-4o ", Wanted(BY_NAME["model"], "gpt-4o")),
        ("/system Be terse.\nBe kind.", Wanted(BY_NAME["system"], "Be terse.\nBe kind.")),
        ("/system\nBe terse.", Wanted(BY_NAME["system"], "Be terse.")),
        ("/exit", Wanted(BY_NAME["quit"], "")),
        ("/sav it", Unknown("sav", "save")),
        ("/mdoel", Unknown("mdoel", "model")),
        ("/xyz", Unknown("xyz", None)),
        ("/", Unknown("", None)),
    ],
)
def test_what_a_line_means(line: str, meaning: object) -> None:
    """Commands go by any of their names, and the nearest of an unknown one is told."""
    assert meant(line) == meaning


def test_the_help_lists_all() -> None:
    """It has a line for each command, and keys that exist only where lines can be edited."""
    plain = explained(editing=False, columns=100)
    assert all(f"/{one.name} " in plain and one.meaning in plain for one in COMMANDS)
    assert "Alt-Enter" not in plain
    assert "Alt-Enter" in explained(editing=True, columns=100)


@pytest.mark.parametrize("columns", [60, 80])
def test_the_help_stays_in_its_columns(columns: int) -> None:
    """A meaning that finds no room goes on below itself."""
    lines = explained(editing=True, columns=columns).split("\n")
    assert max(map(len, lines)) <= columns
    begun = {len(line) - len(line.lstrip()) for line in lines if line.startswith(" ")}
    assert len(begun) == 1
    (place,) = begun
    assert all(line[place - 2 : place] == "  " for line in lines)


def test_the_help_on_a_narrow_terminal() -> None:
    """Each meaning stands below its name."""
    lines = explained(editing=True, columns=44).split("\n")
    assert lines[lines.index("/quit") + 1] == "    leaves, as Ctrl-D does"
