"""A ledger to read, whichever database holds it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

from deltaweir.accounts import Row
from deltaweir.errors import InvalidRequest
from deltaweir.gateway.config.ledger import LedgerConfig, ledger_path
from deltaweir.stores.failures import LedgerMisconfigured
from deltaweir.stores.sqlite import SqliteLedger
from deltaweir.usage_report import Line

if TYPE_CHECKING:
    from deltaweir.stores.postgres import PostgresLedger


class Report(Protocol):
    """A ledger to read; a context manager."""

    def usage(
        self,
        *,
        group_by: Sequence[str] = (),
        since: float | None = None,
        until: float | None = None,
        key_id: str | None = None,
        user: str | None = None,
    ) -> list[Line]:
        """Return what was used, grouped and added up."""

    def rows(
        self,
        *,
        since: float | None = None,
        until: float | None = None,
        key_id: str | None = None,
        user: str | None = None,
    ) -> list[Row]:
        """Return rows, the oldest first."""

    def __enter__(self) -> Self:
        """Begin to read."""

    def __exit__(self, *_: object) -> None:
        """Let go of it."""


def reading(config: LedgerConfig | str) -> Report:
    """Return a ledger to read; dead processes' rows stand as they are.

    Args:
        config: As for `Ledger.open`.

    Raises:
        InvalidRequest: The URL names no ledger that is supported, or there is none there.
        LedgerUnavailable: It cannot be read, is damaged or too new; a database says so with the
            first call.
    """
    told = LedgerConfig(url=config) if isinstance(config, str) else config
    if not told.address:
        raise InvalidRequest("this configuration keeps no ledger: [ledger] url is empty")
    if told.remote:
        return in_postgres(told.address, read_only=True)
    path = Path(ledger_path(told.address))
    if not path.exists():
        raise InvalidRequest(
            f"there is no ledger at {path}; `deltaweir serve` keeps one in the folder it is "
            "started in, and --config or --ledger names another",
            param="ledger.url",
        )
    return SqliteLedger(path, read_only=True)


def in_postgres(url: str, *, read_only: bool = False) -> PostgresLedger:
    """Return a ledger in PostgreSQL, which is not asked yet.

    Raises:
        LedgerMisconfigured: The package's extra is not installed.
    """
    try:
        from deltaweir.stores.postgres import PostgresLedger
    except ImportError as error:
        raise LedgerMisconfigured(
            "a ledger in PostgreSQL needs a driver: pip install 'deltaweir[postgres]'"
        ) from error
    return PostgresLedger(url, read_only=read_only)
