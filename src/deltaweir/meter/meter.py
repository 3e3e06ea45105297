"""One stream's account: what it generated so far, what that costs, and who says so. Pure.

A provider's usage wins when it is present, even when it is zero, on whatever chunk it comes;
a later one overwrites an earlier one. Text that comes after a usage is our count on top of it,
since usage tells of what was generated until then (OpenAI: usage in a stream is cumulative).
Nothing is counted before somebody asks: a meter that is never read costs a list of texts.
"""

from __future__ import annotations

import collections
import functools
from collections.abc import Callable
from typing import Protocol

from deltaweir.meter.account import COUNTED, ESTIMATED, PROVIDER, Account
from deltaweir.meter.prices import Price
from deltaweir.meter.prompt import PromptCount
from deltaweir.meter.tokens import TokenCounter, Tokenizer
from deltaweir.schema.chunk import AnyChunk, Choice, Chunk, PartialUsage, Usage, has_figures
from deltaweir.schema.texts import heads, texts


class Basis(Protocol):
    """What a stream is counted and priced by; each is asked once, when first needed."""

    def tokenizer(self, model: str | None) -> tuple[Tokenizer, bool]:
        """Return the tokenizer of a model, and whether the model is known to have it."""

    def prompt(self, model: str | None) -> PromptCount | None:
        """Return the prompt's tokens; None when the prompt is not known."""

    def price(self, model: str | None) -> Price | None:
        """Return what a model's tokens cost; None when that is not known."""


_Texts = collections.defaultdict[int | tuple[int, str], list[str]]
"""Pieces of text by choice and field; the plain content of a choice by its number alone."""


