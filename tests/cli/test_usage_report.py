"""``deltaweir usage``: what a ledger holds, as a table, as CSV and as JSON."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from deltaweir.accounts import PICODOLLARS, Closed, Entry, Opened, Tally
from deltaweir.allowances import KeyRecord, KeyTerms
from deltaweir.stores.sqlite import SqliteLedger
from deltaweir.stores.sqlite_keys import SqliteKeys
from deltaweir.usage_report import GROUPS, report

Run = Callable[..., Any]

MONDAY = datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp()
TUESDAY = MONDAY + 86_400


def stream(
    number: int, started: float, model: str, tally: Tally, **more: str | None
) -> list[Entry]:
    """Return the entries of one stream that has ended."""
    name = f"stm_{number}"
    opened = Opened(stream_id=name, started=started, model=model, **more)  # type: ignore[arg-type]
    return [opened, Closed(stream_id=name, ended=started + 1, tally=tally, ending="complete")]


def tally(prompt: int, completion: int, usd: float | None) -> Tally:
    """Return what a stream used."""
    cost = None if usd is None else round(usd * PICODOLLARS)
    return Tally(prompt_tokens=prompt, completion_tokens=completion, cost_pico=cost)


BUSY = [
    *stream(1, MONDAY, "gpt-4o", tally(1_000, 2_345, 1.25), user="alice", key_id="key_1"),
    *stream(2, MONDAY, "gpt-4o", tally(10, 20, None), user="bob", tag="docs"),
    *stream(3, TUESDAY, "qwen2.5-coder-0.5b", tally(40, 2, 0.0), user="bob", key_id="key_2"),
    *stream(4, TUESDAY, "gpt-4o-mini", tally(40, 24, 0.00025), user="=1+1", tag="docs"),
    *stream(5, TUESDAY, "its-own", tally(7, 8, None)),
]
NARROW = 60


def kept(path: Path, entries: list[Entry]) -> str:
    """Write a ledger and return its path."""
    with SqliteLedger(path) as ledger:
        ledger.write(entries)
    return str(path)


@pytest.fixture(scope="module", name="busy")
def busy_fixture(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the path of a ledger with five streams on two days."""
    return kept(tmp_path_factory.mktemp("ledger") / "deltaweir.db", BUSY)


def test_a_table(run: Run, busy: str) -> None:
    """By day and model each line has its figures, the sum below, and bars compare the costs."""
    ended = run("usage", "--ledger", busy)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines() == [
        "day         model               streams  prompt  completion      cost",
        "2026-11-23  gpt-4o                    2   1,010       2,365     $1.25+  " + "█" * 20,
        "2026-11-24  gpt-4o-mini               1      40          24  $0.00025   ▏",
        "2026-11-24  its-own                   1       7           8         ?",
        "2026-11-24  qwen2.5-coder-0.5b        1      40           2        $0",
        "in all                                5   1,097       2,399     $1.25+",
    ]


def test_columns_stand_as_they_are_asked_for(run: Run, busy: str) -> None:
    """So do the lines; a name that is asked for twice is one column."""
    shown = run("usage", "--ledger", busy, "--by", "model, day,model").out.splitlines()
    assert [row.split()[:2] for row in shown[:-1]] == [
        ["model", "day"],
        ["gpt-4o", "2026-11-23"],
        ["gpt-4o-mini", "2026-11-24"],
        ["its-own", "2026-11-24"],
        ["qwen2.5-coder-0.5b", "2026-11-24"],
    ]


@pytest.mark.parametrize("variable", ["", "NO_COLOR"])
def test_colours(terminal: Any, busy: str, variable: str) -> None:
    """On a terminal titles and sum are bold and bars have a colour, unless that is not wanted."""
    env = {variable: "1"} if variable else {}
    started = terminal("usage", "--ledger", busy, columns=120, env=env)
    assert started.end() == 0
    assert ("\x1b[36m█" in started.written) is not bool(variable)
    assert ("\x1b[1min all" in started.written) is not bool(variable)


