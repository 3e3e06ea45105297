"""Who answers a request, made ready: the embedded model, or a model's upstreams."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any, Protocol, cast

import msgspec

from deltaweir.client.counting import prompt_of
from deltaweir.client.embedded import Prepared, best_of, prepare
from deltaweir.client.exchange import StreamExchange
from deltaweir.client.metering import ModelBasis, asked_by, engine_metering, metering, weir_for
from deltaweir.client.provider import Outgoing
from deltaweir.client.whole import WholeExchange
from deltaweir.errors import InvalidRequest
from deltaweir.gateway.answering.asked import Asked
from deltaweir.gateway.answering.attempts import Question, ask
from deltaweir.gateway.answering.terms import HEADER
from deltaweir.gateway.keys.access import Needs
from deltaweir.gateway.ledger.rows import StreamRow
from deltaweir.gateway.runs.pump import Pump
from deltaweir.gateway.runs.runs import Run
from deltaweir.gateway.upstreams.upstreams import Upstream
from deltaweir.meter.budget import Lease, check_prompt
from deltaweir.meter.prices import Price, own_price
from deltaweir.schema.chunk import Chunk, TextChunk, Usage
from deltaweir.schema.forwarding import ForwardedChunk, ForwardedTextChunk, Forwarder
from deltaweir.schema.record import Record
from deltaweir.schema.reply import AnyReply, Reply, TextReply, as_chunk
from deltaweir.schema.request import StreamOptions
from deltaweir.sources.local.source import AsyncLocalSource
from deltaweir.stores.ledger_columns import EMBEDDED

_ENCODER = msgspec.json.Encoder()


class Answering(Protocol):
    """Who answers one request."""

    upstream_model: str | None
    """The model's name there; None where it is that of the request."""

    def needs(self, stream_id: str) -> Needs:
        """Return what the stream is sure to use; blocks while it counts the prompt."""

    def run(self, lease: Lease | None, **options: Any) -> Run:
        """Return the stream of the answer, not begun.

        Args:
            lease: The share that a key's budget grants.
            **options: As for `Run`.
        """

    async def begin(self, run: Run, row: StreamRow) -> None:
        """Have it answered; returns when the answer has begun, or is whole.

        Raises:
            DeltaweirError: There will be no answer.
        """

    def reply(self, run: Run) -> AnyReply:
        """Return the whole answer, once the run has ended."""


class EmbeddedAnswering:
    """The embedded model answers.

    Args:
        asked: The request.
        price: What its tokens cost; None for nothing.

    Raises:
        DeltaweirError: The model cannot be had, or cannot do what is asked.
    """

    upstream_model: str | None = None

    def __init__(self, asked: Asked, price: Price | None) -> None:
        self._asked = asked
        self._price = price
        self._ready: Prepared = prepare(asked.call)
        self._source: AsyncLocalSource[Any] | None = None
        if price is not None and asked.call.limit.pico is not None:
            check_prompt(asked.call.limit, price, self._prompt_tokens())

    def needs(self, stream_id: str) -> Needs:
        """Return what the stream is sure to use; see `Answering`."""
        return _needs(stream_id, self._prompt_tokens(), self._price or _FREE)

    def _prompt_tokens(self) -> int:
        return prompt_of(self._asked.request.model_dump()).tokens

    def run(self, lease: Lease | None, **options: Any) -> Run:
        """Return the stream of the answer; see `Answering`."""
        ready, chat = self._ready, self._asked.chat
        metered = engine_metering(
            lambda: None if self._source is None else self._source.usage,
            ready.limit,
            self._price,
            lease,
        )
        kind, reply = (Chunk, Reply) if chat else (TextChunk, TextReply)
        weir = weir_for(cast("Any", kind), metered, ready.options, ready.guard.stream())
        return Run(reply, weir=weir, metering=metered, patient=False, **options)

    async def begin(self, run: Run, row: StreamRow) -> None:
        """Let the model compute; see `Answering`."""
        ready = self._ready
        row.asked(f"{EMBEDDED}{self._asked.route.model.embedded}")
        self._source = source = AsyncLocalSource[Any](
            ready.planned,
            ready.weights,
            ready.engine,
            identity=ready.identity,
            created=ready.created,
        )
        pump: Pump[Any] = Pump(source, run)
        run.follow(pump, ready.timeouts)
        await pump.run()

    def reply(self, run: Run) -> AnyReply:
        """Return the whole answer; see `Answering`."""
        reply: AnyReply = run.reply()
        return best_of(reply, self._ready) if isinstance(reply, TextReply) else reply


