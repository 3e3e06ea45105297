"""What a pattern cannot say of a match: check digits and ranges. Pure.

A validator sees the text of one match, or what it folds to where the rule folds, and tells
whether it counts. It must be cheap: while a rule's thread lives, it is asked once for each place
at which the pattern could end.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping

_CARD_DIGITS = range(12, 20)
"""ISO/IEC 7812-1 allows a card number up to 19 digits; Maestro's shortest have 12."""

_IBAN_LENGTHS = {
    entry[:2]: int(entry[2:])
    for entry in (
        # the registry of SWIFT, which keeps ISO 13616's
        "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 "
        "DJ27 DK18 DO28 EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 "
        "HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 "
        "MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 "
        "RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 "
        "VA22 VG24 XK20 YE30 "
        # not in the registry, but in use by the banks of these countries
        "AO25 BF28 BJ28 CF27 CG27 CI28 CM27 CV25 DZ26 GA27 GQ27 GW25 IR26 KM27 MA28 MG27 ML28 "
        "MZ25 NE28 SN28 TD27 TG28"
    ).split()
}


def luhn(text: str) -> bool:
    """Tell whether a text holds the 12 to 19 digits of a payment card, the last one right.

    All but ASCII digits counts as a separator. The check is that of ISO/IEC 7812-1, annex B.
    """
    digits = [int(sign) for sign in text if sign.isascii() and sign.isdigit()]
    if len(digits) not in _CARD_DIGITS:
        return False
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def iban(text: str) -> bool:
    """Tell whether a text is an international bank account number (ISO 13616).

    The length must be its country's, and the remainder by 97 must be 1 (ISO 7064). A country
    that has no such numbers has no valid ones. All but ASCII letters and digits counts as a
    separator; case does not matter, since folding takes it away.
    """
    signs = "".join(sign for sign in text if sign.isascii() and sign.isalnum()).upper()
    if _IBAN_LENGTHS.get(signs[:2]) != len(signs) or not signs[2:4].isdigit():
        return False
    return int("".join(str(int(sign, 36)) for sign in signs[4:] + signs[:4])) % 97 == 1


def ip(text: str) -> bool:
    """Tell whether a text is an IPv4 or IPv6 address, as Python's `ipaddress` has it.

    Octets are at most 255 and have no leading zeros, which some read as octal. One dot or colon
    that follows the address does not count: it ends a sentence, or begins an explanation.
    """
    return _is_address(text) or (text[-1:] in {".", ":"} and _is_address(text[:-1]))


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


VALIDATORS: Mapping[str, Callable[[str], bool]] = {"luhn": luhn, "iban": iban, "ip": ip}
"""The validators, by the name that rules use."""
