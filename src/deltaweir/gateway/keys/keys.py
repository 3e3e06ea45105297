"""Who asks: clients' keys, known by heart, so that no request waits for a disk.

`KeyRing.poll` is called twice a second, in a thread, and reads the keys again when one of them
has changed, so that what is made or revoked by another process bites within a second. Should it
fail for `STALE_S`, or as long as `[store] stale_s` says, nobody is let in any more: nobody knows
then who was revoked.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Iterable
from typing import Self

import msgspec

from deltaweir.allowances import KEY, KeyRecord, KeyTerms, digest_of
from deltaweir.errors import (
    AuthenticationFailed,
    PermissionDenied,
    ServiceUnavailable,
)
from deltaweir.gateway.config.store import STALE_S, StoreConfig
from deltaweir.gateway.keys.places import are_shared, key_store
from deltaweir.stores.books import KeyStore

_NOBODY = KeyRecord(id="", digest=bytes(32), name="", terms=KeyTerms(), created=0, revoked=0)
_BEARER = b"bearer "
_MOST_SHOWN = 8
_ASK = "a key is made by whoever runs this server, with `deltaweir keys create --name NAME`"


class UnknownKey(AuthenticationFailed):
    """A key that was not there when keys were read last, and may have been made since."""


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A client that is known; without the key's secret, so that it may be shown and logged.

    Attributes:
        id: The part of the key that is no secret.
        name: What it is called.
        terms: What it may do.
    """

    id: str
    name: str
    terms: KeyTerms = KeyTerms()

    @property
    def admin(self) -> bool:
        """Whether it sees the usage of all keys."""
        return self.terms.admin

    @property
    def may_record(self) -> bool:
        """Whether its streams may be recorded."""
        return self.terms.may_record

    @property
    def models(self) -> tuple[str, ...]:
        """The models it may use, or beginnings such as ``openai/*``; empty for all."""
        return self.terms.models


class KeyRing:
    """Tell who sends a request, and what they may use.

    `authenticate` and `permits` may be called by any thread, also while another is in `poll`.

    Args:
        store: Where keys are kept; closed with the ring.
        clock: Seconds since 1970.
        monotonic: Seconds that nobody sets.
        stale_s: How long keys are believed that could not be looked at again, in seconds.

    Raises:
        LedgerUnavailable: They cannot be read.
    """

    def __init__(
        self,
        store: KeyStore,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        stale_s: float = STALE_S,
    ) -> None:
        self._store = store
        self._stale_s = stale_s
        self._clock = clock
        self._monotonic = monotonic
        self._changes: tuple[object, ...] | None = None
        self._records: dict[str, tuple[KeyRecord, Key]] = {}
        self._usable = set[str]()
        self._expiry: float | None = None
        self._looked = monotonic()
        self.poll()

    @classmethod
    def open(cls, url: str, store: StoreConfig = StoreConfig()) -> Self:
        """Return the keys in the ledger that a configuration names, or in its store.

        Args:
            url: As for `deltaweir.gateway.keys.places.key_store`.
            store: The store; what it says of one that is away holds for a ledger in PostgreSQL.

        Raises:
            InvalidRequest: The URL names no file; or the store's extra is not installed.
            LedgerUnavailable: It cannot be opened, or is damaged or too new.
        """
        stale_s = store.stale_s if are_shared(url, store) else STALE_S
        return cls(key_store(url, store), stale_s=stale_s)

    @property
    def stale(self) -> bool:
        """Whether nobody is let in, since keys could not be looked at for too long."""
        return self._monotonic() - self._looked > self._stale_s

    def authenticate(self, headers: Iterable[tuple[bytes, bytes]]) -> Key:
        """Return who sends these headers.

        Args:
            headers: Of the request, with names in lower case.

        Raises:
            AuthenticationFailed: There is no key, or it is not accepted; why is not told.
            UnknownKey: There was none of this id when keys were read last.
            ServiceUnavailable: Keys could not be looked at for too long.
        """
        if self.stale:
            raise ServiceUnavailable(
                "this server cannot read its keys at the moment, and lets nobody in; ask again "
                "in some seconds. Whoever runs it: its log says why"
            )
        sent = _sent(headers)
        found = KEY.fullmatch(sent)
        if found is None:
            raise AuthenticationFailed(
                "what was sent is no key of this server, whose keys begin with dw-; "
                f"{_ASK}, and is sent whole, as 'Authorization: Bearer dw-...'"
            )
        record, key = self._records.get(found["id"], (_NOBODY, None))
        same = hmac.compare_digest(digest_of(sent.encode()), record.digest)
        if not same or key is None or record.state(self._clock()) != "active":
            kind = UnknownKey if key is None else AuthenticationFailed
            raise kind(
                f"this key is unknown, revoked or expired; {_ASK}, where `deltaweir keys list` "
                "shows what became of this one"
            )
        return key

    def name_of(self, key_id: str) -> str | None:
        """Return what a key is called, also one that is no longer accepted; None if unknown."""
        found = self._records.get(key_id)
        return None if found is None else found[1].name

    def permits(self, key: Key, model: str) -> None:
        """Accept that a key uses a model.

        Args:
            key: Whose request it is.
            model: The model's name as clients use it.

        Raises:
            PermissionDenied: It may not; the message names the models that it may use.
        """
        if key.terms.permit(model):
            return
        shown = ", ".join(key.models[:_MOST_SHOWN])
        more = ", ..." if len(key.models) > _MOST_SHOWN else ""
        raise PermissionDenied(
            f"this key may not use the model {model[:80]!r}; it may use: {shown}{more}",
            code="model_not_allowed",
            param="model",
        )

    def poll(self) -> set[str]:
        """Look whether keys have changed; return the ids that are not accepted any more.

        Each id is returned once: revoked, expired or removed since the call before. Blocks, for
        some microseconds unless something has changed.

        Raises:
            LedgerUnavailable: They cannot be read; what was read before stands for ``stale_s``.
        """
        changes, now, gone = self._store.changes(), self._clock(), set[str]()
        if changes != self._changes:
            self._records = {
                record.id: (record, Key(id=record.id, name=record.name, terms=record.terms))
                for record in self._store.records()
            }
            self._changes = changes  # read before the keys: what changes meanwhile is read again
            gone = self._sorted_out(now)
        elif self._expiry is not None and now >= self._expiry:
            gone = self._sorted_out(now)
        self._looked = self._monotonic()
        return gone

    def _sorted_out(self, now: float) -> set[str]:
        """Return the ids that were accepted and are not, and know when the next one expires."""
        active = [one for one, _ in self._records.values() if one.state(now) == "active"]
        before, self._usable = self._usable, {one.id for one in active}
        expiries = [one.terms.expires for one in active if one.terms.expires is not None]
        self._expiry = min(expiries, default=None)
        return before - self._usable

    def close(self) -> None:
        """Let go of the file."""
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _sent(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the key that a request brings, as it stands there."""
    values = [value for name, value in headers if name == b"authorization"]
    if len(values) != 1 or values[0][: len(_BEARER)].lower() != _BEARER:
        raise AuthenticationFailed(
            f"no key was sent; {_ASK}, and is sent as 'Authorization: Bearer dw-...', which "
            "clients do with what they are given as api_key"
        )
    return values[0][len(_BEARER) :].strip().decode("latin-1")