class UpstreamAnswering:
    """One of a model's upstreams answers.

    Args:
        asked: The request.
        price: What its tokens cost; None where prices are looked up.

    Raises:
        BudgetExceeded: The prompt alone costs more than the budget.
        InvalidRequest: It cannot be sent, or is limited in money and has no known price.
    """

    def __init__(self, asked: Asked, price: Price | None) -> None:
        self._asked = asked
        self._options = asked.request.stream_options if asked.wants_stream else None
        self._sent_model = asked.route.model.sent_name(asked.route.name)
        self.upstream_model: str | None = self._sent_model
        if self._sent_model == asked.route.name:
            self.upstream_model = None
        self._reply: Record | None = None
        self._basis = ModelBasis(
            asked_by(asked.request),
            base_url=asked.route.upstreams[0].provider.base_url,
            price=price,
        )
        if asked.call.limit.pico is not None:
            self._basis.prompt(self._sent_model)  # here waiting is allowed for
        self._bodies = {self._sent_model: self._encoded(self._sent_model)}

    def needs(self, stream_id: str) -> Needs:
        """Return what the stream is sure to use; see `Answering`."""
        counted = self._basis.prompt(self._sent_model)
        tokens = 0 if counted is None else counted.tokens
        return _needs(stream_id, tokens, self._basis.price(self._sent_model))

    def run(self, lease: Lease | None, **options: Any) -> Run:
        """Return the stream of the answer; see `Answering`."""
        asked = self._asked
        call = asked.call
        metered = metering(self._basis, self._sent_model, call.limit, lease)
        kind, reply = _KINDS[asked.chat]
        weir = weir_for(
            cast("Any", None if options.get("whole") else kind),
            metered,
            self._options,
            call.guard.stream(),
        )
        return Run(reply, weir=weir, metering=metered, patient=True, **options)

    async def begin(self, run: Run, row: StreamRow) -> None:
        """Ask the upstreams; see `Answering`."""
        _, reply = _KINDS[self._asked.chat]
        whole = not self._asked.streamed
        exchange = self._whole if whole else self._stream
        question = Question(exchange, reply if whole else None, self._sent_to)
        self._reply = await ask(run, self._asked.route.upstreams, question, row)
        if self._reply is not None and run.open:
            run.took([as_chunk(cast("AnyReply", self._reply))])
            run.ended()

    def reply(self, run: Run) -> AnyReply:
        """Return the whole answer; see `Answering`."""
        return run.reply() if self._reply is None else cast("AnyReply", self._reply)

    def _stream(self, upstream: Upstream) -> StreamExchange[Any]:
        asked = self._asked
        kind, _ = _KINDS[asked.chat]
        read: Callable[[bytes], Any] | None = None
        if asked.wants_stream:
            options = self._options
            everywhere = options is not None and bool(options.continuous_usage_stats)
            read = Forwarder(
                kind, guarded=asked.call.guard.reads_answers, shapes=not everywhere
            ).read
        else:  # is put together to a reply, unknown fields and all
            kind = Chunk if asked.chat else TextChunk
        return StreamExchange(
            self._outgoing(upstream, stream=True),
            cast("Any", kind),
            chance=random.random,
            now=time.time,
            read=read,
        )

    def _whole(self, upstream: Upstream) -> WholeExchange:
        return WholeExchange(
            self._outgoing(upstream, stream=False), chance=random.random, now=time.time
        )

    def _outgoing(self, upstream: Upstream, *, stream: bool) -> Outgoing:
        self._basis.base_url = upstream.provider.base_url  # whoever answers is paid
        headers = None
        if upstream.config.deltaweir and self._asked.terms.tag is not None:
            told = _ENCODER.encode({"tag": self._asked.terms.tag})
            headers = {HEADER.decode(): told.decode()}
        return upstream.outgoing(
            "/chat/completions" if self._asked.chat else "/completions",
            self._body(upstream),
            stream=stream,
            request_id=self._asked.request_id,
            headers=headers,
        )

    def _sent_to(self, upstream: Upstream) -> str:
        route = self._asked.route
        return route.model.sent_name(route.name, upstream.name)

    def _body(self, upstream: Upstream) -> bytes:
        sent = self._sent_to(upstream)
        if sent not in self._bodies:
            self._bodies[sent] = self._encoded(sent)
        return self._bodies[sent]

    def _encoded(self, model: str) -> bytes:
        """Return the request's body as upstreams get it; the request is changed to that."""
        request, options = self._asked.request, self._asked.request.stream_options
        request.model = model
        if self._asked.streamed:
            request.stream = True
            request.stream_options = StreamOptions(include_usage=True)
            if options is not None:
                kept = options.model_dump() | {"include_usage": True}
                kept.pop(_CONTINUOUS, None)
                request.stream_options = StreamOptions.model_validate(kept)
        asked = request.stream_options
        known = not (request.__dict__ or (asked is not None and asked.__dict__))
        try:
            return _ENCODER.encode(request if known else request.model_dump())
        except (TypeError, UnicodeEncodeError) as error:
            raise InvalidRequest(f"the request is not JSON: {type(error).__name__}") from error


def _needs(stream_id: str, prompt_tokens: int, price: Price | None) -> Needs:
    if price is None:
        return Needs(stream_id, prompt_tokens, None, None)
    one = Usage(prompt_tokens=0, completion_tokens=1, total_tokens=1)
    return Needs(stream_id, prompt_tokens, price.prompt_cost(prompt_tokens), price.cost(one))


_FREE = own_price("embedded", {"input": 0, "output": 0})
_CONTINUOUS = "continuous_usage_stats"
"""What is asked of us, not of an upstream."""
_KINDS: dict[bool, tuple[Any, type[Reply | TextReply]]] = {
    True: (ForwardedChunk, Reply),
    False: (ForwardedTextChunk, TextReply),
}
