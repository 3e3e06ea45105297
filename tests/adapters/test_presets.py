"""Each rule of the presets finds its examples, and passes its near misses and ordinary text."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.guard.matching import matches

from deltaweir.adapters.rule_files import PRESETS, preset
from deltaweir.guard.bounds import worst_hold
from deltaweir.guard.rules import Rule

RULES = preset("standard")
ORDINARY = (Path(__file__).parent.parent / "guard" / "ordinary.txt").read_text(encoding="utf-8")
EACH = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)

MOST_HELD = 640
"""Characters of the longest hold, an e-mail address's: see its rule's bounds."""


def covered(rule: Rule, text: str) -> str:
    """Return a text with a sign in place of each character that a rule would hide."""
    hidden = {at for start, end in matches(rule, text) for at in range(start, end)}
    return "".join("█" if at in hidden else sign for at, sign in enumerate(text))


def find(name: str) -> Rule:
    """Return a rule by its id."""
    return next(rule for rule in RULES if rule.id == name)


def test_standard_is_the_others_and_the_network() -> None:
    """The presets share their rules, and no id is there twice."""
    ids = [rule.id for rule in RULES]
    assert len(set(ids)) == len(ids)
    assert 30 <= len(ids) <= 40
    network = ["ipv4", "ipv6", "mac_address"]
    assert ids == [*(rule.id for name in ("pii", "secrets") for rule in preset(name)), *network]
    assert set(PRESETS) == {"standard", "secrets", "pii"}


@EACH
def test_a_rule_explains_itself(rule: Rule) -> None:
    """A rule has a description, two examples and two near misses, and leaves the guard its say."""
    assert rule.description
    assert rule.description.strip().endswith(".")
    assert len(rule.examples) >= 2
    assert len(rule.counterexamples) >= 2
    assert (rule.action, rule.scope, rule.fold, rule.max_hold) == (None, None, None, None)


@EACH
def test_a_rule_matches_its_examples(rule: Rule) -> None:
    """Each example holds at least one match."""
    missed = [text for text in rule.examples if covered(rule, text) == text]
    assert missed == []


@EACH
def test_a_rule_passes_its_near_misses(rule: Rule) -> None:
    """No counterexample holds a match."""
    hit = [text for text in rule.counterexamples if covered(rule, text) != text]
    assert hit == []


@EACH
def test_a_rule_passes_ordinary_text(rule: Rule) -> None:
    """Prose, code, hashes, dates and numbers leave as they are."""
    lines = ORDINARY.splitlines()
    shown = covered(rule, ORDINARY).splitlines()
    assert [one for one, other in zip(lines, shown, strict=True) if one != other] == []


@EACH
def test_a_rule_holds_no_more_than_its_standard_allows(rule: Rule) -> None:
    """The worst hold of each rule is known and small."""
    assert worst_hold(rule) <= MOST_HELD


@pytest.mark.parametrize(
    ("name", "before", "secret", "after"),
    [
        ("email", "to ", "jane.doe@mail.example.com", "."),
        ("email", "'", "bob@example.com", "'"),
        ("email", "", "o'hara@example.com", ""),
        ("email", "<mailto:", "jörg@müller.example", ">"),
        ("card", "x ", "4111 1111 1111 1111", "."),
        ("phone_us", "call ", "(212) 555-0123", "!"),
        ("phone_intl", "", "+44 (0)20 7946 0018", " x"),
        ("iban", "", "DE89 3704 0044 0532 0130 00", " AND SO ON"),
        ("us_ssn", "(", "219-09-9999", ")"),
        ("ipv4", "at ", "192.0.2.1.", " Next"),
        ("ipv4", "//", "192.0.2.1", ":80/"),
        ("ipv6", "[", "2001:db8::1", "]:80"),
        ("ipv6", "", "fe80::1", "%eth0"),
        ("jwt", "?t=", "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.c2ln", ". No"),
        ("openai_key", "", "sk-" + "a" * 60, ", then"),
        ("github_token", "https://", "ghp_" + "0" * 36, "@github.com"),
        ("database_url", "(", "redis://:p@cache:6379/0", ") up"),
        ("url_credentials", "", "https://u:p@", "h.example/x"),
        ("authorization_header", "-H '", "Authorization: Basic QWxhZGRpbjpv==", "'"),
    ],
)
def test_a_match_covers_what_it_should(name: str, before: str, secret: str, after: str) -> None:
    """All of a secret is covered, and nothing around it."""
    shown = covered(find(name), before + secret + after)
    assert shown == before + "█" * len(secret) + after


BODY = "MIIEpAIBAAKCAQEA0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKL"
RFC_1421 = "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0A"
PGP = "-----BEGIN PGP PRIVATE KEY BLOCK-----"
PGP_END = "-----END PGP PRIVATE KEY BLOCK-----"


@pytest.mark.parametrize(
    "key",
    [
        f"-----BEGIN RSA PRIVATE KEY-----\n{BODY}\n{BODY}\nabc=\n-----END RSA PRIVATE KEY-----",
        f"-----BEGIN PRIVATE KEY-----\\n{BODY}\\n{BODY}\\nabc=\\n-----END PRIVATE KEY-----",
        f"-----BEGIN PRIVATE KEY-----\r\n  {BODY}\r\n  abc\r\n-----END PRIVATE KEY-----",
        f'-----BEGIN EC PRIVATE KEY-----\\n" +\n  "{BODY}\\n" +\n  "-----END EC PRIVATE KEY-----',
        "-----BEGIN PRIVATE KEY-----\nabc\ndef\n-----END PRIVATE KEY-----",
        f"-----BEGIN PRIVATE KEY-----\n{RFC_1421}\n\n{BODY}\nabc\n-----END PRIVATE KEY-----",
        f"{PGP}\nVersion: GnuPG v2.0.22 (GNU/Linux)\n\n{BODY}\n=abcd\n{PGP_END}",
        f"-----BEGIN PRIVATE KEY-----\n{BODY}",
    ],
)
def test_a_private_key_is_covered_to_its_end(key: str) -> None:
    """A key goes whole, however its lines end, and what stands behind it stays."""
    assert covered(find("private_key"), f"({key})") == f"({'█' * len(key)})"


def test_a_private_key_that_is_only_mentioned_takes_no_prose() -> None:
    """Behind a header line, words that are no key stay."""
    head = "-----BEGIN RSA PRIVATE KEY-----"
    text = "{} comes before what is secret, which nobody may see."
    assert covered(find("private_key"), text.format(head)) == text.format("█" * len(head))


@pytest.mark.parametrize("size", [1, 64])
def test_an_address_has_the_lengths_of_its_standard(size: int) -> None:
    """A local part of up to 64 characters and labels of up to 63 are found."""
    for start in "agG":
        local = (start + "x" * 64)[:size]
        text = f"{local}@{'y' * 63}.{'z' * 63}.com"
        assert set(covered(find("email"), text)) == {"█"}
    too_long = f"{'x' * 65}@example.com"
    assert covered(find("email"), too_long) == too_long
