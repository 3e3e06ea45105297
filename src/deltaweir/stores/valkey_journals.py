"""Journals in Valkey or Redis: written in batches by who runs a stream, read by every gateway.

A resumable stream is a stream of the server (``XADD``), in which one entry has all the frames of
one batch; its id is the number of the last of them, so that whoever has n frames reads from
``n-0`` on. Beside it a hash says whose it is, who runs it, and how far it is written. All names
begin with the prefix in braces, so that they are in one slot:

====================  ==========================================================================
``stream:ID``         entries ``N-0``: ``f`` frames up to N, or ``d`` the last word of a dead run;
                      ``N-1``: ``e`` how it ended
``about:ID``          hash: ``gateway``, ``about`` (JSON), ``last``, ``ended`` (JSON), ``dead``
``alive:GATEWAY``     set while a gateway lives, by a lease
``mail:GATEWAY``      entries ``m``: messages to a gateway, such as to stop a stream
====================  ==========================================================================

**Nothing is written twice or out of order.** A batch says from which number it goes on; a script
takes it only where the server stands just there, or where the frames between are kept by nobody
any more, and answers where it stands. So an answer that
was lost, a batch sent twice, and a server that lost what it had are all mended by the next batch.

**Dead runs.** Whoever follows a stream and finds the lease of its gateway gone for a while buries
it: its last frame then is an error event, told to all readers alike. What a gateway that was only
believed dead would still write of it is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from deltaweir.stores.failures import StoreUnavailable
from deltaweir.stores.valkey import ValkeyLine
from deltaweir.stores.valkey_journal_scripts import BURY, KNOWN, MAIL, PUBLISH

LEASE_S = 4.0
"""How long a gateway is believed to live after its last sign of life, in seconds."""
RUNNING_TTL_S = 86_400.0
"""How long a stream is kept of which nothing is heard any more, in seconds."""
MISSING, REFUSED = -1, -2
"""What is answered of a stream that the server does not know, or that was buried."""

_UNTOLD: dict[str, Any] = dict.fromkeys(("usage", "cost_usd", "source", "ending"))
_JSON = msgspec.json.Encoder()
_PACKED = msgspec.msgpack.Encoder()
_MAIL_TTL_MS = 60_000
_MOST_MAIL = 1000
_MOST_ENTRIES = 200
_MOST_AHEAD = 10_000


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a stream from its beginning.

    Attributes:
        gateway: Who runs it.
        key_id: Whose key asked for it.
        user: Who asked, as the host of that gateway knows them.
        resumable: Whether its frames are kept.
    """

    gateway: str
    key_id: str | None = None
    user: str | None = None
    resumable: bool = True


class News(NamedTuple):
    """What one stream has new."""

    stream_id: str
    first: int
    """The number of the first new frame."""
    frames: bytes
    """The new frames, one after the other."""
    last: int
    """The number of the last of them; one below the first where there is none."""
    kept: int
    """The number of the first frame that is still kept."""
    about: About | None
    """What the server has to know first, where it may know nothing."""
    ended: Mapping[str, Any] | None
    """What it used and how it ended; None while it runs."""
    resumable: bool = True
    """Whether its frames are kept."""


class Found(NamedTuple):
    """What the server knows of a stream."""

    about: About
    last: int
    ended: dict[str, Any] | None
    alive: bool
    """Whether who runs it lives."""


class Heard(NamedTuple):
    """What has come of a stream, or to a mailbox."""

    position: str
    """From where to hear on."""
    first: int
    """The number of the first frame."""
    frames: list[bytes]
    dead: bool
    """Whether they are the last word of a dead run, before which some may be missing."""
    ended: dict[str, Any] | None
    mail: list[bytes]


