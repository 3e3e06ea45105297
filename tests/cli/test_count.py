"""``deltaweir count``: the number on stdout, and on stderr what it rests on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deltaweir.client.counting import count_prompt, count_tokens

Run = Callable[..., Any]

TEXT = "Wörter, words and 词 by the dozen: I've 12345 of them."
MESSAGES = [
    {"role": "system", "content": "Be terse."},
    {"role": "user", "content": "hello"},
]
TOOL = {
    "type": "function",
    "function": {"name": "now", "parameters": {"type": "object", "properties": {}}},
}


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """Return a function that writes a file and returns its path."""

    def written(content: Any, name: str = "given.txt") -> str:
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            text = content if isinstance(content, str) else json.dumps(content)
            path.write_text(text, encoding="utf-8")
        return str(path)

    return written


def test_a_file_is_a_number(run: Run, write: Callable[..., str]) -> None:
    """Through a pipe the number stands alone; the encoding and the way to a price beside it."""
    ended = run("count", write(TEXT))
    assert ended.code == 0
    assert ended.out.splitlines() == [str(count_tokens(TEXT))]
    assert ended.err.splitlines() == ["tokens in o200k_base · --model tells the price"]


@pytest.mark.parametrize("dash", [[], ["-"]], ids=["nothing", "dash"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte order mark"])
def test_stdin(run: Run, dash: list[str], mark: bytes) -> None:
    """Without a file, and for -, stdin is read; a byte order mark is no part of a text."""
    ended = run("count", *dash, stdin=mark + TEXT.encode())
    assert (ended.code, ended.out.strip()) == (0, str(count_tokens(TEXT)))


@pytest.mark.parametrize(
    ("model", "line"),
    [
        ("gpt-4", "tokens in cl100k_base · $"),
        ("ft:gpt-4o-mini-2024-07-18:org::id", "tokens in o200k_base · "),
        ("claude-3-5-sonnet", "tokens, estimated with o200k_base · $"),
        ("nobody-knows-it", "tokens, estimated with o200k_base · no price known for nobody-"),
        ("smollm2", "tokens in smollm2 · $0 as a prompt of smollm2"),
    ],
)
def test_a_model(run: Run, smollm2: Any, model: str, line: str) -> None:
    """A model's own vocabulary counts, and its price is told; what is not known says so."""
    ended = run("count", "--model", model, stdin=TEXT.encode())
    assert (ended.code, ended.out.strip()) == (0, str(count_tokens(TEXT, model)))
    assert ended.err.startswith(line)


def test_an_encoding(run: Run) -> None:
    """An encoding of tiktoken's wins over the model, which still tells the price."""
    ended = run("count", "-e", "r50k_base", "-m", "gpt-4o", stdin=TEXT.encode())
    assert ended.out.strip() == str(count_tokens(TEXT, encoding="r50k_base"))
    assert ended.out.strip() != str(count_tokens(TEXT, "gpt-4o"))
    assert ended.err.startswith("tokens in r50k_base · $")
    assert "as a prompt of gpt-4o" in ended.err


def test_nothing(run: Run, write: Callable[..., str]) -> None:
    """An empty text has no tokens, which is an answer."""
    assert run("count", write(""))[:2] == (0, run("count").out)
    assert run("count").out.strip() == "0"


@pytest.mark.parametrize(
    ("model", "source"),
    [("gpt-4o", "official"), ("nobody-knows-it", "estimated"), ("smollm2", "official")],
)
def test_messages(
    run: Run, write: Callable[..., str], smollm2: Any, model: str, source: str
) -> None:
    """A list of messages is counted as a prompt, and through a pipe is one number."""
    ended = run("count", write(MESSAGES), "-m", model)
    assert (ended.code, ended.out.strip()) == (0, str(count_prompt(MESSAGES, model).tokens))
    assert ended.err.startswith(f"tokens ({source}) · ")


def test_a_whole_request(run: Run, write: Callable[..., str]) -> None:
    """A request brings its model and its tools; --model asks what another would count."""
    request = write({"model": "gpt-4", "messages": MESSAGES, "tools": [TOOL], "stream": True})
    for given, model in (([], "gpt-4"), (["-m", "gpt-4o"], "gpt-4o")):
        ended = run("count", request, *given)
        assert ended.out.strip() == str(count_prompt(MESSAGES, model, tools=[TOOL]).tokens)
        assert "tokens (observed) · $" in ended.err
        assert f"as a prompt of {model}" in ended.err


def test_json_as_text(run: Run, write: Callable[..., str]) -> None:
    """--text counts JSON as it stands there, and JSON without messages is a text anyway."""
    given = json.dumps(MESSAGES)
    assert run("count", write(given), "--text").out.strip() == str(count_tokens(given))
    for plain in ('{"a": 1}', "[1, 2]", "[]", '[{"a": 1}]', "{no json", "[" * 100_000):
        assert run("count", write(plain)).out.strip() == str(count_tokens(plain))


