"""What one stream may use of its key's limits, from when it is admitted to its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from deltaweir.allowances import Quota
from deltaweir.gateway.keys.keys import Key
from deltaweir.gateway.keys.refusals import Headers
from deltaweir.leases import Part
from deltaweir.meter.budget import NO_LIMIT, Limit

_MOST_TOKENS, _MOST_PICO = 2**40, 10**18
"""What a stream's figures are cut to: more is nonsense, and must not overflow a database."""


class Keeper(Protocol):
    """Who keeps the accounts of which an allowance is a part."""

    def extend(self, key: Key, told: Sequence[tuple[Part, Quota, int]]) -> bool:
        """Book what is used of each part so far, and add to it what it is short of.

        Returns:
            Whether that could not be done, and the stream is to be trusted with more.
        """

    def settle(self, told: Sequence[tuple[Part, int]]) -> None:
        """Book what was used of each part, and take the rest back."""

    def rate(self, key_id: str, limit: int, tokens: int) -> None:
        """Book tokens in a key's rate."""


class Allowance:
    """What one stream may use; made by `Limits.admit`, to be closed once, for one thread at a time.

    Attributes:
        stream_id: Whose it is.
        headers: ``x-ratelimit-*``, for the answer.
    """

    __slots__ = (
        "_closed",
        "_key",
        "_limits",
        "_parts",
        "_pico",
        "_prompt",
        "_rated",
        "_trusted",
        "headers",
        "stream_id",
    )

    def __init__(
        self,
        limits: Keeper,
        key: Key,
        parts: Sequence[tuple[Part, Quota]],
        *,
        stream_id: str,
        prompt_tokens: int,
        prompt_pico: int | None,
        headers: Headers,
        trusted: bool = False,
    ) -> None:
        self.stream_id = stream_id
        self.headers = headers
        self._limits = limits
        self._key = key
        self._parts = parts
        self._prompt = self._rated = prompt_tokens
        self._pico = prompt_pico or 0
        self._trusted = trusted
        self._closed = False

    @property
    def granted(self) -> Limit:
        """What the stream may use now, in all: generated tokens, and money with the prompt's."""
        if not self._parts:
            return NO_LIMIT
        tokens = [self._of(part, quota) for part, quota in self._parts if quota.unit == "tokens"]
        pico = [self._of(part, quota) for part, quota in self._parts if quota.unit == "pico"]
        return Limit(
            max(0, min(tokens) - self._prompt) if tokens else None, min(pico, default=None)
        )

    def more(self, used_tokens: int, used_pico: int | None) -> Limit:
        """Return what the stream may use in all, after another block; the same when none is left.

        It takes microseconds: this process keeps a reserve, which a thread fills. Where that is
        used up it asks the file, which takes a tenth of a millisecond, and 20 ms at most while
        the file is locked. Streams that come after that do not try: for a tenth of a second, and
        up to a second if the lock lasts, each gets what its process has left, be it less than a
        block. Only one that finds nothing is told the same as before, and so ends there, although
        its budget may not be spent: what cannot be checked is not granted.

        Args:
            used_tokens: Tokens generated so far.
            used_pico: What prompt and answer cost so far, in picodollars; None when unknown.
        """
        if not self._parts or self._closed:
            return self.granted
        self._rate(self._prompt + used_tokens)
        tokens = self._prompt + used_tokens
        told = [
            (part, quota, self._used(part, quota, tokens, used_pico)) for part, quota in self._parts
        ]
        self._trusted = self._limits.extend(self._key, told)
        return self.granted

    def close(self, *, prompt_tokens: int, completion_tokens: int, cost_pico: int | None) -> None:
        """Book what was used, and give the rest back; calls after the first do nothing.

        It never waits: a thread writes it within moments.

        Args:
            prompt_tokens: Tokens of the prompt.
            completion_tokens: Tokens generated.
            cost_pico: What they cost in picodollars; None when unknown, which books what was
                known before, at least the prompt's. A stream that no model was asked for cost 0.
        """
        if self._closed:
            return
        self._closed = True
        tokens = prompt_tokens + completion_tokens
        self._rate(tokens)
        if self._parts:
            self._limits.settle(
                [(part, self._used(part, quota, tokens, cost_pico)) for part, quota in self._parts]
            )

    def close_uncounted(self) -> None:
        """Book what is known, since the final figures are not; calls after the first do nothing.

        That is what was told with `more`, and at least the prompt.
        """
        if self._closed:
            return
        self._closed = True
        if self._parts:
            self._limits.settle(
                [
                    (part, max(part.used, self._used(part, quota, self._prompt, None)))
                    for part, quota in self._parts
                ]
            )

    def _of(self, part: Part, quota: Quota) -> int:
        if not self._trusted:
            return part.granted
        # block by block, so that it is asked again when limits can be checked
        begun = self._prompt if quota.unit == "tokens" else self._pico
        return max(part.granted, begun) + part.block

    def _rate(self, tokens: int) -> None:
        limit = self._key.terms.tpm
        if limit is not None and tokens != self._rated:
            self._limits.rate(self._key.id, limit, min(tokens, _MOST_TOKENS) - self._rated)
            self._rated = min(tokens, _MOST_TOKENS)

    def _used(self, part: Part, quota: Quota, tokens: int, pico: int | None) -> int:
        if quota.unit == "tokens":
            return min(tokens, _MOST_TOKENS)
        return max(part.used, self._pico) if pico is None else min(pico, _MOST_PICO)
