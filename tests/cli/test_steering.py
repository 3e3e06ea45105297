"""What the commands of a conversation change, say, and write."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deltaweir.cli.ask import Way
from deltaweir.cli.steering import Steering
from deltaweir.cli.transcript import Transcript
from deltaweir.errors import ConnectionFailed, DeltaweirError, ModelNotFound
from deltaweir.meter.account import Account
from deltaweir.schema.chunk import Usage

USAGE = Usage(prompt_tokens=1_000, completion_tokens=24, total_tokens=1_024)


class Models:
    """The models of a provider."""

    def __init__(self, *names: str, error: DeltaweirError | None = None) -> None:
        """List these names, or fail."""
        self._found = [SimpleNamespace(id=name) for name in names]
        self._error = error
        self.asked = 0

    def list(self) -> Any:
        """Return them."""
        self.asked += 1
        if self._error is not None:
            raise self._error
        return self._found


class Asking:
    """Goes where it is told, and keeps what was changed."""

    def __init__(self, models: Models) -> None:
        """Begin with the model m of a provider."""
        self.models = models
        self.changed: list[dict[str, Any]] = []
        self.go(self.find("m"))

    def find(self, name: str) -> Way:
        """Return the way to a model."""
        if name == "nope":
            raise ModelNotFound("no model nope; there is m")
        client: Any = SimpleNamespace(models=self.models)
        return Way(client, name, remote=True)

    def go(self, way: Way) -> None:
        """Take note."""
        self.way = way

    def change(self, **fields: Any) -> None:
        """Take note."""
        self.changed.append(fields)


def steering(
    *names: str, transcript: Transcript | None = None, error: DeltaweirError | None = None
) -> tuple[Steering, Asking]:
    """Return what steers a conversation, and what it steers."""
    asking = Asking(Models(*names, error=error))
    found: Any = asking
    return Steering(found, transcript or Transcript(), find=asking.find), asking


def test_models(capsys: pytest.CaptureFixture[str]) -> None:
    """They are listed with a mark at the one that is asked; another one is asked from then on."""
    steers, asking = steering("m", "n")
    steers.obey("model", "")
    assert capsys.readouterr().err.splitlines()[:2] == ["* m", "  n"]
    steers.obey("model", "n")
    assert (asking.way.model, steers.model) == ("n", "n")
    steers.obey("model", "nope")
    assert "deltaweir: no model nope; there is m" in capsys.readouterr().err
    assert asking.way.model == "n"


def test_choices() -> None:
    """Names are completed, asked for once; one that cannot be reached is no news while typing."""
    steers, asking = steering("m", "n")
    assert steers.choices("model") == steers.choices("model") == ["m", "n"]
    assert asking.models.asked == 1
    assert steers.choices("guard") == ["standard", "secrets", "pii", "off"]
    assert steers.choices("system") == ["off"]
    assert steers.choices("save") == []
    away, _ = steering(error=ConnectionFailed("away"))
    assert "smollm2" in away.choices("model")


def test_instructions(capsys: pytest.CaptureFixture[str]) -> None:
    """They are shown, set and taken away."""
    transcript = Transcript()
    steers, _ = steering(transcript=transcript)
    steers.obey("system", "")
    steers.obey("system", "Be kind.\nBe terse.")
    assert transcript.system == "Be kind.\nBe terse."
    steers.obey("system", "")
    steers.obey("system", "off")
    assert transcript.system is None
    shown = capsys.readouterr().err
    assert "There are no instructions" in shown
    assert "Be kind.\nBe terse.\n" in shown


def test_guards(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A preset or a file is set from then on; what is wrong with one is said, and changes none."""
    steers, asking = steering()
    steers.obey("guard", "")
    assert (
        "No guard is on.\n/guard NAME sets one: standard, secrets, pii" in capsys.readouterr().err
    )
    steers.obey("guard", "pii")
    (made,) = asking.changed.pop()["guard"]
    assert made.feed("to me@example.com now") + made.finish() == "to [REDACTED:email] now"
    assert steers.status().endswith("guard pii")
    steers.obey("guard", "nope")
    steers.obey("guard", str(tmp_path / "none.toml"))
    assert not asking.changed
    assert steers.status().endswith("guard pii")
    steers.obey("guard", "off")
    assert asking.changed == [{"guard": None}]
    assert steers.status() == "m · nothing used yet"


