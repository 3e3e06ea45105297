"""A PostgreSQL database's URL: how one is told, and how it is shown without its password. Pure."""

from __future__ import annotations

import re

from deltaweir.errors import InvalidRequest

_SCHEMES = ("postgresql://", "postgres://")


def is_postgres(url: str) -> bool:
    """Tell whether a URL is one of PostgreSQL's."""
    return url.startswith(_SCHEMES)


def check_address(url: str, *, param: str) -> None:
    """Accept a URL of PostgreSQL, so far as it can be told without asking there.

    Args:
        url: The URL.
        param: The key that has it, for the error.

    Raises:
        InvalidRequest: It cannot be split into user, password, host and database; it is not
            in the message, since it may hold a password.
    """
    _, _, rest = url.partition("://")
    server = re.split("[/?#]", rest, maxsplit=1)[0]
    if "@" in rest[len(server) :] or "#" in rest:
        raise InvalidRequest(
            "the URL has '/', '?', '#' or '@' in its user or password; write them as %2F, %3F, "
            '%23 and %40, or give the password by itself: password = "env:NAME"',
            param=param,
        )


def with_password(url: str, secret: str) -> str:
    """Return a URL with a password, whose letters are written as URLs want them.

    Raises:
        InvalidRequest: The URL has no user, or has a password already.
    """
    scheme, _, rest = url.partition("://")
    user, at, server = rest.partition("@")
    if not at or not user or ":" in user:
        raise InvalidRequest(
            "password: the url needs a user and no password then: postgresql://user@host/database",
            param="ledger.password",
        )
    return f"{scheme}://{user}:{secret}@{server}"


def shown(url: str) -> str:
    """Return a URL without user, password and options, to be told to people."""
    rest = re.split("[?#]", url.partition("://")[2], maxsplit=1)[0]
    return f"postgresql://{rest.rpartition('@')[2]}"
