"""From what the engine says to our chunks, for all calls of one request at once.

The engine's stream has a role in every progress report, ids of one kind for both endpoints,
null fields, timings, and log probabilities in the chat shape only. Here it becomes what
OpenAI's reference describes: per choice a role, then a chunk a token, then an empty delta
with the finish reason; at the very end a chunk with usage and no choices. Pure.
"""

from __future__ import annotations

from typing import Any

from deltaweir.errors import StreamFailed
from deltaweir.schema.chunk import AnyChunk, Chunk, PromptTokensDetails, TextChunk, Usage
from deltaweir.sources.local.request import Plan
from deltaweir.sources.local.voice import Counts, Heard, Voice


class Translation:
    """Turn the engine's events of one request into chunks, in two steps.

    Each call's events are heard on the thread of that call; what was heard is fed by one
    thread, the reader's. So nothing is locked, and ``usage`` says what the reader has been
    given, not what the engine has run ahead.

    Args:
        plan: What was asked.
        identity: The id of every chunk, without its prefix.
        created: Seconds since the epoch, the same in every chunk.
        model: The model's true name.
    """

    def __init__(self, plan: Plan, *, identity: str, created: int, model: str) -> None:
        self._kind: type[AnyChunk] = Chunk if plan.chat else TextChunk
        prefix = "chatcmpl-" if plan.chat else "cmpl-"
        self._envelope: dict[str, Any] = {
            "id": prefix + identity,
            "created": created,
            "model": model,
        }
        self._prompts = [call.prompt for call in plan.calls]
        self._voices = [Voice(plan, at, identity) for at in range(len(plan.calls))]
        self._counts: list[Counts | None] = [None] * len(plan.calls)
        self._running = len(plan.calls)
        self._continuous = plan.continuous_usage

    @property
    def finished(self) -> bool:
        """Whether every call has returned."""
        return self._running == 0

    @property
    def progress(self) -> tuple[int, int]:
        """How many tokens of the prompt are read, and how many there are; zeros at first."""
        known = [counts for counts in self._counts if counts is not None]
        return sum(one.read for one in known), sum(one.prompt for one in known)

    @property
    def usage(self) -> Usage | None:
        """The engine's own count so far; None before it has looked at the prompt.

        A prompt counts once however many choices answer it.
        """
        first: dict[int, Counts] = {}
        generated = 0
        for prompt, counts in zip(self._prompts, self._counts, strict=True):
            if counts is not None:
                first.setdefault(prompt, counts)
                generated += counts.completion
        if not first:
            return None
        read = sum(counts.prompt for counts in first.values())
        cached = sum(counts.cached for counts in first.values())
        return Usage(
            completion_tokens=generated,
            prompt_tokens=read,
            prompt_tokens_details=PromptTokensDetails(cached_tokens=cached),
            total_tokens=read + generated,
        )

    def hear(self, call: int, raw: bytes) -> tuple[Heard, bool]:
        """Understand an event of a call; also tell whether the call can be ended early.

        Args:
            call: The call, by its place in the plan.
            raw: One event as JSON text.

        Raises:
            ContextLengthExceeded: The prompt is longer than the context.
            InvalidRequest: The engine refused the request.
            StreamFailed: The engine broke off, or said what cannot be understood.
        """
        voice = self._voices[call]
        heard = voice.hear(raw)
        return heard, voice.enough

    def feed(self, heard: Heard) -> list[AnyChunk]:
        """Take what was heard and return the chunks that this makes.

        Raises:
            StreamFailed: A call returned without having ended its answer.
            BaseException: The error that a call has died of.
        """
        self._counts[heard.call] = heard.counts or self._counts[heard.call]
        if heard.error is not None:
            raise heard.error
        choices = heard.choices
        if heard.returned:
            choices = [*choices, *self._voices[heard.call].close()]
        usage = self.usage if self._continuous else None
        chunks = [self._kind(choices=[choice], usage=usage, **self._envelope) for choice in choices]
        if heard.returned:
            self._running -= 1
            if not self._voices[heard.call].ended:
                raise StreamFailed("the engine ended an answer without a finish reason")
            if self.finished:
                chunks.append(self._kind(choices=[], usage=self.usage, **self._envelope))
        return chunks