def test_bars_of_tokens(run: Run, tmp_path: Path) -> None:
    """Where nothing cost anything the bars compare the tokens."""
    free = [
        *stream(1, MONDAY, "a", tally(30, 50, 0.0)),
        *stream(2, MONDAY, "b", tally(10, 10, 0.0)),
        *stream(3, MONDAY, "c", tally(0, 0, 0.0)),
    ]
    ended = run("usage", "--ledger", kept(tmp_path / "free.db", free), "--by", "model")
    bars = [line.partition("$0")[2].strip() for line in ended.out.splitlines()]
    assert bars == ["", "█" * 20, "█" * 5, "", ""]


def test_one_stream(run: Run, tmp_path: Path) -> None:
    """One line has no sum and no bar, and names that no stream has are no column."""
    path = kept(tmp_path / "one.db", stream(1, MONDAY, "gpt-4o", tally(1, 2, 0.5)))
    ended = run("usage", "--ledger", path, "--by", "user,tag,model,key")
    assert ended.out.splitlines() == [
        "model   streams  prompt  completion  cost",
        "gpt-4o        1       1           2  $0.5",
    ]
    alone = run("usage", "--ledger", path, "--by", "user")
    assert alone.out.splitlines()[1].split() == ["1", "1", "2", "$0.5"]


@pytest.mark.parametrize("columns", [40, NARROW, 80, 120])
def test_a_terminal_is_never_too_narrow(terminal: Any, busy: str, columns: int) -> None:
    """No line breaks and no figure is cut; where there is too little room a line has two rows."""
    started = terminal("usage", "--ledger", busy, "--by", "day,model,user", columns=columns)
    assert started.end() == 0
    rows = [re.sub(r"\x1b\[[0-9]*m", "", row) for row in started.screen]
    assert max(map(cell_len, rows)) <= columns
    shown = "\n".join(rows)
    for whole in ("qwen2.5-coder-0.5b", "$0.00025", "1,000", "2,345", "2,399", "in all"):
        assert whole in shown
    two_rows = columns <= NARROW
    assert (rows[0].split() == ["day", "model", "user"]) is two_rows
    assert ("█" in shown) is (columns in {NARROW, 120})  # elsewhere there is no room for them


def test_names_of_two_columns(run: Run, tmp_path: Path) -> None:
    """Letters that are two columns wide leave the figures below each other."""
    entries = [
        *stream(1, MONDAY, "m", tally(1, 2, 0.5), user="田中"),
        *stream(2, MONDAY, "m", tally(1, 2, 0.5), user="émile"),
    ]
    ended = run("usage", "--ledger", kept(tmp_path / "wide.db", entries), "--by", "user")
    rows = ended.out.splitlines()
    assert len({cell_len(row.removesuffix("█" * 20).rstrip()) for row in rows[1:]}) == 1


def test_names_cannot_move_the_cursor(terminal: Any, tmp_path: Path) -> None:
    """A user's name comes from a request, and controls no terminal."""
    entries = stream(1, MONDAY, "m", tally(1, 2, 0.5), user="a\x1b]0;title\x07\nb")
    started = terminal(
        "usage", "--ledger", kept(tmp_path / "nasty.db", entries), "--by", "user", columns=NARROW
    )
    started.end()
    assert "\x1b]" not in started.written
    assert len(started.screen) == 3  # heading, line, the end of the last


