"""One answer on its way: who asked, who answers, its run, its row, and what it may use."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from deltaweir.errors import DeltaweirError
from deltaweir.gateway.answering.answering import Answering
from deltaweir.gateway.answering.asked import Asked
from deltaweir.gateway.answering.tape import Tape
from deltaweir.gateway.keys.allowance import Allowance
from deltaweir.gateway.ledger.rows import StreamRow
from deltaweir.gateway.log.refusals import code_of
from deltaweir.gateway.metrics.summary import NO_UPSTREAM, Summary
from deltaweir.gateway.runs.outlet import Outlet
from deltaweir.gateway.runs.runs import Run
from deltaweir.gateway.streams.publication import Publication
from deltaweir.gateway.streams.streams import Stream, owner_of


class Job(NamedTuple):
    """One answer on its way."""

    asked: Asked
    answering: Answering
    run: Run
    row: StreamRow
    allowance: Allowance | None
    publication: Publication | None = None
    """Its journal and readers, where it may be resumed."""
    tape: Tape | None = None
    """Its recording, where one was asked for."""

    @property
    def stream(self) -> Stream:
        """The stream, for whoever has its id."""
        return Stream(
            self.row.stream_id,
            owner_of(self.asked.caller),
            self.run,
            self.publication,
            waits=self.asked.terms.waits,
            row=self.row,
        )

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """What its answer says of its key's limits."""
        return [] if self.allowance is None else self.allowance.headers

    def before(self, outlet: Outlet) -> Outlet:
        """Return what its run writes to: an outlet, or the recording before that."""
        return outlet if self.tape is None else self.tape.before(outlet)

    async def begun(self) -> None:
        """Have it answered; returns when the answer has begun, or there will be none."""
        try:
            await self.answering.begin(self.run, self.row)
        except DeltaweirError as error:
            self.run.failed(error)

    def close(self) -> None:
        """Book what was used of the key's limits.

        Raises:
            Exception: It could not be told how much; what is known of it is booked all the same.
        """
        if self.allowance is None:
            return
        try:
            account = self.run.account()
        except BaseException:  # an open allowance would be held and renewed for ever
            self.allowance.close_uncounted()
            raise
        usage = account.usage
        self.allowance.close(
            prompt_tokens=0 if usage is None else usage.prompt_tokens or 0,
            completion_tokens=0 if usage is None else usage.completion_tokens,
            cost_pico=0 if usage is None else account.cost_pico,
        )

    def summary(self, status: int) -> Summary:
        """Return what is known of it at its end.

        Args:
            status: The HTTP status that was sent.
        """
        run, row, asked = self.run, self.row, self.asked
        account, timing, key = run.account(), run.timing, asked.caller.key
        usage = account.usage
        return Summary(
            stream_id=row.stream_id,
            request_id=run.request_id,
            model=asked.route.name,
            upstream="embedded" if asked.route.model.embedded else row.upstream or NO_UPSTREAM,
            attempts=row.attempts,
            key_id=None if key is None else key.id,
            user=asked.user,
            endpoint="chat" if asked.chat else "text",
            streamed=asked.wants_stream,
            ending=str(row.ending.value),
            status=status,
            stopped_by=run.stopped_by,
            finish_reason=run.finish_reason,
            prompt_tokens=None if usage is None else usage.prompt_tokens,
            completion_tokens=None if usage is None else usage.completion_tokens,
            cost_pico=account.cost_pico,
            source=account.source,
            first_content_s=timing.first_content,
            total_s=time.monotonic() - run.began if timing.total is None else timing.total,
            added_s=run.added_s,
            gaps=gaps_of(run.pace.gaps),
            withheld_chars=run.withheld_chars,
            code=code_of(run.failure),
            tag=asked.terms.tag,
            guard_matches=run.guard_matches,
            asked_before=tuple(row.asked_before),
        )


MOST_GAPS = 18
"""Classes of gaps that a summary tells apart; the last is all above."""


def gaps_of(gaps: Sequence[int]) -> tuple[int, ...]:
    """Return counts of gaps by power of two, all from some minutes on in one."""
    return (*gaps[: MOST_GAPS - 1], sum(gaps[MOST_GAPS - 1 :]))
