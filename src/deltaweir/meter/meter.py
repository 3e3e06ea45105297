"""One stream's account: what it generated so far, what that costs, and who says so. Pure.

A provider's usage wins when it is present, even when it is zero, on whatever chunk it comes;
a later one overwrites an earlier one. Text that comes after a usage is our count on top of it,
since usage tells of what was generated until then (OpenAI: usage in a stream is cumulative).
Nothing is counted before somebody asks: a meter that is never read costs a list of texts.
"""

from __future__ import annotations

import collections
from typing import Protocol

from deltaweir.meter.account import COUNTED, ESTIMATED, PROVIDER, Account
from deltaweir.meter.prices import Price
from deltaweir.meter.prompt import PromptCount
from deltaweir.meter.tokens import TokenCounter, Tokenizer
from deltaweir.schema.chunk import AnyChunk, Chunk, PartialUsage, TextChoice, Usage
from deltaweir.schema.texts import heads, texts


class Basis(Protocol):
    """What a stream is counted and priced by; each is asked once, when first needed."""

    def tokenizer(self, model: str | None) -> tuple[Tokenizer, bool]:
        """Return the tokenizer of a model, and whether the model is known to have it."""

    def prompt(self, model: str | None) -> PromptCount | None:
        """Return the prompt's tokens; None when the prompt is not known."""

    def price(self, model: str | None) -> Price | None:
        """Return what a model's tokens cost; None when that is not known."""


class Meter:
    """The account of a stream whose text we count, until its provider says better.

    Args:
        basis: What it is counted and priced by.
        model: The model as it was asked for; None takes the name that chunks bear.

    One thread takes chunks; reading counts, so that whoever shares a meter between threads
    must let one read at a time.
    """

    def __init__(self, basis: Basis, *, model: str | None = None) -> None:
        self._basis = basis
        self._model = model
        self._pending: collections.deque[tuple[int, str, str] | Usage] = collections.deque()
        self._counters: dict[tuple[int, str], TokenCounter] = {}
        self._names = 0
        self._latest: Usage | None = None
        self._after = False
        self._reported: Usage | None = None
        self._until_reported = 0
        self._tokenizer: Tokenizer | None = None
        self._known = False
        self._prompt: tuple[PromptCount | None] | None = None
        self._price: tuple[Price | None] | None = None
        self._tier: str | None = None

    @property
    def backlog(self) -> int:
        """How many pieces wait to be counted."""
        return len(self._pending)

    @property
    def reported(self) -> Usage | None:
        """What the provider said last; None when it said nothing."""
        return self._latest

    def take(self, chunk: AnyChunk) -> None:
        """Take a chunk as the provider sent it, before anything is held or cut."""
        pending = self._pending
        if self._model is None:
            self._model = chunk.model or None
        if isinstance(chunk, Chunk) and chunk.service_tier is not None:
            self._tier = chunk.service_tier
        for choice in chunk.choices:
            if isinstance(choice, TextChoice):
                if choice.text:
                    pending.append((choice.index, "text", choice.text))
                    self._after = True
                continue
            delta = choice.delta
            if delta.reasoning_content or delta.refusal or delta.tool_calls or delta.function_call:
                for text in (*heads(choice), *texts(choice)):
                    pending.append((choice.index, text.field, text.value))
                    self._after = True
            elif delta.content:
                pending.append((choice.index, "content", delta.content))
                self._after = True
        if chunk.usage is not None:
            self._latest = chunk.usage
            self._after = False
            pending.append(chunk.usage)

    def condense(self) -> None:
        """Join what waits to be counted, so that many small texts take the room of few."""
        joined: dict[tuple[int, str], list[str]] = {}
        kept: list[tuple[int, str, str] | Usage] = []
        for _ in range(len(self._pending)):
            piece = self._pending.popleft()
            if isinstance(piece, tuple):
                joined.setdefault(piece[:2], []).append(piece[2])
                continue
            kept += [(*key, "".join(parts)) for key, parts in joined.items()]
            kept.append(piece)
            joined = {}
        kept += [(*key, "".join(parts)) for key, parts in joined.items()]
        self._pending.extendleft(reversed(kept))

    @property
    def usage(self) -> Usage | None:
        """The count so far: the provider's where it is fresh, else ours."""
        latest = self._latest
        if latest is not None and not self._after:
            return latest  # nothing to count, so no vocabulary is loaded for it
        return self._usage()[0]

    def account(self, *, both: bool = False) -> Account:
        """Return the account at this moment.

        Args:
            both: Whether to count although the provider's figure is there, for the difference.
        """
        counting = both or self._after or self._latest is None
        if counting:
            usage, source = self._usage()
        else:
            usage, source = self._latest, PROVIDER
        return Account(
            usage=usage,
            source=source,
            cost_pico=self._cost(usage),
            counted=self._counted() if counting else None,
            reported=self._latest,
        )

    def _usage(self) -> tuple[Usage | None, str | None]:
        counted = self._counted()
        reported = self._reported
        if reported is not None and counted == self._until_reported:
            return reported, PROVIDER
        source = COUNTED if self._known else ESTIMATED
        if reported is not None:
            more = counted - self._until_reported
            return _grown(reported, more), source
        prompt = self._prompted()
        if prompt is None:
            return PartialUsage(completion_tokens=counted), source
        if prompt.source == ESTIMATED:
            source = ESTIMATED
        return Usage(
            completion_tokens=counted,
            prompt_tokens=prompt.tokens,
            total_tokens=prompt.tokens + counted,
        ), source

    def _counted(self) -> int:
        """Count all that has come; return the tokens of it."""
        tokenizer = self._tokenizer
        if tokenizer is None:
            tokenizer, self._known = self._basis.tokenizer(self._model)
            self._tokenizer = tokenizer
        while self._pending:
            piece = self._pending.popleft()
            if isinstance(piece, tuple):
                index, field, text = piece
                counter = self._counters.get((index, field))
                if counter is None:
                    counter = self._counters[index, field] = TokenCounter(tokenizer)
                counter.feed(text)
            else:
                self._reported = piece
                self._until_reported = self._total()
        return self._total()

    def _total(self) -> int:
        return sum(counter.total for counter in self._counters.values())

    def _prompted(self) -> PromptCount | None:
        if self._prompt is None:
            self._prompt = (self._basis.prompt(self._model),)
        return self._prompt[0]

    def _cost(self, usage: Usage | None) -> int | None:
        if usage is None or isinstance(usage, PartialUsage):
            return None
        if self._price is None:
            self._price = (self._basis.price(self._model),)
        price = self._price[0]
        return None if price is None else price.served(self._tier).cost(usage)


def _grown(usage: Usage, more: int) -> Usage:
    """Return a provider's usage with tokens that came after it."""
    completion = usage.completion_tokens + more
    return Usage(
        completion_tokens=completion,
        completion_tokens_details=usage.completion_tokens_details,
        prompt_tokens=usage.prompt_tokens,
        prompt_tokens_details=usage.prompt_tokens_details,
        total_tokens=usage.prompt_tokens + completion,
    )
