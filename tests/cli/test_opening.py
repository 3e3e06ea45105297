"""Opening a stream: an interruption never reaches the call, and its stream is closed."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from deltaweir.cli import opening
from deltaweir.errors import InvalidRequest


class Stream:
    """A stream that knows whether it was closed."""

    def __init__(self) -> None:
        """Begin open."""
        self.closed = threading.Event()

    def close(self) -> None:
        """Take note."""
        self.closed.set()


def test_the_result() -> None:
    """The call's stream is returned, and stays open."""
    stream: Any = Stream()
    result: Any = opening.Opening(lambda: stream).result()
    assert result is stream
    assert not stream.closed.is_set()
    assert not opening.is_under_way()


def test_an_error() -> None:
    """The call's error is raised where it is waited for."""

    def fails() -> Any:
        raise InvalidRequest("no")

    with pytest.raises(InvalidRequest, match="no"):
        opening.Opening(fails).result()


@pytest.mark.parametrize("finished", [False, True], ids=["loading", "just loaded"])
def test_an_interruption(monkeypatch: pytest.MonkeyPatch, finished: bool) -> None:
    """An interruption goes past the call, whose stream is closed as soon as it is there."""
    stream: Any = Stream()
    loading = threading.Event()
    plain = threading.Thread.join

    def interrupted(thread: threading.Thread, timeout: float | None = None) -> None:
        if finished:
            loading.set()
            plain(thread, timeout=10)
        raise KeyboardInterrupt

    def create() -> Any:
        assert loading.wait(10)
        return stream

    call = opening.Opening(create)
    monkeypatch.setattr(threading.Thread, "join", interrupted)
    with pytest.raises(KeyboardInterrupt):
        call.result()
    assert opening.is_under_way() is not finished
    loading.set()
    assert stream.closed.wait(10)
