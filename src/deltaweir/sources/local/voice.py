"""One native call's events as choices of chunks: what the engine said, in OpenAI's words. Pure.

A voice runs on the thread of its call, so that it can end the call at once: at a stop
sequence, or when no token was asked for. What it understood goes to the reader as `Heard`.
"""

from __future__ import annotations

import collections
from collections.abc import Iterator
from typing import Any, NamedTuple

from deltaweir.schema.chunk import (
    Choice,
    ChoiceLogprobs,
    Delta,
    FunctionDelta,
    TextChoice,
    TextLogprobs,
    TokenLogprob,
    ToolCallDelta,
    TopLogprob,
)
from deltaweir.sources.local.events import (
    Event,
    SaidChoice,
    SaidLogprobs,
    SaidToken,
    SaidToolCall,
    decode,
    error_of,
)
from deltaweir.sources.local.request import Call, Plan
from deltaweir.sources.local.stops import Stops
from deltaweir.sources.local.tools import ForcedCall, as_function_call

LEAST_LOGPROB = -9999.0
"""What OpenAI says for a probability of zero; the engine says the least float, or null."""


class Counts(NamedTuple):
    """A call's running totals, in tokens; they also hold when the call is cancelled."""

    prompt: int
    cached: int
    completion: int
    read: int
    """How much of the prompt is read."""


class Heard(NamedTuple):
    """What one event of a call means."""

    call: int
    """The call, by its place in the plan."""
    choices: list[Any]
    """What it adds, of the endpoint that was planned."""
    counts: Counts | None
    """The call's totals, None before the engine has looked at the prompt."""
    error: BaseException | None = None
    """Why the call failed."""
    returned: bool = False
    """Whether the call has returned; nothing more comes of it."""


class _Entry(NamedTuple):
    """A token's log probability, waiting for the token's text to leave."""

    start: int
    end: int
    token: SaidToken


