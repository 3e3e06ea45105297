"""The table ``[store]``: where several machines share streams, keys, limits and leases."""

from __future__ import annotations

import functools
import re
from typing import Literal

import msgspec

from deltaweir.errors import InvalidRequest
from deltaweir.gateway.config.environment import resolved
from deltaweir.gateway.config.tables import within
from deltaweir.stores.valkey import ValkeyLine
from deltaweir.stores.valkey_url import ENCRYPTED, Address, address_of

MEMORY = "memory:"
"""The URL of no store: keys and limits are kept with the ledger."""
STALE_S = 10.0
"""How long keys are believed that could not be looked at again, in seconds, unless told."""

_LONGEST_STALE_S = 86_400.0
_PREFIX = re.compile(r"[A-Za-z0-9._-]{1,64}")


class StoreConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """The table ``[store]``; its repr tells no password.

    Attributes:
        url: ``memory:`` for none; ``valkey://user:password@host:6379/0`` or ``redis://``;
            ``valkeys://`` or ``rediss://`` with TLS; ``unix:///path?db=0``. ``env:NAME`` takes it
            from the environment.
        password: The password, where the URL has none; ``env:NAME`` takes it from the environment.
        ca_file: Certificates to trust instead of the system's, a PEM file, from where the
            configuration is; for TLS.
        prefix: How all names in the store begin; gateways share what has the same.
        limits: What becomes of a request whose key has limits while the store cannot be reached:
            ``closed`` refuses it, ``open`` lets it pass, and books what it used afterwards.
        stale_s: Seconds that keys are believed while the store cannot be reached; a key that is
            revoked meanwhile is let in until then.

    Without a store, ``limits`` and ``stale_s`` say the same of a ledger in PostgreSQL, where keys
    and limits are kept then.
    """

    url: str = MEMORY
    password: str | None = None
    ca_file: str | None = None
    prefix: str = "deltaweir"
    limits: Literal["closed", "open"] = "closed"
    stale_s: float = STALE_S

    def __post_init__(self) -> None:
        """Refuse what names no store, and environment variables that are not there."""
        within("stale_s", self.stale_s, 0, _LONGEST_STALE_S, more=True)
        if not _PREFIX.fullmatch(self.prefix):
            raise InvalidRequest(
                f"prefix: got {self.prefix[:80]!r}, expected up to 64 of letters, digits, '.', "
                "'_' and '-'",
                param="prefix",
            )
        encrypted = self.shared and self.address.encrypted
        if self.ca_file is not None and not encrypted:
            raise InvalidRequest(
                f"ca_file: it is for TLS, and the url is not {ENCRYPTED[0]}://", param="ca_file"
            )

    def __repr__(self) -> str:
        # not the URL as it was given: it may hold a password
        return f"StoreConfig({self.address.shown if self.shared else MEMORY!r})"

    @property
    def shared(self) -> bool:
        """Whether there is a store."""
        return self.url != MEMORY

    @functools.cached_property
    def address(self) -> Address:
        """Where the store is; only where there is one."""
        password = self.password
        if password is not None:
            password = resolved(password, param="password")
        return address_of(resolved(self.url, param="url"), password=password)

    def line(self) -> ValkeyLine:
        """Return a connection to the store, which is made when it is used.

        Raises:
            InvalidRequest: The package's extra is not installed.
        """
        return ValkeyLine(self.address, ca_file=self.ca_file)
