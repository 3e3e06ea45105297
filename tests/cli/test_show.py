"""What people see: clean text on a terminal, exact text elsewhere, and waits explained."""

from __future__ import annotations

import io
import sys
import threading
import time
from typing import Any

import pytest

from deltaweir.cli import show
from deltaweir.client.timing import Timing
from deltaweir.guard.verdicts import Verdict
from deltaweir.meter.account import Account
from deltaweir.schema.chunk import PartialUsage, Usage


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        """Say so."""
        return True


class Full(io.StringIO):
    """A stream that takes nothing."""

    def write(self, _text: str) -> int:
        """Refuse."""
        raise OSError(28, "No space left on device")


NASTY = "a\x1b]0;title\x07\x1b[2Jb\x9b31mc\x7f\r\bd\te\nf"


def test_control_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal never gets ESC, C1 and their like; a pipe gets the exact text."""
    for stream, expected in ((Screen(), "a]0;title[2Jb31mcd\te\nf"), (io.StringIO(), NASTY)):
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setattr(sys, "stderr", stream)
        show.write(NASTY)
        assert stream.getvalue() == expected
        show.say(NASTY)
        assert stream.getvalue() == f"{expected}{expected}\n"


def test_no_character_of_the_control_blocks_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of C0, DEL and C1 only tab and line feed reach a terminal."""
    monkeypatch.setattr(sys, "stdout", screen := Screen())
    show.write("".join(map(chr, range(256))))
    assert sorted(set(map(ord, screen.getvalue())) & {*range(32), *range(127, 160)}) == [9, 10]


DIRECTIONS = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))


def test_what_turns_letters_around(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal a mark stands in its place, and what joins letters stays; a pipe gets it."""
    joined, turned = "👩\u200d💻 a\u200cb", "".join(map(chr, DIRECTIONS))
    for stream, expected in ((Screen(), "\ufffd" * len(DIRECTIONS)), (io.StringIO(), turned)):
        monkeypatch.setattr(sys, "stdout", stream)
        show.write(joined + turned)
        assert stream.getvalue() == joined + expected
    assert show.printable("a\ud800") == "a\ufffd"


def test_news_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stderr that is full is no reason to end; a stdout is."""
    monkeypatch.setattr(sys, "stderr", Full())
    monkeypatch.setattr(sys, "stdout", Full())
    show.say("news")
    with pytest.raises(OSError, match="No space"):
        show.write("text")


USAGE = Usage(prompt_tokens=39, completion_tokens=24, total_tokens=63)
FAST = Timing(0.01, 0.081, 0.969, 27.2)
ENGINE = Account(USAGE, "engine", 0, None, None)
PROVIDER = Account(USAGE, "provider", 4 * 10**8, 22, USAGE)
TIMES = "first token 0.08 s · whole 0.97 s"


class Stream:
    """What the statistics read of a stream."""

    def __init__(self, account: Account = ENGINE, **data: Any) -> None:
        """Take the data that are not as usual."""
        self._account = account
        self.timing = FAST
        self.cost: float | None = account.cost_usd
        self.complete = True
        self.stopped_by: str | None = None
        self.verdicts: list[Verdict] = []
        self.__dict__.update(data)

    def account(self, *, both: bool = False) -> Account:
        """Return the account; a statistics line asks for both figures."""
        assert both
        return self._account


@pytest.mark.parametrize(
    ("stream", "line"),
    [
        (Stream(), f"39 + 24 tokens (engine) · $0 · {TIMES} · 27 tok/s"),
        (
            Stream(Account(None, None, None, None, None), timing=Timing(None, None, None, None)),
            "cost unknown · whole 0.00 s",
        ),
        (
            Stream(
                Account(None, None, None, None, None),
                timing=Timing(None, None, None, None),
                cost=0.25,
            ),
            "$0.25 · whole 0.00 s",
        ),
        (
            Stream(
                Account(USAGE, "engine", 10**12, None, None),
                complete=False,
                timing=FAST._replace(tokens_per_second=None),
            ),
            f"39 + 24 tokens (engine) · $1.00 · {TIMES} · not complete",
        ),
        (
            Stream(timing=Timing(0.01, 0.081, 0.1, 287534.0)),
            "39 + 24 tokens (engine) · $0 · first token 0.08 s · whole 0.10 s",
        ),
        (
            Stream(PROVIDER),
            f"39 + 24 tokens (provider, we counted 22: +2) · $0.0004 · {TIMES} · 27 tok/s",
        ),
        (
            Stream(PROVIDER._replace(counted=24)),
            f"39 + 24 tokens (provider, we counted 24) · $0.0004 · {TIMES} · 27 tok/s",
        ),
        (
            Stream(
                Account(PartialUsage(completion_tokens=24), "estimated", None, 24, None, 4),
                complete=False,
                stopped_by="budget",
            ),
            (
                "? + 24 tokens (estimated, 4 of them not shown) · cost unknown · "
                f"{TIMES} · 27 tok/s · cut by the budget"
            ),
        ),
        (
            Stream(
                complete=False,
                stopped_by="guard",
                verdicts=[Verdict("iban", "block", 0, "content", 9, 22)],
            ),
            f"39 + 24 tokens (engine) · $0 · {TIMES} · 27 tok/s · cut by the guard (iban)",
        ),
    ],
)
def test_statistics(monkeypatch: pytest.MonkeyPatch, stream: Any, line: str) -> None:
    """The line says what is known, and ASCII is enough for it."""
    monkeypatch.setattr(sys, "stderr", Screen())
    assert show.statistics(stream) == line
    monkeypatch.setattr(Screen, "encoding", "ascii")
    assert show.statistics(stream) == line.replace("·", "|")


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (0.0, "$0"),
        (0.000012, "$0.000012"),
        (0.0012, "$0.0012"),
        (0.1, "$0.1"),
        (0.999, "$1"),
        (2, "$2.00"),
        (1234.5, "$1,234.50"),
    ],
)
def test_dollars(amount: float, shown: str) -> None:
    """Small sums keep two digits that count, and no sum is written as 1e-05."""
    assert show.dollars(amount) == shown


