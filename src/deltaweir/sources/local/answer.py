"""One request in the embedded model, from its plan to its last chunk."""

from __future__ import annotations

from typing import Generic, TypeVar, cast

from deltaweir.errors import DeltaweirError, InvalidRequest, StreamFailed
from deltaweir.models.weights import Weights
from deltaweir.schema.chunk import Chunk, TextChunk, Usage
from deltaweir.schema.request import AnyRequest, ChatRequest
from deltaweir.sources.local.chunks import Translation
from deltaweir.sources.local.engine import Deliver, Engine, Job, engine_for
from deltaweir.sources.local.request import Abilities, Plan, plan_chat, plan_text

ChunkT = TypeVar("ChunkT", bound=Chunk | TextChunk)

CONTEXT = 4096
"""Tokens each answer may use when neither catalogue nor file says less."""


def abilities_of(weights: Weights) -> Abilities:
    """Return what a model can do, as its file and the catalogue say."""
    head = weights.head
    return Abilities(
        name=weights.name,
        vocabulary=head.vocabulary,
        tools=weights.entry.tools if weights.entry else "tools" in (head.chat_template or ""),
        infill=head.infill,
    )


def context_of(weights: Weights) -> int:
    """Return how many tokens, prompt and reply together, each answer may use."""
    if weights.entry is not None:
        return weights.entry.context
    return min(CONTEXT, weights.head.context_train or CONTEXT)


def load(weights: Weights) -> Engine:
    """Return the engine for these weights; the first call loads them, which takes seconds.

    Raises:
        EngineMissing: xllamacpp is not installed, or does not run on this machine.
        ModelCorrupt: The engine cannot load the weights.
    """
    return engine_for(weights.path, context=context_of(weights))


def plan(request: AnyRequest, weights: Weights) -> Plan:
    """Check a request and plan its native calls; nothing is computed yet.

    Raises:
        InvalidRequest: The request is malformed, or asks what the model cannot do.
    """
    abilities = abilities_of(weights)
    if isinstance(request, ChatRequest):
        if weights.head.chat_template is None:
            raise InvalidRequest(
                f"{weights.name} has no chat template, so it can only complete texts; "
                "use completions.create",
                param="model",
            )
        return plan_chat(request, abilities)
    return plan_text(request, abilities)


class LocalAnswer(Generic[ChunkT]):
    """The embedded model's answer to one request.

    Args:
        planned: What was asked, as `plan` returned it.
        weights: The model.
        deliver: Takes the engine's events, on the engine's threads; each must be handed to
            `feed` in its turn, on one thread.
        identity: The id of the chunks, without its prefix.
        created: Seconds since the epoch.
    """

    def __init__(
        self, planned: Plan, weights: Weights, *, deliver: Deliver, identity: str, created: int
    ) -> None:
        self._translation = Translation(
            planned, identity=identity, created=created, model=weights.name
        )
        self._job = Job(
            planned.calls,
            chat=planned.chat,
            deliver=deliver,
            enough=self._translation.enough,
        )

    @property
    def usage(self) -> Usage | None:
        """The engine's own count so far; None before it has looked at the prompt."""
        return self._translation.usage

    @property
    def answered(self) -> bool:
        """Whether the engine has begun with the prompt."""
        return self._translation.usage is not None

    @property
    def said_done(self) -> bool:
        """False: the engine says that all was sent by its choices' finish reasons alone."""
        return False

    @property
    def progress(self) -> tuple[int, int]:
        """Tokens of the prompt that are read, and tokens it has; zeros while it waits."""
        return self._translation.progress

    @property
    def finished(self) -> bool:
        """Whether every choice has ended."""
        return self._translation.finished

    def start(self, engine: Engine) -> None:
        """Queue the request.

        Raises:
            ServiceUnavailable: The process is shutting down.
        """
        engine.submit(self._job)

    def feed(self, number: int, said: bytes | BaseException | None) -> list[ChunkT]:
        """Take an event of the engine and return the chunks it makes.

        Raises:
            DeltaweirError: The engine refused the request, or broke off.
        """
        if isinstance(said, BaseException):
            raise self._refused(said)
        return cast("list[ChunkT]", self._translation.feed(number, said))

    def cancel(self) -> None:
        """Stop computing within a token; idempotent, from any thread, never blocks."""
        self._job.cancel()

    def _refused(self, error: BaseException) -> BaseException:
        if isinstance(error, DeltaweirError) or not isinstance(error, ValueError | RuntimeError):
            return error
        kind = StreamFailed if self._translation.usage else InvalidRequest
        refused = kind(f"the engine refused the request: {str(error)[:200]}")
        refused.__cause__ = error
        return refused
