"""What a stream has used so far, as whoever reads it is told."""

from __future__ import annotations

import abc
from collections.abc import Mapping
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
        """What it cost so far in US dollars: nothing for the embedded model; None if unknown.

        By our prices; where they do not know the model, what a server of ours says, at the end.
        """
        own = self._meter.account().cost_usd
        if own is not None:
            return own
        said = self._server_said().get("cost_usd")
        if isinstance(said, bool) or not isinstance(said, int | float) or said < 0:
            return None
        return float(said)

    @abc.abstractmethod
    def _server_said(self) -> Mapping[str, Any]:
        """Return what the server has told under ``deltaweir``."""

    def account(self, *, both: bool = False) -> Account:
        """Return usage and cost so far, and who says so.

        Args:
            both: Whether to count although the provider's figure is there, so that the
                difference can be told.
        """
        return self._metering.account(both=both, cut=self._weir.ending is Ending.BUDGET)
