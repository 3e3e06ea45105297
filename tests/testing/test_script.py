"""The scripted source plays its steps, one a wait, whichever way one waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from deltaweir import testing
from deltaweir.errors import StreamFailed
from deltaweir.testing import HEARTBEAT, SILENCE, AsyncScript, Script
from deltaweir.types import Chunk, Usage

Play = Callable[[], Any]


@pytest.fixture(params=["blocking", "asynchronous"])
def opened(request: pytest.FixtureRequest) -> Callable[..., tuple[Any, Play]]:
    """Return a maker of scripts, each with a way to play its next step."""

    def blocking(steps: list[testing.Step]) -> tuple[Any, Play]:
        script: Script[Chunk] = Script(steps)
        return script, lambda: script.receive(5)

    def asynchronous(steps: list[testing.Step]) -> tuple[Any, Play]:
        script: AsyncScript[Chunk] = AsyncScript(steps)
        return script, lambda: asyncio.run(script.receive(5))

    return blocking if request.param == "blocking" else asynchronous


def test_steps_are_played_in_order(opened: Callable[..., tuple[Any, Play]]) -> None:
    """Chunks come one a wait, a heartbeat brings none, and after the last step it is over."""
    first, second = Chunk(id="1"), Chunk(id="2")
    script, play = opened([first, HEARTBEAT, second])
    assert [play() for _ in range(5)] == [[first], [], [second], None, None]
    assert not script.closed


def test_faults_are_steps(opened: Callable[..., tuple[Any, Play]]) -> None:
    """A silence times out, an error is raised, and the script goes on after both."""
    _, play = opened([SILENCE, StreamFailed("x"), Chunk()])
    with pytest.raises(TimeoutError):
        play()
    with pytest.raises(StreamFailed, match="x"):
        play()
    assert play() == [Chunk()]


def test_the_last_usage_counts(opened: Callable[..., tuple[Any, Play]]) -> None:
    """The source's own count is the last one a chunk had."""
    script, play = opened([Chunk(), Chunk(usage=Usage(total_tokens=3)), Chunk()])
    seen = []
    for _ in range(3):
        play()
        seen.append(script.usage)
    assert seen == [None, Usage(total_tokens=3), Usage(total_tokens=3)]


def test_a_closed_script_is_over(opened: Callable[..., tuple[Any, Play]]) -> None:
    """Once the reader has closed it, nothing more comes."""
    script, play = opened([Chunk(), Chunk()])
    play()
    script.close()
    script.close()
    assert script.closed
    assert play() is None


def test_the_public_names() -> None:
    """What is exported exists, sorted, and the scripts are among it."""
    assert {"AsyncScript", "Script", "Peer"} <= set(testing.__all__)
    assert all(hasattr(testing, name) for name in testing.__all__)