class Voice:
    """Understand the events of one call, one after the other.

    Args:
        plan: What was asked.
        at: The call's place in the plan.
        identity: The id of the chunks, without its prefix.
    """

    def __init__(self, plan: Plan, at: int, identity: str) -> None:
        call: Call = plan.calls[at]
        self.ended = False
        """Whether the finish reason has been said."""
        self.counts: Counts | None = None
        self._at = at
        self._index = call.choice
        self._plan = plan
        self._echo = plan.echo[call.prompt]
        self._opened = False
        self._reason: str | None = None
        self._stops = Stops(plan.stop)
        self._said = self._sent = 0
        self._entries: collections.deque[_Entry] = collections.deque()
        forced = plan.tools is not None and plan.tools.forced
        self._forced = ForcedCall(f"call_{identity[:20]}{call.choice}") if forced else None

    @property
    def enough(self) -> bool:
        """Whether nothing more of the call is wanted, though it has not ended by itself."""
        return self.ended and (self._plan.nothing or self._stops.found)

    def hear(self, raw: bytes) -> Heard:
        """Take one event, as JSON text.

        Raises:
            ContextLengthExceeded: The prompt is longer than the context.
            InvalidRequest: The engine refused the request.
            StreamFailed: The engine broke off, or said what cannot be understood.
        """
        event = decode(raw)
        if event is None:
            return Heard(self._at, [], self.counts)
        if event.error is not None:
            raise error_of(event.error, prompt="messages" if self._plan.chat else "prompt")
        if not self.enough:
            self._count(event)
        return Heard(self._at, [*self._choices(event)], self.counts)

    def _count(self, event: Event) -> None:
        prompt, cached, completion, read = self.counts or Counts(0, 0, 0, 0)
        progress, timings, usage = event.prompt_progress, event.timings, event.usage
        if progress is not None:
            prompt, cached, read = progress.total, progress.cache, progress.processed
        elif self.counts is None and usage is None:
            return  # the first event of a call tells of its prompt
        if timings is not None:
            completion = timings.predicted_n
        if usage is not None:
            prompt, completion = usage.prompt_tokens, usage.completion_tokens
            read = prompt
            if usage.prompt_tokens_details is not None:
                cached = usage.prompt_tokens_details.cached_tokens
        if self._plan.nothing:
            completion = 0
        self.counts = Counts(prompt, cached, completion, read)

    def _choices(self, event: Event) -> Iterator[Choice | TextChoice]:
        if self.ended:
            return
        if self._plan.nothing:
            yield from self._open()
            yield from self._end("length")
            return
        if event.prompt_progress is not None:
            return
        yield from self._open()
        for said in event.choices:
            yield from self._chat(said) if self._plan.chat else self._text(said)
            if self._stops.found and not self.ended:
                yield from self._end("stop")
            elif said.finish_reason is not None:
                self._reason = said.finish_reason
        if event.usage is not None:
            yield from self.close()

    def close(self) -> Iterator[Choice | TextChoice]:
        """End as the engine said, if it did and this is not said yet.

        The engine tells the last count one event after its finish reason, which waits for it:
        the last tokens may have shown no text, so that no earlier event counts them.
        """
        if self._reason is not None and not self.ended:
            yield from self._end(self._reason)

    def _open(self) -> Iterator[Choice | TextChoice]:
        if self._opened:
            return
        self._opened = True
        if self._plan.chat:
            yield Choice(index=self._index, delta=Delta(role="assistant"))
        elif self._echo:
            yield TextChoice(index=self._index, text=self._echo)

    def _end(self, reason: str) -> Iterator[Choice | TextChoice]:
        yield from self._content(self._stops.finish())
        self.ended = True
        if not self._plan.chat:
            yield TextChoice(index=self._index, finish_reason=reason)
            return
        if self._forced is not None and reason == "stop":
            reason = "tool_calls"
        yield from self._reworded(Choice(index=self._index, finish_reason=reason))

    def _let_through(self, said: str, logprobs: SaidLogprobs | None) -> str:
        """Note a text and its tokens, and return what of the text may leave."""
        start, self._said = self._said, self._said + len(said)
        scored = self._plan.logprobs is not None or self._plan.best_of is not None
        if scored and logprobs is not None:
            for token in logprobs.content or ():
                self._entries.append(_Entry(start, self._said, token))
        return self._stops.feed(said)

    def _ready(self) -> list[_Entry]:
        """Return the tokens whose text has left; a token leaves with its last character."""
        ready: list[_Entry] = []
        while self._entries and self._entries[0].end <= self._sent:
            ready.append(self._entries.popleft())
        return ready

    def _content(self, text: str) -> Iterator[Choice | TextChoice]:
        """Say a text that may leave, in the shape of the endpoint."""
        if not text:
            return
        self._sent += len(text)
        if not self._plan.chat:
            yield TextChoice(index=self._index, text=text, logprobs=self._text_logprobs())
            return
        delta = Delta(content=text)
        if self._forced is not None:
            calls = self._forced.feed(text)
            if not calls:
                return
            delta = Delta(tool_calls=calls)
        logprobs = self._chat_logprobs()
        yield from self._reworded(Choice(index=self._index, delta=delta, logprobs=logprobs))

    def _text(self, said: SaidChoice) -> Iterator[Choice | TextChoice]:
        yield from self._content(self._let_through(said.text or "", said.logprobs))

    def _chat(self, said: SaidChoice) -> Iterator[Choice | TextChoice]:
        delta = said.delta
        if delta is None:
            return
        if delta.reasoning_content:
            thought = Delta(reasoning_content=delta.reasoning_content)
            yield Choice(index=self._index, delta=thought)
        yield from self._content(self._let_through(delta.content or "", said.logprobs))
        if delta.tool_calls:
            calls = [_tool_call(call) for call in delta.tool_calls]
            yield from self._reworded(Choice(index=self._index, delta=Delta(tool_calls=calls)))

    def _reworded(self, choice: Choice) -> Iterator[Choice]:
        tools = self._plan.tools
        reworded = as_function_call(choice) if tools is not None and tools.legacy else choice
        if reworded is not None:
            yield reworded

    def _chat_logprobs(self) -> ChoiceLogprobs | None:
        ready = self._ready()
        if not ready:
            return None
        rivals = self._plan.logprobs or 0
        return ChoiceLogprobs(
            content=[
                TokenLogprob(
                    token=entry.token.token,
                    logprob=_logprob(entry.token.logprob),
                    bytes=entry.token.bytes,
                    top_logprobs=[
                        TopLogprob(token=top.token, logprob=_logprob(top.logprob), bytes=top.bytes)
                        for top in (entry.token.top_logprobs or ())[:rivals]
                    ],
                )
                for entry in ready
            ]
        )

    def _text_logprobs(self) -> TextLogprobs | None:
        ready = self._ready()
        if not ready:
            return None
        rivals = self._plan.logprobs or 0
        ours = TextLogprobs(top_logprobs=[] if rivals else None)
        for entry in ready:
            ours.tokens.append(entry.token.token)
            ours.token_logprobs.append(_logprob(entry.token.logprob))
            ours.text_offset.append(len(self._echo) + entry.start)
            if ours.top_logprobs is not None:
                top = (entry.token.top_logprobs or ())[:rivals]
                ours.top_logprobs.append({one.token: _logprob(one.logprob) for one in top})
        return ours


def _logprob(said: float | None) -> float:
    return LEAST_LOGPROB if said is None else max(said, LEAST_LOGPROB)


def _tool_call(said: SaidToolCall) -> ToolCallDelta:
    call = ToolCallDelta(index=said.index, id=said.id or None, type=said.type)
    if said.function is not None:
        call.function = FunctionDelta(name=said.function.name, arguments=said.function.arguments)
    return call
