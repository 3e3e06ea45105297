"""Conversations on a real terminal: narrow and wide, without colour, stopped, and resized."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from tests.live.tmux import Start, starting

from deltaweir.testing import Pause, Peer, chat_events, stream_answer

pytestmark = [
    pytest.mark.live,
    pytest.mark.timeout(180),
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no tmux"),
]

EMBEDDED = ("chat", "-m", "smollm2", "-t", "0")
STORY = "Tell me a very long story about a fox"
MARKDOWN = """\
# Sorting

Some **bold** text with 日本語 and 👍 that is long enough to break on a narrow terminal, \
and even on one of medium width.

1. one
2. two
   - three

| name | what it does |
|------|-------------:|
| quick | splits and sorts both halves, again and again |
| 田中 | is a name |

```python
def double(x):
    return 2 * x  # twice
```

The end.
"""
MARKS = ("**", "# Sorting", "|---", "1. one\n\n2.")


@pytest.fixture(name="start")
def start_fixture() -> Iterator[Start]:
    """Return a function that starts the command under tmux."""
    with starting() as start:
        yield start


def asking(peer: Peer) -> tuple[str, ...]:
    """Return the arguments of a conversation with a peer."""
    return ("chat", "--base-url", peer.base_url, "--api-key", "x", "-m", "m")


def halting(text: str, *before: str) -> tuple[Sequence[Any], list[Pause]]:
    """Return an answer in pieces of a few letters that halts before each of these texts."""
    places = [text.index(one) for one in before]
    steps: list[Any] = []
    pauses = []
    for start, end in itertools.pairwise([0, *places, len(text)]):
        pieces = [text[place : min(place + 4, end)] for place in range(start, end, 4)]
        events = chat_events(*pieces, usage=(3, 4))
        head, *sent = stream_answer(events if end == len(text) else events[: 1 + len(pieces)])
        # the last step ends the answer
        steps += [*([] if steps else [head]), *(sent if end == len(text) else sent[:-1])]
        if end != len(text):
            pauses.append(Pause())
            steps.append(pauses[-1])
    return steps, pauses


def check(shown: str, columns: int) -> None:
    """Check that a terminal shows the answer, laid out, and each part of it once."""
    rows = shown.split("\n")
    assert max(map(cell_len, rows)) <= columns
    assert not [mark for mark in MARKS if mark in shown]
    for once in ("Sorting", "1. one", "2. two", "◦ three", "田中", "def double(x):", "The end."):
        assert shown.count(once) == 1, once
    words = " ".join(shown.split())
    assert "Some bold text with 日本語 and 👍 that is long enough to break on a" in words
    assert "return 2 * x # twice ``` The end." in words


@pytest.mark.parametrize("columns", [40, 120])
def test_narrow_and_wide(start: Start, columns: int) -> None:
    """Blocks are laid out for the width, each is there once, and colours are the terminal's."""
    steps, (pause,) = halting(MARKDOWN, "and sorts both")
    with Peer(steps) as peer:
        shown = start(*asking(peer), columns=columns, lines=20)
        shown.ready()
        shown.type("Show me.")
        shown.press("Enter")
        shown.until("splits")
        pause.release()
        shown.until("tokens (provider")
        check(shown.ready(), columns)
        escaped = "\n".join(shown.rows(escapes=True))
    more = r"(?:\x1b\[[0-9;]*m)*"
    assert re.search(rf"\x1b\[[0-9;]*35m{more}def", escaped)
    assert re.search(rf"\x1b\[[0-9;]*1m{more}bold", escaped)


def test_resized_in_mid_answer(start: Start) -> None:
    """Made narrower and wider again while it comes, nothing is lost and nothing is there twice."""
    halts = ("to break on", "three", "splits", "is a name", "twice")
    sizes = ((50, 18), (30, 22), (26, 22), (70, 16), (110, 20))
    steps, pauses = halting(MARKDOWN, *halts)
    with Peer(steps) as peer:
        shown = start(*asking(peer), columns=100, lines=20)
        shown.ready()
        shown.type("Show me.")
        shown.press("Enter")
        for pause, size, last in zip(
            pauses, sizes, ("enough", "2. two", "quick", "田中", "x  #"), strict=True
        ):
            shown.until(last)
            assert pause.reached.wait(10)
            shown.resize(*size)
            # drawn anew for its new size, also where only the wait moves
            shown.until("waiting ...")
            pause.release()
        shown.until("tokens (provider")
        whole = shown.ready()
    for once in ("Sorting", "1. one", "2. two", "田中", "def double(x):", "The end."):
        assert whole.count(once) == 1, whole
    assert "Some bold text with 日本語 and 👍" in " ".join(whole.split())


def test_ctrl_c_at_every_stage(start: Start) -> None:
    """With the embedded model: while it loads, before and in an answer, and while one types."""
    shown = start(*EMBEDDED, "--max-tokens", "300")
    shown.ready()
    shown.type("half a line")
    shown.press("C-c")
    shown.type(STORY)
    shown.press("Enter")
    shown.until("loading the model ...")
    shown.press("C-c")
    shown.until(lambda text: "loading" not in text)
    shown.ready()
    shown.type(STORY)
    shown.press("Enter")
    shown.until(" fox was ")
    shown.press("C-c")
    shown.until("complete")
    shown.ready()
    shown.type("/usage")
    shown.press("Enter")
    shown.until("1 answer · ")
    shown.press("C-c")
    shown.until("once more leaves")
    shown.press("C-c")
    text = shown.until("ended 130")
    assert "half a line" not in text
    assert "Traceback" not in text


def test_without_colour(start: Start) -> None:
    """An answer is the text that the model wrote, and has no colour."""
    with Peer(halting(MARKDOWN)[0]) as peer:
        shown = start(*asking(peer), columns=100, lines=40, env={"NO_COLOR": "1"})
        shown.ready()
        shown.type("Show me.")
        shown.press("Enter")
        shown.until("tokens (provider")
        text = shown.ready()
        assert "# Sorting\n\nSome **bold** text" in text
        assert "| quick | splits" in text
        assert not re.search(r"\x1b\[(1;)?3[0-7]m", "\n".join(shown.rows(escapes=True)))


def test_piped() -> None:
    """Through pipes nothing but the answer is on stdout, and no escape sequence anywhere."""
    done = subprocess.run(
        [sys.executable, "-m", "deltaweir", *EMBEDDED, "--max-tokens", "20", "--markdown"],
        input=b"Say hello.",
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip()
    assert b"\x1b" not in done.stdout + done.stderr
    assert b"> " not in done.stderr


def test_a_conversation_with_the_embedded_model(start: Start, tmp_path: Path) -> None:
    """Asked, asked again with Up, saved and left, on a terminal of forty columns."""
    shown = start(*EMBEDDED, "--max-tokens", "20", columns=40, lines=16)
    shown.ready()
    shown.type("Say hello.")
    shown.press("Enter")
    shown.until("tok/s")
    shown.ready()
    shown.press("Up", "Enter")
    shown.until(lambda text: text.count("tok/s") == 2)
    shown.ready()
    shown.type(f"/save {tmp_path / 'talk.json'}")
    shown.press("Enter")
    shown.until("Saved in")
    shown.press("C-d")
    shown.until("ended 0")
    assert (tmp_path / "talk.json").read_text().count('"Say hello."') == 2