def test_status() -> None:
    """It has the model, the tokens and the cost, as far as they are known."""
    transcript = Transcript()
    steers, _ = steering(transcript=transcript)
    transcript.used_by(Account(USAGE, "provider", None, None, None), None, model="m")
    assert steers.status() == "m · 1,000 + 24 tokens · cost unknown"
    transcript.used_by(Account(USAGE, "provider", 10**9, None, None), None, model="m")
    assert steers.status() == "m · 2,000 + 48 tokens · $0.001+"


def test_saving(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Markdown or JSON by the ending, to a name of its own where none is given."""
    monkeypatch.chdir(tmp_path)
    transcript = Transcript()
    steers, _ = steering(transcript=transcript)
    steers.obey("save", "empty.md")
    assert not list(tmp_path.iterdir())
    transcript.asking("one")
    transcript.answered({"role": "assistant", "content": "a"})
    steers.obey("save", "talk.JSON")
    steers.obey("save", "talk.md")
    steers.obey("save", "")
    assert json.loads((tmp_path / "talk.JSON").read_text())["model"] == "m"
    assert (tmp_path / "talk.md").read_text() == "## You\n\none\n\n## m\n\na\n"
    assert len(list(tmp_path.glob("deltaweir-2*.md"))) == 1
    assert "Saved in talk.md" in capsys.readouterr().err


def test_no_file_is_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One that is there stays, and one that cannot be written is an error of one line."""
    transcript = Transcript()
    steers, _ = steering(transcript=transcript)
    transcript.asking("one")
    transcript.answered({"role": "assistant", "content": "a"})
    (tmp_path / "mine.md").write_text("mine")
    steers.obey("save", str(tmp_path / "mine.md"))
    assert (tmp_path / "mine.md").read_text() == "mine"
    assert "mine.md exists" in capsys.readouterr().err
    steers.obey("save", str(tmp_path / "no folder" / "a.md"))
    assert "No such file" in capsys.readouterr().err


def test_names_that_no_file_has(capsys: pytest.CaptureFixture[str]) -> None:
    """They are an error of one line."""
    transcript = Transcript()
    steers, asking = steering(transcript=transcript)
    transcript.asking("one")
    transcript.answered({"role": "assistant", "content": "a"})
    steers.obey("save", "~nobody-of-this-name/x.md")
    steers.obey("save", "a\0b.md")
    steers.obey("guard", "~nobody-of-this-name/x.toml")
    steers.obey("guard", "a\0b.toml")
    steers.obey("model", "a\0b")
    assert [line[:24] for line in capsys.readouterr().err.splitlines()] == [
        "~nobody-of-this-name is ",
        "What /save is told has a",
        "deltaweir: ~nobody-of-th",
        "What /guard is told has ",
        "What /model is told has ",
    ]
    assert asking.way.model == "m"


def test_usage_of_several_models(capsys: pytest.CaptureFixture[str]) -> None:
    """Each model has a line of its own below the sum, once another one was asked."""
    transcript = Transcript()
    account = Account(USAGE, "provider", 10**12, None, None)
    transcript.used_by(account, None, model="m")
    steered, _ = steering("m", "n", transcript=transcript)
    steered.obey("usage", "")
    assert capsys.readouterr().err == "1 answer · 1,000 + 24 tokens · $1.00\n"
    transcript.used_by(account, None, model="n")
    transcript.used_by(account, None, model="n")
    steered.obey("usage", "")
    assert capsys.readouterr().err.splitlines() == [
        "3 answers · 3,000 + 72 tokens · $3.00",
        "  m: 1 answer · 1,000 + 24 tokens · $1.00",
        "  n: 2 answers · 2,000 + 48 tokens · $2.00",
    ]
