"""The rules that every filter gets: LiteLLM's own where it has one, the same language else.

A rule has two forms. One is for engines that run ``re`` over a text that they have in full;
the other is bounded, as Deltaweir asks of a rule before it takes it.
"""

from __future__ import annotations

from dataclasses import dataclass

from secrets_made import KEYWORD, PASSPHRASE

_KEY_HEAD = r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----"
_KEY_FOOT = r"-----END (?:[A-Z]+ )*PRIVATE KEY-----"


@dataclass(frozen=True, slots=True)
class Filtered:
    """One rule in the words of each filter.

    Attributes:
        name: What the rule is called.
        prebuilt: The name of LiteLLM's own pattern; None where it has none.
        regex: The pattern of every filter built on ``re``; None for the prebuilt one's.
        literal: The text itself, for rules that are no pattern.
        bounded: Deltaweir's pattern.
    """

    name: str
    prebuilt: str | None = None
    regex: str | None = None
    literal: str | None = None
    bounded: str | None = None


_EVERY = (
    Filtered(
        "email",
        prebuilt="email",
        bounded=r"\b[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]{1,190}\.[A-Za-z]{2,24}\b",
    ),
    Filtered(
        "card",
        prebuilt="credit_card",
        bounded=(
            r"\b4\d{3}[\s-]?\d{4}[\s-]?\d{4}[\s-]?\d{4}\b"
            r"|\b5[1-5]\d{2}[\s-]?\d{4}[\s-]?\d{4}[\s-]?\d{4}\b"
            r"|\b3[47]\d{2}[\s-]?\d{6}[\s-]?\d{5}\b"
            r"|\b6(?:011|5\d{2})[\s-]?\d{4}[\s-]?\d{4}[\s-]?\d{4}\b"
        ),
    ),
    Filtered("token", prebuilt="github_token", bounded=r"\bgh[ps]_[A-Za-z0-9]{36}\b"),
    Filtered(
        "long-token",
        regex=r"\bgithub_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}\b",
        bounded=r"\bgithub_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}\b",
    ),
    Filtered(
        "open-key",
        regex=r"\bsk-(?:proj-)?[A-Za-z0-9_-]{20,}",
        bounded=r"\bsk-(?:proj-)?[A-Za-z0-9_-]{20}[A-Za-z0-9_-]*",
    ),
    Filtered(
        "jwt",
        regex=r"\beyJ[A-Za-z0-9_-]{5,}\.eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{10,}",
        bounded=r"\beyJ[A-Za-z0-9_-]{5,500}\.eyJ[A-Za-z0-9_-]{5,4000}\.[A-Za-z0-9_-]{10,700}",
    ),
    Filtered("keyword", literal=KEYWORD),
    Filtered("passphrase", literal=PASSPHRASE),
)
_PEM_HEAD = Filtered(
    "pem",
    regex=rf"{_KEY_HEAD}[A-Za-z0-9+/=\s]*(?:{_KEY_FOOT})?",
    bounded=(
        r"-----BEGIN (?:[A-Z]{1,12} ){0,3}PRIVATE KEY-----[A-Za-z0-9+/=\s]*"
        r"(?:-----END (?:[A-Z]{1,12} ){0,3}PRIVATE KEY-----)?"
    ),
)
_PEM_WHOLE = Filtered(
    "pem",
    regex=rf"{_KEY_HEAD}[A-Za-z0-9+/=\s]+{_KEY_FOOT}",
    bounded=(
        r"-----BEGIN (?:[A-Z]{1,12} ){0,3}PRIVATE KEY-----[A-Za-z0-9+/=\s]{1,8000}"
        r"-----END (?:[A-Z]{1,12} ){0,3}PRIVATE KEY-----"
    ),
)

RULES = (*_EVERY, _PEM_HEAD)
RULES_WITH_WHOLE_PEM = (*_EVERY, _PEM_WHOLE)
