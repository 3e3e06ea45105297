"""What is laid out of Markdown that is not finished, so that it looks as it will. Pure."""

from __future__ import annotations

import re

MOST_CHARS = 8_000
"""Characters of an unfinished block that are laid out; of a longer one the last are."""

_MARKS = " \t>#*+-=_`~|:.0123456789"
_CODE = re.compile(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", re.DOTALL)
_TICKS = re.compile(r"`+")
_BEGUN = re.compile(r"(?:^|(?<=\s))\*+$")
_STRONG = re.compile(r"\*\*(?=\S)|(?<=\S)\*\*")


def laid_out(text: str) -> str:
    """Return what of an unfinished block is laid out.

    A line that has only begun is left out as long as it may be anything: a - that becomes an
    item would underline a heading. Code and strong words that have not ended are shown as such.

    Args:
        text: The block as far as it came; not one of code, where each letter counts.
    """
    if len(text) > MOST_CHARS:
        return text[-MOST_CHARS:]
    whole, end, last = text.rpartition("\n")
    if not last.strip(_MARKS):
        return whole + end
    head, gap, paragraph = text.rpartition("\n\n")
    return head + gap + _ended(paragraph)


def _ended(paragraph: str) -> str:
    plain = _CODE.sub("", paragraph)
    if open_code := _TICKS.search(plain):
        return paragraph if plain.endswith("`") else paragraph + open_code[0]
    if begun := _BEGUN.search(plain):
        return paragraph[: begun.start() - len(plain)]
    if len(_STRONG.findall(plain)) % 2:
        if plain.endswith("*"):  # half of an end
            return paragraph.rstrip("*")
        return f"{paragraph.rstrip()}**"
    return paragraph
