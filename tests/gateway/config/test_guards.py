"""Guards of a configuration, and what they do to requests on the wire."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from tests.gateway.conftest import (
    CHAT,
    TEXT,
    Running,
    asking,
    events,
    hello,
    request,
    served,
    until,
)

from deltaweir.adapters.rule_files import PRESETS
from deltaweir.errors import InvalidRequest, InvalidRule
from deltaweir.gateway.config import guards
from deltaweir.gateway.config.file import Config, load_config
from deltaweir.gateway.config.guards import GuardConfig, Guards
from deltaweir.guard.policy import NOTHING
from deltaweir.testing import Peer, json_answer

MODEL = '[[models]]\nname = "smollm2"\nembedded = "smollm2"\n'
RULE = "[[rules]]\nid = 'code'\nregex = 'zz[0-9]{3}'\n"
FISH = "swordfish"

RULES = {
    "greeting": "regex = '[Ww]elcome to'",
    "world": "regex = 'world'\naction = 'block'",
    "short": "regex = 'my wor'\naction = 'truncate'",
    "seen": "regex = 'my'\naction = 'flag'",
    "secret": f"literals = ['{FISH}']\nscope = ['prompt']\naction = 'block'",
    "asked": f"literals = ['{FISH}']\nscope = ['prompt']",
    "told": f"literals = ['{FISH}']",
}
"""What the small model answers to `hello`, and what it is told."""


def config_of(directory: Path, text: str) -> Config:
    """Return the configuration of a text, beside one file of rules for each of `RULES`."""
    for name, rule in RULES.items():
        (directory / f"{name}.toml").write_text(f"[[rules]]\nid = '{name}-rule'\n{rule}\n", "utf-8")
    (directory / "rules.toml").write_text(RULE, "utf-8")
    path = directory / "deltaweir.toml"
    path.write_text(text, "utf-8")
    return load_config(path)


def test_a_guard_of_a_file(tmp_path: Path) -> None:
    """Rules are found from where the configuration is, and get what the table says."""
    table = 'rules = "rules.toml"\naction = "block"\nscope = "prompt"\nfold = true\n'
    text = f"{MODEL}guard = 'own'\n[guards.own]\n{table}on_error = 'open'\n"
    config = config_of(tmp_path, text)
    policy = Guards(config.guards).named(config.models[0].guards)
    (rule,) = policy.rules
    assert (rule.id, rule.action, rule.scope, rule.fold) == ("code", "block", ("prompt",), True)
    assert policy.on_error == "open"
    assert policy.plan("content") is None


def test_presets_need_no_table() -> None:
    """A preset's name is a guard's, unless a table has that name."""
    assert Guards({}).names == [*PRESETS]
    alone = Guards({}).named(["pii"]).rules
    assert {rule.action for rule in alone} == {"redact"}
    tables = {"pii": GuardConfig(preset="pii", action="block")}
    assert {rule.action for rule in Guards(tables).named(["pii"]).rules} == {"block"}


def own(tmp_path: Path, *names: str) -> Guards:
    """Return guards of one rule each, of which the first lets text through when it fails."""
    tables = {}
    for name in names:
        file = tmp_path / f"{name}.toml"
        file.write_text(f"[[rules]]\nid = '{name}'\nliterals = ['{name}']\n", "utf-8")
        on_error: Literal["open", "closed"] = "open" if name == names[0] else "closed"
        tables[name] = GuardConfig(rules=str(file), on_error=on_error)
    return Guards(tables)


def test_guards_add_up_in_one_order(tmp_path: Path) -> None:
    """A name that is there twice counts once, and the same guards are compiled once."""
    known = own(tmp_path, "a", "b")
    assert known.named([]) is NOTHING
    both = known.named(["b", "a", "a"])
    assert [rule.id for rule in both.rules] == ["a", "b"]
    assert known.named(["a", "b"]) is both
    assert (known.named(["a"]).on_error, both.on_error) == ("open", "closed")


def test_few_combinations_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks for many combinations does not make the server keep them all."""
    monkeypatch.setattr(guards, "MOST_JOINED", 1)
    known = own(tmp_path, "a", "b", "c")
    first = known.named(["a", "b"])
    assert known.named(["a", "b"]) is first
    known.named(["a", "c"])
    assert known.named(["a", "b"]) is not first


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (MODEL + "guard = 'nope'\n[guards.own]\npreset = 'pii'", "model 'smollm2': no guard"),
        (MODEL + "guard = 'nope'\n[guards.own]\npreset = 'pii'", "there are: own, standard"),
        (MODEL + "guard = ['pii', '']", "no guard is called ''"),
        (MODEL + "guard = ''", "no guard is called ''"),
        (MODEL + "guard = 5", "model 'smollm2': guard"),
        (MODEL + "gard = 'pii'", "did you mean guard"),
        ("guards = 5\n" + MODEL, "expected tables [guards.NAME]"),
        ("[guards]\nown = 'pii'\n" + MODEL, "guard 'own': got a str, expected a table"),
        ("[guards.own]\n" + MODEL, "guard 'own': expected exactly one of preset and rules"),
        ("[guards.own]\npreset = 'pii'\nrules = 'rules.toml'", "exactly one"),
        ("[guards.own]\nrules = 'pii'", "did you mean preset = 'pii'"),
        ("[guards.own]\npreset = 'pi'", "guard 'own': no preset is called 'pi'; did you mean pii?"),
        ("[guards.own]\npreset = 'x'", "no preset is called 'x'; known are standard, secrets, pii"),
        ("[[guards]]\npreset = 'pii'", "guards: expected tables [guards.NAME], got a list, which"),
        (MODEL + "guard = 'pi'", "no guard is called 'pi'; did you mean pii? there are: standard"),
        ("[guards.own]\npreset = 5", "guard 'own': preset: Expected `str"),
        ("[guards.own]\npreset = 'pii'\nactoin = 'flag'", "'actoin'; did you mean action?"),
        ("[guards.own]\npreset = 'pii'\nxyz = 'flag'", "'xyz'; known are preset, rules"),
        (
            "[guards.own]\npreset = 'pii'\naction = 'hide'",
            "action: got 'hide', expected one of flag, redact",
        ),
        (
            "[guards.own]\npreset = 'pii'\nscope = ['promt']",
            "scope: got 'promt', expected one of prompt",
        ),
        ("[guards.own]\npreset = 'pii'\nscope = []", "guard 'own': scope is empty"),
        (
            "[guards.own]\npreset = 'pii'\non_error = 'opened'",
            "on_error: got 'opened', expected one of closed",
        ),
        ("[guards.own]\nrules = 'none.toml'", "none.toml: cannot be read"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, words: str) -> None:
    """What is wrong with a guard is said before the server starts, with the file's name."""
    with pytest.raises(InvalidRequest) as caught:
        config_of(tmp_path, text)
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path / 'deltaweir.toml'}: ")


