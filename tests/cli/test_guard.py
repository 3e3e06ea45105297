"""``--guard``: what is found is not shown; and ``deltaweir guard``, which explains rules."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from deltaweir.adapters.rule_files import PRESETS, preset
from deltaweir.cli.app import app
from deltaweir.testing import Peer, chat_events, stream_answer

Run = Callable[..., Any]
RULES = r"""
[[rules]]
id = "ticket"
regex = 'TICKET-[0-9]{1,9}\b'
description = "Numbers of tickets. They have up to nine digits."
examples = ["See TICKET-12.", "TICKET-1"]
counterexamples = ["TICKET-x"]

[[rules]]
id = "name"
literals = ["Ann Example"]
scope = ["prompt", "content"]
action = "ACTION"
"""
ANSWER = ["See ", "TICK", "ET-1", "2 and ", "TICKET-", "345, ", "says Ann", " Example", " today."]


def file_of(directory: Path, text: str = RULES, *, action: str = "block") -> str:
    """Write a file of rules, and return its path."""
    path = directory / "rules.toml"
    path.write_text(text.replace("ACTION", action), "utf-8")
    return str(path)


def invoke(*arguments: str, columns: int = 80) -> Any:
    """Run a command in this process."""
    return CliRunner().invoke(app, [*arguments], env={"COLUMNS": str(columns)})


def ask(peer: Peer, *arguments: str, command: str = "chat", prompt: str = "Say it.") -> Any:
    """Ask a provider."""
    where = ("--base-url", peer.base_url, "--api-key", "x", "-m", "gpt-4o")
    return invoke(command, *where, *arguments, prompt)


@pytest.mark.parametrize(
    ("action", "code", "shown", "told"),
    [
        (
            "block",
            3,
            "See [REDACTED:ticket] and [REDACTED:ticket], says \n",
            "2 redacted · cut by the guard (name)",
        ),
        (
            "truncate",
            3,
            "See [REDACTED:ticket] and [REDACTED:ticket], says \n",
            "2 redacted · cut by the guard (name)",
        ),
        (
            "redact",
            0,
            "See [REDACTED:ticket] and [REDACTED:ticket], says [REDACTED:name] today.\n",
            "3 redacted",
        ),
        (
            "flag",
            0,
            "See [REDACTED:ticket] and [REDACTED:ticket], says Ann Example today.\n",
            "2 redacted · 1 flagged (name)",
        ),
    ],
)
def test_an_answer(tmp_path: Path, action: str, code: int, shown: str, told: str) -> None:
    """It is shown without what was found, and the last line says what was done."""
    with Peer(stream_answer(chat_events(*ANSWER))) as peer:
        ended = ask(peer, "--guard", file_of(tmp_path, action=action))
    assert (ended.exit_code, ended.stdout) == (code, shown)
    line = ended.stderr.splitlines()[-1].replace(" | ", " · ")
    assert line.endswith(f" · {told}")
    assert "guard" not in json.loads(peer.requests[0].body)


def test_several_guards_and_chunks(tmp_path: Path) -> None:
    """Guards add up, and --json shows chunks of what is left."""
    with Peer(stream_answer(chat_events(*ANSWER[:-1], " a@mail.example.com"))) as peer:
        guards = ("--guard", file_of(tmp_path, action="redact"), "--guard", "pii")
        ended = ask(peer, *guards, "--json")
    assert ended.exit_code == 0
    chunks = [json.loads(line) for line in ended.stdout.splitlines()]
    text = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)
    ticket = "[REDACTED:ticket]"
    assert text == f"See {ticket} and {ticket}, says [REDACTED:name] [REDACTED:email]"


@pytest.mark.parametrize("command", ["chat", "complete"])
def test_a_blocked_prompt(tmp_path: Path, command: str) -> None:
    """Nothing is sent, and the error names place and rule, not what was found."""
    with Peer(stream_answer(chat_events(*ANSWER))) as peer:
        guard = ("--guard", file_of(tmp_path))
        ended = ask(peer, *guard, command=command, prompt="Who is Ann Example?")
    assert (ended.exit_code, ended.stdout, peer.requests) == (1, "", [])
    assert ended.stderr.splitlines()[-1].startswith("deltaweir: a guard refused the prompt: ")
    assert "matches name; nothing was sent" in ended.stderr
    assert "Ann" not in ended.stderr


def test_a_guard_that_is_none(run: Run, tmp_path: Path) -> None:
    """It is a wrong usage that names the presets; a rule that cannot be used, likewise."""
    bad = file_of(tmp_path, "[[rules]]\nid = 'x'\nregex = '(?<=ab)c'\n")
    endless = tmp_path / "endless.toml"
    endless.write_text("[[rules]]\nid = 'x'\nregex = 'a.*b'\n", "utf-8")
    ended = run("chat", "-m", "smollm2", "--guard", "nope", "hello")
    assert (ended.code, ended.out) == (2, "")
    assert "'nope'; expected one of standard, secrets, pii, or the path of a .toml" in ended.err
    assert len(ended.err.splitlines()) == 2
    for file, words in ((bad, "(character 0 of its pattern)"), (str(endless), "bound its repeats")):
        refused = invoke("complete", "-m", "smollm2", "--guard", file, "hello", columns=1000)
        assert refused.exit_code == 2
        assert f"{file}: rule 'x': " in refused.output
        assert words in refused.output


def test_a_check_for_programs(tmp_path: Path) -> None:
    """Through a pipe each rule is a line between tabs; what it comes to stands on stderr."""
    ended = invoke("guard", "check", file_of(tmp_path))
    assert ended.exit_code == 0
    assert [line.split("\t") for line in ended.stdout.splitlines()] == [
        [
            "ticket",
            "redact",
            "output",
            "16",
            "3",
            "0",
            "Numbers of tickets. They have up to nine digits.",
        ],
        ["name", "block", "prompt,content", "10", "0", "0", ""],
    ]
    line = ended.stderr.rstrip().replace(" | ", " · ")
    assert line == "2 rules · at most 16 characters held back · 3 examples, all right"


def test_a_check_as_json(tmp_path: Path) -> None:
    """JSON has the same, and which examples are wrong; their text stays in the file."""
    text = RULES.replace("See TICKET-12.", "See TICKT-12.").replace("TICKET-x", "TICKET-9")
    ended = invoke("guard", "check", file_of(tmp_path, text), "--json")
    assert ended.exit_code == 1
    report = json.loads(ended.stdout)
    ticket, name = report["rules"]
    assert (report["ok"], report["error"]) == (False, None)
    assert ticket["wrong"] == [
        {"kind": "example", "number": 1},
        {"kind": "counterexample", "number": 1},
    ]
    assert (name["scope"], name["holds"], name["wrong"]) == (["prompt", "content"], 10, [])
    plain = invoke("guard", "check", file_of(tmp_path, text))
    assert plain.exit_code == 1
    assert "rule 'ticket': example 1 is not found\n" in plain.stderr
    assert "rule 'ticket': counterexample 1 is found, and should not be\n" in plain.stderr
    assert "3 examples, 2 wrong" in plain.stderr
    assert "TICK" not in plain.stderr


@pytest.mark.parametrize(
    ("rule", "position", "words"),
    [
        ("regex = '''ab(?<=xy)c'''", 2, "look-around"),
        ("regex = 'a.*b'", None, "bound its repeats"),
        ("rexeg = 'a'", None, "did you mean regex"),
        ("literals = []", None, "empty"),
    ],
)
def test_rules_that_cannot_be_used(
    tmp_path: Path, rule: str, position: int | None, words: str
) -> None:
    """File, rule, reason and position are named; JSON has them each by itself."""
    file = file_of(tmp_path, f"[[rules]]\nid = 'x'\n{rule}\n")
    ended = invoke("guard", "check", file)
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"deltaweir: {file}: rule 'x': ")
    assert words in ended.stderr
    as_json = invoke("guard", "check", file, "--json")
    report = json.loads(as_json.stdout)
    assert (as_json.exit_code, report["ok"], report["rules"]) == (2, False, [])
    assert (report["error"]["rule"], report["error"]["position"]) == ("x", position)


def test_the_place_in_a_pattern(terminal: Any, tmp_path: Path) -> None:
    """On a terminal the user's own pattern is shown, with a mark below the place."""
    long = "x" * 40
    file = file_of(tmp_path, f"[[rules]]\nid = 'x'\nregex = '{long}語ab(?<=xy)c{long}'\n")
    started = terminal("guard", "check", file, columns=200)
    assert started.end() == 2
    _, pattern, mark, _ = started.screen
    assert pattern == f"  {'x' * 27}語ab(?<=xy)c{'x' * 22}"
    assert mark == f"  {' ' * 31}^"


