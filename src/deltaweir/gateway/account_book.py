"""The ledger of a gateway, opened with its keys when somebody needs them first."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from deltaweir.errors import InvalidRequest
from deltaweir.gateway.config.ledger import LedgerConfig
from deltaweir.gateway.keys.access import Access
from deltaweir.gateway.ledger.ledger import Ledger
from deltaweir.stores.failures import LedgerUnavailable
from deltaweir.usage_report import Line

FLUSH_S = 2.0
"""How long a report waits for rows that are on their way to disk, in seconds."""
RETRY_S = 1.0
"""How long a ledger that could not be opened is left alone, in seconds."""

_log = logging.getLogger("deltaweir.gateway")


class AccountBook:
    """Open a ledger and keys once, and tell clients no more than they may know.

    Args:
        config: Where the ledger lies.
        access: The keys; None where nobody needs one.
    """

    def __init__(self, config: LedgerConfig, access: Access | None) -> None:
        self._config = config
        self._access = access
        self._ledger: Ledger | None = None
        self._opening = threading.Lock()
        self._refused: tuple[float, LedgerUnavailable] | None = None
        self._logged = ""

    @property
    def rows(self) -> tuple[int, int]:
        """How many streams the ledger could not record, and how many entries wait for it."""
        return (self._ledger.lost, self._ledger.waiting) if self._ledger else (0, 0)

    @property
    def is_open(self) -> bool:
        """Whether the ledger was opened, so that `ledger` returns at once."""
        return self._ledger is not None or not self._config.url

    @property
    def opened(self) -> Ledger | None:
        """The ledger, if it was opened already."""
        return self._ledger

    def open(self) -> Ledger | None:
        """Return the ledger, opened by the first call, which blocks; None where there is none.

        Raises:
            LedgerUnavailable: It cannot be opened; the message, for operators, names the file.
        """
        with self._opening:
            if self._ledger is None:
                self._ledger = Ledger.open(self._config)
                if self._access is not None:
                    self._access.open()
            return self._ledger

    def open_access(self) -> None:
        """Read the keys, for a request; blocks.

        Raises:
            LedgerUnavailable: They cannot be read; clients are not told where they lie.
        """
        self.ledger()
        try:
            if self._access is not None:
                self._access.open()
        except LedgerUnavailable as error:
            raise self._told(error) from error

    def ledger(self) -> Ledger | None:
        """Return the ledger as `open` does, for a request.

        Raises:
            LedgerUnavailable: It cannot be opened; clients are not told where it lies.
        """
        refused = self._refused
        if refused is not None and time.monotonic() < refused[0]:
            raise _hidden(refused[1])
        try:
            return self.open()
        except LedgerUnavailable as error:
            self._refused = time.monotonic() + RETRY_S, error
            raise self._told(error) from error

    def written(self) -> Ledger:
        """Return the ledger with all that has happened so far in it; blocks.

        Where rows cannot be written in `FLUSH_S`, they are missing from it.

        Raises:
            InvalidRequest: This server has no ledger.
            LedgerUnavailable: It cannot be opened.
        """
        ledger = self.ledger()
        if ledger is None:
            raise InvalidRequest(
                "this server keeps no ledger; set [ledger] url", status=404, code="no_ledger"
            )
        ledger.flush(FLUSH_S)
        return ledger

    def usage(self, **chosen: Any) -> list[Line]:
        """Return what was used, with all that has happened so far; blocks.

        Args:
            **chosen: As for `deltaweir.gateway.ledger.ledger.Ledger.usage`.

        Raises:
            InvalidRequest: This server has no ledger, or a group has an unknown name.
            LedgerUnavailable: It cannot be opened or read; clients are not told where it lies.
        """
        ledger = self.written()
        try:
            return ledger.usage(**chosen)
        except LedgerUnavailable as error:
            raise self._told(error) from error

    def close(self) -> None:
        """Write what the ledger still waits for, and let go of it; blocks."""
        with self._opening:
            ledger, self._ledger = self._ledger, None
        if self._access is not None:
            self._access.close()
        if ledger is not None:
            ledger.close()

    def _told(self, error: LedgerUnavailable) -> LedgerUnavailable:
        """Tell the log what is wrong, and return what a client may know."""
        if self._logged != str(error):  # never a flood of lines
            self._logged = str(error)
            _log.error("%s", error)  # users' mistakes have no traceback
        return _hidden(error)


def _hidden(error: LedgerUnavailable) -> LedgerUnavailable:
    return LedgerUnavailable(
        "this server's ledger or store cannot be used; its log says why", code=error.code
    )
