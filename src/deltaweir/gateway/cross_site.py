"""Whether a browser asks on behalf of somebody else's page.

A page may send a POST to any server that its reader can reach, and a server on 127.0.0.1 that asks
for no key would answer it: the page could not read the answer, but the money would be spent.
Browsers say where a request comes from (W3C, Fetch Metadata Request Headers); a program says
nothing, and is not asked. A page under a name that leads to this server (DNS rebinding) cannot be
told from the server's own; against that there are keys.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from deltaweir.errors import PermissionDenied

_HARMLESS = ("GET", "HEAD", "OPTIONS")


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
    said = {name: value for name, value in headers if name in (b"sec-fetch-site", b"origin")}
    if said.get(b"sec-fetch-site") != b"cross-site":
        return
    origin = said.get(b"origin", b"null").decode("latin-1")
    if origin not in origins:
        raise PermissionDenied(
            f"got a request from a page of {origin[:200]}, which may not call this server; "
            "[server] cors_origins names those that may",
            code="cross_site",
        )
