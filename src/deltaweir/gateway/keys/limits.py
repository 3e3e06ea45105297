"""How much a key may use: rates when a request comes, budgets while its stream runs.

Rates (requests and tokens a minute) are read and filled in the file that all processes share, or
the store or database that all machines do, by each request. Budgets are leased: this process
holds a small share of each that is in use (`deltaweir.gateway.keys.shares`), its streams take
blocks from that, and what they used is booked by a thread. While the file cannot be written
nothing is let in, and streams end when all is used that this process held: a limit that cannot be
checked is one that is reached. Where the operator says so (`[store] limits = "open"`) it is none
meanwhile, and what was used is booked afterwards.

A process that stood still for longer than a lease lasts, on a machine that was suspended or whose
clock was set forward say, may find that others were granted what its streams still hold. What
they use is booked all the same. What a process that dies had not told yet is never booked: half
a second's worth of what its streams generated, as far as they asked for more.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from typing import Self

from deltaweir.allowances import Quota
from deltaweir.errors import ServiceUnavailable
from deltaweir.gateway.config.store import StoreConfig
from deltaweir.gateway.keys.allowance import Allowance
from deltaweir.gateway.keys.keys import Key
from deltaweir.gateway.keys.places import are_shared, lease_store
from deltaweir.gateway.keys.refusals import Headers, LimitReached, check_rates, quota_spent
from deltaweir.gateway.keys.reserve import needs_of
from deltaweir.gateway.keys.shares import Shares
from deltaweir.gateway.keys.trips import OVER_A_NETWORK, Pace
from deltaweir.leases import Part, SpentError
from deltaweir.stores.books import Books, LeaseStore
from deltaweir.stores.failures import LedgerBusy, LedgerUnavailable

_log = logging.getLogger("deltaweir.gateway.limits")

_FIRST_RETRY_S, _LAST_RETRY_S = 0.05, 2.0


class Limits:
    """Hold keys to their rates and budgets, in all processes that share a ledger's file or a store.

    Args:
        store: The file or the store; closed with this.
        clock: Seconds since 1970, the same for all processes.
        pace: How long things take.
        lenient: Whether limits that cannot be checked are none.

    Attributes:
        unchecked: How many streams were let in whose limits could not be checked.

    It may be used from any thread, of the process that made it only.
    """

    def __init__(
        self,
        store: LeaseStore,
        *,
        clock: Callable[[], float] = time.time,
        pace: Pace = Pace(),
        lenient: bool = False,
    ) -> None:
        self.unchecked = 0
        self._lenient = lenient
        self._store = store
        self._clock = clock
        self._pace = pace
        self._shares = Shares(store, clock=clock, pace=pace)
        self._starting = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._logged = ""

    @classmethod
    def open(cls, url: str, store: StoreConfig = StoreConfig()) -> Self:
        """Return the limits of the keys in the ledger that a configuration names, or in its store.

        Args:
            url: As for `deltaweir.gateway.keys.places.key_store`.
            store: The store; what it says of one that is away holds for a ledger in PostgreSQL.

        Raises:
            InvalidRequest: The URL names no file; or the store's extra is not installed.
            LedgerUnavailable: It cannot be opened, or is damaged or too new.
        """
        leases = lease_store(url, store, holder=secrets.token_hex(8))
        if not are_shared(url, store):
            return cls(leases)
        lenient = store.limits == "open"
        return cls(leases, clock=leases.now, pace=OVER_A_NETWORK, lenient=lenient)

    def admit(
        self,
        key: Key,
        *,
        stream_id: str,
        prompt_tokens: int,
        prompt_pico: int | None,
        token_pico: int | None = None,
    ) -> Allowance:
        """Return what a stream may use; blocks while others write.

        Args:
            key: Whose it is.
            stream_id: The stream's id.
            prompt_tokens: Tokens of the prompt.
            prompt_pico: What they cost in picodollars; None when unknown.
            token_pico: What a generated token costs, where it is known: blocks of money are
                made for it, and a model that costs nothing needs no money.

        Raises:
            LimitReached: A rate (``rate_limit_exceeded``) or a budget (``insufficient_quota``)
                is used up. Nothing was taken.
            PermissionDenied: The key has a budget in money, and no price is known.
            ServiceUnavailable: The limits cannot be checked.
        """
        parts, headers = self._begun(key, prompt_tokens, prompt_pico, token_pico)
        self.unchecked += headers is None
        return Allowance(
            self,
            key,
            parts,
            stream_id=stream_id,
            prompt_tokens=prompt_tokens,
            prompt_pico=prompt_pico,
            headers=headers or [],
            trusted=headers is None,
        )

    def extend(self, key: Key, told: Sequence[tuple[Part, Quota, int]]) -> bool:
        """Grant a stream more, as far as there is any; for `Allowance`."""
        try:
            return not self._shares.more(key.id, told) and self._lenient
        except LedgerBusy:  # for a moment; where it is for longer, the thread tells
            return self._lenient
        except LedgerUnavailable as error:
            self._tell(error)
            return self._lenient

    def settle(self, told: Sequence[tuple[Part, int]]) -> None:
        """Book what a stream has used in all; for `Allowance`."""
        self._shares.end(told)

    def rate(self, key_id: str, limit: int, tokens: int) -> None:
        """Book tokens in a rate; for `Allowance`."""
        self._shares.rate(key_id, limit, tokens)

    def flush(self, timeout_s: float) -> bool:
        """Write all that was told before; return whether it is written.

        Args:
            timeout_s: Seconds to try at most.
        """
        return self._written(timeout_s, last=False)

    def close(self, timeout_s: float = 5.0) -> bool:
        """Write what waits, give back what no stream has, and let go of the file.

        Args:
            timeout_s: Seconds to try at most, and as long to wait for the thread.

        Returns:
            Whether all was written.
        """
        if self._stopping.is_set():
            return True
        self._stopping.set()
        self._shares.wake.set()
        atexit.unregister(self.close)
        if self._thread is not None:
            self._thread.join(timeout_s)
        written = self._written(timeout_s, last=True)
        self._store.close()
        return written

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _begun(
        self, key: Key, prompt_tokens: int, prompt_pico: int | None, token_pico: int | None
    ) -> tuple[list[tuple[Part, Quota]], Headers | None]:
        """Return what a new stream holds of its key's budgets, and the headers of its answer.

        There are none where the limits could not be checked, and that is to be overlooked.
        """
        terms = key.terms
        free = prompt_pico == 0 and token_pico == 0
        quotas = [one for one in terms.quotas if not (free and one.unit == "pico")]
        if not quotas and terms.rpm is None and terms.tpm is None:
            return [], []
        needs = [needs_of(quota, prompt_tokens, prompt_pico, token_pico) for quota in quotas]
        self._start()
        parts = self._shares.open(
            key.id, [(one, *need) for one, need in zip(quotas, needs, strict=True)]
        )
        try:
            headers = self._admitted(key, parts, needs, prompt_tokens)
        except BaseException:
            self._shares.end([(part, 0) for part in parts])
            raise
        return [*zip(parts, quotas, strict=True)], headers

    def _admitted(
        self, key: Key, parts: Sequence[Part], needs: Sequence[tuple[int, int]], prompt_tokens: int
    ) -> Headers | None:
        """Return the headers of an answer, once the parts have what they need."""
        headers: Headers = []
        rated = key.terms.rpm is not None or key.terms.tpm is not None

        def check(books: Books, unbooked: int) -> None:
            if rated:
                now_ms = int(1000 * self._clock())
                headers[:] = check_rates(books, key, prompt_tokens, unbooked, now_ms)

        lacking = [
            (part, needed)
            for part, (needed, _) in zip(parts, needs, strict=True)
            if part.granted < needed
        ]
        if rated or lacking:
            try:
                self._shares.admit(key.id, lacking, check)
            except SpentError as error:
                raise quota_spent(error, self._clock()) from None
            except LedgerUnavailable as error:
                self._tell(error)
                if self._lenient:
                    return None
                raise ServiceUnavailable(
                    "this server cannot check the limits of this key at the moment, and takes "
                    "no request with it; ask again in a second. Whoever runs it: its log says why"
                ) from error
        return headers

    def _start(self) -> None:
        """Start the thread that books and renews, with the first request that has limits."""
        with self._starting:
            if self._thread is None and not self._stopping.is_set():
                atexit.register(self.close)
                self._thread = threading.Thread(
                    target=self._run, name="deltaweir-limits", daemon=True
                )
                self._thread.start()

    def _run(self) -> None:
        wait_s = _FIRST_RETRY_S
        while not self._stopping.is_set():
            self._shares.wake.wait(self._pace.look_s if self._shares.holding else None)
            self._shares.wake.clear()
            if self._stopping.wait(self._pace.gather_s):
                return  # who closes writes the rest
            try:
                self._shares.turn()
            except LedgerUnavailable as error:
                self._tell(error)
                self._stopping.wait(wait_s)
                wait_s = min(2 * wait_s, _LAST_RETRY_S)
            else:
                wait_s = _FIRST_RETRY_S
                self._logged = ""

    def _written(self, timeout_s: float, *, last: bool) -> bool:
        deadline = time.monotonic() + timeout_s
        while self._shares.holding:
            with contextlib.suppress(LedgerUnavailable):
                self._shares.turn(last=last)
                break
            if time.monotonic() > deadline:
                return False
            time.sleep(_FIRST_RETRY_S)
        return True

    def _tell(self, error: LedgerUnavailable) -> None:
        """Tell the log what is wrong, once."""
        # whether a process or a thread is in the way changes from one try to the next
        said = "busy" if isinstance(error, LedgerBusy) else str(error)
        if self._logged != said:
            self._logged = said
            _log.error("limits of keys cannot be checked: %s", error)


__all__ = ["Allowance", "LimitReached", "Limits"]
