"""Whether a browser asks on behalf of somebody else's page.

A page may send a POST to any server that its reader can reach, and a server on 127.0.0.1 that asks
for no key would answer it: the page could not read the answer, but the money would be spent.
Browsers say where a request comes from (W3C, Fetch Metadata Request Headers), though not to a
server that they reach by plain HTTP elsewhere than on their own machine: there a page's origin is
compared with the name that it called the server by. A program says nothing, and is not asked. A
page under a name that leads to this server (DNS rebinding) cannot be told from the server's own;
against that there are keys.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from deltaweir.errors import PermissionDenied

_HARMLESS = ("GET", "HEAD", "OPTIONS")
_SAID = (b"sec-fetch-site", b"origin", b"host", b"x-forwarded-host")


def check_site(
    method: str, headers: Iterable[tuple[bytes, bytes]], origins: Collection[str]
) -> None:
    """Accept a request that no page of another site has sent.

    Args:
        method: Of the request; what only reads is let through, since the browser then keeps the
            answer from the page.
        headers: Of the request, names in lower case.
        origins: Whose pages may call, as ``[server] cors_origins`` says.

    Raises:
        PermissionDenied: A page of another site sent it that is not among them.
    """
    if method in _HARMLESS or "*" in origins:
        return
    said = {name: value for name, value in headers if name in _SAID}
    if not _from_elsewhere(said):
        return
    origin = said.get(b"origin", b"null").decode("latin-1")
    if origin not in origins:
        raise PermissionDenied(
            f"got a request from a page of {origin[:200]}, which may not call this server; "
            "[server] cors_origins names those that may",
            code="cross_site",
        )


def _from_elsewhere(said: Mapping[bytes, bytes]) -> bool:
    """Tell whether what a browser said means another site; nothing said means a program."""
    site, origin = said.get(b"sec-fetch-site"), said.get(b"origin")
    if site is not None or origin is None:
        return site == b"cross-site"
    # no page can set the second, which proxies do that call this server by another name; each
    # further one adds its own behind a comma
    names = b",".join(said[name] for name in (b"host", b"x-forwarded-host") if name in said)
    host = _host_in(origin.rpartition(b"://")[2])
    return not host or host not in map(_host_in, names.split(b","))


def _host_in(address: bytes) -> bytes:
    """Return the host of an address without its port, which makes no other site of it."""
    address = address.strip()
    return (address if address.endswith(b"]") else address.rpartition(b":")[0] or address).lower()
