"""The streams that run now: read from this process, and from the ledger for all others."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from deltaweir.gateway.dashboard.live import Live, State
from deltaweir.gateway.runs.runs import Run
from deltaweir.gateway.streams.streams import Stream
from deltaweir.stores.ledger_columns import EMBEDDED, RunningRow

AT_ONCE = 8
"""Streams that are looked at in one turn, which takes a fraction of a millisecond."""

NameOf = Callable[[str | None], str | None]
"""Tells what a key is called."""


def live_here(streams: Iterable[Stream], name_of: NameOf, *, stoppable: bool) -> Iterator[Live]:
    """Yield what is known of streams that this process runs.

    It counts what has come since the last look, which may load a vocabulary at first: call it in
    a thread. The loop goes on meanwhile: it gets its turn after every few streams.

    Args:
        streams: The streams; those that have ended meanwhile are left out.
        name_of: Tells what a key is called.
        stoppable: Whether a request to stop one finds this process.
    """
    for number, stream in enumerate(streams, 1):
        if number % AT_ONCE == 0:
            time.sleep(0)  # lets go of the interpreter, or the loop would wait for its turn
        run, row = stream.run, stream.row
        if not isinstance(run, Run) or row is None or not run.open:
            continue
        account, opened = run.account(), row.opened
        usage = account.usage
        yield Live(
            stream_id=stream.stream_id,
            model=opened.model,
            started=opened.started,
            at=time.time(),
            state=_state(run, stream),
            upstream=shown_upstream(row.upstream),
            key_id=opened.key_id,
            key_name=name_of(opened.key_id),
            user=opened.user,
            tag=opened.tag,
            prompt_tokens=None if usage is None else usage.prompt_tokens,
            completion_tokens=None if usage is None else usage.completion_tokens,
            cost_pico=account.cost_pico,
            first_token_s=run.first_content_s,
            readers=_readers(run, stream),
            stoppable=stoppable,
        )


def live_elsewhere(
    rows: Iterable[RunningRow], name_of: NameOf, *, stoppable: Callable[[str], bool]
) -> Iterator[Live]:
    """Yield what the ledger knows of streams that other processes run, up to a second old.

    Args:
        rows: Their rows.
        name_of: Tells what a key is called.
        stoppable: Tells of a stream's id whether a request to stop it finds who runs it.
    """
    for row in rows:
        opened, tally = row.opened, row.tally
        yield Live(
            stream_id=opened.stream_id,
            model=opened.model,
            started=opened.started,
            at=row.checkpointed or opened.started,
            state="streaming" if tally.completion_tokens else "waiting",
            upstream=shown_upstream(row.upstream or ""),
            key_id=opened.key_id,
            key_name=name_of(opened.key_id),
            user=opened.user,
            tag=opened.tag,
            prompt_tokens=tally.prompt_tokens,
            completion_tokens=tally.completion_tokens,
            cost_pico=tally.cost_pico,
            here=False,
            stoppable=stoppable(opened.stream_id),
        )


def shown_upstream(name: str) -> str | None:
    """Return what an upstream is called, as the ledger has it; None for nobody."""
    return EMBEDDED.strip() if name.startswith(EMBEDDED) else name or None


def _state(run: Run, stream: Stream) -> State:
    if run.first_content_s is None:
        return "waiting"
    publication = stream.publication
    if run.unread or (publication is not None and publication.unread_since is not None):
        return "unread"
    return "held_up" if run.held_up(time.monotonic()) else "streaming"


def _readers(run: Run, stream: Stream) -> int:
    publication = stream.publication
    if publication is not None:
        return publication.readers
    return 0 if run.unread and run.first_content_s is not None else 1
