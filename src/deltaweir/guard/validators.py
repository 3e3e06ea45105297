"""What a pattern cannot say of a match: check digits and ranges. Pure.

A validator sees the text of one match, or what it folds to where the rule folds, and tells
whether it counts. It must be cheap: at each place where the pattern could end, it may be asked
once for each place where the pattern could begin. `deltaweir.guard.plan` bounds how many these are.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping

_CARD_DIGITS = range(12, 20)
"""ISO/IEC 7812-1 allows a card number up to 19 digits; Maestro's shortest have 12."""

_NO_DIGITS = bytes(one for one in range(128) if not chr(one).isdigit())
_NO_SIGNS = bytes(one for one in range(128) if not chr(one).isalnum())
_UPPER = bytes(range(256)).upper()
_DIGITS = b"0123456789"
_DOUBLED = bytes(sum(divmod(2 * int(chr(one)), 10)) if one in _DIGITS else 0 for one in range(256))
"""The sum of the digits of twice a digit."""

_LONGEST_ADDRESS = 64
"""Characters: 45 of a version 6 address that ends in one of version 4, then ``%`` and the name
of an interface, which systems hold to 15, and the sign that may follow."""

_REGISTERED = {
    15: "NO",
    16: "BE",
    18: "DK FI FK FO GL NL SD",
    19: "MK SI",
    20: "AT BA EE KZ LT LU MN XK",
    21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS VA",
    23: "AE GI IL IQ OM SO TL",
    24: "AD CZ ES MD PK RO SA SE SK TN VG",
    25: "LY PT ST",
    26: "IS TR",
    27: "BI DJ FR GR IT MC MR SM",
    28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
    29: "BR EG PS QA UA",
    30: "JO KW MU YE",
    31: "MT SC",
    32: "LC",
    33: "RU",
}
"""Countries by the length of their account numbers: the registry that SWIFT keeps for ISO 13616."""

_UNREGISTERED = {
    25: "AO CV GW MZ",
    26: "DZ IR",
    27: "CF CG CM GA GQ KM MG TD",
    28: "BF BJ CI MA ML NE SN TG",
}
"""Those that the registry does not have, but that banks of these countries use."""

_IBAN_LENGTHS = {
    country.encode(): length
    for table in (_REGISTERED, _UNREGISTERED)
    for length, countries in table.items()
    for country in countries.split()
}


def luhn(text: str) -> bool:
    """Tell whether a text holds the 12 to 19 digits of a payment card, the last one right.

    All but ASCII digits counts as a separator. The check is that of ISO/IEC 7812-1, annex B.
    """
    digits = text.encode("ascii", "ignore").translate(None, _NO_DIGITS)
    if len(digits) not in _CARD_DIGITS:
        return False
    single = digits[-1::-2]
    return (sum(single) - 48 * len(single) + sum(digits[-2::-2].translate(_DOUBLED))) % 10 == 0


def iban(text: str) -> bool:
    """Tell whether a text is an international bank account number (ISO 13616).

    The length must be its country's, and the remainder by 97 must be 1 (ISO 7064). A country
    that has no such numbers has no valid ones. All but ASCII letters and digits counts as a
    separator; case does not matter, since folding takes it away.
    """
    signs = text.encode("ascii", "ignore").translate(_UPPER, _NO_SIGNS)
    if _IBAN_LENGTHS.get(signs[:2]) != len(signs) or not signs[2:4].isdigit():
        return False
    turned = (signs[4:] + signs[:4]).decode()
    return int("".join(str(int(sign, 36)) for sign in turned)) % 97 == 1


def ip(text: str) -> bool:
    """Tell whether a text is an IPv4 or IPv6 address, as Python's `ipaddress` has it.

    Octets are at most 255 and have no leading zeros, which some read as octal. One dot or colon
    that follows the address does not count: it ends a sentence, or begins an explanation. A
    text of more than 64 characters is none, whatever it calls its interface.
    """
    if len(text) > _LONGEST_ADDRESS or (text.count(".") < 3 and text.count(":") < 2):  # noqa: PLR2004  # of each, at least
        return False
    return _is_address(text) or (text[-1:] in {".", ":"} and _is_address(text[:-1]))


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


VALIDATORS: Mapping[str, Callable[[str], bool]] = {"luhn": luhn, "iban": iban, "ip": ip}
"""The validators, by the name that rules use."""
