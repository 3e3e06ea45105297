"""The table ``[ledger]``: where streams are accounted for."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from deltaweir.errors import InvalidRequest
from deltaweir.gateway.config.environment import resolved
from deltaweir.gateway.config.tables import within
from deltaweir.stores.postgres_address import check_address, is_postgres, shown, with_password

SQLITE = "sqlite:///"
"""How the URL of a ledger in a file begins."""
IN_MEMORY = ":memory:"
"""The path of a ledger that is kept nowhere."""
SPOOL = "deltaweir-spool"
"""Where entries wait for a ledger that is away, unless told."""
SPOOL_MIB = 64.0
"""How much they may take there, unless told."""

_MOST_MIB = 2.0**20


def ledger_path(url: str) -> str:
    """Return the path of the file in a ledger's URL.

    Raises:
        InvalidRequest: The URL names no file.
    """
    path = url.removeprefix(SQLITE)
    if path in {"", url}:
        # not the URL itself: it may hold a password
        raise InvalidRequest(
            f"the ledger's URL begins with {url.partition(':')[0]!r}; supported are "
            "sqlite:///file.db, sqlite:////directory/file.db and "
            "postgresql://user:password@host/database",
            param="ledger.url",
        )
    return path


class LedgerConfig(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True
):
    """The table ``[ledger]``; its repr tells no password.

    Attributes:
        url: ``sqlite:///file.db`` from where the configuration lies, without a file from the
            working directory; ``sqlite:////directory/file.db``;
            ``postgresql://user:password@host:5432/database``; or an empty text for no ledger.
            ``env:NAME`` takes it from the environment.
        password: The database's password, where the URL has none; ``env:NAME`` takes it from the
            environment.
        spool: The folder in which entries wait while PostgreSQL cannot take them, from where the
            configuration lies; an empty text lets them wait in memory.
        spool_mib: MiB that they may take there in all.
    """

    url: str = "sqlite:///deltaweir.db"
    password: str | None = None
    spool: str = SPOOL
    spool_mib: float = SPOOL_MIB

    def __post_init__(self) -> None:
        """Refuse a URL that names no ledger, and environment variables that are not there."""
        within("spool_mib", self.spool_mib, 1, _MOST_MIB)
        _ = self.address

    def __repr__(self) -> str:
        # not the URL as it was given: it may hold a password
        return f"LedgerConfig({self.shown!r})"

    @property
    def remote(self) -> bool:
        """Whether the ledger is in PostgreSQL, so that several machines may share it."""
        return is_postgres(self.address)

    @functools.cached_property
    def address(self) -> str:
        """The URL with all that is taken from the environment; empty for no ledger."""
        url = resolved(self.url, param="ledger.url")
        if is_postgres(url):
            check_address(url, param="ledger.url")
        elif url:
            ledger_path(url)
        if self.password is None:
            return url
        if not is_postgres(url):
            raise InvalidRequest(
                "password: it is for a ledger in PostgreSQL, and the url is not postgresql://",
                param="ledger.password",
            )
        secret = quote(resolved(self.password, param="ledger.password"), safe="")
        return with_password(url, secret)

    @property
    def shown(self) -> str:
        """Where the ledger is, for people: a whole path, or a URL without user and password."""
        if self.remote:
            return shown(self.address)
        path = self.address.removeprefix(SQLITE)
        return path if path in {"", IN_MEMORY} else str(Path(path).absolute())

    def beside(self, directory: Path) -> LedgerConfig:
        """Return the same with all paths taken from a directory."""
        changed: dict[str, Any] = {"spool": self.spool and str(directory / self.spool)}
        if self.address and not self.remote:
            path = ledger_path(self.address)
            if path != IN_MEMORY:
                changed["url"] = f"{SQLITE}{directory / path}"
        return msgspec.structs.replace(self, **changed)
