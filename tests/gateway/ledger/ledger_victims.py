"""Fork writers of a ledger and kill them; run by test_ledger.

Reads seconds from stdin, one victim a line, and says "killed" when it is dead. Victims write
down what the ledger has promised them, each in a file of its own that outlives them.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from deltaweir.accounts import Attempt, Checkpoint, Closed, Entry, Opened, Tally
from deltaweir.gateway.ledger.ledger import Handle, Ledger
from deltaweir.gateway.ledger.writer import Pace
from deltaweir.stores.sqlite import SqliteLedger

PACE = Pace(window_s=0.0005, batch=20, checkpoint_s=0.001, look_s=0.01)
# only the test and the victims look for the dead, so that the test knows when it has been done
STEADY = Pace(window_s=0.0005, checkpoint_s=0.02, look_s=3600)
AT_ONCE = 5


class Promising(SqliteLedger):
    """A ledger's file that writes down which checkpoints it has acknowledged."""

    def __init__(self, path: Path, promises: int) -> None:
        super().__init__(path)
        self._promises = promises

    def write(self, batch: Sequence[Entry]) -> None:
        """Write, and then promise."""
        super().write(batch)
        for entry in batch:
            if isinstance(entry, Checkpoint):
                count = entry.tally.completion_tokens
                os.write(self._promises, f"counted {entry.stream_id} {count}\n".encode())


def figures(count: int) -> Tally:
    """Return figures that belong together."""
    return Tally(completion_tokens=count, prompt_tokens=2 * count, counted_tokens=3 * count)


def counting() -> Callable[[], Tally]:
    """Return a tally that grows each time it is asked."""
    count = itertools.count(1)
    return lambda: figures(next(count))


def opened(ledger: Ledger, name: str, *, key_id: str) -> list[Handle]:
    """Open some streams, each with an attempt."""
    handles = []
    for number in range(AT_ONCE):
        stream_id = f"{name}-{number}"
        entry = Opened(stream_id=stream_id, started=time.time(), model="m", key_id=key_id)
        handles.append(ledger.opened(entry, counting()))
        handles[-1].attempt(
            Attempt(stream_id=stream_id, number=1, upstream="u", started=entry.started)
        )
    return handles


def close(handles: Sequence[Handle]) -> None:
    """End streams."""
    for handle in handles:
        handle.close(
            Closed(
                stream_id=handle.stream_id,
                ended=time.time(),
                tally=figures(10**6),
                ending="complete",
            )
        )


def victim(path: Path, directory: Path, name: str) -> None:
    """Open and close streams until killed."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    promises = os.open(directory / f"{name}.promises", flags)
    ledger = Ledger(Promising(path, promises), pace=PACE)
    for turn in itertools.count():
        handles = opened(ledger, f"{name}-{turn}", key_id="victim")
        for handle in handles:
            handle.durable.result()
            os.write(promises, f"opened {handle.stream_id}\n".encode())
        close(handles[1:])  # one stays open
        if ledger.flush(20):
            for handle in handles[1:]:
                os.write(promises, f"closed {handle.stream_id}\n".encode())


def steady(path: Path, name: str, ready: int, end: int) -> None:
    """Keep streams open until the pipe is closed, then end them."""
    with Ledger(SqliteLedger(path), pace=STEADY) as ledger:
        handles = opened(ledger, name, key_id="steady")
        for handle in handles:
            handle.durable.result()
        os.write(ready, b"x")
        os.read(end, 1)
        close(handles)


def child(work: Callable[[], None]) -> int:
    """Fork a process that does some work and nothing else; return its id."""
    process = os.fork()
    if process == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return process


def main() -> None:
    """Start the steady writers, then kill a victim for each line."""
    path, directory = Path(sys.argv[1]), Path(sys.argv[2])
    ready, told = os.pipe()
    end, never = os.pipe()

    def live(name: str) -> None:
        os.close(never)
        steady(path, name, told, end)

    lives = [child(lambda name=name: live(name)) for name in ("steady1", "steady2")]  # type: ignore[misc]
    for _ in lives:
        os.read(ready, 1)
    print("steady", flush=True)  # noqa: T201  # the way to the test
    for number, delay_s in enumerate(sys.stdin):
        process = child(lambda name=str(number): victim(path, directory, name))  # type: ignore[misc]
        time.sleep(float(delay_s))
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        print("killed", flush=True)  # noqa: T201  # the way to the test
    os.close(never)
    for process in lives:
        if os.waitpid(process, 0)[1]:
            sys.exit(1)


if __name__ == "__main__":
    main()
