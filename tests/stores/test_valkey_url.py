"""Where a store is: each part of its URL is understood, and none of a password is shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaweir.errors import InvalidRequest
from deltaweir.stores.valkey_url import Address, address_of


@pytest.mark.parametrize(
    ("url", "address", "shown"),
    [
        ("valkey://h", Address("h"), "valkey://h:6379/0"),
        ("redis://h:1/2", Address("h", 1, database=2), "valkey://h:1/2"),
        ("valkey://h:0", Address("h", 0), "valkey://h:0/0"),
        (
            "rediss://me:p%2F%40@h",
            Address("h", user="me", password="p/@", encrypted=True),  # noqa: S106
            "valkeys://h:6379/0",
        ),
        ("valkeys://[::1]:7", Address("::1", 7, encrypted=True), "valkeys://[::1]:7/0"),
        ("valkey://:p@h/", Address("h", password="p"), "valkey://h:6379/0"),  # noqa: S106
        ("unix:///a/b", Address("", path="/a/b"), "unix:///a/b?db=0"),
        ("unix:///a?db=3", Address("", path="/a", database=3), "unix:///a?db=3"),
    ],
)
def test_a_url_is_understood(url: str, address: Address, shown: str) -> None:
    """Scheme, user, password, host, port and database; what is shown has no password."""
    assert address_of(url) == address
    assert address.shown == shown
    assert repr(address) == f"Address({shown!r})"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "no scheme"),
        ("h:6379", "the scheme 'h'"),
        ("http://h", "the scheme 'http'"),
        ("valkey://", "no host"),
        ("valkey://:secret@", "no host"),
        ("valkey://h:secret", "a port or an address"),
        ("valkey://:se/cret@h", "a port or an address"),
        ("valkey://[secret", "a port or an address"),
        ("valkey://h/one", "a database"),
        ("valkey://h/\u0663", "a database"),
        ("valkey://h/99999999999", "a database"),
        ("valkey://h/0?secret=1", "more behind the database"),
        ("valkey://:a#secret@h", "%23"),
        ("unix://h/a", "no path"),
        ("unix://", "no path"),
        ("unix:///a?db=x", "a database"),
    ],
)
def test_what_is_none_is_refused(url: str, words: str) -> None:
    """What is wrong is named, what is supported too, and the URL is not repeated."""
    with pytest.raises(InvalidRequest, match=words) as refused:
        address_of(url)
    assert "valkey://host:6379/0" in refused.value.message
    assert "secret" not in refused.value.message


def test_a_password_of_its_own() -> None:
    """It takes the place of the URL's."""
    address = address_of("valkey://a:b@h", password="c")  # noqa: S106
    assert address == Address("h", user="a", password="c")  # noqa: S106


@given(text=st.text(max_size=30))
def test_any_text_is_understood_or_refused(text: str) -> None:
    """With an error of ours."""
    for url in (text, f"valkey://{text}", f"unix:///{text}"):
        try:
            address_of(url)
        except InvalidRequest:
            continue