@pytest.mark.parametrize(
    ("pattern", "place", "reason"),
    [
        ("zz(?<=private)", 2, "look-around"),
        ("zz(private", 2, "("),
        ("zzprivate[0-9]*x", None, "bound its repeats"),
    ],
)
def test_a_bad_rule_is_placed(tmp_path: Path, pattern: str, place: int | None, reason: str) -> None:
    """Configuration, guard, file, rule and position are named; the pattern is not."""
    (tmp_path / "bad.toml").write_text(f"[[rules]]\nid = 'code'\nregex = '{pattern}'\n", "utf-8")
    with pytest.raises(InvalidRule) as caught:
        config_of(tmp_path, "[guards.own]\nrules = 'bad.toml'\n" + MODEL)
    message = str(caught.value)
    places = [message.index(word) for word in ("deltaweir.toml", "'own'", "bad.toml", "'code'")]
    assert places == sorted(places)
    assert reason in message
    assert (f"(character {place} of its pattern)" in message) is (place is not None)
    assert (caught.value.rule, caught.value.position) == ("code", place)
    assert "private" not in message


@pytest.fixture(scope="module", name="guarded")
def guarded_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A gateway whose model has a guard of its own, and others to ask for."""
    directory = tmp_path_factory.mktemp("guarded")
    tables = "".join(f"[guards.{name}]\nrules = '{name}.toml'\n" for name in RULES)
    text = (
        f"[server]\nport = 0\n{MODEL}guard = ['greeting', 'secret']\n"
        f"{MODEL.replace('smollm2', 'open', 1)}{tables}"
        f"[ledger]\nurl = 'sqlite:///{directory}/deltaweir.db'\n"
    )
    with served(config_of(directory, text)) as one:
        yield one


def asked(gateway: Running, *, stream: bool, headers: Any = None, **more: Any) -> dict[str, Any]:
    """Say hello; return text, finish_reason and our account, of a stream or a whole reply."""
    body = hello(max_tokens=30, stream=stream, **more)
    status, _, raw = request(gateway, CHAT, body, headers=headers)
    assert status == 200, raw
    if not stream:
        reply = json.loads(raw)
        choice = reply["choices"][0]
        return {"text": choice["message"]["content"], **choice, **reply["deltaweir"]}
    *chunks, done = events(raw)
    assert done == "[DONE]"
    choices = [chunk["choices"][0] for chunk in chunks]
    text = "".join(choice["delta"].get("content", "") for choice in choices)
    return {"text": text, **choices[-1], **chunks[-1]["deltaweir"]}


BOTH = pytest.mark.parametrize("stream", [True, False])


@BOTH
def test_a_models_guard_redacts(guarded: Running, *, stream: bool) -> None:
    """What a rule finds is replaced, and the account names the rule and the place alone."""
    got = asked(guarded, stream=stream)
    assert got["text"].startswith("Hello there, [REDACTED:greeting-rule] my world!")
    assert got["finish_reason"] in {"length", "stop"}
    assert "stopped_by" not in got
    assert got["guard"] == [
        {
            "rule": "greeting-rule",
            "action": "redact",
            "choice": 0,
            "field": "content",
            "offset": 13,
            "length": 10,
        }
    ]
    assert got["withheld_chars"] >= 10
    assert got["usage"]["completion_tokens"] > 10


@BOTH
@pytest.mark.parametrize(
    ("name", "text", "reason", "ending"),
    [
        ("world", "[REDACTED:greeting-rule] my ", "content_filter", "blocked"),
        ("short", "[REDACTED:greeting-rule] ", "length", "truncated_by_guard"),
    ],
)
def test_a_request_asks_for_more(
    guarded: Running, name: str, text: str, reason: str, ending: str, *, stream: bool
) -> None:
    """Its guard adds to the model's, in body or header, and the ledger says how it ended."""
    terms = {"guard": name, "tag": f"{name}-{stream}"}
    for where in ({"deltaweir": terms}, {"headers": {"X-Deltaweir": json.dumps(terms)}}):
        got = asked(guarded, stream=stream, **where)
        assert got["text"] == f"Hello there, {text}"
        assert (got["finish_reason"], got["stopped_by"]) == (reason, "guard")
    until(lambda: all(row.closed for row in guarded.rows(tag=terms["tag"])))
    ends = [row.closed for row in guarded.rows(tag=terms["tag"]) if row.closed]
    assert [(end.ending, end.finish_reason) for end in ends] == [(ending, reason)] * 2


