"""What a client's streams are counted by: the meter that threads share, and its basis."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

from deltaweir.adapters.encodings import encoding_of
from deltaweir.adapters.prices import price_of
from deltaweir.adapters.vocabularies import tokenizer_of
from deltaweir.client.guarding import GuardedWeir
from deltaweir.errors import InvalidRequest
from deltaweir.guard.guard import StreamGuard
from deltaweir.meter.account import Account, AnyMeter, EngineMeter
from deltaweir.meter.budget import Budget, EngineBudget, Lease, Limit, check_prompt
from deltaweir.meter.meter import Meter
from deltaweir.meter.prices import Price
from deltaweir.meter.prompt import PromptCount, count_prompt, count_text_prompt
from deltaweir.meter.tokens import Tokenizer
from deltaweir.schema.chunk import Chunk, TextChunk, Usage
from deltaweir.schema.request import AnyRequest, ChatRequest, StreamOptions
from deltaweir.slots import BudgetSlot
from deltaweir.weir import Weir

ChunkT = TypeVar("ChunkT", bound=Chunk | TextChunk)


class SharedMeter:
    """A meter that one thread feeds and any thread reads."""

    def __init__(self, meter: AnyMeter) -> None:
        self._meter = meter
        self._reading = threading.RLock()
        self.quick = isinstance(meter, EngineMeter)
        """Whether reading costs nothing; else the first look may load a vocabulary and prices."""
        self.take = meter.take
        """Takes a chunk; no lock, since it only adds at ends."""
        self.taking = meter.taking
        """Returns what takes texts that come in chunks which say nothing else; likewise."""

    @property
    def usage(self) -> Usage | None:
        """The count so far."""
        with self._reading:
            return self._meter.usage

    @property
    def reported(self) -> Usage | None:
        """What the source itself said last."""
        return self._meter.reported

    @property
    def hidden(self) -> int:
        """How many generated tokens of that no text has shown."""
        with self._reading:
            return self._meter.hidden

    @property
    def uncounted(self) -> int:
        """How many characters wait to be counted."""
        return self._meter.uncounted

    def condense(self) -> None:
        """Keep what waits to be counted in less memory, unless somebody is counting it."""
        if self._reading.acquire(blocking=False):
            try:
                self._meter.condense()
            finally:
                self._reading.release()

    def account(self, *, both: bool = False) -> Account:
        """Return the account at this moment; see `deltaweir.meter.meter`."""
        with self._reading:
            return self._meter.account(both=both)

    def cost(self, usage: Usage | None) -> int | None:
        """Return what a usage of this stream costs, in picodollars; None where that is unknown."""
        with self._reading:
            return self._meter.cost(usage)


class Asked(NamedTuple):
    """What a request says of its prompt; none of it is changed."""

    messages: Sequence[Mapping[str, Any]] | None = None
    prompt: str | Sequence[Any] | None = None
    tools: Sequence[Mapping[str, Any]] | None = None
    functions: Sequence[Mapping[str, Any]] | None = None
    tool_choice: Any = None
    function_call: Any = None
    response_format: Mapping[str, Any] | None = None


def asked_by(request: AnyRequest) -> Asked:
    """Return what a request says of its prompt."""
    if isinstance(request, ChatRequest):
        return Asked(
            messages=request.messages,
            tools=request.tools,
            functions=request.functions,
            tool_choice=request.tool_choice,
            function_call=request.function_call,
            response_format=request.response_format,
        )
    return Asked(prompt=request.prompt)


class ModelBasis:
    """What a model's streams are counted and priced by: its name, and what was asked.

    Args:
        asked: The prompt; None when it is not known.
        base_url: Where the request went, which tells whose prices hold; None when not known.
        price: A price that is known already.
    """

    def __init__(
        self, asked: Asked | None, *, base_url: str | None = None, price: Price | None = None
    ) -> None:
        self._asked = asked
        self.base_url = base_url
        """Whose prices hold."""
        self._own = price
        self._when = datetime.now(UTC)
        self._counted: dict[str | None, PromptCount | None] = {}

    def tokenizer(self, model: str | None) -> tuple[Tokenizer, bool]:
        """Return the tokenizer of a model, and whether the model is known to have it."""
        encoding = encoding_of(model)
        return tokenizer_of(encoding.name), encoding.known

    def prompt(self, model: str | None) -> PromptCount | None:
        """Return the prompt's tokens; None when it is not known, or of a form nobody knows."""
        if model not in self._counted:
            self._counted[model] = self._count(model)
        return self._counted[model]

    def price(self, model: str | None) -> Price | None:
        """Return what a model's tokens cost; None when that is not known."""
        if self._own is not None or model is None:
            return self._own
        return price_of(model, base_url=self.base_url, when=self._when)

    def _count(self, model: str | None) -> PromptCount | None:
        asked = self._asked
        if asked is None:
            return None
        tokenizer, known = self.tokenizer(model)
        try:
            if asked.messages is None:
                return count_text_prompt(asked.prompt or "", tokenizer=tokenizer, known=known)
            return count_prompt(
                asked.messages,
                tokenizer=tokenizer,
                model=model,
                known=known,
                tools=asked.tools,
                functions=asked.functions,
                tool_choice=asked.tool_choice,
                function_call=asked.function_call,
                response_format=asked.response_format,
            )
        except InvalidRequest:
            return None  # its provider may know better, and says so itself when it does not


