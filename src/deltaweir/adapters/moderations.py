"""A moderation endpoint that judges texts."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Mapping

from deltaweir.client.clocks import Timeouts
from deltaweir.client.moderation import Moderations, finding_in, moderation_request
from deltaweir.client.provider import Outgoing, Provider
from deltaweir.errors import APIStatusError, ClassifierFailed, DeltaweirError, StallTimeout
from deltaweir.guard.findings import Finding, NoFinding
from deltaweir.net.async_pool import AsyncPool
from deltaweir.net.blocking import Pool
from deltaweir.sources.fetch import fetch, fetch_async


class EndpointJudge:
    """Ask an OpenAI-compatible moderation endpoint; may be shared by threads and loops.

    Connections are kept, for each loop its own, and closed when nobody has the judge any more.

    Args:
        provider: The endpoint.
        model: Its model; None leaves the choice to it.
        thresholds: Scores from which on a category is flagged; None takes its own verdict.
        name: What it is called in errors.
        timeout_s: Seconds for a verdict, with connecting and sending again.
    """

    def __init__(
        self,
        provider: Provider,
        *,
        model: str | None,
        thresholds: Mapping[str, float] | None,
        name: str,
        timeout_s: float,
    ) -> None:
        self._provider = provider
        self._model = model
        self._thresholds = None if thresholds is None else dict(thresholds)
        self._name = name
        self._timeouts = Timeouts(None, None, None, None, total=timeout_s)
        self._pool = Pool()
        self._pools = threading.local()

    def __repr__(self) -> str:
        return f"EndpointJudge({self._provider.base_url!r})"

    def judge(self, text: str) -> Finding:
        """Return what the endpoint says of a text; block until then.

        Raises:
            ClassifierFailed: It says nothing of use in time.
        """
        try:
            answer = fetch(self._request(text), Moderations, self._pool, self._timeouts)
            return finding_in(answer, self._thresholds)
        except Exception as error:  # noqa: BLE001  # whatever it is, there is no verdict
            failed = self._failed(error)
        # out here, so that no cause or context carries what the server said of the text
        raise failed

    async def judge_async(self, text: str) -> Finding:
        """Return what the endpoint says of a text; await it; see `judge`."""
        try:
            answer = await fetch_async(
                self._request(text), Moderations, self._loops_pool(), self._timeouts
            )
            return finding_in(answer, self._thresholds)
        except Exception as error:  # noqa: BLE001  # as above
            failed = self._failed(error)
        raise failed

    def _request(self, text: str) -> Outgoing:
        return moderation_request(
            self._provider,
            text,
            model=self._model,
            request_id=f"modr_{secrets.token_hex(12)}",
        )

    def _loops_pool(self) -> AsyncPool:
        """Return the pool of the running loop; a thread runs one at a time."""
        pool: AsyncPool | None = getattr(self._pools, "pool", None)
        if pool is None:
            pool = self._pools.pool = AsyncPool()
        return pool

    def _failed(self, error: Exception) -> ClassifierFailed:
        if isinstance(error, NoFinding):
            why = f"{error}"
        elif isinstance(error, StallTimeout) and error.param == "total":
            why = f"gave no verdict within {self._timeouts.total:g} s"
        else:
            why = f"could not be asked: {type(error).__name__}"
            if isinstance(error, APIStatusError):
                why += f" ({error.status})"
        request_id = error.request_id if isinstance(error, DeltaweirError) else None
        return ClassifierFailed(f"the classifier {self._name!r} {why}", request_id=request_id)
