"""Sockets that are bound before anything else is done."""

from __future__ import annotations

import contextlib
import socket

import pytest

from deltaweir.gateway.server.listening import AddressUnavailable, bound


def test_a_free_port() -> None:
    """Port 0 takes one; nobody can connect before somebody listens."""
    (one,) = bound("127.0.0.1", 0)
    with one:
        address = one.getsockname()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, timeout=5)
        one.listen()
        socket.create_connection(address, timeout=5).close()


def test_all_addresses_of_a_name() -> None:
    """A name with IPv4 and IPv6 has one port for both."""
    sockets = bound("localhost", 0)
    with contextlib.ExitStack() as stack:
        for one in sockets:
            stack.enter_context(one)
        assert len({one.getsockname()[1] for one in sockets}) == 1
        assert len({one.family for one in sockets}) == len(sockets)


def test_what_cannot_be_bound() -> None:
    """A port that is taken and a host that is not this machine are told, with the address."""
    (one,) = bound("127.0.0.1", 0)
    with one:
        one.listen()
        port = one.getsockname()[1]
        with pytest.raises(AddressUnavailable, match=f"cannot listen at 127.0.0.1:{port}: "):
            bound("127.0.0.1", port)
    with pytest.raises(AddressUnavailable, match=r"cannot listen at \[2001:db8::1\]:80: "):
        bound("2001:db8::1", 80)
    with pytest.raises(AddressUnavailable, match="cannot listen at no such host:80: "):
        bound("no such host", 80)