@pytest.mark.parametrize("columns", [80, 120])
def test_a_table_fits(
    columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a terminal no line breaks and no rule is cut; a narrow one has descriptions below."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NO_COLOR", "1")
    assert app(["guard", "check", "secrets"], standalone_mode=False) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= columns
    assert head.split()[:5] == ["rule", "action", "looks", "at", "holds"]
    below = columns == 80
    assert ("finds" in head) is not below
    begun = [line for line in lines if not line.startswith(" ")]
    assert [line.split()[0] for line in begun] == [rule.id for rule in preset("secrets")]
    assert any(line.startswith("  Keys of") for line in lines) is below


def test_a_table_that_cannot_fit(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each rule is some lines then, which fit and break between words."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "44")
    monkeypatch.setenv("NO_COLOR", "1")
    assert app(["guard", "check", "secrets"], standalone_mode=False) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 44
    assert [line for line in lines if not line.startswith(" ")] == [
        rule.id for rule in preset("secrets")
    ]
    assert lines[1:3] == ["  action redact, looks at output, holds 26,", "  right 4 of 4"]


def test_a_table_of_a_strangers_rules(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A description moves no cursor, and what a rule lets go is told."""
    rule = "id = 'x'\nregex = 'a[0-9]*b'\nmax_hold = 9\non_overflow = 'release'"
    described = 'description = """\\u001B[2JAll of\na1b. And more."""'
    file = file_of(tmp_path, f"[[rules]]\n{rule}\n{described}\n")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "120")
    assert app(["guard", "check", file], standalone_mode=False) == 0
    line = capsys.readouterr().out.splitlines()[1]
    shown = [cell.strip() for cell in line.split("  ") if cell]
    assert shown == ["x", "redact", "output", "9, then release", "none", "[2JAll of a1b"]


def test_presets() -> None:
    """Each preset is listed with its rules and is right; the standard one has all others'."""
    listed = invoke("guard", "list", "--json")
    rows = json.loads(listed.stdout)
    assert [row["name"] for row in rows] == [*PRESETS]
    assert [row["rules"] for row in rows] == [len(preset(name)) for name in PRESETS]
    piped = [line.split("\t") for line in invoke("guard", "list").stdout.splitlines()]
    assert piped == [[str(value) for value in row.values()] for row in rows]


def test_a_name_cannot_steer_the_terminal() -> None:
    """What no preset is called is shown once, its control characters spelled out."""
    ended = invoke("guard", "check", "ev\x1b[31mil", columns=1000)
    assert ended.exit_code == 2
    assert "\x1b" not in ended.output
    assert ended.output.count("31mil") == 1
