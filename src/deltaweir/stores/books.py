"""What keys and their limits need of whatever keeps them: a ledger's file, or a shared store."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from deltaweir.allowances import KeyRecord, Quota
from deltaweir.leases import Pot, Standing
from deltaweir.rates import Bucket


class KeyStore(Protocol):
    """Clients' keys, without their secrets; calls block and may come from any thread."""

    def create(self, record: KeyRecord) -> None:
        """Add a key."""

    def revoke(self, key_id: str, now: float) -> KeyRecord:
        """Revoke a key, and return it as it is then."""

    def records(self) -> list[KeyRecord]:
        """Return all keys, the oldest first."""

    def changes(self) -> tuple[object, ...]:
        """Return what is something else after each change of a key."""

    def spent(self, key_id: str, quotas: Sequence[Quota], now: float) -> list[int]:
        """Return what is booked of each budget of a key, in the window that a time lies in."""

    def close(self) -> None:
        """Let go of it."""


class Books(Protocol):
    """What may be read and written in one transaction; times are seconds since 1970."""

    def standing(self, pot: Pot, now: float) -> Standing:
        """Return what is spent of a pot, and what other processes hold at this time."""

    def book(self, pot: Pot, amount: int) -> None:
        """Add what was spent; it never gets below zero."""

    def hold(self, pot: Pot, amount: int, expires: float) -> None:
        """Set what this process holds, until a time."""

    def forget_expired(self, now: float) -> None:
        """Remove the leases of processes that have not renewed them."""

    def bucket(self, key_id: str, unit: str) -> Bucket:
        """Return a key's rate as it was last written."""

    def fill(self, key_id: str, unit: str, bucket: Bucket) -> None:
        """Write a key's rate."""


class LeaseStore(Protocol):
    """Leases, bookings and rates; calls block and may come from any thread."""

    def writing(self, *, wait_s: float) -> AbstractContextManager[Books]:
        """Write all or nothing of what a block does.

        Args:
            wait_s: Seconds to wait.

        Raises:
            LedgerBusy: Others wrote meanwhile, or for too long; nothing was written.
            StoreUnsure: Nobody knows whether it was written; `last` tells later.
            LedgerUnavailable: It cannot be used; nothing was written.
        """

    @property
    def last(self) -> str:
        """The name of what was written last for this process, as far as it knows."""

    @property
    def losses(self) -> int:
        """How often what was written for this process was found to be lost."""

    def now(self) -> float:
        """Return the time by which leases last, the same for all, in seconds since 1970."""

    def close(self) -> None:
        """Let go of it."""
