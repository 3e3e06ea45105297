"""A long answer does not make the page stutter: measured in the browser, frame by frame."""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from tests.live.browsing import Front, expect, fronted
from tests.live.test_page_chat import answer, ask, ended

from deltaweir.testing import chat_events, stream_answer

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

TOKENS = 20_000
MOST_LONG_TASK_MS = 500
"""What one task may take on a machine that does much else; 50 is the goal, on one of its own."""
WATCH = """() => {
  window.seen = { tasks: [], frames: [] };
  new PerformanceObserver((list) => {
    for (const one of list.getEntries()) window.seen.tasks.push(one.duration);
  }).observe({ type: "longtask" });
  let last = performance.now();
  const frame = (now) => {
    window.seen.frames.push(now - last);
    last = now;
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
}"""
WORDS = re.findall(r"\w+", "a weir is a low dam that measures the stream and lets water pass on")


class Seen(NamedTuple):
    """What the browser saw."""

    tasks: list[float]
    """Milliseconds of each task longer than 50."""
    frames: list[float]
    """Milliseconds between frames."""

    def __str__(self) -> str:
        frames = sorted(self.frames)
        at = {share: frames[int(len(frames) * share)] for share in (0.5, 0.95, 0.99)}
        told = " ".join(f"p{share * 100:g} {value:.1f}" for share, value in at.items())
        longest = max(self.tasks, default=0.0)
        return (
            f"{len(frames)} frames, ms: {told} longest {frames[-1]:.1f}; "
            f"{len(self.tasks)} tasks over 50 ms, longest {longest:.0f}"
        )


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """A gateway that all tests here share."""
    yield from fronted(tmp_path_factory.mktemp("gateway"))


def mixed(tokens: int) -> list[str]:
    """Return an answer of many paragraphs, lists, tables and pieces of code, token by token."""
    chance = random.Random(8)  # noqa: S311  # the same answer in each run
    found: list[str] = []
    while len(found) < tokens:
        kind = chance.choice(["prose", "prose", "list", "code", "table"])
        words = [" " + chance.choice(WORDS) for _ in range(chance.randint(30, 120))]
        if kind == "list":
            words = [f"\n- {word}" if at % 9 == 0 else word for at, word in enumerate(words)]
        elif kind == "code":
            lines = [f"\n    {word}(" if at % 6 == 0 else word for at, word in enumerate(words)]
            words = ["```", "python", *lines, "\n", "```"]
        elif kind == "table":
            cells = [f"\n|{word}|" if at % 4 == 0 else f"{word}|" for at, word in enumerate(words)]
            words = ["|a|b|c|d|", "\n|-|-|-|-|", *cells]
        else:
            words[3], words[7] = " **bold**", " `code`"
        found += [*words, "\n\n"]
    return found[:tokens]


SHAPES = {
    "mixed": mixed(TOKENS),
    "one paragraph": [" " + WORDS[at % len(WORDS)] for at in range(TOKENS)],
    "one list": [
        f"\n- **{WORDS[at % 13]}**" if at % 12 == 0 else f" {WORDS[at % 13]}"
        for at in range(TOKENS)
    ],
    "one piece of code": [
        "```\n",
        *(f"{WORDS[at % 13]} " + "\n" * (at % 9 == 0) for at in range(TOKENS)),
    ],
    "one table": [
        "|a|b|\n|-|-|",
        *(f"\n|{at}|" if at % 2 else f" {at}|" for at in range(1, TOKENS // 5)),
    ],
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_long_answer_does_not_stutter(
    front: Front, page: Any, shape: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """20,000 tokens as fast as they come, 2,000 rows: no task is long, and the text is whole."""
    front.speaker.answers[shape] = stream_answer(chat_events(*SHAPES[shape], usage=(1, TOKENS)))
    page.goto(front.address)
    page.evaluate(WATCH)
    ask(page, shape)
    page.locator(".turn.streaming").wait_for()
    page.locator(".turn:not(.streaming) .actions").wait_for(timeout=240_000)
    ended(page)
    said = "".join(SHAPES[shape]).split()
    for word in (said[-2], said[-1]):
        # thousands of rows are laid out anew with each that comes: they go on to fill in
        expect(answer(page)).to_contain_text(word.strip("|*`"), timeout=60_000)
    seen = Seen(**page.evaluate("window.seen"))
    with capsys.disabled():
        sys.stderr.write(f"\n{len(SHAPES[shape])} tokens, {shape}: {seen}\n")
    assert max(seen.tasks, default=0.0) < MOST_LONG_TASK_MS