class Metering(NamedTuple):
    """What a stream's weir counts and limits it by."""

    meter: SharedMeter
    budget: BudgetSlot | None

    def account(self, *, both: bool, cut: bool) -> Account:
        """Return the account at this moment.

        Args:
            both: Whether to count although the provider's figure is there.
            cut: Whether the budget has cut, so that the account tells what it withheld.
        """
        account = self.meter.account(both=both or cut)
        if self.budget is None or not cut:
            return account
        # a provider's figure may hold more than text, of which nothing was withheld
        generated = account.counted
        if generated is None:
            generated = 0 if account.usage is None else account.usage.completion_tokens
        return account._replace(withheld=max(0, generated - self.budget.sent))


def text_metering(request: AnyRequest, limit: Limit, *, base_url: str | None) -> Metering:
    """Return meter and budget of a stream whose text we count, from its request.

    Raises:
        BudgetExceeded: The prompt alone costs more than the budget.
        InvalidRequest: The budget is in money, and the model's price is not known.
    """
    basis = ModelBasis(asked_by(request), base_url=base_url)
    return metering(basis, request.model, limit)


def metering(
    basis: ModelBasis, model: str | None, limit: Limit, lease: Lease | None = None
) -> Metering:
    """Return meter and budget of a stream whose text we count.

    Without a limit nothing is loaded before somebody reads the count.

    Args:
        basis: What it is counted and priced by.
        model: The model as it is asked for.
        limit: What may be generated, and what it may cost.
        lease: The share of a common budget; None where there is none.

    Raises:
        BudgetExceeded: The prompt alone costs more than the budget.
        InvalidRequest: The budget is in money, and the model's price or the prompt is not known.
    """
    meter = Meter(basis, model=model)
    granted = limit if lease is None else limit.tighter(lease.granted)
    if not granted:
        return Metering(SharedMeter(meter), None)
    basis.tokenizer(model)  # loaded here, where waiting is allowed for
    prompt_tokens, price = 0, None
    if granted.pico is not None:
        prompt = basis.prompt(model)
        if prompt is None:
            raise InvalidRequest(
                "got a budget in usd for a prompt that cannot be counted; set one in tokens, "
                'such as "500tok", or give watch() the prompt that was sent, as prompt=',
                param="budget",
            )
        prompt_tokens, price = prompt.tokens, basis.price(model)
        check_prompt(limit, price, prompt_tokens)
    shared = SharedMeter(meter)
    budget = Budget(
        limit,
        lambda: meter.tokenizer,
        prompt_tokens=prompt_tokens,
        price=price,
        reported=lambda: shared.reported,
        hidden=lambda: shared.hidden,
        lease=lease,
    )
    return Metering(shared, budget)


def engine_metering(
    usage: Callable[[], Usage | None],
    limit: Limit,
    price: Price | None = None,
    lease: Lease | None = None,
) -> Metering:
    """Return meter and budget of a stream whose engine counts its own tokens.

    Args:
        usage: Returns the engine's count so far.
        limit: What may be generated.
        price: What its tokens cost; None for nothing.
        lease: The share of a common budget; None where there is none.
    """
    granted = limit if lease is None else limit.tighter(lease.granted)
    budget = EngineBudget(limit, usage, price=price, lease=lease) if granted else None
    return Metering(SharedMeter(EngineMeter(usage, price=price)), budget)


def weir_for(
    kind: type[ChunkT] | None,
    metered: Metering,
    options: StreamOptions | None,
    guard: StreamGuard | None = None,
    *,
    keeps_usage: bool = True,
) -> Weir[ChunkT]:
    """Return the weir of a stream.

    Args:
        kind: The stream's chunk type; None takes that of its first chunk.
        metered: What it counts and limits by.
        options: The usage that the reader asked for.
        guard: The guard of its text; None has none.
        keeps_usage: As for a weir.
    """
    slots: dict[str, Any] = {
        "meter": metered.meter,
        "budget": metered.budget,
        "usage_asked": options is not None and bool(options.include_usage),
        "keeps_usage": keeps_usage,
        "usage_everywhere": options is not None and bool(options.continuous_usage_stats),
    }
    return Weir(kind, **slots) if guard is None else GuardedWeir(kind, guard, **slots)
