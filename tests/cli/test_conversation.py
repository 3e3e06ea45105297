"""A conversation: what a line does, and interruptions that do not end it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from deltaweir.cli.ask import Answered, Way
from deltaweir.cli.conversation import Conversation
from deltaweir.errors import ContextLengthExceeded, InvalidRequest
from deltaweir.meter.account import Account
from deltaweir.schema.chunk import Usage

SYSTEM = {"role": "system", "content": "Be terse."}
USAGE = Usage(prompt_tokens=39, completion_tokens=24, total_tokens=63)


class Stream(NamedTuple):
    """A stream that has ended."""

    cost: float = 0.5
    stopped_by: str | None = None

    def account(self, *, both: bool) -> Account:
        """Return what it used."""
        assert both
        return Account(USAGE, "provider", None, 24, USAGE)


class Asking:
    """Answers as it is told, and keeps what it was asked."""

    def __init__(self, *answers: Answered | BaseException, draws: bool = True) -> None:
        """Give these answers, one after the other."""
        self._answers = iter(answers)
        self.asked: list[dict[str, Any]] = []
        self.draws = draws
        self.markdown = False
        self.stats = True
        self.way = Way(None, "m", remote=False)  # type: ignore[arg-type]  # nobody is asked

    def go(self, way: Way) -> None:
        """Do nothing: nobody is asked."""

    def ask(self, **fields: Any) -> Answered:
        """Give the next answer."""
        self.asked.append(fields)
        answered = next(self._answers)
        if isinstance(answered, BaseException):
            raise answered
        return answered

    @property
    def questions(self) -> list[str]:
        """The question of each request."""
        return [fields["messages"][-1]["content"] for fields in self.asked]


class Lines:
    """Types lines, or interrupts."""

    editing = True
    typed = False

    def __init__(self, *lines: str | BaseException) -> None:
        """Type these, and leave."""
        self._lines: Iterator[str | BaseException] = iter([*lines, EOFError()])

    def read(self) -> str:
        """Return the next line."""
        line = next(self._lines)
        self.typed = isinstance(line, Cleared)
        if isinstance(line, BaseException):
            raise line
        return line


class Cleared(KeyboardInterrupt):
    """An interruption of an empty line in which something had been typed."""


def talk(asking: Any, *lines: str | BaseException) -> int:
    """Type lines to a conversation, and leave."""

    def find(name: str) -> Way:
        raise InvalidRequest(f"no {name}")

    talking = Conversation(
        asking, find=find, system="Be terse.", guards=["pii"], lines=Lines(*lines)
    )
    return talking.run()


def said(text: str) -> dict[str, str]:
    """Return an answer's message."""
    return {"role": "assistant", "content": text}


def test_history() -> None:
    """Each question goes with all that was said; a reset keeps the system prompt alone."""
    asking = Asking(*(Answered(0, said(text)) for text in "abc"))
    assert talk(asking, "one", "", "two ", "/reset", "three") == 0
    first, second, third = (fields["messages"] for fields in asking.asked)
    assert first == [SYSTEM, {"role": "user", "content": "one"}]
    assert second == [*first, said("a"), {"role": "user", "content": "two"}]
    assert third == [SYSTEM, {"role": "user", "content": "three"}]


def test_what_failed_is_forgotten() -> None:
    """A question without an answer leaves no trace, and a broken answer stays as it is."""
    failed, cut = Answered(1, None, InvalidRequest("no")), Answered(130, said("half"))
    asking = Asking(failed, cut, KeyboardInterrupt(), Answered(0, said("b")))
    assert talk(asking, "one", "two", "three", "four") == 0
    assert [message["content"] for message in asking.asked[-1]["messages"]] == [
        "Be terse.",
        "two",
        "half",
        "four",
    ]


def test_another_answer(capsys: pytest.CaptureFixture[str]) -> None:
    """/retry asks again without the answer; with some chance in it where nobody set any."""
    asking = Asking(*(Answered(0, said(text)) for text in "abc"))
    talk(asking, "/retry", "one", "two", "/retry")
    assert "Nothing was asked yet." in capsys.readouterr().err
    assert asking.asked[2] == {**asking.asked[1], "temperature": 0.8}
    fixed = Asking(Answered(130), Answered(0, said("a")), draws=False)
    talk(fixed, "one", "/retry")
    assert fixed.asked[0] == fixed.asked[1]