def test_letters_that_stdout_does_not_have(run: Run, busy: str) -> None:
    """Bars are of # where the encoding has no blocks."""
    ended = run("usage", "--ledger", busy, env={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert ended.code == 0
    assert "  " + "#" * 20 in ended.out


def test_csv(run: Run, busy: str) -> None:
    """CSV has a line a group; what is unknown is empty, and no name becomes a formula.

    Columns stand in the order that was asked for.
    """
    ended = run("usage", "--ledger", busy, "--by", "user,model", "--csv")
    assert (ended.code, ended.err) == (0, "")
    rows = list(csv.DictReader(io.StringIO(ended.out)))
    assert list(rows[0]) == [
        "user",
        "model",
        "streams",
        "prompt_tokens",
        "completion_tokens",
        "cost_usd",
        "failed",
    ]
    by_user = {(row["model"], row["user"]): row for row in rows}
    assert by_user["gpt-4o", "alice"]["completion_tokens"] == "2345"
    assert float(by_user["gpt-4o", "alice"]["cost_usd"]) == 1.25
    assert by_user["gpt-4o", "bob"]["cost_usd"] == ""
    assert ("gpt-4o-mini", "'=1+1") in by_user
    assert ("its-own", "") in by_user


def test_streams_that_failed_have_a_column(run: Run, tmp_path: Path) -> None:
    """Where some have failed: those that were cut, are abandoned or run have not."""
    endings = ("complete", "failed", "stalled", "truncated", "abandoned", "budget", None)
    entries: list[Entry] = []
    for number, ending in enumerate(endings):
        name = f"stm_{number}"
        entries.append(Opened(stream_id=name, started=MONDAY, model="m"))
        if ending is not None:
            entries.append(
                Closed(stream_id=name, ended=MONDAY, tally=tally(1, 2, 0.5), ending=ending)
            )
    path = kept(tmp_path / "failed.db", entries)
    head, row = run("usage", "--ledger", path).out.splitlines()
    assert head.split() == ["day", "model", "streams", "failed", "prompt", "completion", "cost"]
    assert row.split()[2:4] == ["7", "3"]
    (told,) = csv.DictReader(io.StringIO(run("usage", "--ledger", path, "--csv").out))
    assert told["failed"] == "3"


def test_keys_go_by_their_names(run: Run, tmp_path: Path) -> None:
    """A table has names, with ids where two keys share one; CSV has both; other ids stay."""
    path = tmp_path / "keys.db"
    ids = {"a" * 12: "alice", "b" * 12: "ci", "c" * 12: "ci"}
    with SqliteKeys(path) as store:
        for key_id, name in ids.items():
            store.create(
                KeyRecord(id=key_id, digest=b"1", name=name, terms=KeyTerms(), created=MONDAY)
            )
    used = [
        entry
        for number, key_id in enumerate([*ids, "d" * 12])
        for entry in stream(number, MONDAY, "m", tally(1, 2, 0.5), key_id=key_id)
    ]
    shown = run("usage", "--ledger", kept(path, used), "--by", "key").out.splitlines()
    assert [row.partition("  ")[0] for row in shown[1:-1]] == [
        "alice",
        f"ci ({'b' * 12})",
        f"ci ({'c' * 12})",
        "d" * 12,
    ]
    written = run("usage", "--ledger", str(path), "--by", "key", "--csv").out
    rows = [(one["key"], one["key_name"]) for one in csv.DictReader(io.StringIO(written))]
    assert rows == [*ids.items(), ("d" * 12, "")]
    told = json.loads(run("usage", "--ledger", str(path), "--by", "key", "--json").out)["data"]
    assert [(one["key"], one["key_name"]) for one in told] == [*ids.items(), ("d" * 12, None)]


@pytest.mark.parametrize("group", GROUPS)
def test_json(run: Run, busy: str, group: str) -> None:
    """JSON is what GET /v1/usage answers, whatever the group."""
    ended = run("usage", "--ledger", busy, "--by", group, "--json")
    with SqliteLedger(busy, read_only=True) as ledger:
        assert json.loads(ended.out) == report(ledger.usage(group_by=[group]), {})


@pytest.mark.parametrize(
    ("window", "streams"),
    [
        ([], 5),
        (["--since", "2026-11-24"], 3),
        (["--until", "2026-11-24"], 2),
        (["--since", "2026-11-23T12:00:01"], 3),
        (["--since", "2026-11-23T13:00+01:00", "--until", "2026-11-24T12:00Z"], 2),
        (["--since", str(TUESDAY)], 3),
    ],
)
def test_a_time(run: Run, busy: str, window: list[str], streams: int) -> None:
    """--since is in the time, --until is not; both are UTC unless they say otherwise."""
    ended = run("usage", "--ledger", busy, "--json", *window)
    assert json.loads(ended.out)["total"]["streams"] == streams


def test_a_time_without_streams(run: Run, busy: str) -> None:
    """Where nothing was used a person is told so, and a program gets empty data."""
    later = ["--ledger", busy, "--since", "2027-01-01"]
    told = run("usage", *later)
    assert (told.code, told.out, told.err) == (0, "", "Nothing was used in this time.\n")
    assert json.loads(run("usage", *later, "--json").out)["data"] == []
    assert len(run("usage", *later, "--csv").out.splitlines()) == 1


def test_a_stream_that_runs(run: Run, tmp_path: Path) -> None:
    """A stream that has not ended is a line already, with what is known of it."""
    opened = Opened(stream_id="stm_1", started=MONDAY, model="gpt-4o")
    with SqliteLedger(tmp_path / "live.db") as ledger:
        ledger.write([opened])
        ended = run("usage", "--ledger", str(tmp_path / "live.db"))
    assert ended.out.splitlines()[1].split() == ["2026-11-23", "gpt-4o", "1", "0", "0", "?"]


def test_a_configuration(run: Run, busy: str, tmp_path: Path) -> None:
    """--config reads the ledger that the server of this configuration keeps."""
    config = tmp_path / "deltaweir.toml"
    config.write_text(f"[ledger]\nurl = 'sqlite:///{busy}'\n", encoding="utf-8")
    ended = run("usage", "--config", str(config))
    assert ended == run("usage", "--ledger", f"sqlite:///{busy}")
    assert ended.code == 0
    config.write_text("[ledger]\nurl = ''\n", encoding="utf-8")
    off = run("usage", "--config", str(config))
    assert (off.code, off.out) == (1, "")
    assert "keeps no ledger" in off.err
    missing = run("usage", "--config", str(tmp_path / "other.toml"))
    assert missing.code == 1
    assert "other.toml" in missing.err


def test_no_ledger(run: Run, tmp_path: Path) -> None:
    """Without a ledger the path is named and who makes one, and none is made."""
    path = tmp_path / "nowhere.db"
    ended = run("usage", "--ledger", str(path))
    assert (ended.code, ended.out) == (1, "")
    assert str(path) in ended.err
    assert "`deltaweir serve`" in ended.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"no database, but a text" * 1000])
