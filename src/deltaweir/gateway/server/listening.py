"""Sockets of one's own to listen on, bound before anything is loaded or started."""

from __future__ import annotations

import contextlib
import os
import socket

from deltaweir.errors import DeltaweirError

BACKLOG = 2048
"""Connections that wait to be accepted at most; 500 may come in one second, and uvloop's 100
would drop some of them for a second each."""


class AddressUnavailable(DeltaweirError):
    """Nobody can listen at an address of this machine: it is taken, or not this machine's."""

    default_code = "address_unavailable"


def bound(host: str, port: int) -> list[socket.socket]:
    """Return a socket for each address of a host, IPv4 and IPv6, bound and not yet listening.

    Args:
        host: An address, or a name such as ``localhost``.
        port: The port; 0 takes one that is free, the same for all addresses.

    Raises:
        AddressUnavailable: The host is unknown, or the port is taken or not allowed.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise unavailable(host, port, error) from error
    with contextlib.ExitStack() as stack:
        sockets: list[socket.socket] = []
        for family, kind, proto, _, address in dict.fromkeys(found):
            one = stack.enter_context(socket.socket(family, kind, proto))
            taken = sockets[0].getsockname()[1] if sockets else port
            try:
                _bind(one, (address[0], taken, *address[2:]))
            except OSError as error:
                raise unavailable(host, taken, error) from error
            sockets.append(one)
        stack.pop_all()
    return sockets


def unavailable(host: str, port: int, error: OSError) -> AddressUnavailable:
    """Return our error for an address that the system does not give."""
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return AddressUnavailable(f"cannot listen at {where}: {error.strerror or error}", param="port")


def _bind(one: socket.socket, address: tuple[str | int, ...]) -> None:
    if os.name == "posix":  # on Windows it would take the port from whoever has it
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if one.family == socket.AF_INET6:  # the IPv4 address has a socket of its own
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    one.bind(address)
