"""Keys in a store: what its answers mean; tests/live has real servers."""

from __future__ import annotations

import msgspec
import pytest
from tests.stores.test_sqlite_keys import NOON, TERMS, record
from tests.stores.test_valkey import peer

from deltaweir.allowances import Quota
from deltaweir.errors import InvalidRequest
from deltaweir.stores.failures import LedgerDamaged
from deltaweir.stores.valkey_keys import ValkeyKeys

KEPT = msgspec.json.encode(record())
SINCE = repr(NOON).encode()


def array(*items: bytes | None) -> bytes:
    """Return texts as the server writes several, and none as nothing."""
    parts = [b"$-1\r\n" if one is None else b"$%d\r\n%b\r\n" % (len(one), one) for one in items]
    return b"*%d\r\n%b" % (len(items), b"".join(parts))


def test_a_key_is_made_once() -> None:
    """The server says whether its id was free."""
    with peer(b":1\r\n|:0\r\n") as line, ValkeyKeys(line, prefix="p") as keys:
        keys.create(record())
        with pytest.raises(InvalidRequest, match="4f1c09ab27de"):
            keys.create(record())


def test_a_key_is_revoked() -> None:
    """It comes back as it is then; an unknown one is an error that says where to look."""
    with peer(array(KEPT, SINCE) + b"|*0\r\n") as line:
        keys = ValkeyKeys(line, prefix="p")
        assert keys.revoke("4f1c09ab27de", NOON + 1).revoked == NOON
        with pytest.raises(InvalidRequest, match="deltaweir keys list") as refused:
            keys.revoke("4f1c09ab27de", NOON)
        assert refused.value.status == 404


def test_keys_are_read_with_their_revocations() -> None:
    """The oldest first; one that cannot be read is damage."""
    young = msgspec.structs.replace(record("0" * 12), created=NOON + 1)
    kept = array(b"0" * 12, msgspec.json.encode(young), b"4f1c09ab27de", KEPT)
    revoked = array(b"4f1c09ab27de", SINCE)
    damaged = array(b"4f1c09ab27de", b"[]")
    answers = [b"*2\r\n" + kept + revoked, b"*2\r\n" + damaged + revoked]
    answers.append(b"*2\r\n" + kept + array(b"4f1c09ab27de", b"x"))
    with peer(b"|".join(answers)) as line:
        keys = ValkeyKeys(line, prefix="p")
        assert keys.records() == [msgspec.structs.replace(record(), revoked=NOON), young]
        for _ in range(2):
            with pytest.raises(LedgerDamaged, match="4f1c09ab27de"):
                keys.records()


def test_changes_and_what_is_spent() -> None:
    """A connection that is made anew may lead elsewhere: that is a change."""
    with peer(b"$1\r\na\r\n|$2\r\n17\r\n|$-1\r\n", b"$1\r\na\r\n") as line:
        keys = ValkeyKeys(line, prefix="p")
        before = keys.changes()
        quotas = [*TERMS.quotas]
        assert quotas[0] == Quota("tokens", 400, "day")
        assert keys.spent("k", quotas, NOON) == [17, 0]
        after = keys.changes()
        assert (before, after) == ((1, b"a"), (2, b"a"))
