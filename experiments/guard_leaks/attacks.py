"""The attacks: a secret planted in an answer, and each way in which the answer is cut."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import secrets_made as made
import splintr
from chunks import Chunk, in_arguments, in_field, in_two_choices, with_logprobs
from rules import RULES, RULES_WITH_WHOLE_PEM, Filtered

BEFORE = "Thanks for waiting while I looked this up in the records that you gave me. It is: "
AFTER = " - and please keep that to yourself.\n"
LEADS = range(8, 200, 8)  # words of one token each in front of the text
SHORTEST_PIECE = 8

_ZERO_WIDTH = "\u200b"
_CYRILLIC = str.maketrans("aeo", "\u0430\u0435\u043e")

Carrier = Callable[[list[str]], list[Chunk]]


@dataclass(frozen=True, slots=True)
class Attack:
    """One secret in one place.

    Attributes:
        name: What the table calls it.
        secret: What must not arrive.
        planted: The secret as the model writes it.
        carrier: Makes chunks of pieces of text.
        whole: Whether only the whole secret counts as leaked; else eight characters do.
        fold: Whether rules are asked to look through disguises.
        cut_short: Whether the answer ends inside of the secret, at each of its characters,
            with the finish reason ``length``.
        field: Where the secret stands: content, arguments, reasoning, choices (the content
            of two that take turns), logprobs.
        rules: The rules of every filter.
    """

    name: str
    secret: str
    planted: str = ""
    carrier: Carrier = in_field
    whole: bool = False
    fold: bool = False
    cut_short: bool = False
    field: str = "content"
    rules: tuple[Filtered, ...] = RULES

    def streams(self) -> Iterator[list[Chunk]]:
        """Yield one stream of chunks a cut."""
        if self.cut_short:
            yield from self._cut_short()
            return
        text = self.text()
        for pieces in cuts(text):
            yield self.carrier(pieces)

    def text(self) -> str:
        """Return what the model writes, the secret within."""
        planted = self.planted or self.secret
        if self.field == "arguments":
            return f'{{"note": {json.dumps(BEFORE)}, "to": "{planted}"}}'
        return BEFORE + planted + AFTER

    def _cut_short(self) -> Iterator[list[Chunk]]:
        planted = self.planted or self.secret
        first = planted.index(self.secret)
        for length in range(first + SHORTEST_PIECE, first + len(self.secret)):
            text = BEFORE + planted[:length]
            for pieces in ([text], list(text), tokens(text)):
                yield in_field(pieces, end="length")


def cuts(text: str) -> Iterator[list[str]]:
    """Yield the text in one piece, cut once at each place, by characters, and by tokens.

    The tokens come behind 0 to 192 words, so that a window of so many tokens ends in many
    places of the text.
    """
    yield [text]
    for place in range(1, len(text)):
        yield [text[:place], text[place:]]
    yield list(text)
    yield tokens(text)
    for words in LEADS:
        yield [" so"] * words + tokens(text)


_ENCODING = splintr.Tokenizer.from_pretrained("o200k_base")


def tokens(text: str) -> list[str]:
    """Return a text in the pieces that o200k_base makes of it.

    A character of several tokens comes with its last, as servers send it.
    """
    pieces, held = [], b""
    for token in _ENCODING.encode_ordinary(text):
        held += _ENCODING.decode_token_bytes(token)
        try:
            pieces.append(held.decode())
        except UnicodeDecodeError:
            continue
        held = b""
    return pieces


def _spaced(text: str) -> str:
    """Return a text with an invisible character behind every third of its own."""
    parts = (text[start : start + 3] for start in range(0, len(text), 3))
    return _ZERO_WIDTH.join(parts)


def _escaped(text: str) -> str:
    """Return a text with every third character as a JSON escape."""
    return "".join(
        f"\\u{ord(one):04x}" if place % 3 == 0 else one for place, one in enumerate(text)
    )


def _reasoning(pieces: list[str]) -> list[Chunk]:
    return in_field(pieces, field="reasoning_content")


ATTACKS = (
    Attack("e-mail address", made.EMAIL),
    Attack("long e-mail address", made.LONG_EMAIL),
    Attack("card number with spaces", made.CARD),
    Attack("API token", made.TOKEN),
    Attack("long API token", made.LONG_TOKEN),
    Attack("API key that matches from its 28th character on", made.OPEN_KEY),
    Attack("JWT", made.JWT),
    Attack("PEM key, rule for its head and what follows", made.PEM_BODY, made.PEM),
    Attack(
        "PEM key, rule for the whole block",
        made.PEM_BODY,
        made.PEM,
        rules=RULES_WITH_WHOLE_PEM,
    ),
    Attack("keyword", made.KEYWORD, whole=True),
    Attack("passphrase, a keyword", made.PASSPHRASE),
    Attack("e-mail with zero-width characters", made.EMAIL, _spaced(made.EMAIL), fold=True),
    Attack(
        "keyword in Cyrillic look-alikes",
        made.KEYWORD,
        made.KEYWORD.translate(_CYRILLIC),
        whole=True,
        fold=True,
    ),
    Attack("card number, answer cut short inside", made.CARD, cut_short=True),
    Attack("API token, answer cut short inside", made.TOKEN, cut_short=True),
    Attack(
        "PEM key, rule for its head, answer cut short inside",
        made.PEM_BODY,
        made.PEM,
        cut_short=True,
    ),
    Attack("e-mail in tool arguments", made.EMAIL, carrier=in_arguments, field="arguments"),
    Attack(
        "e-mail in tool arguments, \\u escapes",
        made.EMAIL,
        _escaped(made.EMAIL),
        carrier=in_arguments,
        field="arguments",
    ),
    Attack("e-mail in the reasoning", made.EMAIL, carrier=_reasoning, field="reasoning"),
    Attack(
        "e-mail in two choices that take turns", made.EMAIL, carrier=in_two_choices, field="choices"
    ),
    Attack("JWT in two choices that take turns", made.JWT, carrier=in_two_choices, field="choices"),
    Attack("e-mail in logprobs", made.EMAIL, carrier=with_logprobs, field="logprobs"),
)
