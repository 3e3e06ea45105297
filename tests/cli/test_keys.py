"""``deltaweir keys``: the key alone on stdout, shown once; what is wrong is said in a line."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from typer.testing import CliRunner

from deltaweir.allowances import window_of
from deltaweir.cli.app import app
from deltaweir.gateway.keys.keys import KeyRing
from deltaweir.leases import Pot
from deltaweir.stores.sqlite_key_leases import SqliteLeases

Run = Callable[..., Any]
KEY = re.compile(r"dw-[0-9a-f]{12}-[A-Za-z0-9_-]{43}\n")


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def keys(*arguments: str, code: int = 0) -> Any:
    """Run a command in this process, and check its exit code."""
    ended = CliRunner().invoke(app, ["keys", *arguments])
    assert ended.exit_code == code, (ended.output, ended.exception)
    return ended


def plain(ended: Any) -> str:
    """Return what an ended command said to stderr, in one line and without a frame."""
    return " ".join(ended.stderr.replace("│", "").split())


def refused(*arguments: str) -> str:
    """Return what an error of ours says."""
    ended = CliRunner().invoke(app, ["keys", *arguments])
    assert ended.exception is not None
    assert ended.stdout == ""
    return str(ended.exception)


def test_the_key_stands_alone_on_stdout(run: Run) -> None:
    """It is all that a pipe gets, it lets in, and what it may do is told beside it."""
    ended = run("keys", "create", "--name", "alice", "--budget", "400tok/day,5usd", "--rpm", "3")
    assert ended.code == 0
    assert KEY.fullmatch(ended.out)
    key = ended.out.strip()
    assert key not in ended.err
    assert ended.err.startswith(
        f"alice: 400tok/day; 5usd; 3 rpm, in the new ledger {Path.cwd()}/deltaweir.db; no "
    )
    assert f"`deltaweir keys revoke {key[3:15]}`" in ended.err
    with KeyRing.open("sqlite:///deltaweir.db") as ring:
        assert ring.authenticate([(b"authorization", f"Bearer {key}".encode())]).name == "alice"
    assert "alice" in keys("list").stdout


def test_a_list_for_programs() -> None:
    """JSON has every figure, and of each budget what is used in its window."""
    made = keys(
        *("create", "--name", "ci", "--tpm", "9", "--admin", "--expires", "2d"),
        *("--models", "a,openai/*", "--budget", "400tok/month", "--budget", "0.5usd"),
    ).stdout
    now = time.time()
    leases = SqliteLeases("deltaweir.db", holder="h")
    with leases.writing(wait_s=1) as books:
        books.book(Pot(made[3:15], "tokens", "month", window_of("month", now)), 7)
        books.book(Pot(made[3:15], "pico", "life", 0), 10**11)
    leases.close()
    (row,) = json.loads(keys("list", "--json").stdout)
    assert row.pop("created") == pytest.approx(now, abs=30)
    assert row.pop("expires") == pytest.approx(now + 2 * 86_400, abs=30)
    assert row == {
        "id": made[3:15],
        "name": "ci",
        "state": "active",
        "admin": True,
        "may_record": False,
        "models": ["a", "openai/*"],
        "rpm": None,
        "tpm": 9,
        "budgets": [
            {"unit": "tokens", "period": "month", "limit": 400, "used": 7},
            {"unit": "usd", "period": "life", "limit": 0.5, "used": 0.1},
        ],
        "revoked": None,
    }
    titles, line = keys("list").stdout.splitlines()
    assert titles.split("\t") == ["id", "name", "state", "limits", "used", "expires"]
    cells = line.split("\t")
    assert cells[:3] == [made[3:15], "ci", "active"]
    assert cells[3:5] == [
        "9 tpm, models a openai/*, admin",
        "7tok of 400tok/month, 0.1usd of 0.5usd",
    ]


def test_a_list_for_people(terminal: Any) -> None:
    """A table that fits the terminal; a name in brackets is shown as it is."""
    columns = 90
    made = keys("create", "--name", "[bold]x", "--budget", "400tok/day,5usd", "--rpm", "5").stdout
    started = terminal("keys", "list", columns=columns)
    assert started.end() == 0
    shown = [row.replace("\x1b[1m", "").replace("\x1b[0m", "") for row in started.screen]
    assert max(map(cell_len, shown)) <= columns
    # nothing expires
    assert shown[0].split() == ["id", "name", "state", "limits", "used"]
    assert made[3:15] in shown[1]
    assert "[bold]x" in shown[1]


def test_a_list_on_a_narrow_terminal(terminal: Any) -> None:
    """Each budget stands in one line beside all else, and a time below its date."""
    budget = "100000tok/day,5usd/month"
    keys("create", "--name", "alice", "--budget", budget, "--rpm", "60", "--expires", "30d")
    started = terminal("keys", "list", columns=80)
    assert started.end() == 0
    first, second = (row.split() for row in started.screen[1:3])
    assert first[1:8] == ["alice", "active", "60", "rpm", "0tok", "of", "100000tok/day"]
    assert second[:3] == ["0usd", "of", "5usd/month"]
    assert (len(first), second[4]) == (9, "UTC")
    assert not "".join(started.screen[3:]).strip()


def test_a_list_on_a_very_narrow_terminal(terminal: Any) -> None:
    """What holds for a key stands below its name, and no word of it is broken."""
    limits = ("--budget", "100000tok/day,5usd/month", "--rpm", "60", "--models", "gpt-4o,openai/*")
    key = keys("create", "--name", "alice of the night shift", *limits).stdout
    started = terminal("keys", "list", columns=40)
    assert started.end() == 0
    assert [row for row in started.screen if row] == [
        "alice of the night shift, active",
        f"  {key[3:15]}",
        "  60 rpm",
        "  models gpt-4o openai/*",
        "  0tok of 100000tok/day",
        "  0usd of 5usd/month",
    ]


def test_nothing_to_list() -> None:
    """An empty ledger is told from none."""
    said = refused("list")
    assert "deltaweir keys create --name NAME" in said
    assert f"there is no deltaweir.toml and no deltaweir.db in {Path.cwd()}; --config FILE" in said
    Path("deltaweir.toml").touch()
    assert f"there is no ledger at {Path.cwd()}/deltaweir.db; --config FILE" in refused("list")
    Path("deltaweir.toml").unlink()
    assert not Path("deltaweir.db").exists()
    made = keys("create", "--name", "a").stdout
    assert keys("list", "--json").stdout.count('"id"') == 1
    assert made


@pytest.mark.parametrize("whole", [True, False])
def test_a_key_is_revoked(whole: bool) -> None:
    """By itself or by its id; the second time says since when."""
    made = keys("create", "--name", "alice").stdout.strip()
    given = made if whole else made[3:15]
    ended = keys("revoke", given)
    assert ended.stdout == ""
    assert f"alice ({made[3:15]}) is revoked, at" in ended.stderr
    assert "already" not in ended.stderr
    assert "was revoked already" in keys("revoke", given).stderr
    assert json.loads(keys("list", "--json").stdout)[0]["state"] == "revoked"


def test_what_cannot_be_revoked() -> None:
    """An unknown id is named, and what is no key is not, since it may be one with a slip."""
    keys("create", "--name", "a")
    assert "'000000000000'; `deltaweir keys list`" in refused("revoke", "0" * 12)
    ended = keys("revoke", "dw-4f1c09ab27de-secret", code=2)
    assert "neither a key" in ended.stderr
    assert "secret" not in ended.output


def test_a_name_is_no_id() -> None:
    """Whoever revokes by a name is told the ids that have it, revoked ones left out."""
    ids = [keys("create", "--name", "bob").stdout[3:15] for _ in range(3)]
    keys("revoke", ids[0])
    said = plain(keys("revoke", "bob", code=2))
    assert f"'bob' is a name; its ids are {ids[1]}, {ids[2]}" in said
    keys("revoke", ids[1])
    assert f"'bob' is a name; its id is {ids[2]}" in plain(keys("revoke", "bob", code=2))
    Path("deltaweir.db").unlink()
    assert "neither a key" in plain(keys("revoke", "bob", code=2))


def test_a_key_in_the_wrong_folder() -> None:
    """A new ledger is told from one that is there, and that no configuration is."""
    first = keys("create", "--name", "a").stderr
    ledger = f"{Path.cwd()}/deltaweir.db"
    assert (
        f"in the new ledger {ledger}; no deltaweir.toml is here, so if a server uses another "
        "file, say --config FILE\n"
    ) in first
    assert "Note: a server without a configuration asks nobody for a key" in first
    assert f"no limits, in the ledger {ledger}\n" in keys("create", "--name", "b").stderr
    Path("a.toml").write_text("[ledger]\nurl = 'sqlite:///a.db'\n[server]\nauth = 'keys'\n")
    other = keys("create", "--name", "b", "--config", "a.toml").stderr
    assert f"in the new ledger {Path.cwd()}/a.db\n" in other
    assert "Note" not in other


@pytest.mark.parametrize(
    ("models", "unknown"),
    [
        ("gpt-4o,gpt-*,openai/x,openai/*,open*,*", []),
        ("gpt-9,gpt-4o-mini,gpt-4o", ["gpt-9", "gpt-4o-mini"]),
        ("openai,other/*", ["openai", "other/*"]),
    ],
)
def test_a_key_for_models_that_are_not_there(models: str, unknown: list[str]) -> None:
    """The key is made, since models may come later, and each name is told."""
    Path("deltaweir.toml").write_text(
        "[server]\nauth = 'keys'\n[[models]]\nname = 'gpt-4o'\n[[models]]\nname = 'openai/*'\n"
    )
    ended = keys("create", "--name", "a", "--models", models)
    assert KEY.fullmatch(ended.stdout)
    assert [line for line in ended.stderr.splitlines() if "Note" in line] == [
        f"Note: deltaweir.toml has no model {name}; it has gpt-4o, openai/*." for name in unknown
    ]


def test_a_key_that_nobody_asks_for() -> None:
    """Whoever makes one for a server that is open is told what to set."""
    Path("deltaweir.toml").touch()
    said = keys("create", "--name", "a").stderr
    assert 'deltaweir.toml asks nobody for a key until it says auth = "keys" under [server]' in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--name"),
        (["--name", " "], "--name"),
        (["--name", "a", "--budget", "5eur"], "such as 400tok"),
        (["--name", "a", "--budget", "1tok,2tok"], "two budgets"),
        (["--name", "a", "--rpm", "0"], "--rpm"),
        (["--name", "a", "--tpm", "-1"], "--tpm"),
        (["--name", "a", "--models", "a b"], "--models"),
        (["--name", "a", "--expires", "soon"], "30d or 12h"),
        (["--name", "a", "--expires", "2020-01-01"], "past"),
    ],
)
def test_wrong_usage(arguments: list[str], words: str) -> None:
    """What is wrong is said with the option, and no ledger is made."""
    ended = keys("create", *arguments, code=2)
    assert words in plain(ended)
    assert ended.stdout == ""
    assert not Path("deltaweir.db").exists()


def test_a_configuration_names_the_ledger() -> None:
    """The one that is told, else deltaweir.toml; nothing but its ledger needs to be right."""
    Path("deltaweir.toml").write_text('[ledger]\nurl = "sqlite:///own.db"\n[[models]]\nx = 1\n')
    keys("create", "--name", "a")
    assert Path("own.db").exists()
    Path("other.toml").write_text("")
    keys("create", "--name", "b", "--config", "other.toml")
    assert [row["name"] for row in json.loads(keys("list", "--json").stdout)] == ["a"]
    listed = keys("list", "--json", "--config", "other.toml").stdout
    assert [row["name"] for row in json.loads(listed)] == ["b"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot read c.toml"),
        ("[ledger", "is not TOML"),
        ("[ledger]\nurl = 1", "ledger"),
        ("[ledger]\nurl = 'redis://x'", "sqlite:///file.db"),
        ("[ledger]\nurl = ''", r"set [ledger] url"),
        ("[ledger]\nurl = 'sqlite:///:memory:'", "in a file"),
    ],
)
def test_a_configuration_without_a_ledger(text: str | None, words: str) -> None:
    """The error says what to write."""
    if text is not None:
        Path("c.toml").write_text(text)
    assert words in refused("create", "--name", "a", "--config", "c.toml")


@pytest.mark.parametrize("command", [["keys"], ["keys", "create"], ["keys", "list"]])
@pytest.mark.parametrize("columns", [40, 80])
def test_help_fits(command: list[str], columns: int) -> None:
    """No line of text is longer than the terminal; examples stay whole."""
    shown = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": str(columns)})
    assert shown.exit_code == 0
    text = [line for line in shown.output.splitlines() if "deltaweir keys" not in line]
    assert all(len(line) <= columns for line in text)