def test_another_answer_that_fails(capsys: pytest.CaptureFixture[str]) -> None:
    """The one before stays, and that is said; one that was interrupted takes its place."""
    failed, broken = Answered(1), Answered(1, said("half"), InvalidRequest("no"))
    whole, cut = Answered(0, said("a")), Answered(130, said("b"))
    asking = Asking(whole, failed, broken, cut, Answered(0, said("c")))
    talk(asking, "one", "/retry", "/retry", "/retry", "two")
    assert asking.asked[1] == asking.asked[2] == asking.asked[3]
    assert asking.asked[4]["messages"][1:3] == [{"role": "user", "content": "one"}, said("b")]
    assert capsys.readouterr().err.count("The answer before it stays.") == 2


def test_too_long(capsys: pytest.CaptureFixture[str]) -> None:
    """A reset is proposed when the conversation is too long, not when one question is."""
    long = Answered(1, None, ContextLengthExceeded("too long"))
    talk(Asking(long), "one")
    assert "/reset" not in capsys.readouterr().err
    talk(Asking(Answered(0, said("a")), long), "one", "two")
    assert "/reset begins a new one" in capsys.readouterr().err


def test_commands(capsys: pytest.CaptureFixture[str]) -> None:
    """Known ones are obeyed, the nearest of an unknown one is named, // is a question."""
    asking = Asking(Answered(0, said("a")))
    assert talk(asking, "/help", "/modle bar", "//etc", "/model x", "/quit", "never") == 0
    shown = capsys.readouterr().err
    assert "/reset " in shown
    assert "There is no command /modle; /help lists them. Did you mean /model?" in shown
    assert "deltaweir: no x" in shown
    assert asking.questions == ["/etc"]


def test_a_message_that_looks_like_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    """What it says is not thrown away with all that was said, and nobody has to leave."""
    asking = Asking(Answered(0, said("a")), Answered(0, said("b")))
    talk(asking, "one", "/reset my router, how?", "/quit\nsmoking, how?", "/help me", "two")
    shown = capsys.readouterr().err
    assert "/reset stands alone; nothing was done." in shown
    assert "/quit stands alone; nothing was done." in shown
    assert shown.count("begin it with //.") == 2
    assert "shows this" in shown
    assert asking.questions == ["one", "two"]
    assert said("a") in asking.asked[1]["messages"]


def test_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """What all answers used is added up, those too that were forgotten."""
    answers = (Answered(0, said(text), stream=Stream()) for text in "ab")  # type: ignore[arg-type]
    talk(Asking(*answers), "/usage", "one", "/reset", "two", "/usage")
    shown = capsys.readouterr().err.splitlines()
    assert "0 answers · nothing used yet" in shown
    assert "2 answers · 78 + 48 tokens · $1.00" in shown


@pytest.mark.parametrize("stats", [True, False])
def test_a_cut_is_said(capsys: pytest.CaptureFixture[str], stats: bool) -> None:
    """Also where the line that says so is left out."""
    cut: Any = Stream(stopped_by="budget")
    asking = Asking(Answered(3, said("a"), stream=cut))
    asking.stats = stats
    talk(asking, "one")
    assert ("cut by the budget" in capsys.readouterr().err) is not stats


def test_leaving(capsys: pytest.CaptureFixture[str]) -> None:
    """Two interruptions of an empty line leave; with anything between them the first is told."""
    assert talk(Asking(), KeyboardInterrupt(), KeyboardInterrupt(), "never") == 130
    assert capsys.readouterr().err.count("Ctrl-C once more leaves") == 1
    assert talk(Asking(), KeyboardInterrupt(), "", KeyboardInterrupt()) == 0
    assert talk(Asking(), KeyboardInterrupt(), Cleared()) == 0


def test_an_answer_that_is_laid_out_stands_apart(capsys: pytest.CaptureFixture[str]) -> None:
    """An empty line is before and after it."""
    asking = Asking(Answered(0, said("a")))
    asking.markdown = True
    talk(asking, "one")
    assert capsys.readouterr().err.splitlines()[1:] == ["", "", ""]