class ValkeyJournals:
    """Write and read journals; calls block, each for ``wait_s`` at most.

    Args:
        line: The connection for all but `listen`; closed with this.
        listening: The connection for `listen`, likewise.
        prefix: What all names begin with.
        gateway: The id of this gateway.
        ttl_s: How long a stream is kept after its end, in seconds.
        wait_s: How long a call waits, in seconds.

    All methods raise `StoreUnavailable` where the server cannot be reached or refuses.
    """

    def __init__(
        self,
        line: ValkeyLine,
        listening: ValkeyLine,
        *,
        prefix: str,
        gateway: str,
        ttl_s: float,
        wait_s: float = 2.0,
    ) -> None:
        self.gateway = gateway
        self._line = line
        self._listening = listening
        self._prefix = f"{{{prefix}}}"  # as keys and limits have it
        self._ttl_ms = max(1, int(ttl_s * 1000))
        self._wait_s = wait_s

    def stream_key(self, stream_id: str) -> str:
        """Return where a stream's frames are, for `listen`."""
        return f"{self._prefix}:stream:{stream_id}"

    @property
    def openings(self) -> int:
        """How often the server was connected; behind another connection may be another server."""
        return self._line.openings + self._listening.openings

    @property
    def listenings(self) -> int:
        """The same for `listen`."""
        return self._listening.openings

    @property
    def mailbox(self) -> str:
        """Where messages to this gateway are, for `listen`."""
        return self._mailbox(self.gateway)

    def renew(self) -> None:
        """Show that this gateway lives; by the thread that listens, which no client holds up."""
        key = self._alive(self.gateway)
        self._listening.call("SET", key, 1, "PX", int(LEASE_S * 1000), wait_s=self._wait_s)

    def alive(self, gateways: Sequence[str]) -> set[str]:
        """Return those gateways that live."""
        keys = [self._alive(one) for one in gateways]
        signs = self._line.call("MGET", *keys, wait_s=self._wait_s) if keys else ()
        return {one for one, sign in zip(gateways, signs, strict=True) if sign is not None}

    def leave(self) -> None:
        """Tell that this gateway lives no more."""
        self._line.call("DEL", self._alive(self.gateway), self.mailbox, wait_s=self._wait_s)

    def publish(self, batch: Sequence[News]) -> list[int]:
        """Write what streams have new; return how far each is written now.

        That may be less than was told, and is to be told from there on; `MISSING` where the
        stream is unknown and nothing was said about it, `REFUSED` where it was buried.
        """
        running_ms, ended_ms = int(RUNNING_TTL_S * 1000), self._ttl_ms
        told = [
            (
                one.stream_id,
                one.first,
                one.last,
                one.kept,
                len(one.frames),
                "" if one.about is None else _JSON.encode(one.about).decode(),
                "" if one.ended is None else _JSON.encode(one.ended).decode(),
                running_ms if one.ended is None else ended_ms,
                int(one.resumable),
            )
            for one in batch
        ]
        # in one piece, since the library would take its time over each word
        keys = self.stream_key(""), self._about("")
        packed = self.gateway, _PACKED.encode(told), b"".join([one.frames for one in batch])
        found: list[int] = self._line.run(PUBLISH, keys, packed, wait_s=self._wait_s)
        return found

    def find(self, stream_id: str) -> Found | None:
        """Return what is known of a stream; None for nothing."""
        names = ("about", "last", "ended")
        about, last, ended = self._line.call(
            "HMGET", self._about(stream_id), *names, wait_s=self._wait_s
        )
        if about is None or last is None:
            return None
        try:
            known = msgspec.json.decode(about, type=About)
        except (msgspec.DecodeError, UnicodeError) as error:
            raise StoreUnavailable("the store has streams of another version of this") from error
        alive = self._line.call("EXISTS", self._alive(known.gateway), wait_s=self._wait_s)
        return Found(known, int(last), _ending(ended), bool(alive))

    def known(self, stream_ids: Sequence[str]) -> set[str]:
        """Return those of many streams that are known and have not ended."""
        told = _PACKED.encode([*stream_ids])
        found = self._line.run(KNOWN, (self._about(""),), (told,), wait_s=self._wait_s)
        return {one for one, is_known in zip(stream_ids, found, strict=True) if is_known}

    def frames(self, stream_id: str, after: int) -> Heard:
        """Return some of the frames behind a number: the first of those that are kept."""
        key = self.stream_key(stream_id)
        entries = self._line.call(
            "XRANGE", key, f"({after}-0", "+", "COUNT", _MOST_ENTRIES, wait_s=self._wait_s
        )
        return _heard(entries, f"{after}-0")

    def listen(self, positions: Mapping[str, str], block_s: float) -> dict[str, Heard]:
        """Wait for what comes behind positions, at most for so long; return it by its key."""
        block_ms = max(1, int(block_s * 1000))
        command = ("XREAD", "COUNT", _MOST_ENTRIES, "BLOCK", block_ms, "STREAMS")
        answer = self._listening.call(
            *command, *positions, *positions.values(), wait_s=block_s + self._wait_s
        )
        heard = {key.decode(): entries for key, entries in answer or ()}
        return {key: _heard(entries, positions[key]) for key, entries in heard.items()}

    def send(self, gateway: str, message: bytes) -> bool:
        """Send a message to a gateway; return whether it lives."""
        keys = (self._mailbox(gateway), self._alive(gateway))
        told = (message, _MOST_MAIL, _MAIL_TTL_MS)
        return bool(self._line.run(MAIL, keys, told, wait_s=self._wait_s))

    def bury(
        self, stream_id: str, gateway: str, *, frame: bytes, seen: int, ended: Mapping[str, Any]
    ) -> bool:
        """End a stream whose gateway is dead; return whether that was done just now.

        Args:
            stream_id: The stream.
            gateway: Who ran it.
            frame: The last frame of it.
            seen: The number of the last frame that a reader has, which the server may not.
            ended: What it used and how it ended, as far as known.
        """
        keys = self.stream_key(stream_id), self._about(stream_id), self._alive(gateway)
        told = (frame, seen, _MOST_AHEAD, msgspec.json.encode(ended), self._ttl_ms)
        return bool(self._line.run(BURY, keys, told, wait_s=self._wait_s))

    def close(self) -> None:
        """Close both connections."""
        self._line.close()
        self._listening.close()

    def _about(self, stream_id: str) -> str:
        return f"{self._prefix}:about:{stream_id}"

    def _alive(self, gateway: str) -> str:
        return f"{self._prefix}:alive:{gateway}"

    def _mailbox(self, gateway: str) -> str:
        return f"{self._prefix}:mail:{gateway}"


def _ending(text: bytes | None) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        return _UNTOLD | msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeError):  # that it ended is known all the same
        return _UNTOLD


def _heard(entries: Sequence[Any], position: str) -> Heard:
    """Return what entries say."""
    first, frames, dead, ended, mail = 0, list[bytes](), False, None, list[bytes]()
    for name, (field, value, *_) in entries:
        if field in {b"f", b"d"}:
            found = [frame + b"\n\n" for frame in value.split(b"\n\n")[:-1]]
            began = int(name.partition(b"-")[0]) - len(found) + 1
            if frames and (field == b"d" or began != first + len(frames)):
                break  # before it some are missing: it comes by itself
            first = first or began
            frames += found
            dead = field == b"d"
        elif field == b"e":
            ended = _ending(value)
        elif field == b"m":
            mail.append(value)
        position = name.decode()
    return Heard(position, first, frames, dead, ended, mail)
