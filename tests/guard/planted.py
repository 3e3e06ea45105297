"""Rules as presets have them, secrets that they must find, and texts in which some are planted."""

from __future__ import annotations

from hypothesis import strategies as st

from deltaweir.guard.rules import Rule

RULES = (
    Rule(
        id="email",
        regex=r"(?<![\w.+-])[\w.+-]{1,20}@(?:[a-z0-9-]{1,12}\.){1,3}[a-z]{2,6}(?![\w-])",
        label="e-mail address",
    ),
    Rule(id="card", regex=r"(?<!\d)\d(?:[ -]?\d){11,18}(?!\d)", validator="luhn"),
    Rule(id="iban", regex=r"\b[A-Z]{2}\d\d(?: ?[A-Z0-9]){11,30}\b", validator="iban"),
    Rule(id="address", regex=r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])", validator="ip"),
    Rule(id="ssn", regex=r"(?<![\d-])\d{3}-\d\d-\d{4}(?![\d-])"),
    Rule(id="token", regex=r"\b(?:sk|pk)-[A-Za-z0-9_-]{12,}"),
    Rule(id="key", regex=r"\bAK[A-Z0-9]{10}\b|(?<!x)gh[po]_[A-Za-z0-9]{12}"),
    Rule(
        id="pem",
        regex=r"-----BEGIN [A-Z ]{0,12}KEY-----[\w+/=\s]*(?:-----END [A-Z ]{0,12}KEY-----)?",
    ),
    Rule(id="link", regex=r"https?://[^\s/:@]{1,12}:[^\s/@]{1,12}@[^\s]*"),
    Rule(id="word", regex=r"(?i)\bpass(?:word|phrase)?: ?[a-z0-9]{4,8}\b", label="said"),
    Rule(id="name", literals=("Rumpelstilzchen", "stilz", "John Doe")),
    Rule(id="mac", regex=r"\b(?:[\da-f]{2}:){5}[\da-f]{2}\b", action="flag"),
)

SECRETS = (
    "jane.roe@mail.example.org",
    "a@b.co",
    "4111 1111 1111 1111",
    "378282246310005",
    "5555-5555-5555-4444",
    "DE89370400440532013000",
    "GB82 WEST 1234 5698 7654 32",
    "10.0.0.1",
    "123-45-6789",
    "sk-aB3_aB3_aB3_aB3_",
    "AK0123456789",
    "gho_a1B2a1B2a1B2",
    "-----BEGIN RSA KEY-----\nMIIE\n-----END RSA KEY-----",
    "https://me:secret@host/path",
    "Password: hunter2",
    "Rumpelstilzchen",
)

SPARE = (
    *("4111-1111-1111-1112", "300.1.2.3", "1.2.3", "00:1a:2b:3c:4d:5e", "GB82 WEST 0000"),
    *("sk-", "@", "https://", "-----BEGIN", "pass", "Rumpel", "John D", "GB82", "gh"),
)
"""Nearly secrets, and what secrets begin with."""

_BETWEEN = (*" \n,.-@:/a9_", ", ", "1 ", "\u00e9", "\u200b", "\U0001f600", "")


@st.composite
def _parts(draw: st.DrawFn) -> str:
    """Draw a secret, or what is nearly one: its beginning, its end, or both."""
    whole: str = draw(st.sampled_from(SECRETS + SPARE))
    begin = draw(st.sampled_from((0, 0, 0, 1, 4)))
    end = draw(st.sampled_from((0, 0, 0, 1, 5)))
    return whole[begin : len(whole) - end]


def texts() -> st.SearchStrategy[str]:
    """Draw texts in which secrets are planted, whole and in part, touching and apart."""
    between = st.sampled_from(_BETWEEN) | st.text("ab1 .-@:s", min_size=1, max_size=6)
    parts = st.lists(_parts() | _parts() | between, min_size=1, max_size=9)
    return parts.map(lambda drawn: "".join(drawn)[:110])


def noises() -> st.SearchStrategy[str]:
    """Draw texts without a secret, on purpose at least."""
    return st.text("ab1 .-@:s\n9xK\u00e9\u200b", max_size=12)
