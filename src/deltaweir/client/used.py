"""What a stream has used so far, as whoever reads it is told."""

from __future__ import annotations

from typing import Any

from deltaweir.client.metering import Metering, SharedMeter
from deltaweir.endings import Ending
from deltaweir.meter.account import Account
from deltaweir.schema.chunk import Usage
from deltaweir.weir import Weir


class ToldByMeter:
    """What a stream has used so far, by its meter."""

    _weir: Weir[Any]
    _metering: Metering
    _meter: SharedMeter

    @property
    def quick_account(self) -> bool:
        """Whether `account` returns at once; else its first call may load files."""
        return self._meter.quick

    @property
    def usage(self) -> Usage | None:
        """Tokens read and generated so far, by the best source there is at this moment.

        Our count, for which the first look loads a vocabulary, until the provider sends one.
        """
        return self._meter.usage

    @property
    def cost(self) -> float | None:
        """What it cost so far in US dollars: nothing for the embedded model; None if unknown."""
        return self._meter.account().cost_usd

    def account(self, *, both: bool = False) -> Account:
        """Return usage and cost so far, and who says so.

        Args:
            both: Whether to count although the provider's figure is there, so that the
                difference can be told.
        """
        return self._metering.account(both=both, cut=self._weir.ending is Ending.BUDGET)
