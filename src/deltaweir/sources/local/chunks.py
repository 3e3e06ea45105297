"""From what the engine says to our chunks, for all calls of one request at once.

The engine's stream has a role in every progress report, ids of one kind for both endpoints,
null fields, timings, and log probabilities in the chat shape only. Here it becomes what
OpenAI's reference describes: per choice a role, then a chunk a token, then an empty delta
with the finish reason; at the very end a chunk with usage and no choices. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from deltaweir.errors import StreamFailed
from deltaweir.schema.chunk import (
    AnyChunk,
    Choice,
    ChoiceLogprobs,
    Chunk,
    Delta,
    FunctionDelta,
    PromptTokensDetails,
    TextChoice,
    TextChunk,
    TextLogprobs,
    TokenLogprob,
    ToolCallDelta,
    TopLogprob,
    Usage,
)
from deltaweir.sources.local.events import (
    Event,
    Progress,
    SaidChoice,
    SaidToolCall,
    decode,
    error_of,
)
from deltaweir.sources.local.request import Call, Plan
from deltaweir.sources.local.tools import ForcedCall, as_function_call


class Translation:
    """Turn the engine's events of one request into chunks.

    Args:
        plan: What was asked.
        identity: The id of every chunk, without its prefix.
        created: Seconds since the epoch, the same in every chunk.
        model: The model's true name.

    Feed it from one thread at a time; ``usage`` and ``progress`` may be read from any.
    """

    def __init__(self, plan: Plan, *, identity: str, created: int, model: str) -> None:
        self._kind: type[AnyChunk] = Chunk if plan.chat else TextChunk
        prefix = "chatcmpl-" if plan.chat else "cmpl-"
        self._envelope: dict[str, Any] = {
            "id": prefix + identity,
            "created": created,
            "model": model,
        }
        self._calls = [_Voice(plan, call, identity) for call in plan.calls]
        self._running = len(self._calls)

    @property
    def finished(self) -> bool:
        """Whether every choice has ended."""
        return self._running == 0

    @property
    def progress(self) -> tuple[int, int]:
        """How many tokens of the prompt are read, and how many there are; zeros at first."""
        known = [voice.progress for voice in self._calls if voice.progress is not None]
        return sum(one.processed for one in known), sum(one.total for one in known)

    @property
    def usage(self) -> Usage | None:
        """The engine's own count so far; None before it has looked at the prompt.

        A prompt counts once however many choices answer it.
        """
        counted = [voice for voice in self._calls if voice.counted]
        if not counted:
            return None
        first = {voice.prompt: voice for voice in reversed(counted)}
        read = sum(voice.prompt_tokens for voice in first.values())
        generated = sum(voice.completion_tokens for voice in counted)
        return Usage(
            completion_tokens=generated,
            prompt_tokens=read,
            prompt_tokens_details=PromptTokensDetails(
                cached_tokens=sum(voice.cached_tokens for voice in first.values())
            ),
            total_tokens=read + generated,
        )

    def enough(self, index: int) -> bool:
        """Tell whether a call can be ended early, since nothing more of it will be shown."""
        return self._calls[index].ended

    def feed(self, index: int, raw: bytes | None) -> list[AnyChunk]:
        """Take what a call said and return the chunks that this makes.

        Args:
            index: The call, by its place in the plan.
            raw: One event as JSON text; None when the call has returned.

        Raises:
            ContextLengthExceeded: The prompt is longer than the context.
            InvalidRequest: The engine refused the request.
            StreamFailed: The engine broke off, or said what cannot be understood.
        """
        voice = self._calls[index]
        if raw is None:
            self._running -= 1
            if not voice.ended:
                raise StreamFailed("the engine ended an answer without a finish reason")
            if self._running:
                return []
            return [self._kind(choices=[], usage=self.usage, **self._envelope)]
        choices: Iterator[Any] = voice.feed(raw)  # of the endpoint that was planned
        return [self._kind(choices=[choice], **self._envelope) for choice in choices]


class _Voice:
    """One call's events as choices."""

    def __init__(self, plan: Plan, call: Call, identity: str) -> None:
        self.prompt = call.prompt
        self.counted = False
        self.ended = False
        self.prompt_tokens = self.cached_tokens = self.completion_tokens = 0
        self.progress: Progress | None = None
        self._index = call.choice
        self._plan = plan
        self._echo = plan.echo[call.prompt]
        self._offset = len(self._echo)
        self._opened = False
        forced = plan.tools is not None and plan.tools.forced
        self._forced = ForcedCall(f"call_{identity[:20]}{call.choice}") if forced else None

    def feed(self, raw: bytes) -> Iterator[Choice | TextChoice]:
        event = decode(raw)
        if event is None or self.ended:
            if event is not None:
                self._count(event)
            return
        if event.error is not None:
            raise error_of(event.error)
        self._count(event)
        if self._plan.nothing:
            yield from self._open()
            yield self._end("length")
            return
        if event.prompt_progress is not None:
            return
        yield from self._open()
        for choice in event.choices:
            yield from self._chat(choice) if self._plan.chat else self._text(choice)

    def _count(self, event: Event) -> None:
        """Take the engine's running totals, which also hold when the call is cancelled."""
        if event.prompt_progress is not None:
            self.progress = event.prompt_progress
            self.prompt_tokens = event.prompt_progress.total
            self.cached_tokens = event.prompt_progress.cache
            self.counted = True
        if self._plan.nothing:
            return
        if event.timings is not None:
            self.completion_tokens = event.timings.predicted_n
        if event.usage is not None:
            self.counted = True
            self.prompt_tokens = event.usage.prompt_tokens
            self.completion_tokens = event.usage.completion_tokens

    def _open(self) -> Iterator[Choice | TextChoice]:
        if self._opened:
            return
        self._opened = True
        if self._plan.chat:
            yield Choice(index=self._index, delta=Delta(role="assistant"))
        elif self._echo:
            yield TextChoice(index=self._index, text=self._echo)

    def _end(self, reason: str) -> Choice | TextChoice:
        self.ended = True
        if not self._plan.chat:
            return TextChoice(index=self._index, finish_reason=reason)
        if self._forced is not None and reason == "stop":
            reason = "tool_calls"
        return self._reworded(Choice(index=self._index, finish_reason=reason))

    def _reworded(self, choice: Choice) -> Choice:
        tools = self._plan.tools
        return as_function_call(choice) if tools is not None and tools.legacy else choice

    def _chat(self, said: SaidChoice) -> Iterator[Choice | TextChoice]:
        delta = said.delta
        if delta is not None:
            ours = Delta(
                content=delta.content or None,
                reasoning_content=delta.reasoning_content or None,
                tool_calls=[_tool_call(call) for call in delta.tool_calls or ()] or None,
            )
            if self._forced is not None and ours.content:
                ours.tool_calls = self._forced.feed(ours.content) or None
                ours.content = None
            if ours.content or ours.reasoning_content or ours.tool_calls:
                yield self._reworded(
                    Choice(index=self._index, delta=ours, logprobs=self._chat_logprobs(said))
                )
        if said.finish_reason is not None:
            yield self._end(said.finish_reason)

    def _chat_logprobs(self, said: SaidChoice) -> ChoiceLogprobs | None:
        rivals = self._plan.logprobs
        if rivals is None or said.logprobs is None or said.logprobs.content is None:
            return None
        return ChoiceLogprobs(
            content=[
                TokenLogprob(
                    token=token.token,
                    logprob=token.logprob,
                    bytes=token.bytes,
                    top_logprobs=[
                        TopLogprob(token=top.token, logprob=top.logprob, bytes=top.bytes)
                        for top in (token.top_logprobs or ())[:rivals]
                    ],
                )
                for token in said.logprobs.content
            ]
        )

    def _text(self, said: SaidChoice) -> Iterator[Choice | TextChoice]:
        if said.text:
            logprobs = self._text_logprobs(said)
            self._offset += len(said.text)
            yield TextChoice(index=self._index, text=said.text, logprobs=logprobs)
        if said.finish_reason is not None:
            yield self._end(said.finish_reason)

    def _text_logprobs(self, said: SaidChoice) -> TextLogprobs | None:
        if said.logprobs is None or not said.logprobs.content:
            return None
        rivals = self._plan.logprobs or 0
        ours = TextLogprobs(top_logprobs=[] if rivals else None)
        offset = self._offset
        for token in said.logprobs.content:
            ours.tokens.append(token.token)
            ours.token_logprobs.append(token.logprob)
            ours.text_offset.append(offset)
            if ours.top_logprobs is not None:
                top = (token.top_logprobs or ())[:rivals]
                ours.top_logprobs.append({one.token: one.logprob for one in top})
            offset += len(token.token)
        return ours


def _tool_call(said: SaidToolCall) -> ToolCallDelta:
    call = ToolCallDelta(index=said.index, id=said.id or None, type=said.type)
    if said.function is not None:
        call.function = FunctionDelta(name=said.function.name, arguments=said.function.arguments)
    return call
