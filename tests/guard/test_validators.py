"""Validators take what their standard allows, and find every single mistake."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaweir.guard.validators import VALIDATORS, iban, ip, luhn

CARDS = [
    "4111 1111 1111 1111",
    "5555-5555-5555-4444",
    "378282246310005",
    "30569309025904",
    "6759649826438453",
    "501800000009",
    "6304\u00a09000\u00a01774\u00a00292\u00a0441",
]

# the registry's own examples
ACCOUNTS = [
    "DE89 3704 0044 0532 0130 00",
    "GB29NWBK60161331926819",
    "NO9386011117947",
    "MT84-MALT-0110-0001-2345-MTLC-AST0-01S",
    "FR1420041010050500013M02606",
    "AE070331234567890123456",
    "LC55HEMM000100010012001200023015",
    "ma64 0115 1900 0001 2050 0053 4921",
]


def test_the_names_are_those_that_rules_use() -> None:
    """Each validator is found by its name."""
    assert dict(VALIDATORS) == {"luhn": luhn, "iban": iban, "ip": ip}


@pytest.mark.parametrize("text", CARDS)
def test_card_numbers_are_valid(text: str) -> None:
    """Numbers of all lengths and separators are taken."""
    assert luhn(text)


@pytest.mark.parametrize(
    "text", ["", "0", "4111 1111 1111 1112", "18", "0" * 11, "0" * 20, "٤١١١١١١١١١١١١١١١"]
)
def test_other_numbers_are_not(text: str) -> None:
    """A wrong check digit, too few or too many digits, or digits of other scripts do not pass."""
    assert not luhn(text)


@given(st.data())
def test_one_wrong_digit_is_found(data: st.DataObject) -> None:
    """Whichever digit of a card is another one, the number is not valid."""
    text = data.draw(st.sampled_from([one for one in CARDS if one.isdigit()]))
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.sampled_from([one for one in string.digits if one != text[at]]))
    assert not luhn(text[:at] + other + text[at + 1 :])


@pytest.mark.parametrize("text", ACCOUNTS)
def test_account_numbers_are_valid(text: str) -> None:
    """Account numbers of registered and of other countries are taken, however grouped."""
    assert iban(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "DE",
        "DE88370400440532013000",
        "DE8937040044053201300",
        "DE893704004405320130000",
        "US89370400440532013000",
        "DEAB370400440532013000",
        "\uff24\uff2589370400440532013000",
    ],
)
def test_other_accounts_are_not(text: str) -> None:
    """A wrong sum, length or country, or what only looks like letters, does not pass."""
    assert not iban(text)


def test_a_right_sum_does_not_excuse_a_wrong_length() -> None:
    """A number whose check digits are right, but which is too short for its country, fails."""
    for check in range(2, 99):
        assert not iban(f"DE{check:02}3704004405320130")


@given(st.data())
def test_one_wrong_sign_is_found(data: st.DataObject) -> None:
    """Whichever sign is another one of its kind, the account is not valid."""
    text = data.draw(st.sampled_from([one for one in ACCOUNTS if one.isalnum()]))
    at = data.draw(st.integers(0, len(text) - 1))
    kind = string.digits if text[at].isdigit() else string.ascii_uppercase
    other = data.draw(st.sampled_from([one for one in kind if one != text[at]]))
    assert not iban(text[:at] + other + text[at + 1 :])


@pytest.mark.parametrize(
    "text",
    [
        "192.0.2.1",
        "255.255.255.255",
        "192.0.2.1.",
        "2001:db8::1",
        "::",
        "::ffff:192.0.2.1",
        "2001:db8:0:0:1:0:0:1",
        "fe80::1%eth0",
        "fe80::1:",
    ],
)
def test_addresses_are_valid(text: str) -> None:
    """Addresses of both kinds are taken, also with the sign that ends a sentence."""
    assert ip(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "256.0.2.1",
        "192.0.2",
        "192.0.2.01",
        "192.0.2.1..",
        "1.2.3.4.5",
        "20:02:53",
        "1::2::3",
        "12345::",
        "3232235777",
        " 192.0.2.1",
    ],
)
def test_other_dots_and_colons_are_not(text: str) -> None:
    """Octets above 255 or with zeros in front, times, versions and whole numbers do not pass."""
    assert not ip(text)


@given(st.text(alphabet="0123456789abcdefABCDEFx:.%- ", max_size=40))
def test_any_text_gets_an_answer(text: str) -> None:
    """No text makes a validator raise."""
    for validator in VALIDATORS.values():
        assert validator(text) in {True, False}
