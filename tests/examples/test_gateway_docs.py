"""The pages on the gateway: every key stands there, and answers are what comes."""

from __future__ import annotations

import http.client
import json
import re
import tomllib
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace
from tests.gateway.conftest import CHAT, Running, served
from typer.testing import CliRunner

from deltaweir.cli.app import app
from deltaweir.client.clocks import Timeouts
from deltaweir.endings import Ending
from deltaweir.gateway.config.file import (
    Config,
    LedgerConfig,
    ModelConfig,
    RecordingsConfig,
    ServerConfig,
    StoreConfig,
    UpstreamConfig,
    load_config,
)
from deltaweir.gateway.config.guards import GuardConfig, ModerationConfig
from deltaweir.testing import Peer, chat_events, stream_answer
from deltaweir.testing.faults import Step

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "docs" / "gateway.md", ROOT / "docs" / "from-litellm.md"]
GATEWAY = PAGES[0].read_text("utf-8")
BLOCK = re.compile(r"^```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
STRUCTS: dict[str, type[msgspec.Struct]] = {
    "[server]": ServerConfig,
    "[[upstreams]]": UpstreamConfig,
    "[[models]]": ModelConfig,
    "[guards.NAME]": GuardConfig,
    "[guards.NAME.moderation]": ModerationConfig,
    "[ledger]": LedgerConfig,
    "[store]": StoreConfig,
    "[recordings]": RecordingsConfig,
}
LOADED: dict[str, Config] = {}
"""By their text, since some are shown twice, and compiling their guards takes its time."""
NOTHING = "\N{EN DASH}"
"""What stands in a table for a default that is none."""


def blocks(kind: str, text: str) -> list[str]:
    """Return a page's blocks of one kind."""
    return [found["text"] for found in BLOCK.finditer(text) if found["kind"] == kind]


def part(heading: str) -> str:
    """Return the part of the page on the gateway that stands under a heading."""
    start = GATEWAY.index(f"\n{heading}\n")
    level = heading.split(" ", maxsplit=1)[0]
    end = re.compile(rf"^#{{2,{len(level)}}} ", re.MULTILINE).search(
        GATEWAY, start + len(heading) + 1
    )
    return GATEWAY[start : end.start() if end else None]


def table(text: str) -> list[list[str]]:
    """Return the cells of the first table in a text, without its head."""
    found = re.search(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert found is not None
    rows = found[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]


def loaded(text: str, directory: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """Load a configuration, with the environment that it names."""
    for name in re.findall(r'"env:(\w+)"', text):
        monkeypatch.setenv(name, "sk-for-nobody")
    if text not in LOADED:
        path = directory / "deltaweir.toml"
        path.write_text(text, "utf-8")
        LOADED[text] = load_config(path)
    return LOADED[text]


def test_the_worked_example_is_a_file_too() -> None:
    """What stands beside LiteLLM's configuration is what lies in the examples."""
    shown = blocks("toml", PAGES[1].read_text("utf-8"))[0]
    assert shown in (ROOT / "examples" / "gateway" / "from_litellm.toml").read_text("utf-8")


@pytest.mark.parametrize(("name", "struct"), [*STRUCTS.items()], ids=str)
def test_each_key_stands_in_its_table(name: str, struct: type[msgspec.Struct]) -> None:
    """All keys are there, in the order of the struct, each with its default."""
    rows = table(part(f"### `{name}`"))
    fields = msgspec.structs.fields(struct)
    assert [row[0] for row in rows] == [f"`{field.name}`" for field in fields]
    for row, field in zip(rows, fields, strict=True):
        if row[1] == "required":
            assert field.required, row
            continue
        default = (
            field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
        )
        shown = None if row[1] == NOTHING else tomllib.loads(f"x = {row[1].strip('`')}")["x"]
        assert shown == ([*default] if isinstance(default, tuple) else default), row


def test_each_clock_stands_in_its_table() -> None:
    """All clocks are there, each with its default."""
    rows = table(part("## Clocks"))
    shown = {row[0].strip("`"): tomllib.loads(f"x = {row[1]}")["x"] for row in rows}
    assert shown == {
        name: "none" if seconds is None else seconds
        for name, seconds in Timeouts()._asdict().items()
    }


def test_each_ending_is_one() -> None:
    """The table of endings has no name that no ledger ever has."""
    shown = {row[3].strip("`") for row in table(ENDS)}
    assert shown <= {ending.value for ending in Ending}


def before(peer: Peer, config: Config, directory: Path) -> Config:
    """Return a configuration of the page, in front of a scripted provider."""
    proxy = f"http://127.0.0.1:{peer.port}"
    return replace(
        config,
        server=replace(config.server, port=0),
        upstreams=tuple(
            # by a proxy, so that the provider is the one whose prices are known
            replace(one, base_url="http://api.openai.com/v1", proxy=proxy)
            for one in config.upstreams
        ),
        ledger=LedgerConfig(url=f"sqlite:///{directory}/deltaweir.db"),
    )


def asked(running: Running, *, model: str = "gpt-4o-mini", key: str = "unused") -> bytes:
    """Ask as the page does, and return what comes."""
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=10)
    messages = [{"role": "user", "content": "What is a weir?"}]
    body = json.dumps({"model": model, "stream": True, "messages": messages})
    connection.request("POST", CHAT, body, {"authorization": f"Bearer {key}"})
    try:
        return connection.getresponse().read()
    finally:
        connection.close()


def answer(*contents: str, usage: int | None = None, extra: bytes | None = None) -> list[Step]:
    """Return a provider's answer to that; with something else behind it, it has no end."""
    events = chat_events(
        *contents,
        finish="stop" if extra is None else None,
        usage=None if usage is None else (13, usage),
        done=extra is None,
        model="gpt-4o-mini-2024-07-18",
        identity="chatcmpl-AbC1",
    )
    return stream_answer(events if extra is None else [*events, extra])


ENDS = part("## How streams end")
WEIR = ("A weir ", "is a low ", "dam.")
MAIL = ("Write to jane", ".doe@exam", "ple.com today", ".")


def test_the_first_answer_is_what_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stream of part 2 stands there byte for byte."""
    text = part("## 2. One provider")
    config = loaded(blocks("toml", text)[0], tmp_path, monkeypatch)
    (shown,) = [one for one in blocks("text", text) if one.startswith("data: ")]
    with (
        Peer(answer(*WEIR, usage=8)) as peer,
        served(before(peer, config, tmp_path)) as running,
    ):
        assert asked(running).decode() == shown + "\n"


def test_other_ends_are_what_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a guard found, and what an upstream broke, is told as the page has it."""
    text = part("## 5. Guards")
    config = loaded(blocks("toml", text)[0], tmp_path, monkeypatch)
    answers = answer(*MAIL, usage=12), answer(*WEIR[:2], extra=b"data: {nonsense\n\n")
    with Peer(*answers) as peer, served(before(peer, config, tmp_path)) as running:
        assert asked(running).decode().endswith(f"{blocks('text', text)[0]}\ndata: [DONE]\n\n")
        assert asked(running).decode().endswith(f"{blocks('text', ENDS)[0]}\n")


def test_refusals_are_what_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bodies of 401, 403 and 429, and the chunk of a stream that its key's budget cut."""
    monkeypatch.chdir(tmp_path)  # where the page's commands find the ledger
    text = part("## 4. Keys, with budgets and rates")
    config = loaded(blocks("toml", text)[0], tmp_path, monkeypatch)
    alice = made("keys", "create", "--name", "alice", "--models", "gpt-4o-mini")
    demo = made("keys", "create", "--name", "demo", "--budget", "33tok")
    gone = made("keys", "create", "--name", "gone")
    made("keys", "revoke", gone)
    with Peer(answer(*[" dam"] * 99)) as peer, served(before(peer, config, tmp_path)) as one:
        cut = asked(one, key=demo).decode()
        bodies = [
            asked(one, key=gone),
            asked(one, key=alice, model="gpt-4o"),
            asked(one, key=demo),
        ]
    assert blocks("json", text) == [f"{body.decode()}\n" for body in bodies]
    assert blocks("text", text)[1] in cut


def made(*words: str) -> str:
    """Run a command, and return what it says on standard output."""
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    return done.stdout.strip()
