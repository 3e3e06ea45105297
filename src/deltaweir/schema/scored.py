"""Log probabilities and token ids of a choice as lists of entries, to be taken off and put on.

The lists are ``content``, ``refusal`` and ``reasoning_content`` of the log probabilities, for
a text completion ``tokens``, whose entries are slices of its parallel lists, and the two
places where vLLM puts the ids of a chunk's tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from deltaweir.schema.chunk import (
    Choice,
    ChoiceLogprobs,
    TextChoice,
    TextLogprobs,
    TokenLogprob,
)
from deltaweir.schema.record import Record

_SCORED = ("content", "refusal", "reasoning_content")
"""The lists of log probabilities; the last is DeepSeek's, unknown to the records."""

TOKEN_IDS = ("token_ids", "delta.token_ids")
"""The lists of token ids: beside a choice's fields, and beside its delta's."""

Scored = dict[str, list[Any]]
"""What leaves, by the name of its list."""


class Token(NamedTuple):
    """One entry as a choice brings it."""

    value: Any
    """What leaves: a record, an id, or a slice of each parallel list of a text completion."""
    token: str
    raw: bytes | None
    """Its bytes, where the server tells them: tokens may end within a character."""

    @property
    def legible(self) -> str:
        """What can be read of it; a part of a character reads as U+FFFD."""
        return self.token if self.raw is None else self.raw.decode(errors="replace")


def brings_entries(choice: Choice | TextChoice) -> bool:
    """Tell whether a choice has log probabilities or token ids."""
    return choice.logprobs is not None or any(
        "token_ids" in holder.__dict__ for _, holder in _holders(choice)
    )


def take_entries_off(choice: Choice | TextChoice) -> None:
    """Take log probabilities and token ids off a choice."""
    choice.logprobs = None
    for _, holder in _holders(choice):
        holder.__dict__.pop("token_ids", None)


def put_entries_on(choice: Choice | TextChoice, released: Scored) -> None:
    """Put entries on a choice, behind those that are there."""
    holders = dict(_holders(choice))
    for name, values in released.items():
        if name in TOKEN_IDS:
            holder = holders.get(name, choice)
            holder.__dict__.setdefault("token_ids", []).extend(values)
        elif isinstance(choice, TextChoice):
            choice.logprobs = choice.logprobs or TextLogprobs()
            if name == "tokens":
                _extend(choice.logprobs, values)
            else:
                choice.logprobs.__dict__.setdefault(name, []).extend(values)
        else:
            choice.logprobs = choice.logprobs or ChoiceLogprobs()
            setattr(choice.logprobs, name, [*(getattr(choice.logprobs, name, None) or ()), *values])


def lists(choice: Choice | TextChoice) -> Iterator[tuple[str, list[Token]]]:
    """Yield the lists of entries of a choice that are not empty, by name."""
    logprobs = choice.logprobs
    if isinstance(logprobs, TextLogprobs) and logprobs.tokens:
        yield "tokens", list(_rows(logprobs))
    for name in _SCORED if logprobs is not None else ():
        entries = getattr(logprobs, name, None)
        if entries and is_scored(name, entries):
            yield name, [_token(entry) for entry in entries]
    for name, holder in _holders(choice):
        ids = holder.__dict__.get("token_ids")
        if ids and isinstance(ids, list):
            yield name, [Token(one, "", None) for one in ids]


def _holders(choice: Choice | TextChoice) -> Iterator[tuple[str, Record]]:
    yield TOKEN_IDS[0], choice
    if isinstance(choice, Choice):
        yield TOKEN_IDS[1], choice.delta


def is_scored(name: str, value: Any) -> bool:
    """Tell whether this is a list of log probabilities that can be read, of a known name."""
    return (
        name in _SCORED
        and isinstance(value, list)
        and all(
            isinstance(one, TokenLogprob)
            or (isinstance(one, dict) and isinstance(one.get("token"), str))
            for one in value
        )
    )


def _token(entry: Any) -> Token:
    """Read an entry of a known list, or one of a list that some servers alone have."""
    known = isinstance(entry, TokenLogprob)
    token, raw = (entry.token, entry.bytes) if known else (entry["token"], entry.get("bytes"))
    try:
        return Token(entry, token, bytes(raw) if isinstance(raw, list) else None)
    except (TypeError, ValueError):  # no bytes: the token alone must tell
        return Token(entry, token, None)


def _rows(logprobs: TextLogprobs) -> Iterator[Token]:
    """Cut the parallel lists of a text completion into one slice of each per token."""
    tops = logprobs.top_logprobs
    lists = (logprobs.text_offset, logprobs.token_logprobs, logprobs.tokens, tops or [])
    for at, token in enumerate(logprobs.tokens):
        yield Token(tuple(one[at : at + 1] for one in lists), token, None)


def _extend(logprobs: TextLogprobs, rows: list[Any]) -> None:
    for offset, value, token, top in rows:
        logprobs.text_offset += offset
        logprobs.token_logprobs += value
        logprobs.tokens += token
        if top:
            logprobs.top_logprobs = [*(logprobs.top_logprobs or ()), *top]
