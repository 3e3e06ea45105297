"""One stream's row in the ledger, from before its first byte to its end."""

from __future__ import annotations

import secrets
import time
from typing import Any, Literal, Self

from deltaweir.accounts import Attempt, Closed, Opened, Tally
from deltaweir.client.streams import AsyncStream
from deltaweir.endings import Ending
from deltaweir.gateway.ledger import Handle, Ledger
from deltaweir.meter.account import Account


class StreamRow:
    """Tell the ledger of one stream; a context manager, whose end is the row's.

    Args:
        ledger: Where it is written; None writes nothing.
        model: The model's name as the client used it.
        upstream: Who computes it.
        user: Who asked, None when nobody said.
        tag: What its cost is filed under.
        endpoint: Which of OpenAI's two forms it has.
        streamed: Whether a stream was asked for.

    Raises:
        LedgerUnavailable: The ledger is closed.
    """

    def __init__(
        self,
        ledger: Ledger | None,
        *,
        model: str,
        upstream: str,
        user: str | None,
        tag: str | None,
        endpoint: Literal["chat", "text"],
        streamed: bool,
    ) -> None:
        self._stream: AsyncStream[Any, Any] | None = None
        self._upstream = upstream
        self._started = time.time()
        self._handle: Handle | None = None
        if ledger is not None:
            opened = Opened(
                stream_id=f"stm_{secrets.token_hex(16)}",
                started=self._started,
                model=model,
                user=user,
                tag=tag,
                endpoint=endpoint,
                streamed=streamed,
            )
            self._handle = ledger.opened(opened, self._tally)
            self._handle.attempt(self._attempt(opened.stream_id))

    def follow(self, stream: AsyncStream[Any, Any]) -> None:
        """Take a stream's figures from now on."""
        self._stream = stream

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Write the end, whatever it was."""
        handle, stream = self._handle, self._stream
        if handle is None:
            return
        ended, tally = time.time(), self._tally()
        ending = (stream.ending if stream is not None else None) or Ending.FAILED
        timing = None if stream is None else stream.timing
        handle.attempt(
            self._attempt(handle.stream_id, ended=ended, tally=tally, ending=str(ending.value))
        )
        handle.close(
            Closed(
                stream_id=handle.stream_id,
                ended=ended,
                tally=tally,
                ending=str(ending.value),
                finish_reason=None if stream is None else stream.finish_reason,
                first_content_s=None if timing is None else timing.first_content,
                total_s=None if timing is None else timing.total,
            )
        )

    def _attempt(self, stream_id: str, **end: Any) -> Attempt:
        """Return the one attempt of a stream, running or with its end."""
        return Attempt(
            stream_id=stream_id, number=1, upstream=self._upstream, started=self._started, **end
        )

    def _tally(self) -> Tally:
        stream = self._stream
        return Tally() if stream is None else tally_of(stream.account(both=True))


_MOST = 2**40
"""What a figure is cut to: more is nonsense, and sums of many must fit SQLite's 63 bits."""
_MOST_PICO = 10**6 * 10**12


def _bounded(tokens: int | None) -> int | None:
    return None if tokens is None else max(0, min(tokens, _MOST))


def tally_of(account: Account) -> Tally:
    """Return an account as the ledger keeps it; figures beyond a trillion tokens are cut."""
    cost = None if account.cost_pico is None else min(account.cost_pico, _MOST_PICO)
    usage = account.usage
    if usage is None:
        return Tally(cost_pico=cost)
    prompt, generated = usage.prompt_tokens_details, usage.completion_tokens_details
    return Tally(
        prompt_tokens=_bounded(usage.prompt_tokens),
        completion_tokens=_bounded(usage.completion_tokens),
        cached_tokens=None if prompt is None else _bounded(prompt.cached_tokens),
        reasoning_tokens=None if generated is None else _bounded(generated.reasoning_tokens),
        cost_pico=cost,
        source=account.source,
        counted_tokens=_bounded(account.counted),
    )