def test_body_header_and_model_add_up(guarded: Running) -> None:
    """All three look at the stream; a flag shows nothing but its verdict."""
    headers = {"X-Deltaweir": '{"guard": "world"}'}
    got = asked(guarded, stream=True, headers=headers, deltaweir={"guard": "seen"})
    assert got["text"] == "Hello there, [REDACTED:greeting-rule] my "
    found = [(one["rule"], one["action"]) for one in got["guard"]]
    assert sorted(found) == [
        ("greeting-rule", "redact"),
        ("seen-rule", "flag"),
        ("world-rule", "block"),
    ]


@BOTH
@pytest.mark.parametrize("path", [CHAT, TEXT])
def test_a_blocked_prompt_costs_nothing(guarded: Running, path: str, *, stream: bool) -> None:
    """It is 400 before anything is computed, names rule and place, and leaves no row."""
    before = len(guarded.rows())
    messages = [{"role": "user", "content": f"The word is {FISH}."}]
    text = messages[0]["content"]
    given = {"messages": messages} if path == CHAT else {"prompt": text}
    status, _, raw = request(guarded, path, asking(path, stream=stream, **given))
    error = json.loads(raw)["error"]
    assert (status, error["code"]) == (400, "content_filter")
    assert error["param"] == ("messages[0].content" if path == CHAT else "prompt")
    assert "secret-rule" in error["message"]
    assert FISH.encode() not in raw
    assert len(guarded.rows()) == before


