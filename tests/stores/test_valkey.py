"""A connection to a server: what peers do that are none, or not for long."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deltaweir.stores.failures import LedgerBusy, StoreUnavailable, StoreUnsure
from deltaweir.stores.valkey import ALONE_S, Script, ValkeyLine
from deltaweir.stores.valkey_url import Address
from deltaweir.testing.ports import Unreachable, unused_port

SCRIPT = Script("return 7")


@contextlib.contextmanager
def peer(*replies: bytes) -> Iterator[ValkeyLine]:
    """Return a line to a peer that answers so, and hangs up then."""

    def answer() -> None:
        for one in replies:
            sock, _ = listener.accept()
            with sock:
                for part in one.split(b"|"):
                    if not sock.recv(4096):
                        break
                    sock.sendall(part)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer)
        thread.start()
        address = Address("127.0.0.1", listener.getsockname()[1])
        with contextlib.closing(ValkeyLine(address)) as line:
            yield line
        thread.join(10)
        assert not thread.is_alive()


def test_a_peer_that_answers() -> None:
    """One connection serves all calls."""
    with peer(b"+PONG\r\n|:7\r\n") as line:
        assert line.call("PING", wait_s=5) == b"PONG"
        assert line.run(SCRIPT, ["a"], [1], wait_s=5) == 7
        assert line.openings == 1


def test_a_script_that_is_not_known_is_sent() -> None:
    """On the same connection; another refusal is told."""
    with peer(b"-NOSCRIPT No matching script.\r\n|:7\r\n|-ERR no\r\n") as line:
        assert line.run(SCRIPT, [], [], wait_s=5) == 7
        with pytest.raises(StoreUnavailable, match="refuses: no"):
            line.run(SCRIPT, [], [], wait_s=5)
    digest = hashlib.sha1(b"return 7", usedforsecurity=False).hexdigest()
    assert SCRIPT.digest == digest


@pytest.mark.parametrize("reply", [b"", b"nonsense\r\n", b"*2\r\n:1\r\n"])
def test_a_peer_that_goes_or_talks_nonsense(reply: bytes) -> None:
    """Nobody knows whether it has done what it was told; the next call connects again."""
    with peer(reply, b"+OK\r\n") as line:
        with pytest.raises(StoreUnsure, match="went away"):
            line.call("SET", "a", "b", wait_s=5)
        assert line.call("SET", "a", "b", wait_s=5) == b"OK"
        assert line.openings == 2


def test_a_peer_that_is_not_ready_has_done_nothing() -> None:
    """As while it loads what it had."""
    with peer(b"-LOADING Redis is loading the dataset in memory\r\n", b"+OK\r\n") as line:
        with pytest.raises(StoreUnavailable, match="not there yet") as refused:
            line.call("SET", "a", "b", wait_s=5)
        assert not isinstance(refused.value, StoreUnsure)
        assert line.call("SET", "a", "b", wait_s=5) == b"OK"


def test_nobody_listens() -> None:
    """That is told at once, and whoever comes next tries again."""
    address = Address("127.0.0.1", unused_port(), password="secret")  # noqa: S106
    with contextlib.closing(ValkeyLine(address)) as line:
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match="cannot be reached: ") as refused:
                line.call("PING", wait_s=5)
            assert "secret" not in str(refused.value)
        with pytest.raises(StoreUnavailable, match="at the moment"):
            line.call("PING", wait_s=0.02)


@pytest.mark.parametrize("connects", [True, False])
def test_a_peer_that_is_silent_is_left_alone(connects: bool) -> None:
    """Who had time has waited in vain; others are told at once, for a moment."""
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(Unreachable()).port
        if connects:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            port = listener.getsockname()[1]
        line = stack.enter_context(contextlib.closing(ValkeyLine(Address("127.0.0.1", port))))
        began = time.monotonic()
        with pytest.raises(StoreUnavailable, match=r"not answered|cannot be reached: "):
            line.call("PING", wait_s=0.3)
        with pytest.raises(StoreUnavailable, match="at the moment"):
            line.call("PING", wait_s=5)
        assert time.monotonic() - began < 0.3 + ALONE_S


def test_a_line_in_use_is_waited_for() -> None:
    """Not for longer than is said."""
    with peer() as line, line._mine(1), pytest.raises(LedgerBusy, match="another thread"):
        line.call("PING", wait_s=0.01)


def test_a_closed_line_stays_closed() -> None:
    """Whoever uses it afterwards is told."""
    with peer() as line:
        line.close()
        with pytest.raises(StoreUnavailable, match="was closed"):
            line.call("PING", wait_s=1)


def test_a_socket_that_is_not_there(tmp_path: Path) -> None:
    """It is named."""
    address = Address("", path=str(tmp_path / "socket"))
    with contextlib.closing(ValkeyLine(address)) as line:
        with pytest.raises(StoreUnavailable, match=r"unix:///.*/socket\?db=0 cannot be reached"):
            line.call("PING", wait_s=1)
        assert repr(line) == f"ValkeyLine('{address.shown}')"
