"""What a classifier says of a text, in whichever form it says it. Pure."""

from __future__ import annotations

from typing import Any, NamedTuple

NAMELESS = "flagged"
"""The category of a finding that does not tell one."""
LONGEST_CATEGORY = 64
_IN_NAMES = frozenset("_.-/: ")


class Finding(NamedTuple):
    """What a classifier says of a text.

    Attributes:
        flagged: Whether the text is not to be shown.
        category: A short name for the reason, such as ``violence``; never text.
    """

    flagged: bool
    category: str = ""


CLEAN = Finding(flagged=False)
"""Nothing was found."""


class NoFinding(ValueError):
    """What a classifier said is no verdict; the message tells why, and nothing of it."""


def finding_of(said: Any) -> Finding:
    """Return what a callable means by what it returned.

    Args:
        said: True, a category or a finding, if the text is not to be shown; False or None
            otherwise.

    Raises:
        NoFinding: It is something else. Numbers, and truths of other packages, are refused,
            since a score that is not 0 is true as well.
    """
    if isinstance(said, Finding) and isinstance(said.flagged, bool):
        return Finding(flagged=True, category=category_of(said.category)) if said.flagged else CLEAN
    if said is None or said is False:
        return CLEAN
    if said is True:
        return Finding(flagged=True, category=NAMELESS)
    if isinstance(said, str) and said:
        return Finding(flagged=True, category=category_of(said))
    got = "an empty text" if isinstance(said, str) else f"a value of type {type(said).__name__}"
    raise NoFinding(f"returned {got}, expected True, False, None, a category, or a Finding")


def category_of(name: object) -> str:
    """Return a category's name as it may be told to anybody.

    What is too long for a name, or has characters that none has, may be the text itself; a
    word that says no more takes its place.
    """
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_CATEGORY:
        return NAMELESS
    fits = all(character.isalnum() or character in _IN_NAMES for character in name)
    return str.__str__(name) if fits else NAMELESS  # of an enumeration, its value