def narrow(monkeypatch: pytest.MonkeyPatch) -> Screen:
    """Return a stderr that is a terminal of 20 columns; pytest would undo it in a fixture."""
    monkeypatch.setattr(sys, "stderr", screen := Screen())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "20")
    return screen


def test_a_long_wait_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long wait is explained within the terminal's width, and wiped at its end."""
    screen = narrow(monkeypatch)
    monkeypatch.setattr(show, "_REDRAW_S", 0.001)
    told = threading.Event()

    def explain() -> str:
        if screen.getvalue().count("\r") > 1:
            told.set()
        return "x" * 50

    with show.Waiting(explain, patience_s=0.001):
        assert told.wait(10)
    first, *_, last = screen.getvalue().removeprefix("\r").split("\r")
    assert first == "x" * 19 + "\x1b[K"
    assert last == "\x1b[K"
    written = screen.getvalue()
    time.sleep(0.01)
    assert screen.getvalue() == written


def test_a_short_wait_is_not_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a second nothing is written, neither text nor a wipe."""
    screen = narrow(monkeypatch)
    with show.Waiting(lambda: "waiting"):
        pass
    assert screen.getvalue() == ""


def test_a_wait_explained_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without patience the text is there before the wait begins."""
    screen = narrow(monkeypatch)
    with show.Waiting(lambda: "loading", patience_s=0) as waiting:
        assert screen.getvalue() == "\rloading\x1b[K"
        waiting.end()
        waiting.end()
    assert screen.getvalue() == "\rloading\x1b[K\r\x1b[K"


@pytest.mark.parametrize("case", ["file", "dumb"])
def test_only_a_terminal_waits(monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    """A file and a dumb terminal are told nothing."""
    monkeypatch.setattr(sys, "stderr", stream := Screen() if case == "dumb" else io.StringIO())
    monkeypatch.setenv("TERM", case)
    with show.Waiting(lambda: "waiting", patience_s=0):
        pass
    assert stream.getvalue() == ""


def test_an_interrupted_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """An end that was interrupted is made up for when the block is left."""
    screen = narrow(monkeypatch)
    waiting = show.Waiting(lambda: "loading", patience_s=0)
    plain, calls = threading.Thread.join, []

    def join(thread: threading.Thread, timeout: float | None = None) -> None:
        calls.append(thread)
        if len(calls) == 1:
            raise KeyboardInterrupt
        plain(thread, timeout)

    monkeypatch.setattr(threading.Thread, "join", join)
    with pytest.raises(KeyboardInterrupt), waiting:
        waiting.end()
    assert screen.getvalue() == "\rloading\x1b[K\r\x1b[K"


def test_the_own_words_break_between_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a narrow terminal no word of a line on stderr is cut; a pipe gets the line."""
    text = "1000 + 200 tokens (provider, we counted 191: +9)"
    monkeypatch.setenv("COLUMNS", "44")
    for stream, expected in ((Screen(), text.replace("191: ", "191:\n")), (io.StringIO(), text)):
        monkeypatch.setattr(sys, "stderr", stream)
        show.say(text)
        assert stream.getvalue() == f"{expected}\n"