def test_json_of_a_text(run: Run) -> None:
    """--json tells the number, what it rests on, and the price."""
    ended = run("count", "--json", "-m", "gpt-4o", stdin=TEXT.encode())
    told = json.loads(ended.out)
    assert told.pop("cost_usd") > 0
    tokens = count_tokens(TEXT, "gpt-4o")
    source = {"model": "gpt-4o", "encoding": "o200k_base", "source": "official"}
    assert told == {"tokens": tokens, **source}
    assert ended.err == ""
    unknown = json.loads(run("count", "--json", "-m", "nobody-knows-it", stdin=b"a").out)
    assert (unknown["source"], unknown["cost_usd"]) == ("estimated", None)


def test_json_of_messages(run: Run, write: Callable[..., str]) -> None:
    """--json tells the messages one by one, and the sum with what their format adds."""
    told = json.loads(run("count", "--json", "-m", "gpt-4o", write(MESSAGES)).out)
    counted = count_prompt(MESSAGES, "gpt-4o")
    assert (told["tokens"], told["source"]) == (counted.tokens, counted.source)
    assert [one["role"] for one in told["messages"]] == ["system", "user"]
    assert tuple(one["tokens"] for one in told["messages"]) == counted.messages
    assert told["cost_usd"] > 0


@pytest.mark.parametrize("columns", [40, 60, 120])
def test_messages_on_a_terminal(terminal: Any, write: Callable[..., str], columns: int) -> None:
    """A terminal shows each message, what the format adds, and the sum, digits below digits."""
    many = [*MESSAGES, {"role": "user", "content": "word " * 1500}]
    started = terminal("count", write(many), "-m", "gpt-4o", columns=columns)
    assert started.end() == 0
    shown = started.screen
    begin = next(place for place, row in enumerate(shown) if row.startswith("tokens ("))
    rows, last, empty = shown[:begin], " ".join(shown[begin:-1]), shown[-1]
    counted = count_prompt(many, "gpt-4o")
    added = counted.tokens - sum(counted.messages)
    assert [row.rsplit(maxsplit=1)[0] for row in rows] == [
        "1  system",
        "2  user",
        "3  user",
        "format and tools",
        "in all",
    ]
    figures = [int(row.rsplit(maxsplit=1)[1].replace(",", "")) for row in rows]
    assert figures == [*counted.messages, added, counted.tokens]
    assert len(set(map(len, rows))) == 1
    assert last.startswith("tokens (official) · $")
    assert empty == ""


def test_a_role_cannot_move_the_cursor(terminal: Any, write: Callable[..., str]) -> None:
    """What stands in a file does not control the terminal."""
    nasty = [{"role": "\x1b]0;title\x07\x1b[2Juser", "content": "hello"}]
    started = terminal("count", write(nasty))
    started.end()
    assert "\x1b" not in started.written


def test_typing_the_text(terminal: Any) -> None:
    """A person without a file is told how to end the text."""
    started = terminal("count")
    started.until("Ctrl-D")
    started.type("hello\n\x04")
    assert started.end() == 0
    assert "tokens in o200k_base" in started.written


@pytest.mark.parametrize(
    ("content", "arguments", "explained"),
    [
        (b"ok \xff", [], (2, "byte 3 is not UTF-8")),
        (MESSAGES, ["-e", "cl100k_base"], (2, "messages are counted by --model")),
        (TEXT, ["-e", "cl200k"], (1, "o200k_base, o200k_harmony, cl100k_base")),
        (TEXT, ["-m", "nowhere.gguf"], (1, "nowhere.gguf")),
        ({"messages": 3}, [], (1, "messages")),
        ({"messages": [3]}, [], (1, "messages[0]")),
        ({"messages": MESSAGES, "model": 3}, [], (1, "a model of type int")),
        ([{"role": "user", "content": 3}], [], (1, "messages[0].content")),
    ],
)
def test_what_cannot_be_counted(
    run: Run,
    write: Callable[..., str],
    content: Any,
    arguments: list[str],
    explained: tuple[int, str],
) -> None:
    """What cannot be counted is explained, with no number and no traceback."""
    ended = run("count", write(content), *arguments)
    code, words = explained
    assert (ended.code, ended.out) == (code, "")
    assert words in ended.err
    assert "Traceback" not in ended.err


def test_a_file_that_cannot_be_read(run: Run, tmp_path: Path) -> None:
    """A file that is not there, and a folder, are errors that name them."""
    for path in (tmp_path / "nowhere.txt", tmp_path):
        ended = run("count", str(path))
        assert (ended.code, ended.out) == (1, "")
        assert ended.err.startswith(f"deltaweir: {path}: ")


def test_counting_loads_no_engine(run: Run) -> None:
    """A text for OpenAI's models needs no weights, no folder and no network."""
    closed = {"DELTAWEIR_CACHE": "/nonexistent", "PIP_NO_INDEX": "1", "HF_HUB_OFFLINE": "1"}
    assert run("count", "-m", "gpt-4o", stdin=b"hello", env=closed).out.strip() == "1"


@pytest.mark.parametrize("columns", [40, 60, 120])
def test_the_help_teaches(run: Run, columns: int) -> None:
    """The help has examples and every option whole, and fits the terminal."""
    shown = run("count", "--help", env={"COLUMNS": str(columns)}).out
    for words in ("deltaweir count messages.json", "--encoding NAME", "--text", "stdin"):
        assert words in shown
    text = [line for line in shown.splitlines() if not line.startswith(("  deltaweir", "Usage:"))]
    assert max(len(line) for line in text if "|" not in line and "$(" not in line) <= columns