class Meter:
    """The account of a stream whose text we count, until its provider says better.

    Args:
        basis: What it is counted and priced by.
        model: The model as it was asked for. Where it is None, or a name that nobody knows, such
            as a deployment's, the name that chunks bear is taken if that is known.

    One thread takes chunks, any may read meanwhile. Reading counts, so that whoever shares a
    meter between threads must let one read at a time.
    """

    def __init__(self, basis: Basis, *, model: str | None = None) -> None:
        self._basis = basis
        self._model = model
        self._texts: _Texts = _Texts(list)
        self._closed: list[tuple[_Texts, Usage]] = []
        self._counters: dict[int | tuple[int, str], TokenCounter] = {}
        self._latest: Usage | None = None
        self._reported: Usage | None = None
        self._until_reported = 0
        self._tokenizer: Tokenizer | None = None
        self._known = False
        self._prompt: tuple[PromptCount | None] | None = None
        self._price: tuple[Price | None] | None = None
        self._tier: str | None = None
        self._said: str | None = None

    @property
    def backlog(self) -> int:
        """How many pieces wait to be counted."""
        waiting = (*(texts for texts, _ in self._closed), self._texts)
        return sum(1 for texts in waiting for pieces in texts.values() for piece in pieces if piece)

    @property
    def uncounted(self) -> int:
        """How many characters wait to be counted, which is when counting them takes time."""
        waiting = (*(texts for texts, _ in self._closed), self._texts)
        return sum(
            len(piece) for texts in waiting for pieces in [*texts.values()] for piece in [*pieces]
        )

    @property
    def reported(self) -> Usage | None:
        """What the provider said last; None when it said nothing."""
        return self._latest

    @property
    def tokenizer(self) -> Tokenizer:
        """What the text is counted by, from the first look on for good."""
        return self._chosen(for_good=True)

    @property
    def hidden(self) -> int:
        """How many generated tokens of the provider's figure no text has shown until it came."""
        self._counted()
        reported = self._reported
        return 0 if reported is None else max(0, reported.completion_tokens - self._until_reported)

    def taking(self, index: int) -> Callable[[str], None]:
        """Return what takes the contents of a choice that come in chunks which say nothing else.

        It is good until `take` is called: what comes behind a usage is counted apart.
        """
        known = self._texts.get(index)  # made by a text alone: an empty one would be a new text
        return functools.partial(self._take_text, index) if known is None else known.append

    def take(self, chunk: AnyChunk) -> None:
        """Take a chunk as the provider sent it, before anything is held or cut."""
        if self._said is None:
            self._said = chunk.model or None
        if isinstance(chunk, Chunk):  # asked for what most chunks are, which costs least
            if chunk.service_tier is not None:
                self._tier = chunk.service_tier
            for choice in chunk.choices:
                delta = choice.delta
                if (
                    delta.reasoning_content
                    or delta.reasoning
                    or delta.refusal
                    or delta.tool_calls
                    or delta.function_call
                ):
                    self._keep_all(choice)
                elif delta.content:
                    self._texts[choice.index].append(delta.content)
        else:
            for part in chunk.choices:
                if part.text:
                    self._texts[part.index].append(part.text)
        if chunk.usage is not None and has_figures(chunk):
            self._latest = chunk.usage
            self._closed.append((self._texts, chunk.usage))
            self._texts = _Texts(list)

    def _take_text(self, index: int, text: str) -> None:
        self._texts[index].append(text)

    def _keep_all(self, choice: Choice) -> None:
        index = choice.index
        for text in (*heads(choice), *texts(choice)):
            key = index if text.field == "content" else (index, text.field)
            self._texts[key].append(text.value)

    def condense(self) -> None:
        """Join what waits to be counted, so that many small texts take the room of few.

        Called by the thread that takes chunks, while nobody reads.
        """
        if self._closed:
            joined: _Texts = _Texts(list)
            for closed, _ in self._closed:
                for key, pieces in closed.items():
                    joined[key] += pieces
            # earlier usages are overwritten by the last
            self._closed = [(_joined(joined), self._closed[-1][1])]
        for pieces in self._texts.values():
            pieces[:] = ["".join(pieces)]  # the same list, which somebody may be adding to

    @property
    def usage(self) -> Usage | None:
        """The count so far: the provider's where it is fresh, else ours."""
        latest = self._latest
        if latest is not None and not self._texts:
            return latest  # nothing to count, so no vocabulary is loaded for it
        return self._usage()[0]

    def account(self, *, both: bool = False) -> Account:
        """Return the account at this moment.

        Args:
            both: Whether to count although the provider's figure is there, for the difference.
        """
        if not both and self._latest is not None and not self._texts:
            return Account(self._latest, PROVIDER, self.cost(self._latest), None, self._latest)
        usage, source = self._usage()
        counted = self._total()
        return Account(usage, source, self.cost(usage), counted, self._reported)

    def _usage(self) -> tuple[Usage, str]:
        counted = self._counted()
        reported = self._reported
        if reported is not None and counted == self._until_reported:
            return reported, PROVIDER
        self._chosen()
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
        latest = self._texts  # looked at first: what comes later belongs behind what is closed
        while self._closed:
            closed, usage = self._closed.pop(0)
            self._count(closed)
            self._reported = usage
            self._until_reported = self._total()
        self._count(latest)
        return self._total()

    def _count(self, texts: _Texts) -> None:
        for key, pieces in list(texts.items()):
            came = pieces[:]
            if not came:
                continue
            del pieces[: len(came)]
            counter = self._counters.get(key)
            if counter is None:
                counter = self._counters[key] = TokenCounter(self._chosen(for_good=True))
            counter.feed("".join(came))

    def _total(self) -> int:
        return sum(counter.total for counter in self._counters.values())

    def _chosen(self, *, for_good: bool = False) -> Tokenizer:
        """Return the tokenizer, settled once chunks have come, or its model is known."""
        if self._tokenizer is not None:
            return self._tokenizer
        model = self._model or self._said
        tokenizer, known = self._basis.tokenizer(model)
        if not known and self._said not in {None, model}:
            other, known = self._basis.tokenizer(self._said)
            if known:
                tokenizer, model = other, self._said
        self._known = known
        if self._said is not None:
            self._model = model
        if for_good or (known and model is not None) or self._said is not None:
            self._tokenizer = tokenizer
        return tokenizer

    def _prompted(self) -> PromptCount | None:
        if self._prompt is not None:
            return self._prompt[0]
        prompt = self._basis.prompt(self._model)
        if self._tokenizer is not None:
            self._prompt = (prompt,)
        return prompt

    def cost(self, usage: Usage | None) -> int | None:
        """Return what a usage of this stream costs, in picodollars; None where that is unknown."""
        if usage is None or isinstance(usage, PartialUsage):
            return None
        price = self._priced()
        return None if price is None else price.served(self._tier).cost(usage)

    def _priced(self) -> Price | None:
        if self._price is not None:
            return self._price[0]
        model = self._model or self._said
        price = self._basis.price(model)
        if price is None and self._said not in {None, model}:
            price = self._basis.price(self._said)
        if self._said is not None or (price is not None and model is not None):
            self._price = (price,)
        return price


def _joined(texts: _Texts) -> _Texts:
    joined = _Texts(list)
    joined.update((key, ["".join(pieces)]) for key, pieces in texts.items())
    return joined


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