def test_a_file_that_is_no_ledger(run: Run, tmp_path: Path, content: bytes) -> None:
    """Another file is named, refused and left as it is."""
    path = tmp_path / "other.db"
    path.write_bytes(content)
    ended = run("usage", "--ledger", str(path))
    assert (ended.code, ended.out) == (1, "")
    assert str(path) in ended.err
    assert "Traceback" not in ended.err
    assert path.read_bytes() == content


def test_a_damaged_ledger(run: Run, tmp_path: Path) -> None:
    """A ledger whose pages were overwritten is an error that names it."""
    path = Path(kept(tmp_path / "damaged.db", BUSY))
    raw = bytearray(path.read_bytes())
    raw[4096:] = b"\xa5" * (len(raw) - 4096)
    path.write_bytes(raw)
    ended = run("usage", "--ledger", str(path))
    assert (ended.code, ended.out) == (1, "")
    assert str(path) in ended.err
    assert "Traceback" not in ended.err


def test_a_ledger_elsewhere(run: Run) -> None:
    """A kind of ledger that is not supported is refused, and its password not repeated."""
    ended = run("usage", "--ledger", "postgresql://user:secret@db/usage")
    assert ended.code == 1
    assert "postgresql" in ended.err
    assert "secret" not in ended.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--by", "colour"], "known are day, hour, minute, model, upstream, key, user, tag"),
        (["--since", "yesterday"], "--since = 'yesterday', expected a date such as"),
        (["--until", "2026-13-01"], "--until"),
        (["--csv", "--json"], "exclude each other"),
        (["--config", "a.toml", "--ledger", "a.db"], "exclude each other"),
    ],
)
def test_wrong_usage(run: Run, busy: str, arguments: list[str], words: str) -> None:
    """Wrong usage is explained, with exit code 2."""
    ended = run("usage", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert words in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("columns", [40, 60, 120])
def test_the_help_teaches(run: Run, columns: int) -> None:
    """The help has examples and every option whole, and fits the terminal."""
    shown = run("usage", "--help", env={"COLUMNS": str(columns)}).out
    assert f"any of {', '.join(GROUPS)}," in " ".join(shown.split())
    for words in ("deltaweir usage --by user", "--since WHEN", "--ledger URL", "bars"):
        assert words in shown
    text = [line for line in shown.splitlines() if not line.startswith(("  deltaweir", "Usage:"))]
    assert max(len(line) for line in text if "|" not in line and "$(" not in line) <= columns