def test_a_guard_that_nobody_configured(guarded: Running) -> None:
    """An unknown name is 400 and answered with those there are; a path is no name."""
    for name in ("nope", "rules.toml", "/etc/passwd", ""):
        body = hello(deltaweir={"guard": name})
        status, _, raw = request(guarded, CHAT, body)
        error = json.loads(raw)["error"]
        assert (status, error["param"]) == (400, "deltaweir.guard")
        assert (
            "there are: greeting, world, short, seen, secret, asked, told, standard" in raw.decode()
        )


def test_our_clients_option_is_no_path_of_ours(guarded: Running, tmp_path: Path) -> None:
    """A top-level guard is none of the body: neither read as a file, nor refused."""
    rules = tmp_path / "theirs.toml"
    rules.write_text("[[rules]]\nid = 'all'\nregex = 'Hello'\naction = 'block'\n", "utf-8")
    for guard in (str(rules), "nope", ["pii"], {"rules": str(rules)}, 5):
        status, _, raw = request(guarded, CHAT, hello(model="open", guard=guard))
        assert (status, b"Hello there" in raw, b'"guard"' in raw) == (200, True, False)


def test_what_was_found_is_told_nowhere(guarded: Running, caplog: pytest.LogCaptureFixture) -> None:
    """No answer, error or line of a log has a character of it, echoed, flagged or refused."""
    raws = []
    body = {"model": "open", "prompt": f"One {FISH} two", "echo": True}
    with caplog.at_level(logging.DEBUG):
        for name in ("asked", "told", "secret"):
            for stream in (True, False):
                terms = {"guard": name}
                given = asking(TEXT, stream=stream, deltaweir=terms, **body)
                raws.append(request(guarded, TEXT, given)[2])
    redacted = [f"[REDACTED:{name}-rule]".encode() for name in ("asked", "told") for _ in range(2)]
    assert all(mark in raw for mark, raw in zip(redacted, raws, strict=False))
    assert b"content_filter" in raws[-1]
    assert not any(FISH.encode() in raw for raw in raws)
    assert FISH not in caplog.text


def test_a_moderation_endpoint_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a guard without rules of its own; what it flags ends the stream before it is shown."""
    monkeypatch.setenv("MODERATION_KEY", "sk-moderation-key")
    verdict = {"results": [{"flagged": True, "categories": {"hate": True}}]}
    with Peer(json_answer(verdict)) as peer:
        asks = f"moderation = {{ base_url = '{peer.base_url}', api_key = 'env:MODERATION_KEY' }}"
        text = (
            f"[server]\nport = 0\n{MODEL}guard = 'polite'\n[guards.polite]\n{asks}\n"
            f"[ledger]\nurl = 'sqlite:///{tmp_path}/deltaweir.db'\n"
        )
        with served(config_of(tmp_path, text)) as one:
            got = asked(one, stream=True)
        (sent, *_) = peer.requests
    assert (got["text"], got["finish_reason"], got["stopped_by"]) == ("", "content_filter", "guard")
    assert got["guard"][0]["rule"] == "moderation:hate"
    assert sent.headers["authorization"] == "Bearer sk-moderation-key"


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("{ base_url = 'http://127.0.0.1:1', api_key = 'env:NOT_THERE' }", "has no NOT_THERE"),
        ("{ base_url = 'nowhere' }", "guard 'own': got a base_url"),
        ("{ base_url = 'http://127.0.0.1:1', mode = 'look' }", "mode"),
        ("{ base_url = 'http://127.0.0.1:1', timeout_s = -1 }", "timeout_s"),
        ("{ url = 'http://127.0.0.1:1' }", "guard 'own': moderation"),
    ],
)
def test_a_moderation_that_cannot_be_asked(tmp_path: Path, table: str, words: str) -> None:
    """It is refused before the server starts; no key is told."""
    text = f"[guards.own]\npreset = 'pii'\nmoderation = {table}\n{MODEL}"
    with pytest.raises(InvalidRequest) as caught:
        config_of(tmp_path, text)
    assert words in str(caught.value)
