"""One stream's row in the ledger, from before its first byte to its end."""

from __future__ import annotations

import os
import re
import time
from typing import Any, Literal, Protocol, Self

from deltaweir.accounts import Attempt, Closed, Opened, Tally
from deltaweir.client.timing import Timing
from deltaweir.endings import Ending
from deltaweir.gateway.ledger.ledger import Handle, Ledger
from deltaweir.meter.account import Account

_STREAM_ID = re.compile(r"stm_[0-9a-f]{32}", re.ASCII)


class Followed(Protocol):
    """A stream whose figures a row takes."""

    @property
    def ending(self) -> Ending | None:
        """How it ended; None while it runs."""

    @property
    def finish_reason(self) -> str | None:
        """Why the first choice ended."""

    @property
    def timing(self) -> Timing:
        """How fast it was."""

    def account(self, *, both: bool = False) -> Account:
        """Return what it used so far."""


def new_stream_id() -> str:
    """Return an id that no other stream has, and nobody guesses."""
    return f"stm_{os.urandom(16).hex()}"


def is_stream_id(text: str) -> bool:
    """Tell whether a text looks like a stream's id."""
    return _STREAM_ID.fullmatch(text) is not None


class StreamRow:
    """Tell the ledger of one stream; a context manager, whose end is the row's.

    Args:
        ledger: Where it is written; None writes nothing.
        stream_id: The stream's id.
        model: The model's name as the client used it.
        upstream_model: Its name at the upstream; None where that is the same.
        key_id: The id of the client's key; None without keys.
        user: Who asked, None when nobody said.
        tag: What its cost is filed under.
        endpoint: Which of OpenAI's two forms it has.
        streamed: Whether a stream was asked for.

    Attributes:
        stream_id: The stream's id.
        opened: How it began.
        upstream: Who was asked last; empty before anybody was.
        attempts: How many were asked.

    Raises:
        LedgerUnavailable: The ledger is closed.
    """

    def __init__(
        self,
        ledger: Ledger | None,
        *,
        stream_id: str,
        model: str,
        user: str | None,
        tag: str | None,
        endpoint: Literal["chat", "text"],
        streamed: bool,
        upstream_model: str | None = None,
        key_id: str | None = None,
    ) -> None:
        self.stream_id = stream_id
        self.upstream = ""
        self.attempts = 0
        self.asked_before: list[str] = []
        self._stream: Followed | None = None
        self._final: Tally | None = None
        self._asked_at = 0.0
        self.opened = Opened(
            stream_id=self.stream_id,
            started=time.time(),
            model=model,
            upstream_model=upstream_model,
            key_id=key_id,
            user=user,
            tag=tag,
            endpoint=endpoint,
            streamed=streamed,
        )
        self._handle: Handle | None = None
        if ledger is not None:
            self._handle = ledger.opened(self.opened, self._tally)

    def asked(self, upstream: str) -> None:
        """Begin an attempt: somebody is asked to answer.

        Args:
            upstream: Who.
        """
        if self.attempts:
            self.asked_before.append(self.upstream)
        self.upstream = upstream
        self.attempts += 1
        self._asked_at = time.time()
        if self._handle is not None:
            self._handle.attempt(self._attempted())

    def refused(self, ending: Ending) -> None:
        """End an attempt that gave no content; another may follow."""
        if self._handle is not None:
            end = self._attempted(ended=time.time(), ending=str(ending.value))
            self._handle.attempt(end)

    def follow(self, stream: Followed) -> None:
        """Take a stream's figures from now on."""
        self._stream = stream

    @property
    def ending(self) -> Ending:
        """How the stream ended: as failed, where nothing better is known."""
        return (None if self._stream is None else self._stream.ending) or Ending.FAILED

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Write the end, whatever it was."""
        handle, stream = self._handle, self._stream
        if handle is None:
            return
        ended, tally = time.time(), self._tally()
        self._handle, self._final = None, tally
        ending = str(self.ending.value)
        timing = None if stream is None else stream.timing
        if self.attempts:
            handle.attempt(self._attempted(ended=ended, tally=tally, ending=ending))
        handle.close(
            Closed(
                stream_id=handle.stream_id,
                ended=ended,
                tally=tally,
                ending=ending,
                finish_reason=None if stream is None else stream.finish_reason,
                first_content_s=None if timing is None else timing.first_content,
                total_s=None if timing is None else timing.total,
            )
        )

    def _attempted(self, **end: Any) -> Attempt:
        """Return the last attempt, running or with its end."""
        return Attempt(
            stream_id=self.stream_id,
            number=self.attempts,
            upstream=self.upstream,
            started=self._asked_at,
            **end,
        )

    def _tally(self) -> Tally:
        if self._final is not None:
            return self._final
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
