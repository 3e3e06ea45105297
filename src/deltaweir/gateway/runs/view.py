"""What is known of a run while it runs and after: usage, cost, timing, how it ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from deltaweir.client.clocks import Timeouts
from deltaweir.client.guarding import GuardedWeir
from deltaweir.client.metering import Metering
from deltaweir.client.timing import Timing
from deltaweir.client.view import StreamView
from deltaweir.endings import State
from deltaweir.errors import DeltaweirError
from deltaweir.gateway.runs.outbox import CostedOutbox, Outbox
from deltaweir.gateway.runs.outlet import Outlet
from deltaweir.gateway.runs.pace import Pace
from deltaweir.meter.account import Account
from deltaweir.meter.prices import usd
from deltaweir.schema.chunk import Usage
from deltaweir.schema.reply import Reply, TextReply
from deltaweir.sources.source import NO_SOURCE
from deltaweir.weir import Weir

_NOTHING = Account(None, None, 0, None, None)
_UNANSWERED = (State.OPEN, State.FAILED)
QUICK_CHARS = 16 * 1024
"""Characters that are counted in a millisecond or two."""


class RunView(StreamView[Any, Any]):
    """Read what a run has brought so far.

    Args:
        reply_kind: What its chunks add up to.
        weir: Its weir.
        metering: What the weir counts and limits by.
        request_id: The id that its answer is given.
        annotate: Whether to add our account.
        patient: Whether its source tells its usage behind the finish reason.
        whole: Whether what comes is kept for a whole reply, and no frame is written.
        began: When the request came, in seconds on the monotonic clock; None for now.
        key_id: Whose key asked for it; None without keys.

    Attributes:
        done: Set when the run has ended.
        key_id: Whose key asked for it.
        outbox: Makes frames of its chunks.
        pace: When its chunks came.
    """

    def __init__(
        self,
        reply_kind: type[Reply | TextReply],
        *,
        weir: Weir[Any],
        metering: Metering,
        request_id: str,
        annotate: bool,
        patient: bool,
        whole: bool = False,
        began: float | None = None,
        key_id: str | None = None,
    ) -> None:
        super().__init__(
            NO_SOURCE,
            reply_kind,
            weir=weir,
            metering=metering,
            timeouts=Timeouts(),
            request_id=request_id,
            clock=time.monotonic,
        )
        if began is not None:
            self._moments.started = began
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.key_id = key_id
        self.pace = Pace(self._clock())
        # who asked for the usage of every chunk is told its cost as well
        kind = CostedOutbox if annotate and weir.usage_everywhere and not whole else Outbox
        self.outbox: Outbox = kind(
            self, annotate=annotate, usage_asked=weir.usage_asked, patient=patient and not whole
        )
        self._keeps = whole
        self._outlet: Outlet | None = None
        self._asked_at: float | None = None
        self._added_s: float | None = None
        self._final: tuple[Account, bool] | None = None

    @property
    def request_id(self) -> str:
        """The id that its answer is given, whatever an upstream calls it."""
        return self._request_id

    def account(self, *, both: bool = False) -> Account:
        """Return usage and cost so far, and who says so; the last word once it has ended.

        What nobody has begun to answer has used nothing, as far as one can tell; a reader who
        leaves before that may have to be paid for all the same.
        """
        if self._refused:
            return _NOTHING
        if not self.done.done():
            return super().account(both=both)
        if self._final is None or (both and not self._final[1]):
            self._final = super().account(both=both), both
        return self._final[0]

    def shown_usage(self) -> dict[str, Any]:
        """Return ``usage``, ``cost_usd`` and ``source`` so far, as clients are shown them."""
        shown = self.outbox.account()
        return {name: shown[name] for name in ("usage", "cost_usd", "source")}

    def cost_usd_of(self, usage: Usage | None) -> float | None:
        """Return what a usage of this stream costs in US dollars; None where that is unknown."""
        pico = self._meter.cost(usage)
        return None if pico is None else usd(pico)

    async def counted(self) -> None:
        """Count all that came, off the loop where that takes a while; call it after the end."""
        if self._meter.uncounted > QUICK_CHARS:
            await asyncio.to_thread(self.account, both=True)

    @property
    def _refused(self) -> bool:
        """Whether nobody has begun to answer, and nobody will."""
        return (
            self._moments.first_content is None
            and self._weir.state in _UNANSWERED
            and not self._closing.answered
        )

    @property
    def began(self) -> float:
        """When the request came, in seconds on the monotonic clock."""
        return self._moments.started

    @property
    def first_content_s(self) -> float | None:
        """Seconds from the request to the first content; None before it."""
        first = self._moments.first_content
        return None if first is None else first - self._moments.started

    @property
    def reported(self) -> Usage | None:
        """What the source itself said last of its usage."""
        return self._meter.reported

    @property
    def finish_reason(self) -> str | None:
        """What the first choice ended with; None while it is open."""
        return super().finish_reason if self._keeps else self.outbox.finish_reason

    @property
    def timing(self) -> Timing:
        """How fast the stream was so far."""
        if self._moments.first_content is not None:
            self._moments.last_content = max(self._moments.first_content, self.pace.last)
        return super().timing

    @property
    def open(self) -> bool:
        """Whether the run has not ended."""
        return self._open

    @property
    def failure(self) -> DeltaweirError | None:
        """What it failed with; None where it did not."""
        return self._failure

    @property
    def added_s(self) -> float | None:
        """Seconds of the time to the first content that were ours; None before it was sent."""
        first, outlet = self._moments.first_content, self._outlet
        if self._added_s is None or first is None or outlet is None or outlet.opened is None:
            return self._added_s
        return self._added_s + max(0.0, outlet.opened - first)

    @property
    def held_chars(self) -> int:
        """How many characters a guard holds back at this moment."""
        return self._weir.held_chars if isinstance(self._weir, GuardedWeir) else 0

    @property
    def guard_matches(self) -> tuple[tuple[str, str], ...]:
        """The rule and the action of all that this server's guards have found so far."""
        weir = self._weir
        found = weir.verdicts if isinstance(weir, GuardedWeir) else ()
        return tuple((one.rule, one.action) for one in found)

    @property
    def begun(self) -> bool:
        """Whether a part of the answer is on its way, so that its status is out."""
        return self._outlet is not None and self._outlet.begun

    def _server_said(self) -> Mapping[str, Any]:
        return super()._server_said() if self._keeps else self.outbox.said
