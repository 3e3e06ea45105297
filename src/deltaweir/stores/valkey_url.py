"""Where a store is, as its URL says. Pure."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from deltaweir.errors import InvalidRequest

PLAIN, ENCRYPTED, LOCAL = ("valkey", "redis"), ("valkeys", "rediss"), ("unix",)
PORT = 6379
"""Where a server listens unless told."""
SUPPORTED = "valkey://host:6379/0, redis://..., valkeys:// and rediss:// (TLS), unix:///path?db=0"

_WRITTEN = "in a password, / is written %2F, # is %23, ? is %3F, @ is %40, : is %3A"
_MOST_DATABASES = 2**31


class Address(NamedTuple):
    """Where a server is, and who asks; its repr tells no password."""

    host: str
    """Its name or number; empty for a socket of this machine."""
    port: int = PORT
    path: str = ""
    """The socket of this machine."""
    database: int = 0
    user: str | None = None
    password: str | None = None
    encrypted: bool = False

    def __repr__(self) -> str:
        return f"Address({self.shown!r})"

    @property
    def shown(self) -> str:
        """The URL as it may be shown: without user and password."""
        if self.path:
            return f"unix://{self.path}?db={self.database}"
        scheme = ENCRYPTED[0] if self.encrypted else PLAIN[0]
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}/{self.database}"


def address_of(url: str, *, password: str | None = None) -> Address:
    """Return where a store is.

    Args:
        url: Such as ``valkey://user:password@host:6379/0``.
        password: What to give instead of the URL's; None takes that.

    Raises:
        InvalidRequest: The URL is none of a store; the message does not repeat it, since it may
            hold a password.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise _refused(f"a port or an address that is none; {_WRITTEN}") from error
    user = unquote(parts.username) if parts.username else None
    given = unquote(parts.password) if parts.password else None
    secret = password if password is not None else given
    if parts.fragment or (parts.query and parts.scheme not in LOCAL):
        raise _refused(f"more behind the database; {_WRITTEN}")
    if parts.scheme in LOCAL:
        if host or not parts.path.strip("/"):
            raise _refused("no path of a socket")
        database = _database(parse_qs(parts.query).get("db", ["0"])[-1])
        return Address("", path=unquote(parts.path), database=database, user=user, password=secret)
    if parts.scheme not in (*PLAIN, *ENCRYPTED):
        raise _refused(f"the scheme {parts.scheme!r}" if parts.scheme else "no scheme")
    if not host:
        raise _refused("no host")
    return Address(
        host,
        PORT if port is None else port,
        database=_database(parts.path.strip("/") or "0"),
        user=user,
        password=secret,
        encrypted=parts.scheme in ENCRYPTED,
    )


def _database(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) >= _MOST_DATABASES:
        raise _refused("a database that is no number")
    return int(text)


def _refused(what: str) -> InvalidRequest:
    return InvalidRequest(f"url: got {what}; supported are memory:, {SUPPORTED}", param="store.url")
