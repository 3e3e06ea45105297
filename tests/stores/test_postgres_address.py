"""A database's URL is shown without its password, and refused where it could not be."""

from __future__ import annotations

import pytest

from deltaweir.errors import InvalidRequest
from deltaweir.stores.postgres_address import check_address, is_postgres, shown, with_password


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://ann:secret@host:5432/ledger", "postgresql://host:5432/ledger"),
        ("postgres://ann:se%2Fcret@host/ledger?sslmode=require", "postgresql://host/ledger"),
        ("postgresql://host", "postgresql://host"),
        ("postgresql:///ledger", "postgresql:///ledger"),
        ("postgresql://ann:secret@one:1,two:2/ledger", "postgresql://one:1,two:2/ledger"),
        ("postgresql://ann:se@cret@host/ledger", "postgresql://host/ledger"),
    ],
)
def test_what_is_shown_tells_no_secret(url: str, said: str) -> None:
    """Hosts, ports and the database are left."""
    assert is_postgres(url)
    check_address(url, param="url")
    assert shown(url) == said


@pytest.mark.parametrize("letter", "/?#")
def test_a_password_that_would_be_cut_is_refused(letter: str) -> None:
    """A letter that ends the host's part would let a part of the password be shown."""
    with pytest.raises(InvalidRequest, match="%2F") as refused:
        check_address(f"postgresql://ann:se{letter}cret@host/ledger", param="url")
    assert "cret" not in refused.value.message


def test_a_password_may_come_by_itself() -> None:
    """It is put behind the user, who must be there, and never replaces another."""
    url = with_password("postgresql://ann@host/ledger", "se%2Fcret")
    assert url == "postgresql://ann:se%2Fcret@host/ledger"
    for given in ("postgresql://host/ledger", "postgresql://ann:x@host", "postgresql://@host"):
        with pytest.raises(InvalidRequest, match="needs a user"):
            with_password(given, "secret")


def test_other_urls_are_none() -> None:
    """A file and other databases are not PostgreSQL's."""
    assert not is_postgres("sqlite:///ledger.db")
    assert not is_postgres("mysql://host/ledger")
