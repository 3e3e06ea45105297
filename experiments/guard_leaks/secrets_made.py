"""The secrets that the attacks plant: made up here, from fixed seeds; no file holds one."""

from __future__ import annotations

import random
import string

_BASE64 = string.ascii_letters + string.digits + "+/"
_BASE64_URL = string.ascii_letters + string.digits + "-_"
_LETTERS = string.ascii_letters + string.digits

EMAIL = "jane.roe@example.com"
LONG_EMAIL = "invoices-and-reminders.department-of-overseas-claims@claims.example.org"
CARD = "4111 1111 1111 1111"  # the number that payment services give out for tests
KEYWORD = "Project Nightjar"
PASSPHRASE = "copper lantern seven quiet rivers under an orchard of pale winter stones"  # noqa: S105 - nobody's


def _drawn(alphabet: str, length: int, *, seed: int) -> str:
    """Return ``length`` characters drawn with a seed of their own, so that none moves another."""
    return "".join(random.Random(seed).choices(alphabet, k=length))  # noqa: S311 - no secret is meant


TOKEN = "ghp_" + _drawn(_LETTERS, 36, seed=1)  # the form of a GitHub token, 40 characters
LONG_TOKEN = (  # the form of GitHub's fine-grained tokens, 93 characters
    "github_pat_" + _drawn(_LETTERS, 22, seed=2) + "_" + _drawn(_LETTERS, 59, seed=3)
)
OPEN_KEY = "sk-proj-" + _drawn(_LETTERS, 156, seed=4)  # a key that no standard bounds
JWT = ".".join(
    (
        "eyJ" + _drawn(_BASE64_URL, 33, seed=5),
        "eyJ" + _drawn(_BASE64_URL, 117, seed=6),
        _drawn(_BASE64_URL[:-2], 43, seed=7),
    )
)
PEM_BODY = "\n".join(_drawn(_BASE64, 64, seed=seed) for seed in range(8, 13))
PEM = f"-----BEGIN PRIVATE KEY-----\n{PEM_BODY}\n-----END PRIVATE KEY-----\n"
