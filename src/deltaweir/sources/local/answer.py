"""One request in the embedded model, from its plan to its last chunk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar, cast

from deltaweir.errors import DeltaweirError, InvalidRequest, StreamFailed
from deltaweir.models.weights import Weights
from deltaweir.schema.chunk import Chunk, TextChunk, Usage
from deltaweir.schema.request import AnyRequest, ChatRequest
from deltaweir.sources.local.chunks import Translation
from deltaweir.sources.local.engine import Engine, Job, engine_for
from deltaweir.sources.local.prompts import Abilities
from deltaweir.sources.local.request import Plan, plan_chat, plan_text
from deltaweir.sources.local.voice import Heard

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
        context=context_of(weights),
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
        deliver: Takes what the engine said, on the engine's threads; each must be handed to
            `feed` in its turn, on one thread.
        identity: The id of the chunks, without its prefix.
        created: Seconds since the epoch.
    """

    def __init__(
        self,
        planned: Plan,
        weights: Weights,
        *,
        deliver: Callable[[Heard], object],
        identity: str,
        created: int,
    ) -> None:
        self._translation = Translation(
            planned, identity=identity, created=created, model=weights.name
        )
        self._deliver_heard = deliver
        self._job = Job(planned.calls, chat=planned.chat, hear=self._hear, returned=self._returned)

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

    def feed(self, heard: Heard) -> list[ChunkT]:
        """Take what the engine said and return the chunks it makes.

        Raises:
            DeltaweirError: The engine refused the request, or broke off.
        """
        return cast("list[ChunkT]", self._translation.feed(heard))

    def cancel(self) -> None:
        """Stop computing within a token; idempotent, from any thread, never blocks."""
        self._job.cancel()

    def _hear(self, call: int, raw: bytes) -> bool:
        heard, enough = self._translation.hear(call, raw)
        self._deliver_heard(heard)
        return enough

    def _returned(self, call: int, error: BaseException | None) -> None:
        refused = None if error is None else _typed(error)
        self._deliver_heard(Heard(call, [], None, error=refused, returned=True))


def _typed(error: BaseException) -> BaseException:
    """Return an error of ours for what native code throws; others are bugs and stay."""
    if isinstance(error, ValueError | RuntimeError):  # how the engine refuses a request
        typed: DeltaweirError = InvalidRequest(
            f"the engine refused the request: {str(error)[:200]}"
        )
    elif isinstance(error, MemoryError | OSError | ArithmeticError | LookupError | TypeError):
        typed = StreamFailed(f"the engine failed with {type(error).__name__}")
    else:
        return error
    typed.__cause__ = error
    return typed
